"""Rings of slots join: in any order, any grouping, any number of times."""

from __future__ import annotations

import functools
import random

from hypothesis import given
from hypothesis import strategies as st

from headwater_processor.core import cadence

SLOT = st.integers(0, 3 * cadence.SLOTS)
SLOTS = st.lists(SLOT, min_size=1, max_size=12)


def ring_of(slots: list[int]) -> bytes:
    return functools.reduce(cadence.merge, (cadence.add(None, slot) for slot in slots))


@given(SLOTS)
def test_a_ring_holds_exactly_the_slots_of_its_window(slots: list[int]) -> None:
    newest = max(slots)
    assert cadence.slots(ring_of(slots)) == sorted({s for s in slots if s > newest - cadence.SLOTS})


@given(SLOTS.flatmap(lambda slots: st.tuples(st.just(slots), st.permutations(slots))))
def test_the_order_of_slots_does_not_matter(both: tuple[list[int], list[int]]) -> None:
    slots, shuffled = both
    by_add: bytes | None = None
    for slot in shuffled:
        by_add = cadence.add(by_add, slot)
    assert by_add == ring_of(slots)


@given(SLOTS, SLOTS, SLOTS)
def test_merging_is_a_join(a: list[int], b: list[int], c: list[int]) -> None:
    x, y, z = ring_of(a), ring_of(b), ring_of(c)
    assert cadence.merge(x, x) == x
    assert cadence.merge(x, y) == cadence.merge(y, x)
    assert cadence.merge(cadence.merge(x, y), z) == cadence.merge(x, cadence.merge(y, z))
    assert cadence.merge(x, y) == ring_of(a + b)


@given(st.lists(st.integers(0, cadence.SLOTS - 1), min_size=8, max_size=60, unique=True))
def test_a_longer_history_never_makes_the_first_day_shorter_than_its_gaps_do(slots: list[int]) -> None:
    learned, span = cadence.learned_max_age_us(ring_of(slots)), max(slots) - min(slots)
    assert learned is not None
    by_gaps = 3 * cadence._p95_by_time(cadence._gaps(sorted(slots), ())) * cadence.SLOT_US
    assert learned == max(by_gaps, cadence.LEAST_AGE_US if span >= cadence.DAY_SLOTS else cadence.FIRST_DAY_US)


@given(st.integers(60, 200), st.integers(1, 3), st.randoms(use_true_random=False))
def test_what_rests_every_night_is_never_late_in_a_night(awake: int, every: int, chance: random.Random) -> None:
    """Whatever its hours: written at random moments by day, for four days; each night ends before its deadline."""
    days = [[day * 288 + slot for slot in sorted(chance.sample(range(awake), awake // every))] for day in range(1, 5)]
    ring: bytes | None = None
    for today, tomorrow in zip(days, [*days[1:], [6 * 288]], strict=True):
        for slot in today:
            ring = cadence.add(ring, slot)
        allowed = cadence.learned_max_age_us(ring)
        assert allowed is not None
        if tomorrow != [6 * 288]:
            assert (tomorrow[0] - today[-1]) * cadence.SLOT_US <= allowed


@given(st.lists(st.integers(0, cadence.SLOTS - 1), min_size=8, max_size=60, unique=True), st.sets(SLOT, max_size=200))
def test_a_learned_age_stays_above_its_floor_and_below_three_windows(slots: list[int], blind: set[int]) -> None:
    for learned in (cadence.learned_max_age_us(ring_of(slots)), cadence.learned_max_age_us(ring_of(slots), blind)):
        assert learned is not None
        assert cadence.LEAST_AGE_US <= learned <= 3 * cadence.SPAN_US
