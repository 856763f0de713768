"""A small strict Avro decoder and the two framings, from the Avro 1.12 specification.

Strict means: strings are UTF-8, booleans are 0 or 1, enum and union indexes exist, `int` fits 32 bits, a varint has
at most ten bytes and fits 64 bits, the size of a sized array block is right, and the datum ends where the record ends.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import fastavro.schema

AVRO_FOLDER: Final = Path(__file__).resolve().parents[3] / "schemas" / "src" / "headwater_schemas" / "avro"
SINGLE_OBJECT: Final = b"\xc3\x01"
CONFLUENT: Final = b"\x00"

Schema = Any
"""A schema as parsed JSON."""
Reader = Callable[[bytes, int], tuple[Any, int]]
"""(record, position) -> (value, next position)."""


class BadRecordError(ValueError):
    """The bytes are not a record of the contract."""


def load_schema(name: str) -> Schema:
    """One schema of the contract as JSON, such as `load_schema("lineage_event.v1")`."""
    return json.loads((AVRO_FOLDER / f"{name}.avsc").read_text(encoding="utf-8"))


# --- fingerprint -------------------------------------------------------------------------------------------------

_EMPTY: Final = 0xC15D213AA4D7A795


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        crc = value
        for _ in range(8):
            crc = (crc >> 1) ^ (_EMPTY if crc & 1 else 0)
        table.append(crc)
    return table


_TABLE: Final = _crc_table()


def crc64_avro(data: bytes) -> int:
    """CRC-64-AVRO (Rabin) of the specification."""
    crc = _EMPTY
    for byte in data:
        crc = (crc >> 8) ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc


def fingerprint(schema: Schema) -> bytes:
    """The 8 bytes, little-endian, that stand after C3 01 in a record of this writer schema."""
    canonical = fastavro.schema.to_parsing_canonical_form(schema)
    return crc64_avro(canonical.encode()).to_bytes(8, "little")


# --- primitives --------------------------------------------------------------------------------------------------


def read_long(buf: bytes, pos: int) -> tuple[int, int]:
    value = shift = 0
    start = pos
    while True:
        if pos >= len(buf):
            raise BadRecordError("the record ends inside a number")
        byte = buf[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if pos - start == 10:
            raise BadRecordError("a number of more than ten bytes")
    if value >> 64:
        raise BadRecordError("a number of more than 64 bits")
    return (value >> 1) ^ -(value & 1), pos


def read_int(buf: bytes, pos: int) -> tuple[int, int]:
    value, pos = read_long(buf, pos)
    if not -(1 << 31) <= value < 1 << 31:
        raise BadRecordError("an int of more than 32 bits")
    return value, pos


def read_bytes(buf: bytes, pos: int) -> tuple[bytes, int]:
    size, pos = read_long(buf, pos)
    if size < 0 or pos + size > len(buf):
        raise BadRecordError(f"a length of {size} where {len(buf) - pos} bytes are left")
    return buf[pos : pos + size], pos + size


def read_string(buf: bytes, pos: int) -> tuple[str, int]:
    raw, pos = read_bytes(buf, pos)
    try:
        return raw.decode("utf-8"), pos
    except UnicodeDecodeError as error:
        raise BadRecordError(f"a string that is not UTF-8: {error}") from error


def read_boolean(buf: bytes, pos: int) -> tuple[bool, int]:
    if pos >= len(buf) or buf[pos] > 1:
        raise BadRecordError("no boolean")
    return buf[pos] == 1, pos + 1


def read_null(_buf: bytes, pos: int) -> tuple[None, int]:
    return None, pos


PRIMITIVES: Final[dict[str, Reader]] = {
    "null": read_null,
    "boolean": read_boolean,
    "int": read_int,
    "long": read_long,
    "string": read_string,
    "bytes": read_bytes,
}

# --- compound types ----------------------------------------------------------------------------------------------


def compile_reader(schema: Schema) -> Reader:
    """A reader for one schema. Named types used twice, maps and floats are not of the contract's shapes."""
    if isinstance(schema, str):
        return PRIMITIVES[schema]
    if isinstance(schema, list):
        return _union(schema)
    kind = schema["type"]
    if kind == "record":
        return _record(schema)
    if kind == "array":
        return _array(compile_reader(schema["items"]))
    if kind == "enum":
        return _enum(schema["symbols"])
    if kind == "fixed":
        return _fixed(schema["size"])
    return compile_reader(kind)


