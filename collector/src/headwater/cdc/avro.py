"""Avro rows of others, by schemas of a registry: linted before anything is decoded with them. Pure."""

from __future__ import annotations

import hashlib
import io
from typing import Any, Final

import fastavro
import orjson

from headwater_schemas.lint import Limits, Node, SchemaRefused, bare, parse
from headwater_schemas.walker import MAX_ITEMS, Malformed, compile_walker

_LIMITS: Final = Limits(nodes=20_000)
"""Wide tables have a thousand columns, each a union, and the envelope holds the row twice."""
FINGERPRINT_BYTES: Final = 6
_ROWS: Final = ("after", "before")


class RowSchema:
    """A writer schema of rows or envelopes. `fingerprint` is of the row's fields alone, "" where it has none.

    Raises SchemaRefused: no schema, or one that nothing is decoded with (recursive, too large, items of zero bytes).
    """

    __slots__ = ("_parsed", "_walk", "fingerprint")

    def __init__(self, text: str) -> None:
        node = parse(text, _LIMITS)
        self._walk = compile_walker(node)
        try:
            self._parsed = fastavro.parse_schema(bare(node, set()))
        except (ValueError, TypeError, KeyError, fastavro.schema.SchemaParseException) as error:
            raise SchemaRefused(f"fastavro takes no such schema: {error}") from error
        self.fingerprint = fingerprint_of(_columns(_row(node)))

    def read(self, datum: bytes) -> Any:
        """The value that fills `datum`. Raises Malformed."""
        try:
            end = self._walk(datum, 0, [MAX_ITEMS])
        except IndexError:
            raise Malformed("truncated", f"the datum goes on after its {len(datum)} bytes") from None
        if end != len(datum):
            reason = "truncated" if end > len(datum) else "trailing_bytes"
            raise Malformed(reason, f"the datum ends at byte {end} of {len(datum)}")
        try:
            return fastavro.schemaless_reader(io.BytesIO(datum), self._parsed, None)
        except (ValueError, EOFError, LookupError, TypeError, ArithmeticError) as error:
            # The walker leaves nothing for this; if it does, it is one bad record and no end of the process.
            raise Malformed("unreadable", type(error).__name__) from error


def fingerprint_of(columns: list[Any]) -> str:
    """A short hash of `[name, type, [columns of it]]`, in their order; "" for no columns."""
    if not columns:
        return ""
    return hashlib.blake2b(orjson.dumps(columns), digest_size=FINGERPRINT_BYTES).hexdigest()


def _row(node: Node) -> Node:
    """The row in an envelope; a schema that is no envelope is the row itself."""
    by_name = {field.name: field.node for field in node.fields}
    if "source" not in by_name:
        return node
    rows = (_record(by_name[name]) for name in _ROWS if name in by_name)
    return next((row for row in rows if row is not None), Node("null"))


def _record(node: Node) -> Node | None:
    return next((branch for branch in (node, *node.branches) if branch.kind == "record"), None)


def _columns(node: Node) -> list[Any]:
    return [[field.name, _type(field.node), _columns(_record(field.node) or Node("null"))] for field in node.fields]


def _type(node: Node) -> str:
    if node.kind == "union":
        return "|".join(sorted(_type(branch) for branch in node.branches))
    return node.logical or node.kind
