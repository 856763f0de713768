"""Datasets of an OpenLineage document, with what their facets say, and the edges stated between them. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

import orjson

from headwater.openlineage.values import Json, Unusable, count, dataset_of, facets, items, mapping, text
from headwater_schemas.events import DatasetUse, DirectEdge, Lifecycle, Measure, Name

MOST_DATASETS: Final = 1_000
MOST_EDGES: Final = 10_000
_SCHEMA_VERSION_BYTES: Final = 6


def inputs(document: Mapping[str, Json]) -> tuple[DatasetUse, ...]:
    """What was read, each dataset once."""
    return _uses(document, "inputs", "inputFacets", "inputStatistics")


def outputs(document: Mapping[str, Json]) -> tuple[DatasetUse, ...]:
    """What was written; of a DatasetEvent the dataset itself: outputs alone can tell a lifecycle change."""
    if "dataset" in document and "run" not in document and "job" not in document:
        return (_use(document["dataset"], "dataset", "outputFacets", "outputStatistics", is_output=True),)
    return _uses(document, "outputs", "outputFacets", "outputStatistics")


def edges(document: Mapping[str, Json]) -> tuple[DirectEdge, ...]:
    """Dataset to dataset, as the producer states it: the `lineage` facet, and only without it `columnLineage`."""
    stated = dict.fromkeys(_stated(document))
    if len(stated) > MOST_EDGES:
        raise Unusable("", f"{len(stated)} direct edges; at most {MOST_EDGES} fit into one event")
    return tuple(stated)


def _uses(document: Mapping[str, Json], role: str, own: str, statistics: str) -> tuple[DatasetUse, ...]:
    given = document.get(role, [])
    if not isinstance(given, list):
        raise Unusable(role, "is no array")
    if len(given) > MOST_DATASETS:
        raise Unusable(role, f"has {len(given)} datasets; at most {MOST_DATASETS} fit into one event")
    found: dict[Name, DatasetUse] = {}
    for at, dataset in enumerate(given):
        use = _use(dataset, f"{role}[{at}]", own, statistics, is_output=role == "outputs")
        name = Name(use.namespace, use.name)
        found[name] = _merged(found[name], use) if name in found else use
    return tuple(found.values())


def _use(dataset: Json, path: str, own: str, statistics: str, *, is_output: bool) -> DatasetUse:
    name = dataset_of(dataset)
    if name is None:
        part = "name" if text(mapping(dataset).get("namespace")) else "namespace"
        raise Unusable(f"{path}.{part}", "is missing or empty")
    said = facets(dataset.get("facets"))
    measured = facets(dataset.get(own)).get(statistics) or said.get(statistics) or {}
    lifecycle, previous = _lifecycle(said.get("lifecycleStateChange", {})) if is_output else (Lifecycle.NONE, None)
    return DatasetUse(
        name.namespace,
        name.name,
        schema_version=_schema_version(said.get("schema", {})),
        aliases=_aliases(said.get("symlinks", {}), name),
        lifecycle=lifecycle,
        previous=previous,
        measures=_measures(measured),
    )


def _merged(one: DatasetUse, other: DatasetUse) -> DatasetUse:
    changed = other.lifecycle is not Lifecycle.NONE
    return replace(
        one,
        schema_version=one.schema_version or other.schema_version,
        aliases=tuple(dict.fromkeys((*one.aliases, *other.aliases))),
        lifecycle=other.lifecycle if changed else one.lifecycle,
        previous=other.previous if changed else one.previous,
        measures=one.measures + other.measures,
    )


def _measures(statistics: Mapping[str, Json]) -> tuple[Measure, ...]:
    rows = count(statistics.get("rowCount"))
    size = count(statistics.get("size", statistics.get("bytes")))
    return (Measure(rows=rows, bytes=size),) if rows >= 0 or size >= 0 else ()


def _lifecycle(facet: Mapping[str, Json]) -> tuple[Lifecycle, Name | None]:
    said = text(facet.get("lifecycleStateChange")).upper()
    lifecycle = Lifecycle[said] if said in Lifecycle.__members__ else Lifecycle.NONE
    return lifecycle, dataset_of(facet.get("previousIdentifier")) if lifecycle is Lifecycle.RENAME else None


def _aliases(facet: Mapping[str, Json], own: Name) -> tuple[Name, ...]:
    names = (dataset_of(identifier) for identifier in items(facet.get("identifiers")))
    return tuple(dict.fromkeys(name for name in names if name is not None and name != own))


def _schema_version(facet: Mapping[str, Json]) -> str:
    """A short hash of field names and types, nested ones too, in their order; "" where no fields are told."""
    fields = _fields(facet.get("fields"))
    return hashlib.blake2b(orjson.dumps(fields), digest_size=_SCHEMA_VERSION_BYTES).hexdigest() if fields else ""


def _fields(given: Json) -> list[Json]:
    return [
        [text(field.get("name")), text(field.get("type")).lower(), _fields(field.get("fields"))]
        for field in items(given)
    ]


def _stated(document: Mapping[str, Json]) -> Iterator[DirectEdge]:
    job_lineage = facets(mapping(document.get("job")).get("facets")).get("lineage")
    if job_lineage is not None:
        for entry in items(job_lineage.get("entries")):
            yield from _lineage(entry, entry)
        return
    described = [document["dataset"]] if isinstance(document.get("dataset"), Mapping) else []
    for dataset in (*described, *items(document.get("outputs"))):
        said = facets(dataset.get("facets"))
        if "lineage" in said:
            yield from _lineage(dataset, said["lineage"])
        elif "columnLineage" in said:
            yield from _column_lineage(dataset, said["columnLineage"])


def _lineage(target: Mapping[str, Json], lineage: Mapping[str, Json]) -> Iterator[DirectEdge]:
    """Entity-level and field-level inputs of a dataset; jobs at either end say nothing about datasets."""
    if _is_job(target):
        return
    yield from _edges(target, lineage.get("inputs"))
    for field in mapping(lineage.get("fields")).values():
        yield from _edges(target, mapping(field).get("inputs"))


def _column_lineage(target: Mapping[str, Json], lineage: Mapping[str, Json]) -> Iterator[DirectEdge]:
    for field in mapping(lineage.get("fields")).values():
        yield from _edges(target, mapping(field).get("inputFields"))
    yield from _edges(target, lineage.get("dataset"))


def _edges(target: Mapping[str, Json], sources: Json) -> Iterator[DirectEdge]:
    to = dataset_of(target)
    for source in items(sources):
        origin = None if _is_job(source) else dataset_of(source)
        if to is not None and origin is not None:
            yield DirectEdge(origin, to)


def _is_job(entity: Mapping[str, Json]) -> bool:
    return text(entity.get("type")).upper() == "JOB"
