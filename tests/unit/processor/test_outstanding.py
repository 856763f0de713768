"""What is on its way, what was dropped, and what stands still."""

from __future__ import annotations

from headwater_processor.engine.outstanding import LOST_POLL_S, POLLS_OUT_MAX, PollsOut, Standing


def test_there_is_room_until_so_many_polls_are_out_and_again_when_one_is_done() -> None:
    polls = PollsOut()
    for number in range(POLLS_OUT_MAX):
        assert polls.room()
        polls.handed_on(float(number))
    assert not polls.room()
    polls.done()
    assert polls.room()


def test_a_poll_that_is_done_after_it_was_forgotten_makes_no_room_of_its_own() -> None:
    polls = PollsOut()
    polls.handed_on(0.0)
    polls.forget()
    polls.done()
    assert polls.out == 0


def test_the_last_poll_is_overdue_once_until_another_is_handed_on() -> None:
    polls = PollsOut()
    assert not polls.overdue(100.0)
    polls.handed_on(100.0)
    assert not polls.overdue(100.0 + LOST_POLL_S)
    assert polls.overdue(100.1 + LOST_POLL_S)
    polls.looked()
    assert not polls.overdue(200.0)
    polls.handed_on(200.0)
    assert polls.overdue(203.0)


def test_a_dropped_poll_is_looked_for_even_when_an_older_one_was_counted_in_its_place() -> None:
    polls = PollsOut()
    polls.handed_on(0.0)  # of a partition that goes
    polls.forget()
    polls.handed_on(1.0)  # dropped on its way
    polls.done()  # the older one
    assert polls.out == 0
    assert polls.overdue(4.0)


def test_a_partition_that_does_not_move_is_told_and_again_after_twice_the_time() -> None:
    standing = Standing(after_s=10.0)
    said = [second for second in range(0, 45, 5) if standing.look(float(second), {3: (7, 20)})]
    assert said == [10, 20, 40]
    assert standing.look(45.0, {3: (8, 20)}) == {}
    assert standing.look(54.0, {3: (8, 20)}) == {}
    assert standing.look(55.0, {3: (8, 20)}) == {3: 10.0}


def test_a_partition_at_the_end_of_its_log_does_not_stand_still() -> None:
    standing = Standing(after_s=10.0)
    assert not any(standing.look(float(second), {0: (20, 20)}) for second in range(100))
    assert standing.look(101.0, {0: (20, 21)}) == {}
    assert standing.look(109.0, {0: (20, 21)}) == {0: 10.0}  # counted from the last look at which it was complete


def test_a_partition_that_went_is_forgotten() -> None:
    standing = Standing(after_s=10.0)
    standing.look(0.0, {0: (1, 2)})
    standing.look(5.0, {})
    assert standing.look(12.0, {0: (1, 2)}) == {}
