"""One Headwater event as an OpenLineage document, spec 2-0-2. Pure; the way back is `conversion`.

| Headwater | OpenLineage |
|---|---|
| a run | RunEvent; type, run id, times as they are |
| a job without a run | JobEvent |
| a dataset without a job | DatasetEvent: the first output, else the first input, which is all that it can hold |
| parent, root, nominal times, error, processing | `parent`, `nominalTime`, `errorMessage`, `jobType` |
| aliases, lifecycle and previous name, rows and bytes | `symlinks`, `lifecycleStateChange`, `inputStatistics`, `outputStatistics` |
| direct edges | `lineage` of the output; where one of them ends in no output, all of them in `lineage` of the job |
| what came from OpenLineage and is kept in `facets` | the same facets again, where they were |
| event id, partitions, offsets, lag, runtime, trace, transactions … | one custom facet, `headwater`, on run, job or dataset |

So nothing is left out, but a reader of standard facets does not see offsets.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Final

import orjson

from headwater.openlineage.values import Json, items, mapping
from headwater_schemas.events import (
    NIL_UUID,
    Completeness,
    DatasetUse,
    DirectEdge,
    Lifecycle,
    LineageEvent,
    Measure,
    Name,
    Processing,
)

SPEC: Final = "https://openlineage.io/spec/2-0-2/OpenLineage.json"
_FACETS: Final = "https://openlineage.io/spec/facets/"
_SCHEMAS: Final = {
    "errorMessage": "1-0-1/ErrorMessageRunFacet.json#/$defs/ErrorMessageRunFacet",
    "inputStatistics": "1-0-0/InputStatisticsInputDatasetFacet.json#/$defs/InputStatisticsInputDatasetFacet",
    "jobType": "2-0-3/JobTypeJobFacet.json#/$defs/JobTypeJobFacet",
    "lifecycleStateChange": "1-0-1/LifecycleStateChangeDatasetFacet.json#/$defs/LifecycleStateChangeDatasetFacet",
    "nominalTime": "1-0-1/NominalTimeRunFacet.json#/$defs/NominalTimeRunFacet",
    "outputStatistics": "1-0-2/OutputStatisticsOutputDatasetFacet.json#/$defs/OutputStatisticsOutputDatasetFacet",
    "parent": "1-1-0/ParentRunFacet.json#/$defs/ParentRunFacet",
    "symlinks": "1-0-1/SymlinksDatasetFacet.json#/$defs/SymlinksDatasetFacet",
}
_LINEAGE_SCHEMA: Final = "1-0-0/LineageFacet.json#/$defs/"
_OWN_SCHEMA: Final = "https://github.com/headwater-lineage/headwater/blob/main/schemas/README.md"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NO_PRODUCER: Final = "https://github.com/headwater-lineage/headwater"


def to_openlineage(event: LineageEvent) -> dict[str, Json]:
    """The document, ready to be written as JSON."""
    return _Writer(event).document()


class _Writer:
    """One event being written: everything needs its producer, and its kept facets."""

    def __init__(self, event: LineageEvent) -> None:
        self._event = event
        self._producer = event.producer or _NO_PRODUCER
        self._kept = _kept(event.facets)

    def document(self) -> dict[str, Json]:
        event = self._event
        head = {"eventTime": _time(event.event_time_us), "producer": self._producer}
        if not event.job.name:
            return head | {"schemaURL": f"{SPEC}#/$defs/DatasetEvent", "dataset": self._lone_dataset()}
        body = {
            "job": _of_name(event.job) | {"facets": self._job_facets()},
            "inputs": [self._input(use) for use in event.inputs],
            "outputs": [self._output(use) for use in event.outputs],
        }
        if event.run_id == NIL_UUID:
            return head | {"schemaURL": f"{SPEC}#/$defs/JobEvent"} | body
        run = {"runId": str(uuid.UUID(bytes=event.run_id)), "facets": self._run_facets()}
        kind = event.event_type.value
        return head | {"schemaURL": f"{SPEC}#/$defs/RunEvent", "eventType": kind, "run": run} | body

    def _facet(self, key: str, said: Mapping[str, Json]) -> dict[str, Json]:
        known = _SCHEMAS.get(key)
        if key == "lineage":
            known = _LINEAGE_SCHEMA + ("LineageJobFacet" if "entries" in said else "LineageDatasetFacet")
        return {"_producer": self._producer, "_schemaURL": _FACETS + known if known else _OWN_SCHEMA, **said}

    def _facets(self, kept: Mapping[str, Json], said: Mapping[str, Mapping[str, Json]]) -> dict[str, Json]:
        """Those that were kept, and ours over them where something is to be said."""
        return {**kept, **{key: self._facet(key, facet) for key, facet in said.items() if facet}}

    def _run_facets(self) -> dict[str, Json]:
        event = self._event
        nominal = {"nominalStartTime": event.nominal_start_us, "nominalEndTime": event.nominal_end_us}
        error = {"message": event.error, "programmingLanguage": "python"} if event.error else {}
        said = {
            "parent": self._parent(),
            "nominalTime": {key: _time(time_us) for key, time_us in nominal.items() if time_us}
            if event.nominal_start_us
            else {},
            "errorMessage": error,
            "headwater": self._of_event(),
        }
        return self._facets(mapping(self._kept.get("run")), said)

    def _parent(self) -> dict[str, Json]:
        event = self._event
        if event.parent_run_id is None or event.parent_job is None:
            return {}
        parent = {"run": {"runId": str(uuid.UUID(bytes=event.parent_run_id))}, "job": _of_name(event.parent_job)}
        if event.root_run_id is None or event.root_job is None:
            return parent
        root = {"run": {"runId": str(uuid.UUID(bytes=event.root_run_id))}, "job": _of_name(event.root_job)}
        return parent | {"root": root}

    def _of_event(self) -> dict[str, Json]:
        """What OpenLineage has no word for, of the event as a whole."""
        event = self._event
        said: dict[str, Json] = {
            "eventId": str(uuid.UUID(bytes=event.event_id)),
            "emitter": event.emitter,
            "backfill": event.backfill,
            "restartable": event.restartable,
            "completeness": event.completeness.value if event.completeness is not Completeness.FULL else "",
            "traceId": event.trace_id.hex() if event.trace_id else "",
            "spanId": event.span_id.hex() if event.span_id else "",
            "runtime": {key: value for key, value in asdict(event.runtime).items() if value} if event.runtime else {},
            "transactionIds": list(event.transaction_ids),
            "fileIds": list(event.file_ids),
        }
        return {key: value for key, value in said.items() if value}

    def _job_facets(self) -> dict[str, Json]:
        event = self._event
        kept = mapping(self._kept.get("job"))
        said: dict[str, dict[str, Json]] = {}
        if event.processing is not Processing.UNKNOWN and "jobType" not in kept:
            said["jobType"] = {"processingType": event.processing.value, "integration": "HEADWATER", "jobType": "JOB"}
        if event.run_id == NIL_UUID:
            said["headwater"] = self._of_event()
        elsewhere = self._edges_elsewhere()
        if elsewhere and "lineage" not in kept:
            said["lineage"] = {"entries": _entries(elsewhere)}
        return self._facets(kept, said)

    def _edges_elsewhere(self) -> list[DirectEdge]:
        """Edges that no output can carry. The job's facet wins over those of datasets, so then it says all of them."""
        written = {Name(use.namespace, use.name) for use in self._event.outputs}
        edges = self._event.edges
        return list(edges) if any(edge.target not in written for edge in edges) else []

    def _input(self, use: DatasetUse) -> dict[str, Json]:
        own = {"inputStatistics": _statistics(use.measures)}
        kept, facets = self._dataset("inputs", use)
        return _of_name(Name(use.namespace, use.name)) | {"facets": facets, "inputFacets": self._own(kept, own)}

    def _output(self, use: DatasetUse) -> dict[str, Json]:
        own = {"outputStatistics": _statistics(use.measures)}
        kept, facets = self._dataset("outputs", use)
        return _of_name(Name(use.namespace, use.name)) | {"facets": facets, "outputFacets": self._own(kept, own)}

    def _own(self, kept: Mapping[str, Json], said: Mapping[str, Mapping[str, Json]]) -> dict[str, Json]:
        return {key: self._facet(key, facet) for key, facet in said.items() if facet and key not in kept}

    def _lone_dataset(self) -> dict[str, Json]:
        for use in (*self._event.outputs[:1], *self._event.inputs[:1]):
            _, facets = self._dataset("dataset", use)
            facets["headwater"] = self._facet("headwater", {**mapping(facets.get("headwater")), **self._of_event()})
            return _of_name(Name(use.namespace, use.name)) | {"facets": facets}
        target = self._event.edges[0].target
        return _of_name(target) | {
            "facets": self._facets({}, {"lineage": self._lineage(target), "headwater": self._of_event()})
        }

    def _dataset(self, role: str, use: DatasetUse) -> tuple[Mapping[str, Json], dict[str, Json]]:
        """Facets kept of a dataset in this role, and all that are to be written."""
        name = Name(use.namespace, use.name)
        kept = _kept_of(self._kept, role, name)
        said: dict[str, dict[str, Json]] = {
            "symlinks": {"identifiers": [_of_name(alias) | {"type": "TABLE"} for alias in use.aliases]}
            if use.aliases
            else {},
            "lifecycleStateChange": _lifecycle(use),
            "headwater": _measured(use),
        }
        if role != "inputs" and not {"lineage", "columnLineage"} & kept.keys():
            said["lineage"] = self._lineage(name)
        return kept, self._facets(kept, said)

    def _lineage(self, target: Name) -> dict[str, Json]:
        sources = [edge.source for edge in self._event.edges if edge.target == target]
        return {"inputs": [_of_name(source) | {"type": "DATASET"} for source in sources]} if sources else {}


