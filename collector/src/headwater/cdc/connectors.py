"""Kafka Connect's answer to `GET /connectors?expand=info&expand=status` as connectors, and what is said of them. Pure.

A connector that runs is RUNNING, with its datasets; that proves that it lives, and no write. A failed task is a FAIL,
with the first line of its trace, secrets masked; it is not the end, for a task is restarted. One that is paused, stopped or
not yet assigned is OTHER; one that is gone is ABORT.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from headwater.cdc.envelopes import Refused
from headwater.cdc.flows import Flow, flows
from headwater.cdc.names import Server, server_of
from headwater.cdc.statements import emitter, facets, job_event
from headwater.masking import bounded, mask
from headwater_schemas.events import DatasetUse, DirectEdge, EventType, LineageEvent, Name

MOST_FLOWS: Final = 450
"""Each is an input and an output, and an event has room for 1,000 datasets."""
_LINE_CHARS: Final = 500


@dataclass(frozen=True, slots=True)
class Connector:
    """A connector as its Connect cluster tells it. `failures`: one line for each failed task, "" for none."""

    name: str
    job: Name
    emitter: str
    is_source: bool
    state: str
    tasks: int
    failures: tuple[str, ...] = ()
    flows: tuple[Flow, ...] = ()
    flows_left_out: int = 0
    server: Server | None = None
    plugin: str = ""


def connectors_of(
    document: Any, *, namespace: str, cluster: str, topics: Collection[str]
) -> tuple[list[Connector], list[Refused]]:
    """The connectors in the answer; what is none is refused, and the others are read.

    `namespace`: of the jobs of this Connect cluster; `cluster`: bootstrap servers of its Kafka.
    """
    if not isinstance(document, Mapping):
        return [], [Refused("connect_answer", "the answer is no JSON object")]
    found: list[Connector] = []
    refused: list[Refused] = []
    for name, told in document.items():
        info, status = (told.get(part) if isinstance(told, Mapping) else None for part in ("info", "status"))
        config = info.get("config") if isinstance(info, Mapping) else None
        if not isinstance(config, Mapping) or not isinstance(status, Mapping):
            refused.append(Refused("connector", "one without info, config or status"))
            continue
        settings = {str(key): value for key, value in config.items() if isinstance(value, str)}
        found.append(_connector(str(name), settings, status, namespace, cluster, topics))
    return found, refused


def _connector(
    name: str,
    config: Mapping[str, str],
    status: Mapping[str, Any],
    namespace: str,
    cluster: str,
    topics: Collection[str],
) -> Connector:
    server = server_of(config)
    moved = flows(config, cluster, topics)
    plugin = config.get("connector.class", "")
    debezium_sink = server is None and plugin.startswith("io.debezium.")
    job = server.job_name if server else Name(name, f"{name}.0") if debezium_sink else Name(namespace, name)
    tasks = [task for task in status.get("tasks") or [] if isinstance(task, Mapping)]
    head = status.get("connector")
    head = head if isinstance(head, Mapping) else {}
    failures = [_failure("connector", head)] if head.get("state") == "FAILED" else []
    failures += [_failure(f"task {task.get('id')}", task) for task in tasks if task.get("state") == "FAILED"]
    return Connector(
        name,
        job,
        emitter(server) if server else f"cdc:{name}",
        is_source=status.get("type") == "source",
        state=str(head.get("state", "UNKNOWN")).upper()[:32],
        tasks=len(tasks),
        failures=tuple(failures),
        flows=tuple(moved[:MOST_FLOWS]),
        flows_left_out=max(0, len(moved) - MOST_FLOWS),
        server=server,
        plugin=plugin[:200],
    )


def _failure(who: str, told: Mapping[str, Any]) -> str:
    trace = told.get("trace")
    first = next(iter(trace.strip().splitlines()), "") if isinstance(trace, str) else ""
    return bounded(mask(f"{who} failed: {first}" if first else f"{who} failed"), _LINE_CHARS)


def connector_said(connector: Connector, at_ms: int) -> LineageEvent:
    """What is said of a connector at this time (rounded by the caller, so that a repetition says the same)."""
    kind = EventType.OTHER
    if connector.failures:
        kind = EventType.FAIL
    elif connector.state == "RUNNING":
        kind = EventType.RUNNING
    reads = dict.fromkeys(flow.source for flow in connector.flows if flow.source is not None)
    writes = dict.fromkeys(flow.target for flow in connector.flows if flow.target is not None)
    both = [(flow.source, flow.target) for flow in connector.flows]
    edges = tuple(DirectEdge(source, target) for source, target in both if source and target)
    said = [str(edge.source) + "\0" + str(edge.target) for edge in edges]
    said += [str(name) for name in (*reads, *writes)]
    event = job_event(
        connector.job, connector.emitter, kind, at_ms, ["connector", connector.state, *connector.failures, *said]
    )
    return replace(
        event,
        inputs=tuple(DatasetUse(name.namespace, name.name) for name in reads),
        outputs=tuple(DatasetUse(name.namespace, name.name) for name in writes),
        edges=edges,
        error="; ".join(connector.failures)[:2_000] or None,
        facets=facets(
            plugin=connector.plugin, state=connector.state, tasks=connector.tasks, left_out=connector.flows_left_out
        ),
    )


def connector_gone(job: Name, speaker: str, at_ms: int) -> LineageEvent:
    """The connector was deleted. If it comes again, its job runs again."""
    event = job_event(job, speaker, EventType.ABORT, at_ms, ["gone"])
    return replace(event, error="the connector was deleted")
