"""Writer schemas of the generated events, and a hand-made encoder for them.

Three writers: `ours` (the contract), `extra` (the contract and one nullable field at the end, as a newer version
would have) and `slow` (the same fields with the leading ones in another order, which no fast path can know).
"""

from __future__ import annotations

import copy
import io
import struct
from dataclasses import dataclass, field
from typing import Any, Final

import fastavro
from tests.support.oracle.wire import CONFLUENT, SINGLE_OBJECT, Schema, fingerprint, load_schema

CONTRACT: Final = load_schema("lineage_event.v1")
TYPES: Final = {
    symbol: bytes([2 * index])
    for index, symbol in enumerate(["START", "RUNNING", "COMPLETE", "FAIL", "ABORT", "OTHER"])
}
NIL: Final = bytes(16)
HEAD_FIELDS: Final = 11
"""Fields before `job`; what comes after them is the tail, which repeats byte for byte."""
SLOW_ORDER: Final = ("event_time", "event_type", "event_id")

CONFLUENT_IDS: Final = {"ours": 1, "extra": 2, "slow": 3}
"""Schema ids when the confluent framing is used; whoever runs it registers the schemas in this order."""


def _extra() -> Schema:
    schema = copy.deepcopy(CONTRACT)
    schema["fields"].append({"name": "x_team", "type": ["null", "string"], "default": None})
    return schema


def _slow() -> Schema:
    schema = copy.deepcopy(CONTRACT)
    by_name = {each["name"]: each for each in schema["fields"]}
    rest = [each for each in schema["fields"] if each["name"] not in SLOW_ORDER]
    schema["fields"] = [by_name[name] for name in SLOW_ORDER] + rest
    return schema


WRITERS: Final[dict[str, Schema]] = {"ours": CONTRACT, "extra": _extra(), "slow": _slow()}
FINGERPRINTS: Final = {name: fingerprint(schema) for name, schema in WRITERS.items()}
BY_FINGERPRINT: Final = {FINGERPRINTS[name]: schema for name, schema in WRITERS.items()}
BY_ID: Final = {CONFLUENT_IDS[name]: schema for name, schema in WRITERS.items()}

_TAIL_SCHEMA: Final = fastavro.parse_schema(
    {"type": "record", "name": "Tail", "fields": copy.deepcopy(CONTRACT["fields"][HEAD_FIELDS:])}
)


def varint(value: int) -> bytes:
    """Zigzag varint of a long."""
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_VARINTS: Final = {value: varint(value) for value in range(-1, 1024)}


def quick_varint(value: int) -> bytes:
    """`varint`, looked up for small values."""
    return _VARINTS.get(value) or varint(value)


def encode_tail(**fields: Any) -> bytes:
    """The tail of an event (`job` to `facets`) from the contract's field names; the defaults fill the rest."""
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, _TAIL_SCHEMA, fields)
    return buffer.getvalue()


Measure = tuple[int, int, int, int, int, int, int, int]
"""dataset, partition, first_offset, last_offset, rows, bytes, lag, data_through_us."""


@dataclass(slots=True)
class Draft:
    """One event before it is encoded: the head as values, the tail as bytes."""

    event_id: bytes
    event_time_us: int
    event_type: str
    tail: bytes
    run_id: bytes = NIL
    parent_run_id: bytes | None = None
    trace_id: bytes | None = None
    measures: list[Measure] = field(default_factory=list)
    sized_block: bool = False
    """Write the measures as one block with its size in bytes, as the specification allows."""
    nominal_start_us: int = 0
    nominal_end_us: int = 0


def _optional(value: bytes | None) -> bytes:
    return b"\x00" if value is None else b"\x02" + value


def _measures(draft: Draft) -> bytes:
    if not draft.measures:
        return b"\x00"
    body = b"".join([b"".join(map(quick_varint, measure)) for measure in draft.measures])
    if draft.sized_block:
        return varint(-len(draft.measures)) + varint(len(body)) + body + b"\x00"
    return varint(len(draft.measures)) + body + b"\x00"


def encode_datum(draft: Draft, writer: str = "ours") -> bytes:
    """The Avro datum of a draft, without framing."""
    event_time, event_type = varint(draft.event_time_us), TYPES[draft.event_type]
    if writer == "slow":
        lead = event_time + event_type + draft.event_id + draft.run_id
    else:
        lead = draft.event_id + event_time + event_type + draft.run_id
    ids = _optional(draft.parent_run_id) + b"\x00" + _optional(draft.trace_id) + b"\x00"
    times = quick_varint(draft.nominal_start_us) + quick_varint(draft.nominal_end_us)
    end = b"\x02\x08team" if writer == "extra" else b""
    return lead + ids + _measures(draft) + times + draft.tail + end


_PREFIX: Final = {name: SINGLE_OBJECT + FINGERPRINTS[name] for name in WRITERS}
_CONFLUENT: Final = {name: CONFLUENT + struct.pack(">I", CONFLUENT_IDS[name]) for name in WRITERS}


def frame(datum: bytes, writer: str = "ours", confluent: bool = False) -> bytes:
    """A Kafka record value."""
    return (_CONFLUENT if confluent else _PREFIX)[writer] + datum
