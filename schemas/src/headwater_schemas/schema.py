"""Writer schemas, linted and compiled, and the reader schemas of this package.

A datum is read in two steps: the walker of `walker` proves that the bytes are one datum of the writer's schema and
nothing more, then fastavro builds the values, resolved to our reader schema. Times stay plain microseconds.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import fastavro
import orjson

from headwater_schemas.compat import resolution_problems
from headwater_schemas.fingerprint import crc64_avro
from headwater_schemas.lint import DEFAULT_LIMITS, Limits, Node, SchemaRefused, bare, canonical_form, parse
from headwater_schemas.walker import MAX_DATUM_BYTES, MAX_ITEMS, Malformed, Step, compile_walker

__all__ = ["LINEAGE_EVENT", "Malformed", "Reader", "SchemaRefused", "WriterSchema", "reader"]

AVRO_DIR: Final = Path(__file__).parent / "avro"
LINEAGE_EVENT: Final = "lineage_event.v1"
TAIL_FIRST: Final = "job"
"""The first field behind the head of fixed width and the measures: from here on a job's records repeat."""


@dataclass(frozen=True, slots=True)
class Reader:
    """One of our schemas as the side that reads. `parsed` is for fastavro: with defaults, without logical types."""

    text: str
    node: Node
    parsed: Any

    @property
    def short_name(self) -> str:
        """Its name without the namespace."""
        return self.node.name.rpartition(".")[2]


@cache
def reader(file: str) -> Reader:
    """A schema of this package by its file's stem (`lineage_event.v1`, `alert.v1` and their like)."""
    text = (AVRO_DIR / f"{file}.avsc").read_text(encoding="utf-8")
    tree = _without_logical_types(orjson.loads(text))
    return Reader(text, parse(text), fastavro.parse_schema(tree))


@cache
def _tail_reader(file: str) -> Any:
    tree = _without_logical_types(orjson.loads(reader(file).text))
    names = [field["name"] for field in tree["fields"]]
    tree["fields"] = tree["fields"][names.index(TAIL_FIRST) :]
    return fastavro.parse_schema(tree)


def _without_logical_types(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _without_logical_types(value) for key, value in tree.items() if key != "logicalType"}
    return [_without_logical_types(value) for value in tree] if isinstance(tree, list) else tree


class WriterSchema:
    """One writer's schema, ready to decode with. Made by `parse`; immutable.

    `fingerprint` is the CRC-64-AVRO of `canonical` (the Parsing Canonical Form) as 8 little-endian bytes. `fast`
    says that the record begins with exactly the contract's fields up to `nominal_end`, so that the tail behind them
    can be cut off; `why_slow` says why not.
    """

    __slots__ = (
        "_parsed",
        "_tail_parsed",
        "_tail_target",
        "_tail_walk",
        "_target",
        "_walk",
        "canonical",
        "fast",
        "fingerprint",
        "why_slow",
    )

    def __init__(self, node: Node, target: str) -> None:
        """Use `parse`, which lints."""
        ours = reader(target).node
        self.canonical = canonical_form(node)
        self.fingerprint = crc64_avro(self.canonical.encode())
        self.why_slow = _why_slow(node, ours)
        self.fast = not self.why_slow
        self._walk = compile_walker(node)
        self._parsed = _parsed(bare(node, set()))
        # Without anything to resolve fastavro is three times as fast.
        same = self.canonical == canonical_form(ours)
        self._target = None if same else reader(target).parsed
        self._tail_walk: Step | None = None
        self._tail_parsed: Any = None
        self._tail_target: Any = None
        if self.fast:
            tail = Node("record", name=node.name, fields=node.fields[_head_length(ours) :])
            self._tail_walk = compile_walker(tail)
            self._tail_parsed = _parsed(bare(tail, set()))
            self._tail_target = None if same else _tail_reader(target)

    @classmethod
    def parse(cls, json_text: str, limits: Limits = DEFAULT_LIMITS, target: str = LINEAGE_EVENT) -> WriterSchema:
        """Lint and compile a writer schema for one of our readers (`target`, a file's stem).

        Raises SchemaRefused with the reason: no schema, recursive, items of zero bytes, too large or too deep, another
        record than ours, or fields that our reader cannot resolve.
        """
        node = parse(json_text, limits)
        ours = reader(target)
        if node.kind != "record" or node.name.rpartition(".")[2] != ours.short_name:
            raise SchemaRefused(f"{node.name or node.kind} is not the record {ours.short_name}")
        found = resolution_problems(node, ours.node)
        if found:
            more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
            raise SchemaRefused("; ".join(found[:3]) + more)
        return cls(node, target)

    def check(self, buf: bytes, pos: int = 0) -> int:
        """Walk one datum from `pos`; returns the position after it. Raises Malformed."""
        return _check(self._walk, buf, pos)

    def read(self, buf: bytes, pos: int = 0) -> dict[str, Any]:
        """The record that fills `buf` from `pos` to its end, as our reader schema has it. Raises Malformed."""
        return _read(self._walk, self._parsed, self._target, buf, pos)

    def read_tail(self, buf: bytes, pos: int = 0) -> dict[str, Any]:
        """The fields from `job` on, which fill `buf` from `pos` to its end.

        Raises Malformed; ValueError if the schema is not `fast`.
        """
        if self._tail_walk is None:
            raise ValueError(f"the schema {self.fingerprint.hex()} has no tail of its own: {self.why_slow}")
        return _read(self._tail_walk, self._tail_parsed, self._tail_target, buf, pos)


