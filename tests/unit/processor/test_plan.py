"""The planner by example: what is late, from the future, a duplicate or too old, and what goes with the horizon."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.support.checked import KnownSchemas

from headwater_processor.core.decode import BatchDecoder
from headwater_processor.core.knowledge import Knowledge
from headwater_processor.core.plan import PartitionPlanner
from headwater_processor.core.plan_values import Plan, Rules
from headwater_schemas.codec import encode_single_object
from headwater_schemas.events import EventType, LineageEvent

SECOND_US, MINUTE_US, HOUR_US = 1_000_000, 60_000_000, 3_600_000_000
T = 1_740_787_200_000_000  # a full hour


class Driver:
    """A planner fed with (id, event time) pairs; each is appended a second after it happened unless said otherwise."""

    def __init__(self, **rules: int) -> None:
        self.planner = PartitionPlanner(3, Rules(**rules), Knowledge(), (1, 2))
        self._decoder = BatchDecoder(KnownSchemas())

    def plan(self, *events: tuple[int, int], append_us: Sequence[int] | None = None, bad: int = 0) -> Plan:
        values = [
            encode_single_object(LineageEvent(number.to_bytes(16, "big"), time_us, EventType.OTHER))
            for number, time_us in events
        ] + [b""] * bad
        appended = list(append_us or [time_us + SECOND_US for _, time_us in events]) + [T] * bad
        columns = self._decoder.decode(values)
        return self.planner.plan(columns, appended, self.planner.next + len(values), b"the-call")

    def counts(self) -> dict[str, int]:
        names = ("applied", "dup", "late", "future", "undeduped", "bad")
        found = {name: getattr(self.planner.counters, name) for name in names}
        return {name: count for name, count in found.items() if count}


def test_a_plan_continues_where_the_last_one_ended() -> None:
    driver = Driver()
    one, two = driver.plan((1, T), (2, T)), driver.plan((3, T))
    assert (one.partition, one.expected, one.next, two.expected, two.next) == (3, 0, 2, 2, 3)
    assert two.counters == (3, 0, 0, 0, 0, 0)
    assert (two.records, two.token) == (1, b"the-call")


def test_bad_records_are_counted_and_move_the_offset_and_nothing_else() -> None:
    driver = Driver()
    plan = driver.plan(bad=3)
    assert (plan.next, plan.mx_us, plan.floor, plan.buckets) == (3, -1, -1, [])
    assert driver.counts() == {"bad": 3}


def test_every_record_is_bad_or_a_duplicate_or_applied() -> None:
    driver = Driver()
    plan = driver.plan((1, T), (1, T), (2, T), bad=2)
    assert sum(plan.counters[i] for i in (0, 1, 5)) == plan.next == 5


# --- late and future ---------------------------------------------------------------------------------------------------


def test_late_is_more_than_the_lateness_behind_the_largest_time_before() -> None:
    driver = Driver()
    plan = driver.plan(
        (1, T), (2, T - 5 * MINUTE_US), (3, T - 5 * MINUTE_US - 1), (4, T + MINUTE_US), (5, T - 4 * MINUTE_US)
    )
    assert plan.late == [(2, 1)]
    later = driver.plan((6, T - 4 * MINUTE_US - 7))
    assert later.late == [(0, 7)]
    assert driver.counts() == {"applied": 6, "late": 2}


def test_the_first_record_of_a_partition_is_never_late() -> None:
    assert Driver().plan((1, T - 30 * 24 * HOUR_US), (2, T)).late == []


def test_a_late_row_is_that_of_the_record_in_the_batch() -> None:
    driver = Driver()
    driver.plan((1, T))
    values = [b"", encode_single_object(LineageEvent(bytes(16), T - HOUR_US, EventType.OTHER))]
    columns = BatchDecoder(KnownSchemas()).decode(values)
    plan = driver.planner.plan(columns, [T, T], 3, b"the-call")
    assert [row for row, _ in plan.late] == [1]


def test_a_duplicate_that_would_be_late_is_not() -> None:
    driver = Driver()
    driver.plan((1, T - HOUR_US), (2, T))
    assert driver.plan((1, T - HOUR_US)).late == []
    assert driver.counts() == {"applied": 2, "dup": 1}


def test_an_event_from_the_future_moves_no_watermark_and_is_not_late() -> None:
    driver = Driver()
    plan = driver.plan((1, T), (2, T + HOUR_US), (3, T - MINUTE_US), append_us=[T, T, T])
    assert (plan.mx_us, plan.late) == (T, [])
    assert driver.counts() == {"applied": 3, "future": 1}


@pytest.mark.parametrize(("ahead_us", "future"), [(5 * MINUTE_US, 0), (5 * MINUTE_US + 1, 1)])
def test_the_future_begins_behind_the_bound(ahead_us: int, future: int) -> None:
    driver = Driver()
    driver.plan((1, T + ahead_us), append_us=[T])
    assert driver.counts().get("future", 0) == future


def test_a_future_event_that_is_said_twice_is_a_duplicate_even_hours_later() -> None:
    driver = Driver()
    first = driver.plan((1, T + 100 * HOUR_US), append_us=[T])
    again = driver.plan((1, T + 100 * HOUR_US), append_us=[T + 3 * HOUR_US])
    assert first.buckets == [f"F{T // HOUR_US}"]
    assert again.buckets == []
    assert driver.counts() == {"applied": 1, "future": 1, "dup": 1}


# --- duplicates ------------------------------------------------------------------------------------------------------


def test_a_duplicate_is_counted_and_writes_nothing() -> None:
    driver = Driver()
    driver.plan((1, T))
    plan = driver.plan((1, T))
    assert (plan.operations, plan.buckets, plan.packed_ids) == (0, [], [])
    assert driver.counts() == {"applied": 1, "dup": 1}


def test_ids_are_remembered_in_the_bucket_of_their_time() -> None:
    plan = Driver().plan((1, T), (2, T - 1), (3, T + HOUR_US), (4, T))
    assert dict(zip(plan.buckets, map(len, plan.packed_ids), strict=True)) == {
        str(T // HOUR_US): 16,
        str(T // HOUR_US - 1): 8,
        str(T // HOUR_US + 1): 8,
    }


def test_the_same_id_at_another_hour_is_another_event() -> None:
    driver = Driver()
    driver.plan((1, T), (1, T + HOUR_US))
    assert driver.counts() == {"applied": 2}


def test_one_hour_and_many_hours_take_different_roads_to_the_same_verdicts() -> None:
    one, many = Driver(), Driver()
    for driver in (one, many):
        driver.plan(*((n, T + n) for n in range(50)))
    one.plan(*((n, T + n) for n in range(25, 75)))
    many.plan(*((n, T + n) for n in range(25, 75)), (1000, T + HOUR_US))
    assert one.counts() == {"applied": 75, "dup": 25}
    assert many.counts() == {"applied": 76, "dup": 25}


# --- the horizon ----------------------------------------------------------------------------------------------------


def test_what_is_older_than_the_horizon_is_merged_and_said_to_be_undeduped() -> None:
    driver = Driver()
    driver.plan((1, T))
    old = T - 25 * HOUR_US
    driver.plan((2, old), (2, old))
    assert driver.counts() == {"applied": 3, "late": 2, "undeduped": 2}


def test_buckets_behind_the_horizon_go_and_never_come_back() -> None:
    driver = Driver()
    driver.plan((1, T), (2, T + HOUR_US))
    plan = driver.plan((3, T + 25 * HOUR_US))
    assert plan.dropped_buckets == [str(T // HOUR_US)]
    assert plan.floor == T // HOUR_US + 1
    driver.plan((1, T))
    assert driver.counts()["undeduped"] == 1
    assert driver.planner.seen.total == 2


def test_future_buckets_go_when_the_watermark_passes_the_time_they_were_said() -> None:
    driver = Driver()
    driver.plan((1, T), (2, T + 99 * HOUR_US), append_us=[T, T])
    plan = driver.plan((3, T + 30 * HOUR_US))
    assert f"F{T // HOUR_US}" in plan.dropped_buckets
    assert driver.planner.seen.future == {}


def test_within_one_batch_the_floor_counts_for_each_record_as_it_stood() -> None:
    driver = Driver()
    driver.plan((1, T), (2, T + 30 * HOUR_US), (1, T))
    assert driver.counts() == {"applied": 3, "late": 1, "undeduped": 1}


def test_beyond_the_largest_number_of_ids_the_oldest_bucket_goes_whole_and_the_floor_rises() -> None:
    driver = Driver(seen_ids_max=10)
    driver.plan(*((n, T) for n in range(8)))
    plan = driver.plan(*((n, T + HOUR_US) for n in range(100, 106)))
    assert plan.dropped_buckets == [str(T // HOUR_US)]
    assert plan.floor == T // HOUR_US + 1
    assert driver.planner.seen.total == 6
    driver.plan((0, T))
    assert driver.counts()["undeduped"] == 1


def test_an_idle_plan_keeps_what_it_knew() -> None:
    driver = Driver()
    driver.plan((1, T))
    plan = driver.plan()
    assert (plan.expected, plan.next, plan.mx_us, plan.operations) == (1, 1, T, 0)