def _entries(edges: Iterable[DirectEdge]) -> list[Json]:
    sources: dict[Name, list[Json]] = {}
    for edge in edges:
        sources.setdefault(edge.target, []).append(_of_name(edge.source) | {"type": "DATASET"})
    return [_of_name(target) | {"type": "DATASET", "inputs": inputs} for target, inputs in sources.items()]


def _lifecycle(use: DatasetUse) -> dict[str, Json]:
    if use.lifecycle is Lifecycle.NONE:
        return {}
    said: dict[str, Json] = {"lifecycleStateChange": use.lifecycle.value}
    return said | {"previousIdentifier": _of_name(use.previous)} if use.previous else said


def _statistics(measures: Iterable[Measure]) -> dict[str, Json]:
    """Sums over partitions; what no measure knows is left out."""
    rows = [measure.rows for measure in measures if measure.rows >= 0]
    sizes = [measure.bytes for measure in measures if measure.bytes >= 0]
    return {**({"rowCount": sum(rows)} if rows else {}), **({"size": sum(sizes)} if sizes else {})}


_MEASURED: Final = {
    "partition": "partition",
    "first_offset": "firstOffset",
    "last_offset": "lastOffset",
    "rows": "rows",
    "bytes": "bytes",
    "lag": "lag",
}


