"""The bytes of a record: JSON with or without its schema, or Avro by an id of a Schema Registry. Pure.

The fingerprint is of the row's columns: of names and types where a schema comes along, of names alone in plain JSON
(a null there has no type, and the next row's value must not look like a new column type).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from headwater.cdc.avro import RowSchema, fingerprint_of
from headwater.cdc.envelopes import Record, Refused, Tombstone, understand
from headwater_schemas.walker import Malformed

Schemas = Callable[[int], RowSchema | Refused]
"""The schema of an id of the registry."""

MOST_BYTES: Final = 16 * 1024 * 1024
_ID_BYTES: Final = 5
_ROWS: Final = ("after", "before")
_SCHEMALESS_KINDS: Final = frozenset({"mongodb"})
_DEEPEST: Final = 16


@dataclass(frozen=True, slots=True)
class Read:
    """What a record tells, and the fingerprint of its row's schema ("" for none)."""

    record: Record
    fingerprint: str = ""


def no_registry(schema_id: int) -> Refused:
    """The answer where no registry is configured."""
    return Refused("no_registry", f"the record needs schema {schema_id} of a Schema Registry, and none is configured")


def read(value: bytes | None, schemas: Schemas = no_registry) -> Read:
    """What the value of a record tells. Never raises for its content."""
    if value is None or value == b"" or value == b"null":
        return Read(Tombstone())
    if len(value) > MOST_BYTES:
        return Read(Refused("too_large", f"{len(value)} bytes; at most {MOST_BYTES} are read"))
    if value[:1] == b"\0":
        return _by_registry(value, schemas)
    try:
        document = orjson.loads(value)
    except ValueError:
        return Read(Refused("no_json", "neither JSON nor Avro in the framing of a Schema Registry"))
    return _of_json(document)


def _by_registry(value: bytes, schemas: Schemas) -> Read:
    if len(value) < _ID_BYTES:
        return Read(Refused("truncated", "less than the framing of a Schema Registry"))
    schema = schemas(int.from_bytes(value[1:_ID_BYTES], "big"))
    if isinstance(schema, Refused):
        return Read(schema)
    try:
        document = schema.read(value[_ID_BYTES:])
    except Malformed as error:
        return Read(Refused(error.reason, error.detail))
    return _finished(document, schema.fingerprint)


def _of_json(document: Any) -> Read:
    if isinstance(document, Mapping) and document.keys() == {"schema", "payload"}:
        columns = _columns(_row_schema(document["schema"]))
        return _finished(document["payload"], fingerprint_of(columns))
    if isinstance(document, Mapping) and "specversion" in document and isinstance(document.get("data"), Mapping):
        data = document["data"]
        inner = _of_json(data).fingerprint if data.keys() == {"schema", "payload"} else _by_names(data)
        return _finished(document, inner)
    return _finished(document, _by_names(document))


def _finished(document: Any, fingerprint: str) -> Read:
    record = understand(document)
    kind = getattr(getattr(record, "origin", None), "kind", "")
    # Documents of MongoDB have no schema: two of one collection need not have one field in common.
    return Read(record, "" if kind in _SCHEMALESS_KINDS or isinstance(record, Refused) else fingerprint)


def _row_schema(schema: Any) -> Any:
    fields = schema.get("fields") if isinstance(schema, Mapping) else None
    by_name = {field.get("field"): field for field in fields or [] if isinstance(field, Mapping)}
    if "source" not in by_name and not by_name.keys() <= {*_ROWS}:  # the data of a CloudEvent are the two rows alone
        return schema
    return next((by_name[name] for name in _ROWS if name in by_name), None)


def _columns(schema: Any, depth: int = 0) -> list[Any]:
    fields = schema.get("fields") if isinstance(schema, Mapping) else None
    if not isinstance(fields, list) or depth > _DEEPEST:
        return []
    return [
        [str(field.get("field")), str(field.get("name") or field.get("type")), _columns(field, depth + 1)]
        for field in fields
        if isinstance(field, Mapping)
    ]


def _by_names(document: Any) -> str:
    if not isinstance(document, Mapping):
        return ""
    row = document
    if "op" in document or _ROWS[0] in document:
        row = next((document[name] for name in _ROWS if isinstance(document.get(name), Mapping)), {})
    return fingerprint_of([[name, "", []] for name in row if not name.startswith("__")])
