"""What `headwater status` says, as one object for programs and as lines for people. Pure: the clock is an argument."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from headwater.cli.printing import printable
from headwater_processor.core import stops
from headwater_processor.local.status_hints import unknown_hint
from headwater_processor.local.texts import ago, count, iso
from headwater_processor.state.runs import RunImage
from headwater_processor.state.values import AlertState, DatasetState, JobState, PartitionState, Summary
from headwater_schemas.events import Name

WORST_FIRST: Final = ("STALE", "NO_DATA", "LATE", "RECOVERED", "IDLE", "FRESH", "UNKNOWN")
_OVERDUE: Final = frozenset({"STALE", "NO_DATA", "LATE"})
BREACHED: Final = frozenset({"STALE", "NO_DATA"})
"""The states for which `--fail` ends with 1."""

LOOSE_JOBS_SHOWN: Final = 10

_COLOURS: Final = {
    "STALE": "bold red",
    "LATE": "yellow",
    "NO_DATA": "red",
    "RECOVERED": "green",
    "FRESH": "green",
    "IDLE": "cyan",
    "UNKNOWN": "dim",
}
KINDS: Final = {"source": "a source: nobody known writes it", "leaf": "a leaf: nobody known reads it"}
_LOOSE: Final = {
    "read-never-written": "read, but nobody writes it",
    "written-never-read": "written, but nobody reads it",
    "job-without-inputs": "reads nothing",
    "job-without-outputs": "writes nothing",
    "job-unlinked": "neither reads nor writes anything",
}


@dataclass(frozen=True, slots=True)
class StatusReport:
    """Everything that one look at the domain showed."""

    summary: Summary
    partitions: Sequence[PartitionState]
    alerts: Sequence[AlertState]
    datasets: Sequence[DatasetState] = field(default=())
    """Those that passed the filters, worst first."""
    jobs: Sequence[JobState] = field(default=())
    counts: Counter[str] = field(default_factory=Counter)
    """Datasets by state, of those that passed the filters."""
    tags: Mapping[Name, Sequence[str]] = field(default_factory=dict)
    """Of the datasets, where they were asked for: by policy, which the state does not keep, and as producers state them."""


def worst_first(datasets: Iterable[DatasetState]) -> list[DatasetState]:
    """What is overdue first, then what hangs loose, then the rest by state, deadline and name."""

    def rank(dataset: DatasetState) -> tuple[bool, bool, int, int, str]:
        place = WORST_FIRST.index(dataset.state) if dataset.state in WORST_FIRST else len(WORST_FIRST)
        overdue = dataset.state in _OVERDUE
        return not overdue, not dataset.unlinked, place, dataset.deadline_us or 1 << 62, str(dataset.name)

    return sorted(datasets, key=rank)


def firing(alerts: Iterable[AlertState]) -> list[AlertState]:
    """The alerts that somebody should look at: those that fire, without the watchdog, which always does."""
    return [alert for alert in alerts if alert.state in ("FIRING", "CLEARING") and alert.kind != "Watchdog"]


# --- for programs ---------------------------------------------------------------------------------------------------


def as_object(report: StatusReport) -> dict[str, Any]:
    """The object of `--output json`. Its fields are documented in the processor's README and only ever added to."""
    summary = report.summary
    return {
        "domain": summary.domain,
        "as_of": iso(summary.as_of_us),
        "counts": {
            "datasets": summary.datasets,
            "jobs": summary.jobs,
            "edges": summary.edges,
            "events": summary.applied,
            "alerts_firing": len(firing(report.alerts)),
            "shown": len(report.datasets),
            "unlinked": sum(bool(dataset.unlinked) for dataset in report.datasets),
            "by_kind": {kind: sum(dataset.kind == kind for dataset in report.datasets) for kind in KINDS},
            "by_state": {state: report.counts.get(state, 0) for state in WORST_FIRST},
        },
        "partitions": [partition_object(partition) for partition in report.partitions],
        "alerts": [alert_object(alert) for alert in report.alerts],
        "datasets": [
            dataset_object(dataset) | ({"tags": list(report.tags[dataset.name])} if dataset.name in report.tags else {})
            for dataset in report.datasets
        ],
        "jobs": [job_summary(job) for job in report.jobs],
    }


