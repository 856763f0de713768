"""Whether a group keeps up with a partition: rule by rule."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from headwater.discover.lag import LOOKS, MOVES, Status, Trail, worst


def followed(*looks: tuple[int, int]) -> Trail:
    """A trail that has seen (committed, end), look by look."""
    trail = Trail()
    for committed, end in looks:
        trail.look(committed, 0, end)
    return trail


def seen_on(trail: Trail, looks: Iterable[tuple[int, int]], *, held: bool = False) -> list[Status]:
    """The status after each of further looks."""
    statuses = []
    for committed, end in looks:
        trail.look(committed, 0, end)
        statuses.append(trail.status(held=held))
    return statuses


@pytest.mark.parametrize(("held", "status"), [(True, Status.STALL), (False, Status.STOP)])
def test_who_is_gone_has_stopped_and_who_is_there_has_stalled(held: bool, status: Status) -> None:
    trail = followed(*((10 * at, 10 * at) for at in range(1, 6)))
    after = seen_on(trail, ((50, 50 + 10 * at) for at in range(1, 2 * LOOKS)), held=held)
    # The first of these looks still finds everything read that was there at the look before.
    assert after == [Status.OK] * LOOKS + [status] * (LOOKS - 1)


def test_who_comes_back_and_catches_up_is_ok_at_once() -> None:
    trail = followed(*((5, 10 * at) for at in range(1, 2 * LOOKS)))
    assert trail.status(held=False) is Status.STOP
    assert seen_on(trail, [(10 * 2 * LOOKS, 10 * 2 * LOOKS)]) == [Status.OK]


def test_before_the_window_is_full_nothing_is_judged() -> None:
    trail = followed(*((5, 10 * at) for at in range(1, LOOKS)))
    assert (trail.judged(), trail.status(held=False)) == (False, Status.OK)
    assert seen_on(trail, [(5, 10 * LOOKS)]) == [Status.STOP]


def test_a_quiet_topic_with_something_unread_is_no_stop() -> None:
    # The mark of a transaction stands behind the last record, and nobody commits it.
    trail = followed(*((9, 10) for _ in range(5 * LOOKS)))
    assert trail.lag == 1
    assert trail.status(held=False) is Status.OK
    assert trail.status(held=True) is Status.OK


def test_a_stop_stays_one_when_the_topic_falls_quiet() -> None:
    trail = followed((10, 10), *((10, 10 + at) for at in range(1, 2 * LOOKS)))
    assert set(seen_on(trail, ((10, 29) for _ in range(3 * LOOKS)))) == {Status.STOP}


def test_a_consumer_that_falls_behind_look_by_look_is_warned_of() -> None:
    trail = followed(*((5 * at, 10 * at) for at in range(3, LOOKS + 2)))
    assert trail.status(held=True) is Status.OK
    assert set(seen_on(trail, ((5 * at, 10 * at) for at in range(LOOKS + 2, 3 * LOOKS)), held=True)) == {Status.WARN}


def test_a_consumer_that_is_far_behind_and_gets_nearer_is_ok() -> None:
    trail = followed(*((20 * at, 10_000 + 10 * at) for at in range(1, 3 * LOOKS)))
    assert trail.lag > 0
    assert trail.status(held=True) is Status.OK


def test_a_job_that_commits_seldom_is_judged_by_its_own_rhythm() -> None:
    """It commits every 30th look, all that is there; the topic is written all the time."""
    trail = Trail()
    statuses = []
    for at in range(1, 200):
        statuses += seen_on(trail, [(10 * (at // 30 * 30), 10 * at)])
    first_hour, later = statuses[:60], statuses[60:]
    assert Status.STOP in first_hour  # nothing was known of it
    assert set(later) == {Status.OK}
    dead = seen_on(trail, ((1800, 2000 + at) for at in range(30)))
    assert dead.index(Status.STOP) == 30 - 19  # 19 looks since its last commit had gone by


def test_a_long_wait_is_forgotten_after_some_moves() -> None:
    trail = followed((10, 10), *((10, 10 + at) for at in range(1, 100)))
    end = 200
    for _ in range(2 * MOVES):
        end += 10
        trail.look(end, 0, end)
    assert seen_on(trail, ((end, end + 10 * at) for at in range(1, LOOKS + 2)))[-1] is Status.STOP


@pytest.mark.parametrize(
    ("committed", "end", "what"), [(3, 100, "reset"), (10, 60, "truncation"), (0, 5, "a topic made anew")]
)
def test_what_goes_back_begins_a_new_window(committed: int, end: int, what: str) -> None:
    trail = followed(*((10, 80 + at) for at in range(2 * LOOKS)))
    assert trail.status(held=False) is Status.STOP
    trail.look(committed, 0, end)
    assert not trail.judged(), what
    after = seen_on(trail, ((committed, end + at) for at in range(1, LOOKS)))
    assert after == [Status.OK] * (LOOKS - 2) + [Status.STOP]


def test_what_retention_took_is_not_unread() -> None:
    trail = Trail()
    for at in range(1, 2 * LOOKS):
        trail.look(10, 100 + at, 100 + at)
    assert trail.lag == 0
    assert trail.status(held=False) is Status.OK


def test_a_commit_beyond_the_end_is_no_lag() -> None:
    assert followed((50, 10)).lag == 0


def test_a_shorter_window_judges_sooner() -> None:
    trail = followed((1, 1), *((1, 1 + at) for at in range(1, 5)))
    assert trail.status(held=False, window=3) is Status.STOP
    assert trail.status(held=False) is Status.OK


def test_the_worst_partition_speaks_for_the_group() -> None:
    assert worst([Status.OK, Status.STALL, Status.WARN]) is Status.STALL
    assert worst([]) is Status.OK
