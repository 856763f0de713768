"""OpenLineage documents into records of the events topic, as the gateway and the bridge need them. Pure.

Producers repeat themselves: a Flink job or a Debezium sink sends the same document again and again, with another time.
What a document becomes depends on its time and run id only in three places, so `Converter` remembers the rest of the
record by the rest of the document, and a repetition costs a fifth of a conversion. A property holds both ways equal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from headwater.errors import EventError
from headwater.masking import error_text
from headwater.openlineage.conversion import convert_pruned
from headwater.openlineage.values import DEEPEST, Json, Rejected, Unusable, pruned, run_id, time_us
from headwater.validation import EARLIEST_US, LATEST_US, check
from headwater_schemas.codec import encode_single_object
from headwater_schemas.events import NIL_UUID, LineageEvent
from headwater_schemas.ids import derived_event_id, partition_key
from headwater_schemas.topics import MAX_EVENT_BYTES
from headwater_schemas.wire import long_bytes

REMEMBERED_BYTES: Final = 32 * 1024 * 1024
"""Shapes are remembered up to this size, then the older half is forgotten."""

_LARGEST_SHAPE_BYTES: Final = 64 * 1024
_FRAME: Final = 10
_ID: Final = 16
_SLOW_JSON_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Record:
    """An event ready to travel: Kafka key, value, and the namespace that a token must be allowed to write to: its job's,
    or where it has none its dataset's."""

    key: bytes
    value: bytes
    namespace: str
    of_job: bool = True


@dataclass(frozen=True, slots=True)
class _Shape:
    """A record without event id, time and run id."""

    key: bytes
    namespace: str
    frame: bytes
    kind: bytes
    tail: bytes


def parsed(raw: bytes) -> Json | Rejected:
    """The JSON value in the bytes, or why there is none.

    `NaN` and `Infinity`, which Python's and Java's writers let through and JSON does not know, become null in documents up to
    1 MiB.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if raw[:3] == b"\xef\xbb\xbf":
            return parsed(raw[3:])
        if len(raw) <= _SLOW_JSON_BYTES and (b"NaN" in raw or b"Infinity" in raw):
            return _with_nan(raw)
        return Rejected("", f"not JSON: {error}")


def _with_nan(raw: bytes) -> Json | Rejected:
    try:
        return json.loads(raw, parse_constant=lambda _name: None)
    except (ValueError, RecursionError) as error:
        return Rejected("", f"not JSON: {error_text(error, 200)}")


class Converter:
    """Documents into records. Not for several threads at once."""

    def __init__(self, remembered_bytes: int = REMEMBERED_BYTES) -> None:
        self._most = remembered_bytes // 2
        self._young: dict[bytes, _Shape] = {}
        self._old: dict[bytes, _Shape] = {}
        self._young_bytes = 0
        self.repeated = 0
        """Documents whose shape was known."""

    def record(self, document: Json, *, nulls: bool = True) -> Record | Rejected:
        """The record of a document, or where and why it is none. Never raises for what a document holds.

        Args:
            nulls: whether there may be nulls in it; False (no `null` in its bytes) saves the search for them.
        """
        try:
            if not isinstance(document, Mapping):
                return Rejected("", "not a JSON object")
            whole = pruned(document) if nulls else document
            canonical = orjson.dumps(whole, option=orjson.OPT_SORT_KEYS)
            if not nulls and canonical.count(b"{") + canonical.count(b"[") > DEEPEST:
                pruned(document)  # raises where it is too deep
            return self._record(whole, canonical)
        except Unusable as error:
            return error.rejected
        except EventError as error:
            return Rejected("", error.message)
        except (orjson.JSONEncodeError, TypeError, ValueError, OverflowError) as error:
            return Rejected("", f"not proper JSON: {error_text(error, 200)}")

    def _record(self, document: Mapping[str, Any], canonical: bytes) -> Record:
        split = _split(document, canonical)
        if split is None:
            return _record_of(convert_pruned(document, canonical))
        rest, time, run = split
        shape = self._young.get(rest)
        if shape is None:
            shape = self._old.get(rest)
            if shape is None:
                event = convert_pruned(document, canonical)
                record = _record_of(event)
                self._remember(rest, record, event)
                return record
            self._keep(rest, shape)
        self.repeated += 1
        value = b"".join((shape.frame, derived_event_id(canonical), long_bytes(time), shape.kind, run, shape.tail))
        return Record(shape.key, value, shape.namespace)

    def _remember(self, rest: bytes, record: Record, event: LineageEvent) -> None:
        at = _FRAME + _ID + len(long_bytes(event.event_time_us))
        value = record.value
        self._keep(
            rest, _Shape(record.key, record.namespace, value[:_FRAME], value[at : at + 1], value[at + 1 + _ID :])
        )

    def _keep(self, rest: bytes, shape: _Shape) -> None:
        if self._young_bytes > self._most:
            self._old, self._young, self._young_bytes = self._young, {}, 0
        self._young[rest] = shape
        self._young_bytes += len(rest) + len(shape.tail) + 500


def _split(document: Mapping[str, Any], canonical: bytes) -> tuple[bytes, int, bytes] | None:
    """A run event without time and run id, and those two; None where the document is another or an unusual one.

    The three say the document again: nothing that differs becomes the same.
    """
    time, run = document.get("eventTime"), document.get("run")
    if type(time) is not str or type(run) is not dict or len(canonical) > _LARGEST_SHAPE_BYTES:
        return None
    given = run.get("runId")
    if type(given) is not str:
        return None
    head = b'{"eventTime":' + orjson.dumps(time)
    needle = b'"runId":' + orjson.dumps(given)
    at = canonical.rfind(needle)
    if at < 0 or not canonical.startswith(head):
        return None
    happened_us, run_bytes = time_us(time), run_id(given)
    if run_bytes is None or run_bytes == NIL_UUID or not EARLIEST_US <= happened_us < LATEST_US:
        return None
    return canonical[len(head) : at] + b"\0" + canonical[at + len(needle) :], happened_us, run_bytes


def _record_of(event: LineageEvent) -> Record:
    check(event)
    value = encode_single_object(event)
    if len(value) > MAX_EVENT_BYTES:
        raise EventError(f"the event has {len(value)} bytes; at most {MAX_EVENT_BYTES} fit into a record")
    uses = event.outputs or event.inputs
    of_job = bool(event.job.namespace)
    return Record(partition_key(event), value, event.job.namespace if of_job else uses[0].namespace, of_job)