def partition_object(partition: PartitionState) -> dict[str, Any]:
    """One partition of the events topic."""
    return {
        "partition": partition.partition,
        "next_offset": partition.next_offset,
        "as_of": iso(partition.as_of_us),
        "watermark": iso(partition.watermark_us),
        "applied": partition.applied,
        "duplicates": partition.duplicates,
        "late": partition.late,
        "future": partition.future,
        "undeduped": partition.undeduped,
        "bad": partition.bad,
        "stopped": partition.stopped,
    }


def alert_object(alert: AlertState) -> dict[str, Any]:
    """One alert that is not quiet."""
    return {
        "kind": alert.kind,
        "state": alert.state,
        "subject_kind": alert.subject_kind,
        "namespace": alert.subject.namespace,
        "name": alert.subject.name,
        "since": iso(alert.since_us),
        "deadline": iso(alert.deadline_us),
        "incident_id": alert.incident_id,
        "fingerprint": alert.fingerprint,
    }


def dataset_object(dataset: DatasetState) -> dict[str, Any]:
    """One dataset."""
    hint = unknown_hint(dataset)
    return {
        "namespace": dataset.name.namespace,
        "name": dataset.name.name,
        "present": dataset.present,
        "state": dataset.state,
        "reason": dataset.reason,
        "unknown_because": hint.because if hint else "",
        "next_step": hint.next_step if hint else "",
        "since": iso(dataset.since_us),
        "deadline": iso(dataset.deadline_us),
        "last_write": iso(dataset.last_write_us),
        "data_through": iso(dataset.data_through_us),
        "last_failure": iso(dataset.last_failure_us),
        "written_by": dataset.written_by,
        "written_by_run": dataset.written_by_run,
        "first_seen": iso(dataset.first_seen_us),
        "last_seen": iso(dataset.last_seen_us),
        "first_touched_by": dataset.first_touched_by,
        "unlinked": dataset.unlinked,
        "kind": dataset.kind,
        "candidates": list(dataset.candidates),
        "owner": dataset.owner,
        "policy_version": dataset.policy_version,
        "schema_version": dataset.schema_version,
        "renamed_to": dataset.renamed_to,
        "about": dataset.about.as_object(),
    }


def job_summary(job: JobState) -> dict[str, Any]:
    """One job without its history: how it stands now. `headwater status --job` has the rest."""
    whole = job_object(job)
    del whole["runs"], whole["last_ok"]
    last, good = job.last, job.last_ok
    return {
        **whole,
        "last_run": last.run if last else "",
        "last_state": last.state if last else "",
        "last_started": iso(last.started_us) if last else None,
        "last_error": last.error if last else "",
        "last_ok_run": good.run if good else "",
        "last_ok_ended": iso(good.ended_us) if good else None,
    }


def job_object(job: JobState) -> dict[str, Any]:
    """One job with its runs, newest first."""
    return {
        "namespace": job.name.namespace,
        "name": job.name.name,
        "streaming": job.streaming,
        "emitter": job.emitter,
        "owner": job.owner,
        "about": job.about.as_object(),
        "unlinked": job.unlinked,
        "first_seen": iso(job.first_seen_us),
        "last_seen": iso(job.last_seen_us),
        "open_runs": len(job.open),
        "last_ok": run_object(job.last_ok) if job.last_ok else None,
        "runs": [run_object(run) for run in job.runs],
    }


def run_object(run: RunImage) -> dict[str, Any]:
    """One run with where it lived and the Kafka offsets it read and wrote."""
    return {
        "run": run.run,
        "state": run.state,
        "started": iso(run.started_us),
        "last_heard": iso(run.seen_us),
        "ended": iso(run.ended_us),
        "error": run.error,
        "streaming": run.streaming,
        "parent_run": run.parent_run,
        "parent_job": run.parent_job,
        "runtime": run.runtime,
        "offsets": [
            {
                "direction": span.direction,
                "dataset": span.dataset,
                "partition": span.partition,
                "first": span.first,
                "last": span.last,
            }
            for span in run.offsets
        ],
    }


# --- for people -----------------------------------------------------------------------------------------------------


