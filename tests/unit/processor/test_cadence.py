"""The ring of written slots, and what is learned from it."""

from __future__ import annotations

import pytest

from headwater_processor.core import cadence

MINUTE_US = 60_000_000
DAY_SLOTS = 288


def ring_of(slots: list[int]) -> bytes:
    ring: bytes | None = None
    for slot in slots:
        ring = cadence.add(ring, slot)
    assert ring is not None
    return ring


def test_a_ring_is_the_newest_slot_and_one_bit_for_each_slot() -> None:
    ring = ring_of([cadence.SLOTS + 9, cadence.SLOTS + 1])
    assert len(ring) == 508
    assert ring[:4] == (cadence.SLOTS + 9).to_bytes(4, "big")
    assert ring[4:6] == bytes([0b10, 0b10])
    assert not any(ring[6:])


def test_slots_come_back_ascending_whatever_the_order() -> None:
    assert cadence.slots(ring_of([5_000, 4_990, 5_001, 4_990])) == [4_990, 5_000, 5_001]
    assert cadence.slots(None) == []


def test_a_slot_older_than_the_window_changes_nothing() -> None:
    ring = ring_of([9_000])
    assert cadence.add(ring, 9_000 - cadence.SLOTS) == ring
    assert cadence.slots(cadence.add(ring, 9_000 - cadence.SLOTS + 1)) == [9_000 - cadence.SLOTS + 1, 9_000]


def test_a_newer_slot_pushes_out_what_leaves_the_window() -> None:
    ring = ring_of([100, 200, 100 + cadence.SLOTS])
    assert cadence.slots(ring) == [200, 100 + cadence.SLOTS]


def test_nothing_is_learned_before_eight_slots() -> None:
    ring = ring_of(list(range(100, 107)))
    assert cadence.progress(ring) == (7, 8)
    assert cadence.learned_max_age_us(ring) is None
    assert cadence.progress(None) == (0, 8)
    assert cadence.learned_max_age_us(None) is None


def test_an_even_cadence_allows_three_gaps() -> None:
    assert cadence.learned_max_age_us(ring_of(list(range(1_000, 1_400, 12)))) == 180 * MINUTE_US


def test_at_least_a_quarter_of_an_hour_is_allowed() -> None:
    assert cadence.learned_max_age_us(ring_of(list(range(1_000, 1_300)))) == 15 * MINUTE_US


def test_of_what_is_known_for_less_than_a_day_a_day_is_allowed() -> None:
    day_us = DAY_SLOTS * cadence.SLOT_US
    assert cadence.learned_max_age_us(ring_of(list(range(1_000, 1_000 + DAY_SLOTS)))) == day_us
    assert cadence.learned_max_age_us(ring_of(list(range(1_000, 1_001 + DAY_SLOTS)))) == 15 * MINUTE_US
    sparse = ring_of([1_000 + 40 * n for n in range(8)])
    assert cadence.learned_max_age_us(sparse) == day_us < 3 * 120 * cadence.SLOT_US


def test_the_first_night_is_no_silence_and_the_second_is_known() -> None:
    first_day = [5_000 + slot for slot in range(150)]  # from nine to half past nine at night
    allowed = cadence.learned_max_age_us(ring_of(first_day))
    assert allowed is not None
    night = 100
    assert allowed > night * cadence.SLOT_US
    second_day = [*first_day, *(5_150 + night + slot for slot in range(192))]
    assert cadence.learned_max_age_us(ring_of(second_day)) == 3 * (night + 1) * cadence.SLOT_US


def test_a_job_that_writes_in_many_slots_every_night_is_nightly() -> None:
    nights = [5_000 + night * DAY_SLOTS + slot for night in range(13) for slot in range(30)]
    learned = cadence.learned_max_age_us(ring_of(nights))
    assert learned is not None
    assert 2 * DAY_SLOTS * cadence.SLOT_US < learned <= 3 * DAY_SLOTS * cadence.SLOT_US


def test_one_short_pause_in_two_weeks_teaches_nothing() -> None:
    written = [slot for slot in range(5_000, 9_000) if not 6_000 < slot < 6_060]
    assert cadence.learned_max_age_us(ring_of(written)) == 15 * MINUTE_US


def test_our_own_downtime_is_no_gap() -> None:
    written = [slot for slot in range(5_000, 6_000) if not 5_100 < slot < 5_600]
    deaf = cadence.learned_max_age_us(ring_of(written))
    fair = cadence.learned_max_age_us(ring_of(written), blind=range(5_101, 5_600))
    assert deaf == 3 * 500 * cadence.SLOT_US
    assert fair == 15 * MINUTE_US


def test_what_is_no_slot_or_no_ring_is_refused_with_advice() -> None:
    with pytest.raises(ValueError, match="no 5-minute slot"):
        cadence.add(None, 1 << 32)
    with pytest.raises(ValueError, match="another layout"):
        cadence.slots(b"short")


def test_a_slot_is_five_minutes() -> None:
    assert cadence.slot_of(5 * MINUTE_US - 1) == 0
    assert cadence.slot_of(5 * MINUTE_US) == 1
