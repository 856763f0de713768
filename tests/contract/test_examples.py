"""Every example document of `schemas/examples` goes through the codec and comes back, in both framings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headwater_schemas import codec
from headwater_schemas.codec import Rejected
from headwater_schemas.documents import from_document, to_document
from headwater_schemas.records import ALERTS, DECISIONS, DELTAS, POLICIES
from headwater_schemas.registry import SchemaStore
from headwater_schemas.schema import AVRO_DIR, WriterSchema

EXAMPLES = Path(__file__).parents[2] / "schemas" / "examples"
PATHS = sorted(EXAMPLES.glob("*/*.json"))


class AnyId:
    """A registry that knows our schema under every id."""

    def resolve(self, ref: bytes | int) -> WriterSchema | Rejected:
        return codec.own_schema()


SINGLE_OBJECT: dict[str, tuple[Any, Callable[[Any], bytes], Callable[[bytes], Any]]] = {
    "graph_delta.v1": (DELTAS, codec.encode_delta, codec.decode_delta),
    "alert.v1": (ALERTS, codec.encode_alert, codec.decode_alert),
    "policy.v1": (POLICIES, codec.encode_policy, codec.decode_policy),
    "decision.v1": (DECISIONS, codec.encode_decision, codec.decode_decision),
}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_example_survives_the_wire(path: Path) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    file = document["schema"]
    record = from_document(document["value"], file)
    if file in SINGLE_OBJECT:
        mirror, encode, decode = SINGLE_OBJECT[file]
        value = mirror.from_record(record)
        assert decode(encode(value)) == value
        assert to_document(mirror.to_record(value), file) == document["value"]
    else:
        event = codec.from_record(record)
        assert codec.decode(codec.encode_single_object(event), SchemaStore()) == event
        assert codec.decode(codec.encode_confluent(event, 7), AnyId()) == event
        assert to_document(codec.to_record(event), file) == document["value"]


def test_every_schema_has_examples() -> None:
    assert {path.parent.name for path in PATHS} == {path.stem.rpartition(".")[0] for path in AVRO_DIR.glob("*.avsc")}


@pytest.mark.parametrize(
    ("document", "problem"),
    [({"no_such_field": 1}, "has no field no_such_field"), ({}, r"event_id is missing"), ({"job": 5}, "missing")],
)
def test_a_document_that_does_not_fit_says_which_field(document: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        from_document(document)