def as_lines(report: StatusReport, now_us: int, limit: int) -> RenderableType:
    """What a person sees; at most `limit` datasets (0: all)."""
    shown = report.datasets[: limit or None]
    parts: list[RenderableType] = [head_line(report, now_us), *_warnings(report)]
    if shown:
        parts += [Text(), _dataset_table(shown, now_us)]
    hidden = len(report.datasets) - len(shown)
    if hidden:
        parts.append(
            Text(f"… and {count(hidden, 'more dataset')}: --limit 0 shows all, --state STALE only those", "dim")
        )
    loose = [job for job in report.jobs if job.unlinked]
    parts += [
        Text.assemble(f"job {printable(str(job.name))}  ", (unlinked_words(job.unlinked), "yellow"))
        for job in loose[:LOOSE_JOBS_SHOWN]
    ]
    if len(loose) > LOOSE_JOBS_SHOWN:
        parts.append(Text(f"… and {count(len(loose) - LOOSE_JOBS_SHOWN, 'more job')} that hang loose", "dim"))
    if not report.datasets:
        parts.append(Text("No dataset passes the filters." if report.summary.datasets else _NOTHING_YET))
    return Group(*parts)


_NOTHING_YET: Final = "No dataset is known yet: send events (headwater emit --help, or the SDK) to lineage.events."


def head_line(report: StatusReport, now_us: int) -> Text:
    """Domain, how far we have seen, how much, and whether somebody should worry."""
    summary, alerts = report.summary, len(firing(report.alerts))
    seen = f"everything seen up to {ago(summary.as_of_us, now_us)}" if summary.as_of_us else "not caught up yet"
    stopped = sum(bool(partition.stopped) for partition in report.partitions)
    parts = [
        f"domain {summary.domain}",
        seen,
        f"{count(summary.datasets, 'dataset')}, {count(summary.jobs, 'job')}, {count(summary.applied, 'event')}",
        count(summary.partitions, "partition") + (f" ({stopped} stopped)" if stopped else ""),
    ]
    line = Text(" · ".join(parts) + " · ")
    line.append(f"{count(alerts, 'alert')} firing", "bold red" if alerts else "green")
    return line


_RESUME: Final = "headwater worker resume PARTITION"


def _warnings(report: StatusReport) -> list[RenderableType]:
    lines: list[RenderableType] = [
        Text(f"partition {p.partition} is STOPPED: {p.stopped}", "bold red") for p in report.partitions if p.stopped
    ]
    remedies = dict.fromkeys(stops.remedy(p.stopped, _RESUME) for p in report.partitions if p.stopped)
    lines += [Text(f"→ {remedy}") for remedy in remedies]
    unread = [str(p.partition) for p in report.partitions if not p.as_of_us]
    if unread and report.partitions:
        lines.append(
            Text(f"Not read to its end yet: partition {', '.join(unread)}. Until then nothing is judged.", "yellow")
        )
    of_others = [alert for alert in firing(report.alerts) if alert.subject_kind != "dataset"]
    lines += [Text(f"{a.kind} fires for {a.subject_kind} {str(a.subject).strip('/')}", "red") for a in of_others[:10]]
    return lines


def _dataset_table(datasets: Sequence[DatasetState], now_us: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for title in ("STATE", "DATASET", "LAST WRITE", "DEADLINE", "OWNER", "WHY"):
        table.add_column(title, overflow="fold", no_wrap=title in ("STATE", "LAST WRITE", "DEADLINE"))
    for dataset in datasets:
        table.add_row(
            Text(dataset.state, _COLOURS.get(dataset.state, "")),
            Text(printable(str(dataset.name))),
            Text(ago(dataset.last_write_us, now_us)),
            Text(ago(dataset.deadline_us, now_us) if dataset.deadline_us else "–"),
            Text(printable(dataset.owner) or "–"),
            why(dataset),
        )
    return table


def why(dataset: DatasetState) -> Text:
    """The reason of the state, and what hangs loose, with the name that was probably meant; for UNKNOWN what to do next."""
    hint = unknown_hint(dataset)
    text = Text(printable(hint.because if hint else dataset.reason if dataset.state not in ("FRESH",) else ""))
    if dataset.unlinked:
        text.append("; " if text.plain else "")
        text.append(_LOOSE.get(dataset.unlinked, dataset.unlinked), "yellow")
    elif dataset.kind:
        text.append("; " if text.plain else "")
        text.append(kind_words(dataset.kind), "dim")
    if dataset.candidates:
        text.append("; meant: ")
        text.append(printable(" or ".join(dataset.candidates[:3])), "bold")
    if not dataset.present:
        text.append("; was dropped" if text.plain else "was dropped", "dim")
    if hint:
        text.append(f" → {printable(hint.next_step)}", "dim")
    return text


def kind_words(kind: str) -> str:
    """What a dataset is whose other side is rightly not known, in words."""
    return KINDS.get(kind, kind)


def unlinked_words(kind: str) -> str:
    """A kind of looseness in words."""
    return _LOOSE.get(kind, kind)
