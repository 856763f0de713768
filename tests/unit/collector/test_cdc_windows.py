"""Full mode: records added up by table and minute."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.support.cdc_records import TS_MS, as_bytes, envelope, schema_change

from headwater.cdc.names import Server, Servers
from headwater.cdc.windows import MINUTE_MS, Partition
from headwater.cdc.wire import read
from headwater.validation import check
from headwater_schemas.events import EventType, Lifecycle, LineageEvent, Name

TOPIC = Name("kafka://broker:9092", "shop.public.orders")
SHOP = Servers([Server("postgresql", "shop", "postgres://db:5432", "store")])
LATER_MS = TS_MS + 10 * MINUTE_MS


def partition(*values: bytes | None, first: int = 0, at_ms: int = TS_MS) -> Partition:
    found = Partition(TOPIC, 0)
    for at, value in enumerate(values):
        found.add(first + at, at_ms, read(value), SHOP)
    return found


def change(op: str = "c", **source: Any) -> bytes:
    return as_bytes(envelope(op=op, **source))


def facet(event: LineageEvent) -> str:
    return (event.facets or b"").decode()


def test_a_window_adds_up_operations_transactions_and_offsets() -> None:
    values = [change("c", txId=1), change("u", txId=1), change("d", txId=2), None, change("r", snapshot="true", txId=3)]
    job, table = partition(*values, first=7).say(TS_MS)
    check(job)
    check(table)
    (measure,) = job.outputs[0].measures
    assert (measure.first_offset, measure.last_offset, measure.rows) == (7, 11, 4)
    assert job.transaction_ids == ("1", "2", "3")
    assert '"operations":{"create":1,"delete":1,"read":1,"update":1}' in facet(job)
    assert '"snapshot_rows":1' in facet(job)
    assert '"tombstones":1' in facet(job)
    assert (table.event_type, table.outputs[0].measures[0].rows) == (EventType.OTHER, 3)


def test_a_window_is_said_whole_each_time_and_only_when_something_came() -> None:
    window = partition(change(), change())
    assert [m.last_offset for m in window.say(TS_MS)[0].outputs[0].measures] == [1]
    assert window.say(TS_MS) == []
    window.add(2, TS_MS + 1, read(change()), SHOP)
    (measure,) = window.say(TS_MS)[0].outputs[0].measures
    assert (measure.first_offset, measure.last_offset, measure.rows) == (0, 2, 3)


def test_reading_resumes_at_the_first_record_of_the_open_window() -> None:
    window = partition(change(), change())
    assert window.resume_at == 0
    window.add(2, TS_MS + MINUTE_MS, read(change()), SHOP)
    assert window.resume_at == 2
    assert len(window.say(TS_MS + MINUTE_MS)) == 4  # the window that is over, and the open one
    window.say(LATER_MS)
    assert window.resume_at == 3


@given(st.lists(st.integers(0, 4 * MINUTE_MS), min_size=1, max_size=12).map(sorted), st.data())
def test_a_reader_that_crashed_says_again_what_it_said(times: list[int], data: st.DataObject) -> None:
    records = [(at, TS_MS + time, read(change(key=at))) for at, time in enumerate(times)]
    crashed, resume = Partition(TOPIC, 0), 0
    said: dict[bytes, LineageEvent] = {}
    for at, (offset, at_ms, found) in enumerate(records):
        crashed.add(offset, at_ms, found, SHOP)
        if data.draw(st.booleans(), label=f"say after {at}"):
            said |= {event.event_id: event for event in crashed.say(at_ms)}
            resume = crashed.resume_at
    again, straight = Partition(TOPIC, 0), Partition(TOPIC, 0)
    for offset, at_ms, found in records:
        straight.add(offset, at_ms, found, SHOP)
        if offset >= resume:
            again.add(offset, at_ms, found, SHOP)
    said |= {event.event_id: event for event in again.say(LATER_MS)}
    # The last word of each window is what a reader without a crash says.
    for event in straight.say(LATER_MS):
        assert said[event.event_id] == event


def test_a_truncation_is_told_as_such() -> None:
    events = partition(as_bytes({**envelope(op="t"), "after": None})).say(TS_MS)
    assert [use.lifecycle for event in events if not event.job.name for use in event.outputs] == [Lifecycle.TRUNCATE]


def test_a_schema_change_says_what_became_of_each_table() -> None:
    topic = Partition(Name("kafka://broker:9092", "shop"), 0)
    topic.add(0, TS_MS, read(as_bytes(schema_change())), Servers())
    altered, dropped = topic.say(TS_MS)
    check(altered)
    assert (altered.outputs[0].name, altered.outputs[0].lifecycle) == ("store.orders", Lifecycle.ALTER)
    assert altered.outputs[0].schema_version
    assert (dropped.outputs[0].name, dropped.outputs[0].lifecycle) == ("store.old", Lifecycle.DROP)


def test_bad_records_and_marks_move_on_and_say_nothing() -> None:
    mark = as_bytes({"status": "END", "id": "7", "event_count": 1, "ts_ms": TS_MS})
    window = partition(b"{", mark, as_bytes({"ts_ms": TS_MS}), None)
    assert window.say(LATER_MS) == []
    assert window.refused == {"no_json": 1}
    assert window.resume_at == 4
