"""One OpenLineage document into one Headwater event. Pure: no clock, no network.

| OpenLineage | Headwater |
|---|---|
| RunEvent, JobEvent, DatasetEvent | an event with run and job; with job; with a dataset alone (an output of nobody) |
| `eventType` missing or unknown | OTHER |
| `run.runId` that is no UUID | UUIDv5 of it, always the same |
| no event id | UUIDv5 of the document without nulls, keys sorted: a repetition has the same id |
| `parent` (and its `root`), `nominalTime`, `errorMessage` | parent and root run and job, nominal times, error |
| `jobType` | processing (STREAMING and SERVICE are streaming); Debezium: restartable |
| `schema`, `symlinks`, `lifecycleStateChange` | schema version (a hash), aliases, lifecycle and previous name |
| `inputStatistics`, `outputStatistics` | rows and bytes |
| `lineage`, else `columnLineage` | direct edges |
| `producer` | producer; its host and path without version are part of the emitter |

What is not wholly said by these fields stays in `facets`, secrets masked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

import orjson

from headwater.masking import error_text, mask
from headwater.openlineage import datasets
from headwater.openlineage.leftovers import leftover_facets
from headwater.openlineage.values import (
    Json,
    Rejected,
    Unusable,
    facets,
    mapping,
    name_of,
    pruned,
    run_id,
    text,
    time_us,
)
from headwater_schemas.events import NIL_UUID, EventType, LineageEvent, Name, Processing
from headwater_schemas.ids import derived_event_id

_TYPES: Final = {kind.value: kind for kind in EventType}
_PROCESSING: Final = {
    "BATCH": Processing.BATCH,
    "STREAMING": Processing.STREAMING,
    "SERVICE": Processing.STREAMING,
}
_VERSION: Final = re.compile(r"v?\d+(\.\d+)+[\w.+-]*|\d+|main|master|HEAD|SNAPSHOT|[0-9a-f]{40}", re.IGNORECASE)

_VERSION_BEHIND: Final = re.compile(r"[-_@: ]v?\d+(?:\.\d+)+[\w.+-]*$")


def convert(document: Mapping[str, Json]) -> LineageEvent | Rejected:
    """The event that the document describes, or where and why it is none. Never raises for what a document holds."""
    try:
        if not isinstance(document, Mapping):
            raise Unusable("", "not a JSON object")
        whole = pruned(document)
        return convert_pruned(whole, orjson.dumps(whole, option=orjson.OPT_SORT_KEYS))
    except Unusable as error:
        return error.rejected
    except (orjson.JSONEncodeError, TypeError, UnicodeError) as error:
        return Rejected("", f"not proper JSON: {error_text(error, 200)}")


def convert_pruned(document: Mapping[str, Json], canonical: bytes) -> LineageEvent:
    """The event of a document without nulls, and of its JSON with sorted keys. Raises Unusable."""
    happened_us = time_us(document.get("eventTime"))
    if happened_us < 1:
        reason = "is missing" if "eventTime" not in document else "is no ISO 8601 time after 1970"
        raise Unusable("eventTime", reason)
    run, job = _run_and_job(document)
    run_facets, job_facets = facets(mapping(document.get("run")).get("facets")), _job_facets(document)
    inputs, outputs = datasets.inputs(document), datasets.outputs(document)
    if job is None and not outputs:
        raise Unusable("", "neither run, job nor dataset: no OpenLineage event")
    producer = text(document.get("producer"))
    job_type = job_facets.get("jobType", {})
    debezium = text(job_type.get("integration")).upper() == "DEBEZIUM" or "/debezium/" in producer
    parent = _Parent(run_facets)
    nominal = run_facets.get("nominalTime", {})
    return LineageEvent(
        event_id=derived_event_id(canonical),
        event_time_us=happened_us,
        event_type=_TYPES.get(text(document.get("eventType")).upper(), EventType.OTHER) if run else EventType.OTHER,
        run_id=run or NIL_UUID,
        job=job or Name("", ""),
        inputs=inputs,
        outputs=outputs,
        edges=datasets.edges(document),
        processing=_processing(job_type, debezium),
        restartable=debezium,
        # They come when a schema changes or a task stops: a COMPLETE of Debezium must not credit its topics with a write.
        backfill=debezium,
        emitter=_emitter(producer, job_type, job),
        producer=_without_secrets(producer),
        parent_run_id=parent.run_id,
        parent_job=parent.job,
        root_run_id=parent.root_run_id,
        root_job=parent.root_job,
        nominal_start_us=max(0, time_us(nominal.get("nominalStartTime"))),
        nominal_end_us=max(0, time_us(nominal.get("nominalEndTime"))),
        error=error_text(text(run_facets.get("errorMessage", {}).get("message"))) or None,
        facets=leftover_facets(document),
    )


def _run_and_job(document: Mapping[str, Json]) -> tuple[bytes | None, Name | None]:
    """Run and job of a RunEvent; no run for a JobEvent; neither for a DatasetEvent."""
    if not isinstance(document.get("run"), Mapping) and not isinstance(document.get("job"), Mapping):
        if "run" in document or "job" in document:
            raise Unusable("job", "is no object")
        return None, None
    job = document.get("job")
    if not isinstance(job, Mapping):
        raise Unusable("job", "is missing")
    for part in ("namespace", "name"):
        if not text(job.get(part)):
            raise Unusable(f"job.{part}", "is missing or empty")
    if "run" not in document:
        return None, name_of(job)
    run = run_id(mapping(document["run"]).get("runId"))
    if run is None:
        raise Unusable("run.runId", "is missing or empty")
    return run, name_of(job)


class _Parent:
    """Who started this run: of the `parent` facet what is usable; an unusable part is as if it were not there."""

    def __init__(self, run_facets: Mapping[str, Mapping[str, Json]]) -> None:
        facet = run_facets.get("parent") or run_facets.get("parentRun") or {}
        root = mapping(facet.get("root"))
        self.run_id = run_id(mapping(facet.get("run")).get("runId"))
        self.job = name_of(facet.get("job"))
        self.root_run_id = run_id(mapping(root.get("run")).get("runId"))
        self.root_job = name_of(root.get("job"))


def _job_facets(document: Mapping[str, Json]) -> dict[str, Mapping[str, Json]]:
    return facets(mapping(document.get("job")).get("facets"))


def _processing(job_type: Mapping[str, Json], debezium: bool) -> Processing:
    said = _PROCESSING.get(text(job_type.get("processingType")).upper(), Processing.UNKNOWN)
    return Processing.STREAMING if debezium and said is Processing.UNKNOWN else said


def _emitter(producer: str, job_type: Mapping[str, Json], job: Name | None) -> str:
    """Who speaks: the library and the job's namespace; stable over its versions.

    The producer is on every event, `jobType` often on START alone, so the integration is only the second choice:
    one speaker must not have two names.
    """
    library = _unversioned(producer) or text(job_type.get("integration")).lower() or "unknown"
    return f"openlineage:{library}" + (f"/{job.namespace}" if job else "")


_without_secrets: Final = lru_cache(maxsize=1_024)(mask)


@lru_cache(maxsize=1_024)
def _unversioned(producer: str) -> str:
    """Host and path of a producer URI, or what else it is called, without `tree/<version>` and what changes with a release."""
    try:
        parts = urlsplit(producer)
        host = parts.hostname or ""
    except ValueError:
        return ""
    if not host:
        named = (_VERSION_BEHIND.sub("", part) for part in mask(producer)[:200].split("/"))
        return "/".join(part for part in named if part and not _VERSION.fullmatch(part))
    path = [part for part in parts.path.split("/") if part and part not in {"tree", "blob"}]
    return "/".join([host, *(part for part in path if not _VERSION.fullmatch(part))])
