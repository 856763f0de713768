"""How containers of a pod ended, as events of their job. Pure: the JSON of a pod in, events out.

A job that ends in order speaks for itself, so only what cannot have been said is told: exit codes, signals, kills for
memory, evictions, containers that never started. Each such end is a run of its own, START and FAIL (ABORT where somebody
deleted the pod), with the pod's facts, the image with its digest, and a facet `headwater_kubernetes`. Ids follow from pod,
container and restart: a pod that is seen again, also by another watcher, says the same events, and they count once.

A job is named by the label `app.kubernetes.io/name`, as in the SDK; annotations `headwater.io/job` and
`headwater.io/namespace` win over it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from headwater.kubernetes import NAME_LABEL
from headwater.masking import bounded, mask
from headwater_schemas.events import EventType, LineageEvent, Name, Processing, Runtime

RUNS: Final = uuid.UUID("2f3c0bfa-8b1d-5f0e-9a77-41a1a2f7f6d1")
"""The namespace of run ids that follow from a pod's container."""

JOB_ANNOTATION: Final = "headwater.io/job"
NAMESPACE_ANNOTATION: Final = "headwater.io/namespace"
NEVER_STARTED: Final = frozenset(
    {
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "RunContainerError",
    }
)
"""Reasons for which a container waits and will not run without somebody's help. `CrashLoopBackOff` is none: it has run,
and how that ended is told."""

_SIGTERM_EXIT: Final = 143
_LONGEST: Final = 2_000

Pod = Mapping[str, Any]  # Any: JSON of the Kubernetes API


@dataclass(frozen=True, slots=True)
class End:
    """How one container ended, or why it never began."""

    container: str
    restart: int
    reason: str
    message: str = ""
    exit_code: int | None = None
    signal: int = 0
    started_us: int = 0
    finished_us: int = 0
    image: str = ""
    aborted: bool = False

    def sentence(self) -> str:
        """For a person."""
        code = "" if self.exit_code is None else f" (exit code {self.exit_code})"
        times = f", after {self.restart} restarts" if self.restart else ""
        return f"container {self.container}: {self.reason}{code}{times}" + (f": {self.message}" if self.message else "")


def job_of(pod: Pod, namespace: str) -> Name | None:
    """The job that the pod belongs to; None: it names none."""
    metadata = _map(pod.get("metadata"))
    labels, annotations = _map(metadata.get("labels")), _map(metadata.get("annotations"))
    name = str(annotations.get(JOB_ANNOTATION) or labels.get(NAME_LABEL) or "").strip()
    space = str(annotations.get(NAMESPACE_ANNOTATION) or namespace).strip()
    return Name(space, name) if name and space else None


def events_of(pod: Pod, namespace: str, now_us: int) -> Iterator[LineageEvent]:
    """What is to be told of the pod; `namespace` is that of jobs whose pods do not say it."""
    job = job_of(pod, namespace)
    if job is None:
        return
    metadata = _map(pod.get("metadata"))
    uid = str(metadata.get("uid") or "")
    for end in ends_of(pod):
        run_id = uuid.uuid5(RUNS, f"{uid}/{end.container}/{end.restart}")
        finished_us = end.finished_us or now_us
        kind = EventType.ABORT if end.aborted else EventType.FAIL
        for event_type, time_us in ((EventType.START, end.started_us or finished_us), (kind, finished_us)):
            yield LineageEvent(
                event_id=uuid.uuid5(run_id, event_type.value).bytes,
                event_time_us=time_us,
                event_type=event_type,
                run_id=run_id.bytes,
                job=job,
                processing=Processing.UNKNOWN,
                emitter=f"k8s-watch:{job}",
                runtime=_runtime(pod, end),
                error=bounded(mask(end.sentence()), _LONGEST) if event_type is kind else None,
                facets=orjson.dumps({"run": {"headwater_kubernetes": _facet(pod, end)}}),
            )


def ends_of(pod: Pod) -> Iterator[End]:
    """What of the pod ended otherwise than in order, each once a restart."""
    status, metadata = _map(pod.get("status")), _map(pod.get("metadata"))
    deleted = bool(metadata.get("deletionTimestamp"))
    told = False
    for kind in ("initContainerStatuses", "containerStatuses"):
        for container in _list(status.get(kind)):
            for end in _ends_of_container(container, deleted=deleted):
                told = True
                yield end
    if not told and status.get("phase") == "Failed":  # evicted, preempted, past its deadline: no container says it
        reason, message = str(status.get("reason") or "Failed"), str(status.get("message") or "")
        yield End("*", 0, reason, message, started_us=_time_us(status.get("startTime")))


def _ends_of_container(container: Mapping[str, Any], *, deleted: bool) -> Iterator[End]:
    name, restarts = str(container.get("name") or "?"), int(container.get("restartCount") or 0)
    image = _image(container)
    now, before = _map(container.get("state")), _map(container.get("lastState"))
    if restarts and (ended := _map(before.get("terminated"))):
        yield from _terminated(name, restarts - 1, ended, image, deleted=False)
    if ended := _map(now.get("terminated")):
        yield from _terminated(name, restarts, ended, image, deleted=deleted)
    waiting = _map(now.get("waiting"))
    if waiting.get("reason") in NEVER_STARTED:
        yield End(name, restarts, str(waiting["reason"]), str(waiting.get("message") or ""), image=image)


def _terminated(name: str, restart: int, ended: Mapping[str, Any], image: str, *, deleted: bool) -> Iterator[End]:
    code, reason = int(ended.get("exitCode") or 0), str(ended.get("reason") or "Error")
    if code == 0 and reason in ("Completed", "Error"):
        return  # it has said so itself
    if deleted and code == _SIGTERM_EXIT:
        return  # told to go, and gone: the SDK has aborted its runs
    yield End(
        name,
        restart,
        reason,
        str(ended.get("message") or ""),
        code,
        int(ended.get("signal") or 0),
        _time_us(ended.get("startedAt")),
        _time_us(ended.get("finishedAt")),
        image,
        aborted=deleted,
    )


def _runtime(pod: Pod, end: End) -> Runtime:
    metadata, spec = _map(pod.get("metadata")), _map(pod.get("spec"))
    return Runtime(
        pod=str(metadata.get("name") or ""),
        pod_uid=str(metadata.get("uid") or ""),
        k8s_namespace=str(metadata.get("namespace") or ""),
        node=str(spec.get("nodeName") or ""),
        container="" if end.container == "*" else end.container,
        image=end.image,
    )


def _facet(pod: Pod, end: End) -> dict[str, Any]:
    owners = _list(_map(pod.get("metadata")).get("ownerReferences"))
    owner = f"{owners[0].get('kind')}/{owners[0].get('name')}" if owners else ""
    facts = {
        "reason": end.reason,
        "exitCode": end.exit_code,
        "signal": end.signal,
        "restarts": end.restart,
        "owner": owner,
    }
    return {key: value for key, value in facts.items() if value not in (None, "")}


def _image(container: Mapping[str, Any]) -> str:
    """`registry/orders:1.14.2@sha256:…`: the name that was asked for, and what was run."""
    image, ident = str(container.get("image") or ""), str(container.get("imageID") or "")
    _, at, digest = ident.rpartition("@")
    return f"{image}@{digest}" if at and digest not in image else image


def _time_us(text: Any) -> int:
    """RFC 3339 as microseconds; 0 where there is none."""
    if not isinstance(text, str):
        return 0
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return 0
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1_000_000)


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []
