"""What holds of a group in a partition, whatever it does: nobody is called stopped who is not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headwater.discover.lag import LOOKS, Status, Trail

WINDOW = st.integers(2, 12)
RATES = st.lists(st.integers(0, 1_000), min_size=1, max_size=60)
OFFSET = st.integers(0, 50)


def statuses(looks: list[tuple[int, int, int]], window: int, *, held: bool) -> list[Status]:
    """The status after each look: (committed, begin, end)."""
    trail, found = Trail(), []
    for look in looks:
        trail.look(*look)
        found.append(trail.status(held=held, window=window))
    return found


@given(st.lists(OFFSET, min_size=1, max_size=60), WINDOW, st.booleans())
def test_a_quiet_topic_is_never_a_stop_nor_a_stall(commits: list[int], window: int, held: bool) -> None:
    """Its end does not move; commits do what they like below it."""
    looks = [(min(commit, 40), 0, 40) for commit in commits]
    assert not {Status.STALL, Status.STOP} & set(statuses(looks, window, held=held))


@given(RATES, st.data(), WINDOW, st.booleans())
def test_who_has_read_what_was_there_a_look_ago_is_never_anything_but_ok(
    rates: list[int], data: st.DataObject, window: int, held: bool
) -> None:
    looks, before, end = [], 0, 0
    for rate in rates:
        end += rate
        looks.append((data.draw(st.integers(before, end)), 0, end))
        before = end
    committed = 0  # a consumer's commits do not go back
    monotone = []
    for commit, begin, end in looks:
        committed = max(committed, commit)
        monotone.append((committed, begin, end))
    assert set(statuses(monotone, window, held=held)) == {Status.OK}


@given(RATES, WINDOW, st.booleans())
def test_a_group_without_lag_is_ok(rates: list[int], window: int, held: bool) -> None:
    end, looks = 0, []
    for rate in rates:
        end += rate
        looks.append((end, 0, end))
    assert set(statuses(looks, window, held=held)) == {Status.OK}


@given(st.lists(st.tuples(OFFSET, OFFSET, OFFSET), min_size=1, max_size=80), WINDOW)
def test_whatever_is_seen_a_member_decides_between_stall_and_stop_alone(
    looks: list[tuple[int, int, int]], window: int
) -> None:
    free, held = statuses(looks, window, held=False), statuses(looks, window, held=True)
    assert Status.STALL not in free
    assert Status.STOP not in held
    assert [Status.STALL if one is Status.STOP else one for one in free] == held


@given(st.lists(st.tuples(OFFSET, OFFSET, OFFSET), min_size=1, max_size=80), WINDOW)
def test_nothing_is_judged_without_a_window_of_looks_that_go_on(looks: list[tuple[int, int, int]], window: int) -> None:
    trail, since = Trail(), 0
    committed = end = -1
    for look in looks:
        trail.look(*look)
        since = 1 if look[0] < committed or look[2] < end else since + 1
        committed, end = look[0], look[2]
        assert trail.lag == max(0, end - max(committed, look[1]))
        if since < window:
            assert trail.status(held=False, window=window) is Status.OK


@given(st.integers(1, 30), st.lists(st.integers(1, 100), min_size=2 * LOOKS, max_size=60))
def test_who_dies_on_a_busy_topic_is_stopped_after_a_window_and_stays_so(lived: int, rates: list[int]) -> None:
    trail, end = Trail(), 0
    for rate in rates[:lived]:
        end += rate
        trail.look(end, 0, end)
    died, found = end, []
    for rate in rates:
        end += rate
        trail.look(died, 0, end)
        found.append(trail.status(held=False))
    assert found[:LOOKS] == [Status.OK] * LOOKS
    assert set(found[LOOKS:]) == {Status.STOP}


@given(st.integers(1, 100), st.integers(1, 99))
def test_who_is_too_slow_is_warned_of_and_never_called_stopped(rate: int, share: int) -> None:
    trail, found = Trail(), []
    for at in range(1, 200):
        trail.look(at * rate * share // 100, 0, at * rate)
        found.append(trail.status(held=True))
    if rate * share >= 100 and rate * (100 - share) >= 200:  # it moves at every look, and its lag grows
        assert Status.STALL not in found
        assert found[-1] is Status.WARN
