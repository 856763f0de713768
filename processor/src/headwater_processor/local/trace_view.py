"""What `headwater trace` says: the walk as one object for programs, as a tree down to pods and offsets for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from rich.text import Text
from rich.tree import Tree

from headwater.cli.printing import printable
from headwater_processor.local.about_view import about_lines
from headwater_processor.local.status_view import dataset_object, job_object, kind_words, unlinked_words
from headwater_processor.local.texts import ago, count, iso, length
from headwater_processor.state.runs import OffsetImage, RunImage
from headwater_processor.state.values import DatasetState, JobState, Trace
from headwater_processor.state.walk import UPSTREAM
from headwater_schemas.events import Name

if TYPE_CHECKING:
    from headwater_processor.local.lag import Lag, Lags

OFFSETS_SHOWN: Final = 8
"""Partitions of a topic that a person sees for each run; JSON has all."""

_STATES: Final = {"STALE": "bold red", "LATE": "yellow", "NO_DATA": "red", "FRESH": "green", "RECOVERED": "green"}
_RUNS: Final = {"FAIL": "bold red", "ABORT": "red", "LOST": "red", "COMPLETE": "green", "OPEN": "cyan"}


def as_object(trace: Trace, domain: str, lags: Lags | None = None) -> dict[str, Any]:
    """The object of `--output json`. Edges point the way the data flows; names are `namespace/name`."""
    return {
        "domain": domain,
        "as_of": iso(trace.as_of_us),
        "root": str(trace.root),
        "direction": trace.direction,
        "depth": trace.depth,
        "truncated": trace.truncated,
        "datasets": [
            {**dataset_object(dataset), "distance": trace.distance.get(dataset.name, 0)} for dataset in trace.datasets
        ],
        "jobs": [_job_object(job, lags) for job in trace.jobs],
        "edges": [
            {
                "kind": edge.kind,
                "source": str(edge.source),
                "target": str(edge.target),
                "first_seen": iso(edge.first_seen_us),
                "last_seen": iso(edge.last_seen_us),
                "first_run": edge.first_run,
            }
            for edge in trace.edges
        ],
        "same_as": [[str(name) for name in group] for group in trace.same_as],
    }


def _job_object(job: JobState, lags: Lags | None) -> dict[str, Any]:
    told = job_object(job)
    return told if lags is None else {**told, "lag": [lag.as_object() for lag in lags.get(str(job.name), ())]}


def as_tree(trace: Trace, now_us: int, lags: Lags | None = None) -> Tree:
    """The walk as a tree; a node that was shown before is only named."""
    return _Drawing(trace, now_us, lags or {}).draw()


class _Drawing:
    """One tree in the making: remembers what was shown, so that a cycle ends."""

    def __init__(self, trace: Trace, now_us: int, lags: Lags) -> None:
        self._trace = trace
        self._lags = lags
        self._now_us = now_us
        self._datasets = {dataset.name: dataset for dataset in trace.datasets}
        self._jobs = {job.name: job for job in trace.jobs}
        self._same = {name: group for group in trace.same_as for name in group}
        self._shown: set[Name] = set()
        self._up = trace.direction == UPSTREAM

    def draw(self) -> Tree:
        root = self._datasets[self._trace.root]
        tree = Tree(dataset_line(root, self._now_us))
        self._below_dataset(tree, root)
        if len(tree.children) == len(list(about_lines(root.owner, root.about))):
            way, verb = ("upstream", "writes") if self._up else ("downstream", "reads")
            tree.add(Text(f"nothing {way}: no job that we know of {verb} it", "yellow"))
        if self._trace.truncated:
            tree.add(Text("some nodes have too many neighbours; not all are shown", "yellow"))
        return tree

    def _dataset(self, branch: Tree, dataset: DatasetState, note: str = "") -> None:
        line = dataset_line(dataset, self._now_us)
        if note:
            line.append(f"  {note}", "dim")
        if dataset.name in self._shown:
            line.append("  (shown above)", "dim")
            branch.add(line)
            return
        self._below_dataset(branch.add(line), dataset)

    def _below_dataset(self, branch: Tree, dataset: DatasetState) -> None:
        group = self._same.get(dataset.name, (dataset.name,))
        self._shown.update(group)
        for other in group:
            if other != dataset.name:
                branch.add(Text(printable(f"same as {other}"), "dim"))
        for said in about_lines(dataset.owner, dataset.about):
            branch.add(said)
        for name in group:
            for far in self._ends(name, "DERIVES"):
                if far in self._datasets:
                    self._dataset(branch, self._datasets[far], "stated by a producer")
        for name in group:
            for job in self._ends(name, "WRITES" if self._up else "READS"):
                if job in self._jobs:
                    self._job(branch, self._jobs[job], dataset)

    def _job(self, branch: Tree, job: JobState, of: DatasetState) -> None:
        line = Text()
        line.append("written by job " if self._up else "read by job ", "dim")
        line.append(printable(str(job.name)), "bold")
        line.append("  streaming" if job.streaming else "", "dim")
        if job.unlinked:
            line.append(f"  {unlinked_words(job.unlinked)}", "yellow")
        if job.name in self._shown:
            line.append("  (shown above)", "dim")
            branch.add(line)
            return
        self._shown.add(job.name)
        here = branch.add(line)
        for said in about_lines(job.owner, job.about):
            here.add(said)
        self._runs(here, job)
        for lag_line in lag_lines(self._lags.get(str(job.name), ())):
            here.add(lag_line)
        for far in self._ends(job.name, "READS" if self._up else "WRITES"):
            if far == of.name:
                here.add(Text(printable(f"{'reads' if self._up else 'writes'} {far} itself"), "dim"))
            elif far in self._datasets:
                self._dataset(here, self._datasets[far])

    def _runs(self, branch: Tree, job: JobState) -> None:
        if job.last is None:
            branch.add(Text("no run is known", "dim"))
            return
        run_branch(branch, "last run", job.last, self._now_us)
        failed = next((run for run in job.runs if run.state in ("FAIL", "ABORT", "LOST")), None)
        if failed is not None and failed != job.last:
            branch.add(run_line("last failure", failed, self._now_us))
        if job.last_ok is not None and job.last_ok.run != job.last.run:
            run_branch(branch, "last success", job.last_ok, self._now_us)

    def _ends(self, node: Name, kind: str) -> Iterator[Name]:
        """The far ends of the edges of a kind at a node, in the direction of the walk."""
        found = dict.fromkeys(
            edge.source if self._up else edge.target
            for edge in self._trace.edges
            if edge.kind == kind and (edge.target if self._up else edge.source) == node
        )
        yield from sorted(found, key=str)


def dataset_line(dataset: DatasetState, now_us: int) -> Text:
    """A dataset with its state and when it was last written."""
    line = Text(printable(str(dataset.name)), "bold blue")
    line.append(f"  {dataset.state}", _STATES.get(dataset.state, "dim"))
    if dataset.last_write_us:
        line.append(f"  written {ago(dataset.last_write_us, now_us)}", "dim")
    if dataset.unlinked:
        line.append(f"  {unlinked_words(dataset.unlinked)}", "yellow")
    elif dataset.kind:
        line.append(f"  {kind_words(dataset.kind)}", "dim")
    if dataset.candidates:
        line.append(printable(f"  meant: {dataset.candidates[0]}"), "bold yellow")
    if not dataset.present:
        line.append("  dropped", "red")
    return line


def run_line(title: str, run: RunImage, now_us: int) -> Text:
    """A run in one line: how it stands, since when, and why it failed."""
    line = Text(f"{title} ", "dim")
    line.append(run.state, _RUNS.get(run.state, ""))
    line.append(printable(f" {run.run or '?'}"), "dim")
    line.append(f"  started {ago(run.started_us, now_us)}")
    if run.ended_us > run.started_us > 0:
        line.append(f", took {length(run.ended_us - run.started_us)}")
    elif run.state in ("OPEN", "LOST"):
        line.append(f", last heard {ago(run.seen_us, now_us)}")
    if run.error:
        line.append(printable(f"  {run.error.splitlines()[0][:160]}"), "red")
    return line


def run_branch(branch: Tree, title: str, run: RunImage, now_us: int) -> None:
    """A run with where it lived and its offsets."""
    here = branch.add(run_line(title, run, now_us))
    if run.runtime:
        here.add(Text(_where(run.runtime)))
    for line in offset_lines(run.offsets):
        here.add(line)


def lag_lines(lags: Iterable[Lag]) -> Iterator[Text]:
    """How far a job is behind each topic: `behind orders by 150 records  [0] 150  [1] 0`."""
    for topic, each in groupby(lags, key=lambda lag: lag.topic):
        every = list(each)
        known = [lag for lag in every if lag.lag >= 0]
        line = Text(f"behind {topic} by ", "dim")
        if not known:
            yield line.append(f"? ({every[0].reason})", "yellow")
            continue
        behind = sum(lag.lag for lag in known)
        line.append(count(behind, "record"), "yellow" if behind else "green")
        for lag in known[:OFFSETS_SHOWN]:
            line.append(f"  [{lag.partition}]", "dim").append(f" {lag.lag}")
        yield line


def offset_lines(offsets: Iterable[OffsetImage]) -> Iterator[Text]:
    """The offsets by direction and topic, both ends inclusive: `read orders offsets [0] 10–20  [1] 7–9`."""
    for (direction, dataset), spans in groupby(offsets, key=lambda span: (span.direction, span.dataset)):
        every = list(spans)
        line = Text("read " if direction == "in" else "wrote ", "dim")
        line.append(printable(dataset.rpartition("/")[2]))
        line.append(" offsets", "dim")
        for span in every[:OFFSETS_SHOWN]:
            line.append(f" [{span.partition}]", "dim").append(f" {span.first}–{span.last}")
        if len(every) > OFFSETS_SHOWN:
            line.append(f" … and {count(len(every) - OFFSETS_SHOWN, 'more partition')}: --output json", "dim")
        yield line


def _where(runtime: dict[str, Any]) -> str:
    """The pod (function, host) first, then what it runs and where."""
    parts = []
    if runtime.get("pod"):
        space = runtime.get("k8s_namespace")
        parts.append(f"pod {space + '/' if space else ''}{runtime['pod']}")
    if runtime.get("function"):
        parts.append(f"function {runtime['function']}:{runtime.get('function_version', '')}".rstrip(":"))
    parts += [f"{key} {runtime[key]}" for key in ("container", "image", "node", "host") if runtime.get(key)]
    return printable(", ".join(parts))


def job_lines(job: JobState, now_us: int) -> Tree:
    """One job with its runs, newest first, for people."""
    tree = Tree(Text.assemble((printable(str(job.name)), "bold"), ("  streaming" if job.streaming else "", "dim")))
    if job.unlinked:
        tree.add(Text(unlinked_words(job.unlinked), "yellow"))
    if job.emitter:
        tree.add(Text(printable(f"told by {job.emitter}"), "dim"))
    for said in about_lines(job.owner, job.about):
        tree.add(said)
    for run in job.runs:
        run_branch(tree, "run", run, now_us)
    if not job.runs:
        tree.add(Text("no run is known"))
    return tree
