"""Records as JSON documents for people and examples: bytes as hex, fields that have their default left out.

A document has the field names of the Avro schema. It is no wire format; the wire is in `codec`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headwater_schemas.lint import Field, Node
from headwater_schemas.schema import LINEAGE_EVENT, reader


def to_document(record: Mapping[str, Any], file: str = LINEAGE_EVENT) -> dict[str, Any]:
    """A record of one of our schemas (a file's stem) as a JSON document."""
    document: dict[str, Any] = _to_json(reader(file).node, record)
    return document


def from_document(document: Mapping[str, Any], file: str = LINEAGE_EVENT) -> dict[str, Any]:
    """The record that a document says, with defaults filled in.

    Raises ValueError, naming the field, for what does not fit.
    """
    record: dict[str, Any] = _from_json(reader(file).node, document, file)
    return record


def _to_json(node: Node, value: Any) -> Any:
    if value is None:
        return None
    if node.kind == "union":
        return _to_json(_value_branch(node), value)
    if node.kind in ("fixed", "bytes"):
        return value.hex()
    if node.inner is not None:
        return [_to_json(node.inner, item) for item in value]
    if node.kind != "record":
        return value
    written = ((field, _to_json(field.node, value[field.name])) for field in node.fields)
    return {field.name: item for field, item in written if not (field.has_default and item == field.default)}


def _from_json(node: Node, value: Any, where: str) -> Any:
    if node.kind == "union":
        return None if value is None else _from_json(_value_branch(node), value, where)
    if node.kind in ("fixed", "bytes"):
        return bytes.fromhex(value)
    if node.inner is not None:
        return [_from_json(node.inner, item, f"{where}[{index}]") for index, item in enumerate(value)]
    if node.kind != "record":
        return value
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} must be an object")
    unknown = value.keys() - {field.name for field in node.fields}
    if unknown:
        raise ValueError(f"{where} has no field {', '.join(sorted(unknown))}")
    return {field.name: _field(field, value, f"{where}.{field.name}") for field in node.fields}


def _field(field: Field, value: Mapping[str, Any], where: str) -> Any:
    if field.name not in value and not field.has_default:
        raise ValueError(f"{where} is missing")
    return _from_json(field.node, value.get(field.name, field.default), where)


def _value_branch(node: Node) -> Node:
    # Our schemas have no unions but of null and one other type.
    return next(branch for branch in node.branches if branch.kind != "null")
