"""What is wrong with the bytes of an event, and in which field: for people who look at a dead letter. Not for hot paths."""

from __future__ import annotations

import dataclasses
import io
from dataclasses import dataclass
from typing import Any

import fastavro

from headwater_schemas.codec import Rejected, Schemas, decode
from headwater_schemas.framing import split_frame
from headwater_schemas.lint import Node, bare, parse
from headwater_schemas.walker import MAX_ITEMS, Malformed, compile_walker


@dataclass(frozen=True, slots=True)
class Explained:
    """`reason` is empty if the bytes are an event, else one of `codec.REASONS`. `framing` and `schema` are empty where it
    did not get so far. `field` is the first that cannot be read, `at` where it begins; `read` holds the fields before it."""

    reason: str
    detail: str
    framing: str = ""
    schema: str = ""
    field: str = ""
    at: int = -1
    read: dict[str, Any] = dataclasses.field(default_factory=dict)


def explain(value: bytes, schemas: Schemas) -> Explained:
    """Look at one value. Never raises for bad bytes; what `schemas` raises goes through."""
    verdict = decode(value, schemas)
    reason, detail = (verdict.reason, verdict.detail) if isinstance(verdict, Rejected) else ("", "")
    try:
        framing, ref, start = split_frame(value)
    except Malformed:
        return Explained(reason, detail)
    name = ref.hex() if isinstance(ref, bytes) else f"id {ref}"
    schema = schemas.resolve(ref)
    if isinstance(schema, Rejected):
        return Explained(reason, detail, framing, name)
    at, read = start, dict[str, Any]()
    for one in parse(schema.canonical).fields:
        try:
            end = _end(one.node, value, at)
        except (Malformed, IndexError):
            return Explained(reason, detail, framing, name, one.name, at, read)
        read[one.name] = _value(one.node, value[at:end])
        at = end
    return Explained(reason, detail, framing, name, "", -1, read)


def _end(node: Node, value: bytes, at: int) -> int:
    end = compile_walker(node)(value, at, [MAX_ITEMS])
    if end > len(value):
        raise Malformed("truncated", "reaches past the end")
    return end


def _value(node: Node, piece: bytes) -> Any:
    return fastavro.schemaless_reader(io.BytesIO(piece), fastavro.parse_schema(bare(node, set())), None)
