"""Ownership of a partition, and how many bad records are too many."""

from __future__ import annotations

from headwater_processor.core.knowledge import Knowledge
from headwater_processor.core.plan import PartitionPlanner
from headwater_processor.core.plan_values import Counters, Rules
from headwater_processor.engine.owned import BadWindow, Owned
from headwater_processor.ports import Fence

MINUTE_US = 60_000_000


class Window:
    def __init__(self) -> None:
        self.entries = BadWindow()

    def exceeded(self, now_us: int, records: int, bad: int) -> bool:
        return self.entries.exceeded(now_us, records, bad, window_us=MINUTE_US, least=1000, share=0.05)


def test_an_ownership_begins_where_the_fence_stands() -> None:
    fence = Fence(2, "1:x", "t", "0", 70, 5, 1, Counters(), (), "too many bad records", -1)
    owned = Owned(fence, PartitionPlanner(2, Rules(), Knowledge(), (0, 0)), session=9)
    assert (owned.accepted, owned.applied, owned.epoch_session) == (70, 70, 9)
    assert (owned.dead, owned.stopped, owned.proof) == (False, "too many bad records", None)


def test_few_records_never_stop_a_partition_however_bad_they_are() -> None:
    assert not Window().exceeded(0, 999, 999)


def test_more_than_the_share_of_enough_records_stops_it() -> None:
    assert not Window().exceeded(0, 1000, 50)
    assert Window().exceeded(0, 1000, 51)


def test_batches_of_the_window_count_together() -> None:
    window = Window()
    assert not window.exceeded(0, 500, 40)
    assert window.exceeded(MINUTE_US, 500, 11)


def test_what_is_older_than_the_window_does_not_count() -> None:
    window = Window()
    window.exceeded(0, 900, 900)
    assert not window.exceeded(MINUTE_US + 1, 1000, 50)
    assert len(window.entries) == 1


def test_good_records_dilute_bad_ones() -> None:
    window = Window()
    window.exceeded(0, 100, 100)
    assert not window.exceeded(1, 1900, 0)


def test_an_empty_window_after_a_jump_of_the_clock_is_no_error() -> None:
    window = Window()
    window.exceeded(10 * MINUTE_US, 10, 10)
    assert not window.exceeded(0, 10, 0)  # the broker's time went back
    assert window.exceeded(10 * MINUTE_US, 1000, 500)


def test_batches_of_one_second_are_kept_together() -> None:
    window = Window()
    for number in range(10_000):
        window.exceeded(number * 1_000, 1, number % 2)
    assert len(window.entries) == 10
    assert window.exceeded(10_000_000, 1, 0)


def test_as_of_moves_on_though_the_end_of_the_log_is_always_ahead() -> None:
    fence = Fence(2, "1:x", "t", "0", 100, -1, 0, Counters(), (), "", -1)
    owned = Owned(fence, PartitionPlanner(2, Rules(), Knowledge(), (0, 0)), session=9)
    owned.to_prove(end=120, as_of_us=1_000)
    owned.to_prove(end=140, as_of_us=2_000)
    assert owned.proved_by(119) == 0
    assert owned.proved_by(120) == 1_000, "what was asked first is reached first"
    owned.as_of_us = 1_000
    assert owned.proved_by(130) == 0, "said once is enough"
    owned.to_prove(end=160, as_of_us=3_000)
    assert owned.proved_by(160) == 3_000