def _record(schema: Schema) -> Reader:
    fields = [(field["name"], compile_reader(field["type"])) for field in schema["fields"]]

    def read(buf: bytes, pos: int) -> tuple[dict[str, Any], int]:
        out = {}
        for name, reader in fields:
            out[name], pos = reader(buf, pos)
        return out, pos

    return read


def _array(item: Reader) -> Reader:
    def read(buf: bytes, pos: int) -> tuple[list[Any], int]:
        if buf[pos : pos + 1] == b"\x00":  # by far the most frequent: empty
            return [], pos + 1
        out: list[Any] = []
        while True:
            count, pos = read_long(buf, pos)
            if count == 0:
                return out, pos
            end = -1
            if count < 0:
                size, pos = read_long(buf, pos)
                count, end = -count, pos + size
            for _ in range(count):
                value, pos = item(buf, pos)
                out.append(value)
            if end not in (-1, pos):
                raise BadRecordError("an array block of another size than it says")

    return read


def _enum(symbols: list[str]) -> Reader:
    def read(buf: bytes, pos: int) -> tuple[str, int]:
        index, pos = read_long(buf, pos)
        if not 0 <= index < len(symbols):
            raise BadRecordError(f"no enum symbol {index}")
        return symbols[index], pos

    return read


def _fixed(size: int) -> Reader:
    def read(buf: bytes, pos: int) -> tuple[bytes, int]:
        end = pos + size
        if end > len(buf):
            raise BadRecordError("the record ends inside a fixed")
        return buf[pos:end], end

    return read


def _union(branches: list[Schema]) -> Reader:
    readers = [compile_reader(branch) for branch in branches]

    def read(buf: bytes, pos: int) -> tuple[Any, int]:
        index, pos = read_long(buf, pos)
        if not 0 <= index < len(readers):
            raise BadRecordError(f"no union branch {index}")
        return readers[index](buf, pos)

    return read


# --- records of Kafka --------------------------------------------------------------------------------------------


class WireDecoder:
    """Kafka record values to event dicts in the contract's field names.

    `by_fingerprint` are writer schemas for single-object encoding (8 little-endian bytes), `by_id` those of a
    Confluent registry. A field the writer does not know gets the contract's default; one we do not know is read over.
    """

    def __init__(self, by_fingerprint: Mapping[bytes, Schema], by_id: Mapping[int, Schema] | None = None) -> None:
        contract = load_schema("lineage_event.v1")
        self._defaults = {field["name"]: field["default"] for field in contract["fields"] if "default" in field}
        self._by_fingerprint = {key: compile_reader(schema) for key, schema in by_fingerprint.items()}
        self._by_id = {key: compile_reader(schema) for key, schema in (by_id or {}).items()}

    def decode(self, value: bytes | None) -> dict[str, Any]:
        """The event. Raises BadRecordError."""
        if not value:
            raise BadRecordError("empty")
        reader, pos = self._writer(value)
        event, end = reader(value, pos)
        if end != len(value):
            raise BadRecordError(f"{len(value) - end} bytes after the end")
        return {**self._defaults, **event}

    def _writer(self, value: bytes) -> tuple[Reader, int]:
        reader: Reader | None = None
        pos = 0
        if value[:2] == SINGLE_OBJECT and len(value) >= 10:
            reader, pos = self._by_fingerprint.get(value[2:10]), 10
        elif value[:1] == CONFLUENT and len(value) >= 5:
            reader, pos = self._by_id.get(int.from_bytes(value[1:5], "big")), 5
        if reader is None:
            raise BadRecordError("unknown framing or schema")
        return reader, pos