def _measured(use: DatasetUse) -> dict[str, Json]:
    """Partitions, offsets and lag, and the schema's version, where they say more than rows and bytes do."""
    found = []
    for measure in use.measures:
        said: dict[str, Json] = {
            word: getattr(measure, member) for member, word in _MEASURED.items() if getattr(measure, member) >= 0
        }
        if measure.data_through_us:
            said["dataThrough"] = _time(measure.data_through_us)
        if said.keys() - {"rows", "bytes"}:
            found.append(said)
    version = {"schemaVersion": use.schema_version} if use.schema_version else {}
    return {**version, **({"measures": found} if found else {})}


def _kept(facets: bytes | None) -> Mapping[str, Json]:
    if not facets:
        return {}
    try:
        return mapping(orjson.loads(facets))
    except orjson.JSONDecodeError:
        return {}  # not ours: an emitter may put any bytes there


def _kept_of(kept: Mapping[str, Json], role: str, name: Name) -> Mapping[str, Json]:
    for said in items(kept.get(role)):
        if (said.get("namespace"), said.get("name")) == (name.namespace, name.name):
            return mapping(said.get("facets"))
    return {}


def _of_name(name: Name) -> dict[str, Json]:
    return {"namespace": name.namespace, "name": name.name}


def _time(time_us: int) -> str:
    when = _EPOCH + timedelta(microseconds=time_us)
    return when.isoformat(timespec="microseconds").replace("+00:00", "Z")
