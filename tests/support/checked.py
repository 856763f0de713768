"""A second reading of a record, by the checked reader alone: what the fast road of the decoder must equal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from tests.support.oracle.contract import CONFLUENT_IDS, WRITERS

from headwater_processor.core.decode import TYPE_CODES, Columns, Extras, MeasureRow
from headwater_processor.core.template import Entity, Template
from headwater_schemas.codec import Malformed, Rejected, split_frame
from headwater_schemas.registry import SchemaStore
from headwater_schemas.schema import WriterSchema

_WARM: Final = ("warm_first", "warm_generation", "warm_minute")
_FIELDS: Final = tuple(
    name
    for name in dir(Template)
    if not name.startswith("_") and name not in _WARM and not callable(getattr(Template, name))
)


class KnownSchemas:
    """Writer schemas of the tests, by fingerprint and, as a registry has them, by id; and how often it was asked."""

    def __init__(self) -> None:
        self._store = SchemaStore()
        self._by_id: dict[int, WriterSchema] = {}
        for writer, schema in WRITERS.items():
            found = self._store.offer(orjson.dumps(schema).decode())
            assert isinstance(found, WriterSchema)
            self._by_id[CONFLUENT_IDS[writer]] = found
        self.any_id: WriterSchema | None = None
        self.asked = 0

    def offer(self, schema: Mapping[str, Any], schema_id: int) -> None:
        """One more writer schema, under an id as a registry would give it."""
        found = self._store.offer(orjson.dumps(schema).decode())
        assert isinstance(found, WriterSchema), found
        self._by_id[schema_id] = found

    def by_header(self, value: bytes) -> tuple[WriterSchema, int] | Rejected:
        """See core.decode.Schemas."""
        self.asked += 1
        _, ref, at = split_frame(value)
        if isinstance(ref, int):
            found: WriterSchema | Rejected | None = self._by_id.get(ref, self.any_id)
        else:
            found = self._store.resolve(ref)
        if found is None:
            return Rejected("unknown_schema", f"schema id {ref!r}")
        return found if isinstance(found, Rejected) else (found, at)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a record says: as plain values that can be compared."""

    event_id: bytes
    time_us: int
    kind: int
    run_id: bytes
    measures: list[MeasureRow] = field(default_factory=list)
    nominal_end_us: int = 0
    parent_run_id: bytes = b""
    template: dict[str, Any] = field(default_factory=dict)


def read_checked(value: bytes, schemas: KnownSchemas) -> Reading | str:
    """The reading of one record value, or the reason why it has none."""
    try:
        found = schemas.by_header(value)
        if isinstance(found, Rejected):
            return found.reason
        schema, at = found
        record = schema.read(value, at)
    except Malformed as error:
        return error.reason
    if record["event_time"] < 1:
        return "event_time"
    uses = len(record["inputs"]) + len(record["outputs"])
    if any(not 0 <= measure["dataset"] < uses for measure in record["measures"]):
        return "measure_index"
    fields = ("dataset", "partition", "first_offset", "last_offset", "rows", "bytes", "lag", "data_through")
    rows: list[Any] = [tuple(measure[name] for name in fields) for measure in record["measures"]]
    return Reading(
        record["event_id"],
        record["event_time"],
        TYPE_CODES[record["event_type"]],
        record["run_id"],
        rows,
        record["nominal_end"],
        record["parent_run_id"] or b"",
        content(Template(record)),
    )


def content(template: Template) -> dict[str, Any]:
    """Everything a template says; not what a planner notes on it."""
    return {name: _plain(getattr(template, name)) for name in _FIELDS}


def _plain(value: Any) -> Any:
    if isinstance(value, Entity):
        return value.key, value.label, value.shard_byte
    return [_plain(each) for each in value] if isinstance(value, list) else value


def readings(columns: Columns, count: int) -> list[Reading | str]:
    """The columns of a batch of `count` records, row by row; every row is good or bad, and no row is both."""
    out: list[Reading | str | None] = [None] * count
    times = columns.times.tolist()
    parts = (columns.ids, times, columns.types, columns.run_ids, columns.templates, columns.extras)
    assert {len(part) for part in parts} == {len(columns.rows)}
    assert columns.rows == sorted(columns.rows)
    assert [row for row, _ in columns.bad] == sorted(row for row, _ in columns.bad)
    for at, row in enumerate(columns.rows):
        assert out[row] is None
        extras = columns.extras[at] or Extras([], 0, b"")
        out[row] = Reading(
            columns.ids[at],
            times[at],
            columns.types[at],
            columns.run_ids[at],
            list(extras.measures),
            extras.nominal_end,
            extras.parent_run_id,
            content(columns.templates[at]),
        )
    for row, rejected in columns.bad:
        assert out[row] is None
        out[row] = rejected.reason
    found = [each for each in out if each is not None]
    assert len(found) == count
    return found
