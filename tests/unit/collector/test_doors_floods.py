"""A flood of equal events is one event and a heartbeat, and nothing else is held back."""

from __future__ import annotations

from typing import Any

from tests.support.doors import debezium_event as document

from headwater.doors.floods import Floods
from headwater.openlineage.records import Converter, Record
from headwater_schemas.codec import decode
from headwater_schemas.events import LineageEvent
from headwater_schemas.registry import SchemaStore


def offered(floods: Floods[str], key: str, event: str, at: int = 0, now_ms: int = 0, size: int = 10) -> str | None:
    return floods.offer(key.encode(), event, at_us=at, size=size, now_ms=now_ms)


def record(converter: Converter, given: dict[str, Any]) -> Record:
    found = converter.record(given)
    assert isinstance(found, Record)
    return found


def test_a_hundred_thousand_equal_documents_are_one_event_and_a_heartbeat() -> None:
    converter, floods = Converter(), Floods[Record]()
    flood = [
        document(inputs=[("kafka://broker:9092", "orders")], at=f"2026-03-01T12:00:{second:02}Z")
        for second in range(50)
    ]
    sent = []
    for at in range(100_000):
        found = record(converter, flood[at // 2_000])
        chosen = floods.offer(found.flood, found, at_us=found.time_us, size=len(found.value), now_ms=at // 2)
        sent += [chosen] if chosen is not None else []
    assert sent == [record(converter, flood[0])]
    assert floods.due(now_ms=60_000) == [record(converter, flood[-1])]
    assert floods.held_back == 99_999
    assert floods.due(now_ms=200_000) == []


def test_what_differs_in_more_than_its_time_is_another_flood() -> None:
    converter = Converter()
    one = document(inputs=[("kafka://b:9092", "a")])
    others = [
        document(inputs=[("kafka://b:9092", "b")]),
        document(inputs=[("kafka://b:9092", "a")], kind="FAIL"),
        {**one, "run": {**one["run"], "runId": "0195511c-3c00-7000-8000-0000000000bb"}},
    ]
    keys = {record(converter, each).flood for each in (one, *others)}
    assert len(keys) == 4
    assert record(converter, {**one, "eventTime": "2026-03-01T13:00:00Z"}).flood == record(converter, one).flood


def test_only_what_debezium_repeats_is_a_flood() -> None:
    converter = Converter()
    elsewhere = document()
    elsewhere["producer"], elsewhere["job"] = "https://github.com/acme/etl", {"namespace": "shop", "name": "etl"}
    for given in (elsewhere, document(kind="START"), document(kind="COMPLETE")):
        assert [record(converter, given).flood for _ in range(2)] == [b"", b""]


def test_the_newest_goes_on_whatever_the_order() -> None:
    floods = Floods[str]()
    assert offered(floods, "a", "first", 5) == "first"
    assert [offered(floods, "a", text, at) for text, at in (("late", 9), ("early", 1))] == [None, None]
    assert offered(floods, "a", "now", 7, now_ms=60_000) == "late"
    assert floods.drain() == []


def test_what_did_not_arrive_stands_for_nothing() -> None:
    floods = Floods[str]()
    offered(floods, "a", "first")
    assert floods.said(b"a") == "first"
    floods.forget(b"a")
    floods.forget(b"never")
    assert floods.said(b"a") is None
    assert offered(floods, "a", "second") == "second"


def test_what_is_remembered_is_bounded_and_what_is_owed_is_paid() -> None:
    floods = Floods[str](most=2, most_bytes=1_000)
    for key, event, at in (("a", "a1", 1), ("a", "a2", 2), ("b", "b1", 1), ("c", "c1", 1)):
        offered(floods, key, event, at)
    assert len(floods) == 2
    assert floods.due(now_ms=0) == ["a2"]
    offered(floods, "d", "large", size=5_000)
    assert len(floods) == 1
    floods.owe("again")
    assert floods.drain() == ["again"]


def test_a_heartbeat_is_the_very_event_that_was_held_back() -> None:
    """Its id is that of its document, so that a client that sends it again repeats it."""
    converter, floods = Converter(), Floods[Record]()
    for second in (0, 5):
        found = record(converter, document(at=f"2026-03-01T12:00:{second:02}Z"))
        floods.offer(found.flood, found, at_us=found.time_us, size=len(found.value), now_ms=0)
    (heartbeat,) = floods.drain()
    event = decode(heartbeat.value, SchemaStore())
    assert isinstance(event, LineageEvent)
    alone = record(Converter(), document(at="2026-03-01T12:00:05Z"))
    assert heartbeat.value == alone.value
    assert event.event_id == alone.event_id == heartbeat.event_id
