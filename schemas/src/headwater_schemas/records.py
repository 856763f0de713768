"""Values to the dicts that an Avro library takes, and back. No bytes here.

Events are converted by hand, because jobs wait for it; the other values mirror their Avro records field by field, and
one small class does them all.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar

from headwater_schemas import deltas
from headwater_schemas.alerts import Alert, AlertState, Severity
from headwater_schemas.decisions import Decision, DecisionKind
from headwater_schemas.events import (
    Completeness,
    DatasetUse,
    DirectEdge,
    EventType,
    Lifecycle,
    LineageEvent,
    Measure,
    Name,
    Processing,
    Runtime,
)
from headwater_schemas.policies import Criticality, Policy, PolicyKind
from headwater_schemas.walker import Malformed

T = TypeVar("T")
Record = dict[str, Any]

_EVENT_TYPES: Final = {member.value: member for member in EventType}
_PROCESSING: Final = {member.value: member for member in Processing}
_COMPLETENESS: Final = {member.value: member for member in Completeness}
_LIFECYCLE: Final = {member.value: member for member in Lifecycle}
# `member._value_` is a plain attribute; `.value` is a descriptor, twenty times as slow on Python 3.11.
_RUNTIME: Final = tuple(field.name for field in dataclasses.fields(Runtime))


def to_record(event: LineageEvent) -> Record:
    """The event as a record of `lineage_event.v1`."""
    runtime = event.runtime
    return {
        "event_id": event.event_id,
        "event_time": event.event_time_us,
        "event_type": event.event_type._value_,
        "run_id": event.run_id,
        "parent_run_id": event.parent_run_id,
        "root_run_id": event.root_run_id,
        "trace_id": event.trace_id,
        "span_id": event.span_id,
        "measures": _measures(event),
        "nominal_start": event.nominal_start_us,
        "nominal_end": event.nominal_end_us,
        "job": _name(event.job),
        "processing": event.processing._value_,
        "restartable": event.restartable,
        "backfill": event.backfill,
        "completeness": event.completeness._value_,
        "emitter": event.emitter,
        "producer": event.producer,
        "inputs": [_input(use) for use in event.inputs],
        "outputs": [_output(use) for use in event.outputs],
        "edges": [_edge(edge) for edge in event.edges],
        "parent_job": event.parent_job and _name(event.parent_job),
        "root_job": event.root_job and _name(event.root_job),
        "runtime": runtime and {name: getattr(runtime, name) for name in _RUNTIME},
        "transaction_ids": event.transaction_ids,
        "file_ids": event.file_ids,
        "error": event.error,
        "facets": event.facets,
    }


def _name(name: Name) -> Record:
    return {"namespace": name.namespace, "name": name.name}


def _measures(event: LineageEvent) -> list[Record]:
    return [
        {
            "dataset": index,
            "partition": measure.partition,
            "first_offset": measure.first_offset,
            "last_offset": measure.last_offset,
            "rows": measure.rows,
            "bytes": measure.bytes,
            "lag": measure.lag,
            "data_through": measure.data_through_us,
        }
        for index, use in enumerate(event.inputs + event.outputs)
        for measure in use.measures
    ]


def _input(use: DatasetUse) -> Record:
    return {
        "namespace": use.namespace,
        "name": use.name,
        "schema_version": use.schema_version,
        "aliases": [_name(alias) for alias in use.aliases] if use.aliases else (),
    }


def _output(use: DatasetUse) -> Record:
    record = _input(use)
    record["lifecycle"] = use.lifecycle._value_
    record["previous_namespace"] = use.previous.namespace if use.previous else ""
    record["previous_name"] = use.previous.name if use.previous else ""
    return record


def _edge(edge: DirectEdge) -> Record:
    return {
        "source_namespace": edge.source.namespace,
        "source_name": edge.source.name,
        "target_namespace": edge.target.namespace,
        "target_name": edge.target.name,
    }


def from_record(record: Mapping[str, Any]) -> LineageEvent:
    """The event that a record of `lineage_event.v1` says. Raises Malformed (`measure_index`)."""
    measures = _measures_by_dataset(record)
    uses = (*record["inputs"], *record["outputs"])
    datasets = tuple(_use(use, tuple(found)) for use, found in zip(uses, measures, strict=True))
    inputs = len(record["inputs"])
    return LineageEvent(
        event_id=record["event_id"],
        event_time_us=record["event_time"],
        event_type=_EVENT_TYPES[record["event_type"]],
        run_id=record["run_id"],
        job=_to_name(record["job"]),
        inputs=datasets[:inputs],
        outputs=datasets[inputs:],
        edges=tuple(_to_edge(edge) for edge in record["edges"]),
        processing=_PROCESSING[record["processing"]],
        restartable=record["restartable"],
        backfill=record["backfill"],
        completeness=_COMPLETENESS[record["completeness"]],
        emitter=record["emitter"],
        producer=record["producer"],
        parent_run_id=record["parent_run_id"],
        parent_job=record["parent_job"] and _to_name(record["parent_job"]),
        root_run_id=record["root_run_id"],
        root_job=record["root_job"] and _to_name(record["root_job"]),
        trace_id=record["trace_id"],
        span_id=record["span_id"],
        nominal_start_us=record["nominal_start"],
        nominal_end_us=record["nominal_end"],
        runtime=record["runtime"] and Runtime(**record["runtime"]),
        transaction_ids=tuple(record["transaction_ids"]),
        file_ids=tuple(record["file_ids"]),
        error=record["error"],
        facets=record["facets"],
    )


def _to_name(record: Mapping[str, Any]) -> Name:
    return Name(record["namespace"], record["name"])


def _measures_by_dataset(record: Mapping[str, Any]) -> list[list[Measure]]:
    found: list[list[Measure]] = [[] for _ in range(len(record["inputs"]) + len(record["outputs"]))]
    for one in record["measures"]:
        index = one["dataset"]
        if not 0 <= index < len(found):
            raise Malformed("measure_index", f"a measure of dataset {index}, where the event names {len(found)}")
        numbers = (one["first_offset"], one["last_offset"], one["rows"], one["bytes"], one["lag"], one["data_through"])
        found[index].append(Measure(one["partition"], *numbers))
    return found


def _use(record: Mapping[str, Any], measures: tuple[Measure, ...]) -> DatasetUse:
    previous = Name(record.get("previous_namespace", ""), record.get("previous_name", ""))
    return DatasetUse(
        namespace=record["namespace"],
        name=record["name"],
        schema_version=record["schema_version"],
        aliases=tuple(_to_name(alias) for alias in record["aliases"]),
        lifecycle=_LIFECYCLE[record.get("lifecycle", "NONE")],
        previous=previous if previous.namespace or previous.name else None,
        measures=measures,
    )


def _to_edge(record: Mapping[str, Any]) -> DirectEdge:
    return DirectEdge(
        Name(record["source_namespace"], record["source_name"]), Name(record["target_namespace"], record["target_name"])
    )


Converter = tuple[Callable[[Any], Any], Callable[[Any], Any]]
"""From the value's side to the record's, and back."""


class Mirror(Generic[T]):
    """A dataclass and its record: fields of the same names, where `_us` on the value's side marks a time."""

    def __init__(self, cls: Callable[..., T], **converters: Converter) -> None:
        """`converters` are for the fields that are not the same on both sides, by their name in the dataclass."""
        self._cls = cls
        same: Converter = (_same, _same)
        names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type] # a dataclass is callable
        self._fields = [(name, name.removesuffix("_us"), *converters.get(name, same)) for name in names]

    def to_record(self, value: T) -> Record:
        """The value as a record."""
        return {avro: out(getattr(value, name)) for name, avro, out, _ in self._fields}

    def from_record(self, record: Mapping[str, Any]) -> T:
        """The value that a record says."""
        return self._cls(**{name: back(record[avro]) for name, avro, _, back in self._fields})


def _same(value: Any) -> Any:
    return value


def _symbol(kind: type[enum.Enum]) -> Converter:
    return (lambda member: member.value), kind


def _optional(mirror: Mirror[Any]) -> Converter:
    return (lambda value: value and mirror.to_record(value)), (lambda record: record and mirror.from_record(record))


_STRINGS: Final[Converter] = (list, tuple)

DELTAS: Final = Mirror(
    deltas.GraphDelta,
    entity=_symbol(deltas.Entity),
    aspect=_symbol(deltas.Aspect),
    edge=_symbol(deltas.EdgeKind),
    dataset=_optional(Mirror(deltas.DatasetCore)),
    freshness=_optional(Mirror(deltas.Freshness)),
    status=_optional(Mirror(deltas.Status, state=_symbol(deltas.FreshnessState), candidates=_STRINGS)),
    runs=_optional(Mirror(deltas.Runs)),
)
ALERTS: Final = Mirror(Alert, state=_symbol(AlertState), severity=_symbol(Severity), candidates=_STRINGS)
POLICIES: Final = Mirror(Policy, kind=_symbol(PolicyKind), criticality=_symbol(Criticality), tags=_STRINGS)
DECISIONS: Final = Mirror(Decision, kind=_symbol(DecisionKind))
