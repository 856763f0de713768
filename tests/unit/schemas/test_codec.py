from __future__ import annotations

import dataclasses
import json
from typing import Any

import fastavro
import pytest

from headwater_schemas import codec
from headwater_schemas.alerts import Alert, AlertState, Severity
from headwater_schemas.codec import Rejected, decode, encode, encode_confluent, encode_single_object, own_schema
from headwater_schemas.events import DatasetUse, EventType, LineageEvent, Measure, Name, Runtime
from headwater_schemas.framing import frame_confluent, frame_single_object
from headwater_schemas.registry import SchemaStore
from headwater_schemas.schema import LINEAGE_EVENT, WriterSchema, reader
from headwater_schemas.walker import Malformed

EVENT = LineageEvent(
    event_id=bytes(range(16)),
    event_time_us=1_790_000_000_000_000,
    event_type=EventType.RUNNING,
    run_id=bytes(range(16, 32)),
    job=Name("k8s://prod", "enrich"),
    inputs=(DatasetUse("kafka://b:9092", "orders", measures=(Measure(0, 5, 9, 5, 500, 0, 7),)),),
    outputs=(DatasetUse("s3://lake", "orders", measures=(Measure(rows=5),)),),
    runtime=Runtime(pod="enrich-1"),
)


@dataclasses.dataclass
class ById:
    """One schema under any id."""

    schema: WriterSchema

    def resolve(self, ref: bytes | int) -> WriterSchema | Rejected:
        return self.schema


def reason(value: bytes) -> str:
    outcome = decode(value, SchemaStore())
    assert isinstance(outcome, Rejected)
    assert outcome.reason in codec.REASONS
    return outcome.reason


def evolved(**changes: Any) -> str:
    tree = json.loads(reader(LINEAGE_EVENT).text)
    tree["fields"] += [{"name": name, "type": kind} for name, kind in changes.items()]
    return json.dumps(tree)


def write_with(text: str, event: LineageEvent, **extra: Any) -> bytes:
    record = codec.to_record(event) | extra
    return codec._write(fastavro.parse_schema(json.loads(text)), record)


def test_both_framings_bring_the_event_back() -> None:
    assert decode(encode_single_object(EVENT), SchemaStore()) == EVENT
    assert decode(encode_confluent(EVENT, 70_000), ById(own_schema())) == EVENT


def test_the_event_id_sits_right_behind_the_frame() -> None:
    assert encode_single_object(EVENT)[10:26] == EVENT.event_id
    assert encode_confluent(EVENT, 1)[5:21] == EVENT.event_id


def test_an_older_or_newer_writer_is_read_with_our_defaults() -> None:
    newer = evolved(colour=["null", "string"])
    store = SchemaStore()
    schema = store.offer(newer)
    assert isinstance(schema, WriterSchema)
    value = frame_single_object(schema.fingerprint, write_with(newer, EVENT, colour="red"))
    assert decode(value, store) == EVENT
    tree = json.loads(reader(LINEAGE_EVENT).text)
    tree["fields"] = tree["fields"][:12]
    older = WriterSchema.parse(json.dumps(tree))
    bare = LineageEvent(EVENT.event_id, 5, EventType.START, EVENT.run_id, EVENT.job)
    value = frame_single_object(older.fingerprint, write_with(json.dumps(tree), bare))
    assert decode(value, ById(older)) == bare


def test_the_tail_of_a_fast_schema_is_read_alone() -> None:
    newer = WriterSchema.parse(evolved(colour="string"))
    for schema, payload in (
        (own_schema(), encode(EVENT)),
        (newer, write_with(evolved(colour="string"), EVENT, colour="red")),
    ):
        whole = schema.read(payload)
        head = fastavro.parse_schema(
            {"type": "record", "name": "H", "fields": json.loads(reader(LINEAGE_EVENT).text)["fields"][:11]}
        )
        start = len(codec._write(head, codec.to_record(EVENT)))
        tail = schema.read_tail(payload, start)
        assert tail == {name: whole[name] for name in tail}
        assert list(tail) == list(whole)[11:]
        with pytest.raises(Malformed, match="trailing_bytes"):
            schema.read_tail(payload + b"\0", start)


