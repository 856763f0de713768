"""Rings of slots join: in any order, any grouping, any number of times."""

from __future__ import annotations

import functools

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


@given(st.lists(st.integers(0, cadence.SLOTS - 1), min_size=8, max_size=60, unique=True), st.sets(SLOT, max_size=200))
def test_a_learned_age_stays_above_its_floor_and_below_three_windows(slots: list[int], blind: set[int]) -> None:
    for learned in (cadence.learned_max_age_us(ring_of(slots)), cadence.learned_max_age_us(ring_of(slots), blind)):
        assert learned is not None
        assert cadence.LEAST_AGE_US <= learned <= 3 * cadence.SPAN_US
