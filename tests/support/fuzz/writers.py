"""Good events to spoil: of our schema and of foreign ones, with names that are hard to read, and where each field lies."""

from __future__ import annotations

import copy
import io
import random
from dataclasses import dataclass
from typing import Any, Final

import fastavro
from tests.support.checked import KnownSchemas
from tests.support.oracle.contract import (
    CONTRACT,
    FINGERPRINTS,
    TYPES,
    WRITERS,
    Draft,
    Measure,
    encode_datum,
    encode_tail,
    frame,
)  # fmt: skip
from tests.support.oracle.wire import SINGLE_OBJECT, Schema, fingerprint

TIME_US: Final = 1_740_787_200_000_000
LONGS: Final = (
    0, 1, -1, 63, 64, -64, -65, 8191, 8192, 65_535, 65_536, 65_537, (1 << 31) - 1, 1 << 31, -(1 << 31), -(1 << 31) - 1,
    (1 << 53) + 1, (1 << 55) - 1, 1 << 55, 1 << 62, (1 << 63) - 1, -(1 << 63),
)  # fmt: skip
INTS: Final = (0, 1, -1, 2, 7, 65_535, 65_536, (1 << 31) - 1, -(1 << 31))
TIMES_US: Final = (
    1,
    2,
    (1 << 48) - 1,
    1 << 48,
    (1 << 55) - 1,
    1 << 55,
    (1 << 62) - 1,
    (1 << 63) - 1,
    0,
    -1,
    -(1 << 63),
)
TEXTS: Final = (
    "", "", "orders", "kafka://b1:9092", "kafka://b2, b1:9092,,u:p@B3,[::1]:9092,[::1", "kafka://", "kafka://:,/:,", "://", "a://b://c",
    "s3a://lake///", "s3://", "///orders", "file://", "file:////x/", "postgresql://u:p/w@H:5432/?q=1", "mssql://@?", "abfss://c:p@a/..",
    "abfss://@", "\0", "a\0b", " \t\u2028", "\ufeff", "\u00e9\U0010ffff\U0001f600", "x" * 63, "x" * 64, "x" * 300,
    "%s{}\\'\"\n\r\x1b[0m", "/" * 90, " " * 90,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Span:
    """One primitive of a datum: its kind in Avro (`count` and `union` too), and its bytes from `start` to before `end`."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Good:
    """A framed event, where its datum and its tail begin, and its spans (only of our own schema)."""

    value: bytes
    datum_at: int
    tail_at: int
    spans: tuple[Span, ...]


def _foreign() -> dict[str, Schema]:
    floats, fewer, symbols = (copy.deepcopy(CONTRACT) for _ in range(3))
    nested = {"type": "array", "items": {"type": "array", "items": "double"}}
    floats["fields"] += [
        {"name": "x_double", "type": "double"},
        {"name": "x_float", "type": ["null", "float"]},
        {"name": "x_map", "type": {"type": "map", "values": "bytes"}},
        {"name": "x_nested", "type": nested},
    ]
    fewer["fields"] = fewer["fields"][:-4]
    kinds = next(field["type"] for field in symbols["fields"] if field["name"] == "processing")
    kinds["symbols"] = [*kinds["symbols"], "MICRO"]
    return {"floats": floats, "fewer": fewer, "symbols": symbols}


FOREIGN: Final = _foreign()
FOREIGN_IDS: Final = {"floats": 11, "fewer": (1 << 31) - 1, "symbols": (1 << 32) - 1}


def schemas() -> KnownSchemas:
    """Every writer that the payloads are made for."""
    known = KnownSchemas()
    for name, schema in FOREIGN.items():
        known.offer(schema, FOREIGN_IDS[name])
    return known


def text(rng: random.Random) -> str:
    return rng.choice(TEXTS) if rng.random() < 0.7 else f"n{rng.randrange(50)}"


def _named(rng: random.Random) -> dict[str, str]:
    return {"namespace": text(rng), "name": text(rng)}


def _use(rng: random.Random) -> dict[str, Any]:
    use: dict[str, Any] = _named(rng)
    if rng.random() < 0.3:
        use |= {"schema_version": text(rng), "aliases": [_named(rng) for _ in range(rng.randrange(3))]}
    return use


def _output(rng: random.Random) -> dict[str, Any]:
    use = _use(rng)
    if rng.random() < 0.4:
        use |= {"lifecycle": rng.choice(["CREATE", "TRUNCATE", "RENAME", "DROP"]), "previous_name": text(rng)}
    return use


def tail_fields(rng: random.Random) -> dict[str, Any]:
    """Values of the fields from `job` on; most are left to their defaults, as in real events."""
    fields: dict[str, Any] = {
        "job": _named(rng),
        "inputs": [_use(rng) for _ in range(rng.randrange(3))],
        "outputs": [_output(rng) for _ in range(rng.randrange(3))],
    }
    maybe: dict[str, Any] = {
        "emitter": text(rng),
        "processing": rng.choice(["UNKNOWN", "BATCH", "STREAMING"]),
        "restartable": True,
        "backfill": True,
        "edges": [dict.fromkeys(("source_namespace", "source_name", "target_namespace", "target_name"), text(rng))],
        "parent_job": _named(rng),
        "runtime": {"pod": text(rng), "image": text(rng)},
        "file_ids": [text(rng)],
        "error": text(rng),
        "facets": rng.randbytes(rng.randrange(40)),
    }
    return fields | {name: value for name, value in maybe.items() if rng.random() < 0.3}


def _measure(rng: random.Random) -> Measure:
    dataset = rng.choice(INTS) if rng.random() < 0.2 else rng.randrange(2)
    a, b, c, d, e, f = (rng.choice(LONGS) for _ in range(6))
    return dataset, rng.choice(INTS), a, b, c, d, e, f


def draft(rng: random.Random, tail: bytes) -> Draft:
    """An event before this tail."""
    out = Draft(
        rng.randbytes(16), TIME_US + rng.randrange(10**12), rng.choice(list(TYPES)), tail, run_id=rng.randbytes(16)
    )
    if rng.random() < 0.1:
        out.event_time_us = rng.choice(TIMES_US)
    if rng.random() < 0.3:
        out.measures = [_measure(rng) for _ in range(rng.choice((1, 1, 2, 8, 9)))]
        out.sized_block = rng.random() < 0.2
    if rng.random() < 0.2:
        out.parent_run_id, out.trace_id = rng.randbytes(16), rng.choice((None, bytes(16)))
    if rng.random() < 0.2:
        out.nominal_start_us, out.nominal_end_us = rng.choice(LONGS), rng.choice(LONGS)
    return out


def good(rng: random.Random, tail: bytes) -> Good:
    """A framed event of ours, of the contract's schema."""
    event = draft(rng, tail)
    confluent = rng.random() < 0.2
    value = frame(encode_datum(event), confluent=confluent)
    at = 5 if confluent else 10
    return Good(value, at, len(value) - len(tail), tuple(spans(value, at)))


def foreign(rng: random.Random) -> Good:
    """An event of a schema that is not ours but can be read."""
    if rng.random() < 0.5:
        writer = rng.choice(("extra", "slow"))
        tail = encode_tail(**tail_fields(rng))
        value = frame(encode_datum(draft(rng, tail), writer), writer, confluent=rng.random() < 0.5)
        return Good(value, 10 if value[0] else 5, 50, ())
    name = rng.choice(list(FOREIGN))
    number = rng.choice((0.0, -0.0, float("nan"), float("inf"), 5e-324))
    event = {
        "event_id": rng.randbytes(16), "event_time": TIME_US, "event_type": rng.choice(list(TYPES)),
        "run_id": bytes(16), **tail_fields(rng), "x_double": number, "x_float": number, "x_map": {text(rng): b"x"},
        "x_nested": [[number] * rng.randrange(4)] * rng.randrange(4),
    }  # fmt: skip
    if name == "symbols":
        event["processing"] = "MICRO"
    out = io.BytesIO()
    fastavro.schemaless_writer(out, FOREIGN[name], event)
    framed = SINGLE_OBJECT + fingerprint(FOREIGN[name])
    if rng.random() < 0.5:
        framed = b"\0" + FOREIGN_IDS[name].to_bytes(4, "big")
    return Good(framed + out.getvalue(), len(framed), len(framed) + 48, ())


HEADERS: Final = tuple(SINGLE_OBJECT + FINGERPRINTS[name] for name in WRITERS)


def spans(value: bytes, at: int) -> list[Span]:
    """The primitives of a good datum of our schema that begins at `at`, in order."""
    out: list[Span] = []
    _walk(CONTRACT, value, at, out)
    return out


def _long(value: bytes, at: int, kind: str, out: list[Span]) -> tuple[int, int]:
    number = shift = 0
    start = at
    while True:
        byte = value[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            out.append(Span(kind, start, at))
            return (number >> 1) ^ -(number & 1), at


def _walk(schema: Any, value: bytes, at: int, out: list[Span]) -> int:
    if isinstance(schema, list):
        branch, at = _long(value, at, "union", out)
        return _walk(schema[branch], value, at, out)
    kind = schema["type"] if isinstance(schema, dict) else schema
    if isinstance(kind, (dict, list)):
        return _walk(kind, value, at, out)
    if kind == "record":
        for field in schema["fields"]:
            at = _walk(field["type"], value, at, out)
        return at
    if kind == "array":
        return _blocks(schema["items"], value, at, out)
    return _primitive(schema, kind, value, at, out)


def _primitive(schema: Any, kind: str, value: bytes, at: int, out: list[Span]) -> int:
    if kind in ("int", "long", "enum"):
        return _long(value, at, kind, out)[1]
    if kind in ("string", "bytes"):
        size, at = _long(value, at, "length", out)
    else:
        size = schema["size"] if kind == "fixed" else int(kind == "boolean")
    if size:
        out.append(Span(kind, at, at + size))
    return at + size


def _blocks(items: Any, value: bytes, at: int, out: list[Span]) -> int:
    while True:
        count, at = _long(value, at, "count", out)
        if count == 0:
            return at
        if count < 0:
            _, at = _long(value, at, "long", out)
        for _ in range(abs(count)):
            at = _walk(items, value, at, out)
