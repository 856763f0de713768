"""OpenLineage documents into records of the events topic, as every door for them needs them: the gateway, the bridge and
`headwater emit`. Pure.

Debezium's documents are normalised first (`headwater.cdc.normalising`); then the event gets the names that the rules of the door
give it (`headwater.doors.rules`). Its id is that of the document as it came, so no rule makes two events of a repetition.

Producers repeat themselves: a Flink job or a Debezium sink sends the same document again and again, with another time.
What a document becomes depends on its time and run id only in three places, so `Converter` remembers the rest of the
record by the rest of the document, and a repetition costs a fifth of a conversion. A property holds both ways equal.
What is remembered is also what a flood is told by: `Record.flood`.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from headwater.cdc import normalising
from headwater.cdc.normalising import is_debezium, normalise
from headwater.doors.rules import NameRules
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
_KINDS_OF_FLOODS: Final = frozenset({"RUNNING", "FAIL"})


@dataclass(frozen=True, slots=True)
class Record:
    """An event ready to travel: Kafka key, value, and the namespace that a token must be allowed to write to: its job's,
    or where it has none its dataset's, as the document names it.

    `flood`: of Debezium's RUNNING and FAIL, which come for each record and each poll, what equal ones have in common; else empty.
    """

    key: bytes
    value: bytes
    namespace: str
    of_job: bool = True
    flood: bytes = b""
    time_us: int = 0

    @property
    def event_id(self) -> bytes:
        """The 16 bytes of the event's id."""
        return self.value[_FRAME : _FRAME + _ID]


@dataclass(frozen=True, slots=True)
class _Shape:
    """A record without event id, time and run id."""

    key: bytes
    namespace: str
    frame: bytes
    kind: bytes
    tail: bytes
    flood: bytes
    left_out: tuple[str, ...]


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
    """Documents into records. Not for several threads at once.

    Args:
        rules: for names; None: they stay.
        debezium: what the door knows of Debezium's servers, asked whenever a document of a new shape comes.
    """

    def __init__(
        self,
        remembered_bytes: int = REMEMBERED_BYTES,
        *,
        rules: NameRules | None = None,
        debezium: Callable[[], normalising.Rules] = normalising.Rules,
    ) -> None:
        self._most = remembered_bytes // 2
        self._rules = rules
        self._version = 0 if rules is None else rules.version
        self._debezium = debezium
        self._young: dict[bytes, _Shape] = {}
        self._old: dict[bytes, _Shape] = {}
        self._young_bytes = 0
        self.repeated = 0
        """Documents whose shape was known."""
        self.left_out: Counter[str] = Counter()
        """Datasets of Debezium's documents that were left out, by reason."""

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
            return self._converted(document, canonical)[0]
        rest, time, run = split
        if self._rules is not None and self._rules.version != self._version:
            self._version = self._rules.version
            self._young, self._old, self._young_bytes = {}, {}, 0
        shape = self._young.get(rest)
        if shape is None:
            shape = self._old.get(rest)
            if shape is None:
                return self._of_a_new_shape(rest, document, canonical, run)
            self._keep(rest, shape)
        self.repeated += 1
        value = b"".join((shape.frame, derived_event_id(canonical), long_bytes(time), shape.kind, run, shape.tail))
        if shape.left_out:
            self.left_out.update(shape.left_out)
        if not shape.flood:
            return Record(shape.key, value, shape.namespace)
        return Record(shape.key, value, shape.namespace, flood=shape.flood + run, time_us=time)

    def _of_a_new_shape(self, rest: bytes, document: Mapping[str, Any], canonical: bytes, run: bytes) -> Record:
        record, event, left_out = self._converted(document, canonical)
        flood = b""
        if document.get("eventType") in _KINDS_OF_FLOODS and is_debezium(document):
            flood = hashlib.blake2b(rest, digest_size=16).digest()
        at = _FRAME + _ID + len(long_bytes(event.event_time_us))
        value = record.value
        head, kind, tail = value[:_FRAME], value[at : at + 1], value[at + 1 + _ID :]
        self._keep(rest, _Shape(record.key, record.namespace, head, kind, tail, flood, left_out))
        return replace(record, flood=flood + run, time_us=event.event_time_us) if flood else record

    def _converted(self, document: Mapping[str, Any], canonical: bytes) -> tuple[Record, LineageEvent, tuple[str, ...]]:
        left_out: tuple[str, ...] = ()
        if is_debezium(document):
            normalised = normalise(document, self._debezium())
            document, left_out = normalised.document, normalised.left_out
            self.left_out.update(left_out)
        event = convert_pruned(document, canonical)
        return record_of(event, self._rules), event, left_out

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


def record_of(event: LineageEvent, rules: NameRules | None = None) -> Record:
    """The event as a record, under the names that the rules give it. Raises EventError: it says nothing usable, or too much."""
    check(event)
    uses = event.outputs or event.inputs
    of_job = bool(event.job.namespace)
    namespace = event.job.namespace if of_job else uses[0].namespace if uses else ""
    named = event if rules is None else rules.apply(event)
    value = encode_single_object(named)
    if len(value) > MAX_EVENT_BYTES:
        raise EventError(f"the event has {len(value)} bytes; at most {MAX_EVENT_BYTES} fit into a record")
    return Record(partition_key(named), value, namespace, of_job)