def _parsed(tree: Any) -> Any:
    try:
        return fastavro.parse_schema(tree)
    except (ValueError, TypeError, KeyError, fastavro.schema.SchemaParseException) as error:
        raise SchemaRefused(f"fastavro takes no such schema: {error}") from error


def _check(walk: Step, buf: bytes, pos: int) -> int:
    if len(buf) - pos > MAX_DATUM_BYTES:
        raise Malformed("too_large", f"{len(buf) - pos} bytes, at most {MAX_DATUM_BYTES} are read")
    try:
        end = walk(buf, pos, [MAX_ITEMS])
    except IndexError:
        raise Malformed("truncated", f"the datum goes on after its {len(buf) - pos} bytes") from None
    if end > len(buf):
        raise Malformed("truncated", f"the datum goes on after its {len(buf) - pos} bytes")
    return end


def _read(walk: Step, parsed: Any, target: Any, buf: bytes, pos: int) -> dict[str, Any]:
    end = _check(walk, buf, pos)
    if end != len(buf):
        raise Malformed("trailing_bytes", f"{len(buf) - end} bytes after the datum")
    try:
        record = fastavro.schemaless_reader(io.BytesIO(buf[pos:] if pos else buf), parsed, target)
    except (
        ValueError,
        EOFError,
        LookupError,
        TypeError,
        ArithmeticError,
        fastavro.read.SchemaResolutionError,
    ) as error:
        # The walker and the lint leave nothing for this; if they do, it is one bad record and no end of the worker.
        raise Malformed("unreadable", f"{type(error).__name__}: {error}") from error
    assert isinstance(record, dict)  # noqa: S101 - the schema is a record
    return record


def _head_length(node: Node) -> int:
    return [field.name for field in node.fields].index(TAIL_FIRST)


def _why_slow(writer: Node, ours: Node) -> str:
    if TAIL_FIRST not in {field.name for field in ours.fields}:
        return f"{ours.name} has no tail"
    length = _head_length(ours)
    if len(writer.fields) <= length:
        return "it has fewer fields than the head of the contract"
    for mine, theirs in zip(ours.fields[:length], writer.fields, strict=False):
        if mine.name != theirs.name:
            return f"field {theirs.name} stands where the contract has {mine.name}"
        if bare(mine.node, set()) != bare(theirs.node, set()):
            return f"field {theirs.name} has another type than in the contract"
    return ""
