"""One incident for people and for programs: what was said, what helps, where its job ran, and commands to paste."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any, Final

from headwater_processor.local.incidents import Incident
from headwater_processor.local.status_view import run_object
from headwater_processor.local.texts import ago, iso
from headwater_processor.state import StateReader, UnknownDatasetError
from headwater_schemas.alerts import Alert
from headwater_schemas.decisions import NEVER_SILENT, subject_of
from headwater_schemas.events import Name

_WHERE: Final = ("k8s_namespace", "pod", "container", "image", "node", "function", "function_version", "host")


def facts_of(reader: StateReader, alert: Alert) -> dict[str, Any]:
    """What the state knows of the job behind an alert: of a job itself, of a dataset the one that wrote it last.

    Raises StateError and redis.RedisError as the reader does; a dataset that is gone has no facts.
    """
    name = Name(alert.namespace, alert.name)
    found: dict[str, Any] = {}
    if alert.subject_kind == "dataset":
        try:
            dataset = reader.dataset(name)
        except UnknownDatasetError:
            return {}
        found = {"state": dataset.state, "why": dataset.reason, "last_write": iso(dataset.last_write_us)}
        written_by = dataset.written_by
    else:
        written_by = str(name) if alert.subject_kind == "job" else ""
    job = _job(reader, written_by)
    if job is None:
        return found
    last = job.last
    return {
        **found,
        "job": str(job.name),
        "emitter": job.emitter,
        "last_run": run_object(last) if last else None,
        "last_ok": run_object(job.last_ok) if job.last_ok else None,
        "last_failure": next((run_object(run) for run in job.runs if run.state == "FAIL"), None),
    }


def as_object(incident: Incident, facts: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The incident for programs."""
    last = incident.last
    document = {
        "incident_id": last.incident_id,
        "firing": incident.firing,
        "kind": last.kind,
        "severity": last.severity.value,
        "subject_kind": last.subject_kind,
        "namespace": last.namespace,
        "name": last.name,
        "owner": last.owner,
        "summary": last.summary,
        "reason": last.reason,
        "remedy": last.remedy,
        "since": iso(last.since_us),
        "deadline": iso(last.deadline_us),
        "candidates": list(last.candidates),
        "fingerprint": last.fingerprint,
        "decisions": [
            {"kind": one.kind.value, "by": one.by, "until": iso(one.until_us), "note": one.note}
            for one in incident.decisions
        ],
    }
    if facts is None:
        return document
    transitions = [
        {"state": one.state.value, "as_of": iso(one.as_of_us), "summary": one.summary} for one in incident.transitions
    ]
    return {**document, "transitions": transitions, "facts": dict(facts), "commands": commands(incident, facts)}


def as_lines(incident: Incident, facts: Mapping[str, Any], now_us: int) -> Iterator[str]:
    """The incident for a person."""
    last = incident.last
    yield f"{'FIRING' if incident.firing else 'RESOLVED'}  {last.severity.value}  {last.kind}  {subject_of(last)}"
    yield last.summary
    yield f"incident  {last.incident_id}"
    if last.reason:
        yield f"reason    {last.reason}"
    if last.remedy:
        yield f"remedy    {last.remedy}"
    if last.owner:
        yield f"owner     {last.owner}"
    for one in incident.transitions:
        yield f"{one.state.value.lower():9} {iso(one.as_of_us) or '-'}  ({ago(one.as_of_us, now_us)})"
    for decision in incident.decisions:
        until = iso(decision.until_us) or "-"
        yield f"{decision.kind.value.lower():9} by {decision.by} until {until}  {decision.note}".rstrip()
    yield from _fact_lines(facts)
    yield "commands"
    for command in commands(incident, facts):
        yield f"  {command}"


def commands(incident: Incident, facts: Mapping[str, Any]) -> list[str]:
    """What to look at next, ready to paste."""
    last, found = incident.last, list[str]()
    subject = shlex.quote(subject_of(last))
    if last.subject_kind == "dataset":
        found.append(f"headwater trace {subject} --depth 3")
    if facts.get("job"):
        found.append(f"headwater status --job {shlex.quote(facts['job'])}")
    elif last.subject_kind == "job":
        found.append(f"headwater status --job {subject}")
    if last.subject_kind == "emitter":
        found.append(f"headwater status --emitter {subject}")
    if last.subject_kind in ("partition", "domain"):
        found.append("headwater doctor")
    where = ((facts.get("last_run") or {}).get("runtime")) or {}
    if where.get("pod"):
        space = f"--namespace {shlex.quote(where['k8s_namespace'])} " if where.get("k8s_namespace") else ""
        container = f" --container {shlex.quote(where['container'])}" if where.get("container") else ""
        found.append(f"kubectl {space}logs {shlex.quote(where['pod'])}{container} --tail=200")
        found.append(f"kubectl {space}describe pod {shlex.quote(where['pod'])}")
    if incident.firing and not incident.decisions and last.kind != NEVER_SILENT:
        found.append(f"headwater alerts ack {last.incident_id[:12]}")
    return found


def _fact_lines(facts: Mapping[str, Any]) -> Iterator[str]:
    if facts.get("state"):
        yield f"now       {facts['state']}: {facts['why'] or '-'}; last write {facts['last_write'] or 'never'}"
    if facts.get("job"):
        told = f", told by {facts['emitter']}" if facts.get("emitter") else ""
        yield f"job       {facts['job']}{told}"
    for name, title in (("last_run", "last run"), ("last_failure", "last fail"), ("last_ok", "last ok")):
        run = facts.get(name)
        if run and (name == "last_run" or run["run"] != (facts.get("last_run") or {}).get("run")):
            yield f"{title:9} {run['run']} {run['state']}, started {run['started'] or '-'}, ended {run['ended'] or '-'}"
            if run["error"]:
                yield f"          error: {run['error']}"
            where = ", ".join(f"{key} {run['runtime'][key]}" for key in _WHERE if run["runtime"].get(key))
            if where:
                yield f"          {where}"


def _job(reader: StateReader, text: str) -> Any:  # Any: a JobState or None
    for place in reversed([at for at, letter in enumerate(text) if letter == "/"]):
        found = reader.job(Name(text[:place], text[place + 1 :]))
        if found is not None:
            return found
    return None
