"""What is said of topics whose last records are known."""

from __future__ import annotations

from tests.support.cdc_records import TS_MS, as_bytes, envelope, snapshot

from headwater.cdc.envelopes import Heartbeat
from headwater.cdc.names import Server, Servers
from headwater.cdc.statements import End, heartbeat_event, topic_events
from headwater.cdc.wire import read
from headwater.validation import check
from headwater_schemas.events import DirectEdge, EventType, Name

TOPIC = Name("kafka://broker:9092", "shop.public.orders")
TABLE = Name("postgres://db:5432", "store.public.orders")
SHOP = Server("postgresql", "shop", "postgres://db:5432", "store")


def end(value: bytes, *, partition: int = 0, offset: int = 41, at_ms: int = TS_MS + 300) -> End:
    return End(partition, offset, at_ms, read(value))


def test_a_change_proves_a_write_of_the_topic_and_of_the_table() -> None:
    said = topic_events(TOPIC, [end(as_bytes(envelope()))], Servers([SHOP]))
    job, table = said.events
    check(job)
    check(table)
    assert job.event_type is EventType.RUNNING
    assert (job.job, job.restartable) == (Name("shop", "shop.0"), True)
    assert [(use.namespace, use.name) for use in job.inputs] == [(TABLE.namespace, TABLE.name)]
    (measure,) = job.outputs[0].measures
    assert (measure.partition, measure.first_offset, measure.last_offset) == (0, 41, 41)
    assert measure.data_through_us == TS_MS * 1000
    assert job.edges == (DirectEdge(TABLE, TOPIC),)
    assert job.event_time_us == (TS_MS + 300) * 1000
    assert (table.job, table.event_time_us, table.outputs[0].measures[0].rows) == (Name("", ""), TS_MS * 1000, 1)


def test_a_snapshot_proves_a_write_of_the_topic_alone() -> None:
    said = topic_events(TOPIC, [end(as_bytes(snapshot()))], Servers([SHOP]))
    (job,) = said.events
    assert job.outputs[0].measures[0].last_offset == 41


def test_the_same_ends_are_the_same_events_and_others_are_not() -> None:
    ends = [end(as_bytes(envelope()), partition=at, offset=7 + at) for at in range(3)]
    one = topic_events(TOPIC, ends, Servers([SHOP])).events
    again = topic_events(TOPIC, list(reversed(ends)), Servers([SHOP])).events
    assert one == again
    moved = topic_events(TOPIC, [*ends[:2], end(as_bytes(envelope()), partition=2, offset=10)], Servers([SHOP])).events
    assert moved[0].event_id != one[0].event_id
    assert moved[1].event_id == one[1].event_id  # the table was written at the same time still


def test_tables_that_share_a_topic_are_said_one_by_one() -> None:
    ends = [end(as_bytes(envelope(table=name)), partition=at) for at, name in enumerate(["orders_1", "orders_2"])]
    said = topic_events(TOPIC, ends, Servers([SHOP]))
    assert {use.name for event in said.events for use in event.inputs} == {
        "store.public.orders_1",
        "store.public.orders_2",
    }


def test_bad_records_are_named_and_the_others_are_said() -> None:
    said = topic_events(TOPIC, [end(b"\xff"), end(as_bytes(envelope()), partition=1)], Servers([SHOP]))
    assert [refused.reason for refused in said.refused] == ["no_json"]
    assert len(said.events) == 2


def test_a_record_without_any_time_says_nothing() -> None:
    said = topic_events(TOPIC, [end(as_bytes(envelope(ts_ms=0)), at_ms=-1)], Servers([SHOP]))
    assert said.events == ()
    assert [refused.reason for refused in said.refused] == ["no_time"]


def test_where_debezium_tells_the_schema_itself_nobody_contradicts_it() -> None:
    speaking = Server("postgresql", "shop", "postgres://db:5432", "store", speaks_openlineage=True)
    (loud, _) = topic_events(TOPIC, [end(as_bytes(envelope()))], Servers([SHOP])).events
    (quiet, _) = topic_events(TOPIC, [end(as_bytes(envelope()))], Servers([speaking])).events
    assert loud.inputs[0].schema_version == loud.outputs[0].schema_version != ""
    assert quiet.inputs[0].schema_version == quiet.outputs[0].schema_version == ""


def test_a_heartbeat_says_that_silent_tables_are_read_to_their_end() -> None:
    event = heartbeat_event(SHOP, Heartbeat(TS_MS), [TABLE])
    check(event)
    assert event.event_type is EventType.RUNNING
    assert [measure.lag for use in event.inputs for measure in use.measures] == [0]
    assert event.outputs == ()
    assert event == heartbeat_event(SHOP, Heartbeat(TS_MS), [TABLE])
