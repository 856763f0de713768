"""Whether an event is the one that is waited for, and what it says. Pure.

| subject | its events |
|---|---|
| `debezium` | OpenLineage whose producer is Debezium, or change data capture as `headwater cdc` tells it |
| `connect` | what `headwater cdc` tells |
| `openlineage` | OpenLineage of anybody else; `airflow`, `spark`, `dbt`: by their producer |
| `job`, `emit-run` | the SDK, also by the gateway; an event of `emit run` does not differ from a job's |
| `kafka-client` | the same, with a topic whose partitions were measured |
| `function` | the SDK in a function |

With a job's name only its events count.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from headwater.connect.doors import CDC, FUNCTION, OPENLINEAGE, SDK, door_of
from headwater_schemas.events import NIL_UUID, DatasetUse, LineageEvent, Name

SUBJECTS: Final = (
    "debezium",
    "connect",
    "openlineage",
    "airflow",
    "spark",
    "dbt",
    "job",
    "kafka-client",
    "emit-run",
    "function",
)
"""What `headwater connect` knows how to connect."""

_OURS: Final = "github.com/headwater-lineage/headwater/"
_OFF_US: Final = 300_000_000
"""An event time that is further from Kafka's stamp is worth a word: `processor.lateness_ms` by default."""


@dataclass(frozen=True, slots=True)
class Received:
    """An event as it stands on its topic. `stamped_us` is Kafka's time, 0 where it gives none."""

    event: LineageEvent
    partition: int
    offset: int
    stamped_us: int = 0


def is_awaited(subject: str, event: LineageEvent, job: Name | None = None) -> bool:
    """Whether it is an event of the subject, and of the job where one is named."""
    return (job is None or event.job == job) and _RULES[subject](event)


def _by_debezium(event: LineageEvent) -> bool:
    door = door_of(event.emitter)
    return door == CDC or (door == OPENLINEAGE and "/debezium/" in event.producer)


def _by_openlineage(event: LineageEvent) -> bool:
    return door_of(event.emitter) == OPENLINEAGE and not _by_debezium(event) and _OURS not in event.producer


def _by_producer(*words: str) -> Callable[[LineageEvent], bool]:
    return lambda event: _by_openlineage(event) and any(word in event.producer.lower() for word in words)


def _by_sdk(event: LineageEvent) -> bool:
    # By HTTP the gateway makes the event, and the producer tells that it was our SDK.
    door = door_of(event.emitter)
    return door in {SDK, FUNCTION} or (door == OPENLINEAGE and _OURS in event.producer)


def _in_function(event: LineageEvent) -> bool:
    known = event.runtime is not None and bool(event.runtime.function)
    return _by_sdk(event) and (known or b"headwater_function" in (event.facets or b""))


def _by_job(event: LineageEvent) -> bool:
    return _by_sdk(event) and not _in_function(event)


def _by_kafka_client(event: LineageEvent) -> bool:
    topics = (use for use in (*event.inputs, *event.outputs) if use.namespace.startswith("kafka://"))
    return _by_job(event) and any(use.measures for use in topics)


_RULES: Final[Mapping[str, Callable[[LineageEvent], bool]]] = {
    "debezium": _by_debezium,
    "connect": lambda event: door_of(event.emitter) == CDC,
    "openlineage": _by_openlineage,
    "airflow": _by_producer("airflow"),
    "spark": _by_producer("/integration/spark"),
    "dbt": _by_producer("/integration/dbt"),
    "job": _by_job,
    "kafka-client": _by_kafka_client,
    "emit-run": _by_job,
    "function": _in_function,
}


def as_document(heard: Received, now_us: int) -> dict[str, Any]:  # Any: what JSON holds
    """What an event says, for programs."""
    event = heard.event
    return {
        "job": str(event.job) if event.job.name else None,
        "event_type": event.event_type.value,
        "run_id": str(uuid.UUID(bytes=event.run_id)) if event.run_id != NIL_UUID else None,
        "inputs": [_dataset(use) for use in event.inputs],
        "outputs": [_dataset(use) for use in event.outputs],
        "emitter": event.emitter,
        "producer": event.producer,
        "where": _where(event),
        "error": event.error,
        "event_age_ms": (now_us - event.event_time_us) // 1_000,
        "partition": heard.partition,
        "offset": heard.offset,
        "remarks": remarks(heard),
    }


def remarks(heard: Received) -> list[str]:
    """What a person should know of the first event."""
    event, said = heard.event, []
    off_us = event.event_time_us - heard.stamped_us
    if heard.stamped_us > 0 and abs(off_us) > _OFF_US:
        how = "ahead of" if off_us > 0 else "behind"
        said.append(
            f"its time is {abs(off_us) // 1_000_000} s {how} Kafka's clock: if it tells of now, that clock is wrong"
        )
    if event.error:
        said.append(f"the run failed: {event.error.splitlines()[0][:200]}")
    if not event.inputs and not event.outputs:
        said.append("it names no dataset yet: inputs and outputs may come with a later event of the run")
    return said


def _dataset(use: DatasetUse) -> str:
    return f"{use.namespace}/{use.name}"


def _where(event: LineageEvent) -> str:
    """Pod, function or host."""
    runtime = event.runtime
    if runtime is None:
        return ""
    if runtime.pod:
        return f"pod {runtime.k8s_namespace}/{runtime.pod}" if runtime.k8s_namespace else f"pod {runtime.pod}"
    if runtime.function:
        return f"function {runtime.function} {runtime.function_version}".rstrip()
    return f"host {runtime.host}" if runtime.host else ""