def test_a_slow_schema_has_no_tail_to_read() -> None:
    tree = json.loads(reader(LINEAGE_EVENT).text)
    tree["fields"].reverse()
    with pytest.raises(ValueError, match="no tail of its own: field facets stands where"):
        WriterSchema.parse(json.dumps(tree)).read_tail(b"")


def test_times_stay_plain_microseconds() -> None:
    assert own_schema().read(encode(EVENT))["event_time"] == 1_790_000_000_000_000


PAYLOAD = encode(EVENT)
FINGERPRINT = own_schema().fingerprint


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", "empty"),
        (b"{}", "framing"),
        (b"\xc3", "framing"),
        (b"\xc3\x01abc", "truncated"),
        (b"\x00\x00\x01", "truncated"),
        (frame_single_object(bytes(8), PAYLOAD), "unknown_schema"),
        (frame_confluent(7, PAYLOAD), "unknown_schema"),
        (codec.frame(PAYLOAD[:-1]), "truncated"),
        (codec.frame(PAYLOAD[:20]), "truncated"),
        (codec.frame(b""), "truncated"),
        (codec.frame(PAYLOAD + b"\0"), "trailing_bytes"),
        (codec.frame(PAYLOAD + bytes(1 << 20)), "too_large"),
        (encode_single_object(dataclasses.replace(EVENT, event_time_us=0)), "event_time"),
        (encode_single_object(dataclasses.replace(EVENT, event_time_us=-5)), "event_time"),
    ],
)
def test_a_bad_record_is_rejected_with_its_reason(value: bytes, expected: str) -> None:
    assert reason(value) == expected


@pytest.mark.parametrize("index", [-1, 2])
def test_a_measure_of_no_dataset_is_rejected(index: int) -> None:
    record = codec.to_record(EVENT)
    record["measures"][0]["dataset"] = index
    assert reason(codec.frame(codec._write(codec._written(LINEAGE_EVENT), record))) == "measure_index"


def test_a_refused_schema_is_told_from_an_unknown_one() -> None:
    store = SchemaStore()
    text = evolved(bomb={"type": "record", "name": "B", "fields": [{"name": "x", "type": "null"}]})
    text = text.replace('"timestamp-micros"', '"timestamp-millis"')
    assert isinstance(store.offer(text), Rejected)
    fingerprint = WriterSchema.parse(text.replace("timestamp-millis", "timestamp-micros")).fingerprint
    outcome = decode(frame_single_object(fingerprint, PAYLOAD), store)
    assert isinstance(outcome, Rejected)
    assert outcome.reason == "schema_refused"


@pytest.mark.parametrize(
    "broken",
    [
        {"event_id": b"short"},
        {"run_id": bytes(17)},
        {"span_id": bytes(16)},
        {"event_time_us": 1 << 63},
        {"nominal_end_us": -(1 << 63) - 1},
        {"emitter": "\ud800"},
        {"inputs": (DatasetUse("a", "b", measures=(Measure(partition=1 << 31),)),)},
    ],
    ids=lambda broken: next(iter(broken)),
)
def test_what_the_schema_cannot_hold_is_not_written(broken: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"needed|bits|surrogates"):
        encode(dataclasses.replace(EVENT, **broken))


def test_a_registry_id_has_32_bits() -> None:
    with pytest.raises(ValueError, match="32 bits"):
        encode_confluent(EVENT, 1 << 32)


def test_a_value_of_another_kind_is_no_alert() -> None:
    alert = Alert("a", "f", "i", "Watchdog", AlertState.FIRING, Severity.INFO, "domain")
    assert codec.decode_alert(codec.encode_alert(alert)) == alert
    with pytest.raises(Malformed, match="unknown_schema"):
        codec.decode_delta(codec.encode_alert(alert))
