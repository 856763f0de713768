"""Bytes of events, deltas, alerts, policies and decisions: values in, framed Avro out, and back.

Importing this loads fastavro; `events`, `naming` and `ids` do not.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Protocol

import fastavro

from headwater_schemas.alerts import Alert
from headwater_schemas.decisions import Decision
from headwater_schemas.deltas import GraphDelta
from headwater_schemas.events import LineageEvent
from headwater_schemas.framing import frame_confluent, frame_single_object, split_frame
from headwater_schemas.policies import Policy
from headwater_schemas.records import ALERTS, DECISIONS, DELTAS, POLICIES, Mirror, T, from_record, to_record
from headwater_schemas.schema import LINEAGE_EVENT, WriterSchema, reader
from headwater_schemas.walker import Malformed
from headwater_schemas.wire import write_event
from headwater_schemas.wire_delta import write_delta

__all__ = [
    "REASONS",
    "Malformed",
    "Rejected",
    "Schemas",
    "decode",
    "decode_alert",
    "decode_decision",
    "decode_delta",
    "decode_policy",
    "encode",
    "encode_alert",
    "encode_confluent",
    "encode_decision",
    "encode_delta",
    "encode_policy",
    "encode_single_object",
    "frame",
    "from_record",
    "is_decision",
    "own_schema",
    "split_frame",
    "to_record",
]

REASONS: Final[Mapping[str, str]] = {
    "empty": "the record has no value",
    "framing": "the first byte begins neither single-object encoding nor Confluent's wire format",
    "unknown_schema": "no schema is known under the fingerprint or id; can be replayed when it is",
    "schema_refused": "the schema is known, and its lint refused it",
    "truncated": "the datum goes on after the end of the record",
    "trailing_bytes": "bytes follow the datum",
    "too_large": "the datum has more than 1 MiB",
    "varint": "a number has more bytes or bits than its type",
    "boolean": "a boolean is neither 0 nor 1",
    "length": "a string or bytes of negative length",
    "utf8": "a string is not UTF-8",
    "enum": "an enum index names no symbol",
    "union": "a union index names no branch",
    "items": "more than 65,536 array items and map entries in one datum",
    "block": "a block of items does not have the size it says",
    "unreadable": "the decoder gave up on a datum that the walker took; please report it",
    "event_time": "the event has no time (less than 1)",
    "measure_index": "a measure is of a dataset that the event does not name",
}
"""Every reason of rejection, and what it means."""

DELTA: Final = "graph_delta.v1"
ALERT: Final = "alert.v1"
POLICY: Final = "policy.v1"
DECISION: Final = "decision.v1"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that says nothing we can use. `reason` is one of `REASONS`, `detail` is for people."""

    reason: str
    detail: str


class Schemas(Protocol):
    """Where writer schemas come from: `registry.SchemaStore`, `RegistryStore`, or both (`registry.Sources`)."""

    def resolve(self, ref: bytes | int) -> WriterSchema | Rejected:
        """The schema of a fingerprint (8 bytes) or a registry id; Rejected as `unknown_schema` or `schema_refused`."""


@cache
def own_schema(file: str = LINEAGE_EVENT) -> WriterSchema:
    """A schema of this package as a writer's schema, by its file's stem."""
    return WriterSchema.parse(reader(file).text, target=file)


@cache
def _written(file: str) -> Any:
    return reader(file).parsed


_EVENT_FINGERPRINT: Final = own_schema(LINEAGE_EVENT).fingerprint


def encode(event: LineageEvent) -> bytes:
    """The event as a datum of `lineage_event.v1`, without a frame.

    Raises ValueError, TypeError or AttributeError for values that the schema cannot hold (an id of a wrong length …).
    """
    return write_event(event)


def frame(payload: bytes) -> bytes:
    """A datum of `lineage_event.v1` in single-object encoding."""
    return frame_single_object(_EVENT_FINGERPRINT, payload)


def encode_single_object(event: LineageEvent) -> bytes:
    """The event in Avro single-object encoding: what goes to `lineage.events` by default. Raises as `encode`."""
    return frame(encode(event))


def encode_confluent(event: LineageEvent, schema_id: int) -> bytes:
    """The event in Confluent's wire format, under the registry's id of `lineage_event.v1`. Raises as `encode`."""
    return frame_confluent(schema_id, encode(event))


def decode(value: bytes, schemas: Schemas) -> LineageEvent | Rejected:
    """The event in a record's value, in either framing, or why there is none. Never raises for bad bytes.

    Raises only what `schemas` raises (`registry.RegistryUnavailable`).
    """
    try:
        _, ref, start = split_frame(value)
        schema = schemas.resolve(ref)
        if isinstance(schema, Rejected):
            return schema
        event = from_record(schema.read(value, start))
    except Malformed as error:
        return Rejected(error.reason, error.detail)
    if event.event_time_us < 1:
        return Rejected("event_time", f"event time {event.event_time_us} µs")
    return event


def encode_delta(delta: GraphDelta) -> bytes:
    """The delta in single-object encoding."""
    return delta_frame() + write_delta(delta)


@cache
def delta_frame() -> bytes:
    """What stands before the datum of a delta."""
    return frame_single_object(own_schema(DELTA).fingerprint, b"")


def decode_delta(value: bytes) -> GraphDelta:
    """The delta in a record's value. Raises Malformed."""
    return _decode(DELTA, DELTAS, value)


def encode_alert(alert: Alert) -> bytes:
    """The alert in single-object encoding."""
    return _encode(ALERT, ALERTS, alert)


def decode_alert(value: bytes) -> Alert:
    """The alert in a record's value. Raises Malformed."""
    return _decode(ALERT, ALERTS, value)


def encode_policy(policy: Policy) -> bytes:
    """The policy in single-object encoding."""
    return _encode(POLICY, POLICIES, policy)


def decode_policy(value: bytes) -> Policy:
    """The policy in a record's value. Raises Malformed."""
    return _decode(POLICY, POLICIES, value)


def encode_decision(decision: Decision) -> bytes:
    """The decision in single-object encoding."""
    return _encode(DECISION, DECISIONS, decision)


def decode_decision(value: bytes) -> Decision:
    """The decision in a record's value. Raises Malformed."""
    return _decode(DECISION, DECISIONS, value)


def is_decision(value: bytes) -> bool:
    """Whether a record of `lineage.policies` is a decision, not a policy; it may be malformed all the same."""
    return value.startswith(_decision_frame())


@cache
def _decision_frame() -> bytes:
    return frame_single_object(own_schema(DECISION).fingerprint, b"")


def _write(parsed: Any, record: Mapping[str, Any]) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, parsed, record)
    return out.getvalue()


def _encode(file: str, mirror: Mirror[T], value: T) -> bytes:
    return frame_single_object(own_schema(file).fingerprint, _write(_written(file), mirror.to_record(value)))


def _decode(file: str, mirror: Mirror[T], value: bytes) -> T:
    framing, ref, start = split_frame(value)
    schema = own_schema(file)
    if framing != "single_object" or ref != schema.fingerprint:
        raise Malformed("unknown_schema", f"{framing} {ref!r} is not {file} ({schema.fingerprint.hex()})")
    return mirror.from_record(schema.read(value, start))
