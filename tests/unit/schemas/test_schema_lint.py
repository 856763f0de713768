from __future__ import annotations

import json
from typing import Any

import fastavro
import pytest

from headwater_schemas.fingerprint import crc64_avro
from headwater_schemas.lint import Limits, SchemaRefused, canonical_form, parse
from headwater_schemas.schema import AVRO_DIR, LINEAGE_EVENT, WriterSchema, reader


def ours() -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(reader(LINEAGE_EVENT).text)
    return tree


def with_fields(*extra: Any) -> str:
    tree = ours()
    tree["fields"] += extra
    return json.dumps(tree)


def with_field(name: str, **change: Any) -> str:
    tree = ours()
    next(field for field in tree["fields"] if field["name"] == name).update(change)
    return json.dumps(tree)


def extra(kind: Any) -> str:
    return with_fields({"name": "extra", "type": kind})


def record(name: str, *types: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": f"f{i}", "type": t} for i, t in enumerate(types)]}


def nested(depth: int) -> Any:
    kind: Any = "int"
    for _ in range(depth):
        kind = {"type": "array", "items": kind}
    return kind


def wide(levels: int) -> Any:
    """Records of ten references to the record before: a text of nothing that stands for 10^levels types."""
    kinds: list[Any] = [record("w0", "null")]
    kinds += [record(f"w{level}", *[f"io.headwater.w{level - 1}"] * 10) for level in range(1, levels)]
    return record("wide", *kinds)


BOMB = record("Bomb", {"type": "fixed", "name": "None0", "size": 0}, "null")

HOSTILE = {
    "no JSON": ("{", "no JSON"),
    "no schema": ("17", "a name, a list or an object"),
    "deep JSON": ("[" * 5000, "no JSON"),
    "recursion": (extra(record("Loop", ["null", "Loop"])), "recursive"),
    "recursion through two": (extra(record("A", {"type": "array", "items": record("B", ["null", "A"])})), "recursive"),
    "array of null": (extra({"type": "array", "items": "null"}), "zero bytes"),
    "array of fixed 0": (extra({"type": "array", "items": {"type": "fixed", "name": "F0", "size": 0}}), "zero bytes"),
    "array of empty record": (extra({"type": "array", "items": record("Empty")}), "zero bytes"),
    "array of records of nothing": (extra({"type": "array", "items": BOMB}), "zero bytes"),
    "array of a byte and much nothing": (
        extra({"type": "array", "items": record("Much", "int", *["null"] * 1000)}),
        "more than 8 values of zero bytes",
    ),
    "a type called array": (extra({**record("array", "int"), "namespace": ""}), "no valid name"),
    "map of null": (extra({"type": "map", "values": "null"}), "zero bytes"),
    "too deep": (extra(nested(40)), "nested deeper"),
    "too deep by reference": (extra(record("D", record("E", nested(20)), nested(31))), "nested deeper"),
    "wide by reference": (extra(wide(6)), "more than 2000 types"),
    "too many fields": (with_fields(*({"name": f"x{i}", "type": "int"} for i in range(2000))), "more than 2000"),
    "another record": (json.dumps(record("Other", "int")), "not the record LineageEvent"),
    "no record": ('"string"', "not the record"),
    "a field missing": (json.dumps(record("LineageEvent", "int")), "event_id: missing, and it has no default"),
    "another type": (with_field("event_time", type="string"), "event_time: string is not long"),
    "milliseconds": (
        with_field("event_time", type={"type": "long", "logicalType": "timestamp-millis"}),
        "timestamp-millis is not timestamp-micros",
    ),
    "nullable where we have no null": (with_field("emitter", type=["null", "string"]), "emitter: null is not string"),
    "unknown symbols": (
        with_field("event_type", type={"type": "enum", "name": "EventType", "symbols": ["START", "PAUSED"]}),
        "no symbol PAUSED",
    ),
    "an id of another size": (
        with_field("event_id", type={"type": "fixed", "name": "EventId", "size": 8}),
        "fixed\\(8\\)",
    ),
    "unknown type": (extra("Nowhere"), "unknown type"),
    "same name twice": (extra(record("Job", "int")), "defined twice"),
    "same field twice": (with_fields({"name": "job", "type": "int"}), "two fields of one name"),
    "a name that is none": (extra(record("a b", "int")), "no valid name"),
    "an enum of nothing": (extra({"type": "enum", "name": "N", "symbols": []}), "no valid symbols"),
    "a huge fixed": (extra({"type": "fixed", "name": "H", "size": 1 << 40}), "needs a size"),
    "a negative fixed": (extra({"type": "fixed", "name": "H", "size": -1}), "needs a size"),
    "a union of nothing": (extra([]), "union of nothing"),
    "a union in a union": (extra(["null", ["int", "string"]]), "union within a union"),
    "a type twice in a union": (extra(["int", "int"]), "same type twice"),
}


@pytest.mark.parametrize(("text", "reason"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_schema_that_could_hurt_or_mislead_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(SchemaRefused, match=reason):
        WriterSchema.parse(text)


def test_a_schema_larger_than_its_limit_is_not_even_parsed() -> None:
    with pytest.raises(SchemaRefused, match="at most 100 are read"):
        parse("x" * 101, Limits(text_bytes=100))


FOREIGN = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(AVRO_DIR.glob("*.avsc"))] + [
    record("a.b.Named", record("c.d.Inner", {"type": "fixed", "name": "Fx", "size": 3}), "c.d.Fx", {"type": "int"}),
    {
        **record("Spaced", {"type": "map", "values": ["null", "double"]}),
        "namespace": "x.y",
        "aliases": ["z"],
        "doc": "é",
    },
    {**record("E", {"type": "enum", "name": "En", "symbols": ["A", "B"], "default": "A"}, "En"), "namespace": ""},
]


@pytest.mark.parametrize("tree", FOREIGN, ids=lambda tree: tree["name"])
def test_canonical_form_and_fingerprint_are_those_of_fastavro(tree: Any) -> None:
    canonical = canonical_form(parse(json.dumps(tree)))
    expected = fastavro.schema.to_parsing_canonical_form(tree)
    assert canonical == expected
    assert crc64_avro(canonical.encode()).hex() == fastavro.schema.fingerprint(expected, "CRC-64-AVRO")


def test_a_known_fingerprint_of_the_specification_comes_out() -> None:
    # Avro's own test data (share/test/data/schema-tests.txt): "null" is 7195948357588979594 as a signed number.
    assert crc64_avro(b'"null"') == (7195948357588979594).to_bytes(8, "little", signed=True)


def test_fields_that_may_be_null_are_welcome_in_items() -> None:
    assert WriterSchema.parse(extra({"type": "array", "items": record("Wide", *[["null", "int"]] * 100)})).fast


def test_our_own_schema_is_fast() -> None:
    schema = WriterSchema.parse(reader(LINEAGE_EVENT).text)
    assert schema.fast
    assert schema.why_slow == ""


def test_more_or_other_fields_behind_the_head_stay_fast() -> None:
    assert WriterSchema.parse(extra(["null", "string"])).fast
    tree = ours()
    tree["fields"] = tree["fields"][:11] + tree["fields"][:10:-1]
    assert WriterSchema.parse(json.dumps(tree)).fast


def test_a_moved_or_widened_head_field_is_slow_and_says_which() -> None:
    tree = ours()
    tree["fields"].insert(0, tree["fields"].pop(1))
    moved = WriterSchema.parse(json.dumps(tree))
    assert not moved.fast
    assert moved.why_slow == "field event_time stands where the contract has event_id"
    widened = WriterSchema.parse(with_field("nominal_start", type="int"))
    assert widened.why_slow == "field nominal_start has another type than in the contract"


def test_a_schema_that_ends_with_its_first_tail_field_is_fast() -> None:
    tree = ours()
    tree["fields"] = tree["fields"][:12]
    assert WriterSchema.parse(json.dumps(tree)).fast
