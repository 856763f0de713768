"""Schemas of others, over any JSON: refused or usable, never anything else."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headwater_schemas.codec import encode
from headwater_schemas.events import EventType, LineageEvent
from headwater_schemas.lint import SchemaRefused
from headwater_schemas.schema import LINEAGE_EVENT, WriterSchema, reader
from headwater_schemas.walker import Malformed

MINIMAL = encode(LineageEvent(bytes(16), 1, EventType.OTHER))
WORDS = st.sampled_from(
    ["null", "int", "long", "string", "bytes", "record", "enum", "fixed", "array", "map", "Job", "A"]
)
KEYS = st.sampled_from(["type", "name", "namespace", "fields", "items", "values", "symbols", "size", "default"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def types() -> st.SearchStrategy[Any]:
    """Types that are mostly valid, and now and then anything."""
    names = st.integers(0, 1 << 30).map("T{}".format)
    primitives = st.sampled_from(["null", "boolean", "int", "long", "float", "double", "bytes", "string"])
    leaves = (
        primitives
        | st.builds(lambda n, s: {"type": "fixed", "name": n, "size": s}, names, st.integers(0, 4))
        | st.builds(lambda n, s: {"type": "enum", "name": n, "symbols": s}, names, st.just(["A", "B"]))
    )

    def above(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        fields = st.lists(inner, max_size=3).map(lambda ts: [{"name": f"f{i}", "type": t} for i, t in enumerate(ts)])
        return (
            st.builds(lambda n, f: {"type": "record", "name": n, "fields": f}, names, fields)
            | st.builds(lambda t: {"type": "array", "items": t}, inner)
            | st.builds(lambda t: {"type": "map", "values": t}, inner)
            | st.lists(inner, min_size=1, max_size=3)
        )

    return st.recursive(leaves | JSON, above, max_leaves=8)


def with_field(kind: Any) -> str:
    tree = json.loads(reader(LINEAGE_EVENT).text)
    tree["fields"].append({"name": "extra", "type": kind})
    return json.dumps(tree)


@given(JSON)
def test_any_json_is_refused_as_a_schema_or_is_one(tree: Any) -> None:
    try:
        WriterSchema.parse(json.dumps(tree))
    except SchemaRefused as error:
        assert str(error)  # noqa: PT017 - either outcome is right


@given(types(), st.binary(max_size=60))
def test_what_the_lint_takes_reads_any_bytes_safely(kind: Any, data: bytes) -> None:
    try:
        schema = WriterSchema.parse(with_field(kind))
    except SchemaRefused:
        return
    try:
        schema.read(MINIMAL + data)
    except Malformed as error:
        assert error.reason != "unreadable"  # noqa: PT017 - either outcome is right
