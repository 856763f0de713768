"""`headwater status`: how fresh everything is, worst first."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import click
from rich.console import Console

from headwater.cli.context import invocation
from headwater.cli.progress import Bar, progress, tracked
from headwater_processor.local import status_view, trace_view
from headwater_processor.local.cli_support import (
    EXIT_BREACHED,
    answer,
    answering_errors,
    open_reader,
    print_lines,
    unknown,
    wants_json,
)
from headwater_processor.local.completing import complete_job, complete_namespace
from headwater_processor.local.status_filters import ORDERS, Filters, TagsOf, in_order
from headwater_processor.local.status_view import StatusReport
from headwater_processor.local.status_watch import Lines, Watch, watch
from headwater_processor.state import JobState, StateReader
from headwater_processor.state.layout import FRESHNESS_STATES
from headwater_schemas.events import Name

_EPILOG = """\b
Examples:
  headwater status                                   what is stale, what hangs loose
  headwater status --state STALE --state LATE --owner team-sales --sort deadline
  headwater status --name 'analytics.*' --tag finance
  headwater status --watch 5                         looks every five seconds until Ctrl-C
  headwater status --unlinked                        loose ends and the names probably meant
  headwater status --kind source                     tables that applications write, and the like
  headwater status --job k8s://shop/order-enricher   its runs, pods and offsets
  headwater status --output json | jq '.datasets[] | select(.state == "STALE") | .name'
  headwater status --fail || page-somebody

\b
UNKNOWN comes with its reason and one next step (in JSON: unknown_because, next_step).
With --watch a terminal is redrawn; elsewhere a new block is printed when something changed, in JSON one line each.

\b
Exit codes: 0 looked (--watch: until Ctrl-C), 1 with --fail and something is stale, 2 wrong usage or settings,
3 Redis cannot be reached (with --tag: or Kafka), 4 no such state, job or emitter, 130 interrupted.
"""

_WATCH_S = 2.0


@click.command(epilog=_EPILOG)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(FRESHNESS_STATES, case_sensitive=False),
    help="Only datasets in this state; this and the next four may be given several times.",
)
@click.option(
    "--owner",
    "owners",
    multiple=True,
    metavar="NAME",
    help="Only datasets of this owner, by policy or as producers state it.",
)
@click.option(
    "--namespace",
    "namespaces",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_namespace,
    help="Only datasets of this namespace.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="PATTERN",
    help="Only datasets with such a name, or namespace/name; * and ? match, without them a part is enough.",
)
@click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="TAG",
    help="Only datasets with this tag, by policy (asks Kafka for them) or as producers state it.",
)
@click.option("--unlinked", is_flag=True, help="Only what hangs loose: read but never written, and the like.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(list(status_view.KINDS), case_sensitive=False),
    help="Only sources (nobody known writes them) or leaves (nobody known reads them), where that is right.",
)
@click.option(
    "--job",
    default="",
    metavar="NAME",
    shell_complete=complete_job,
    help="Show this job and its runs (namespace/name, or a unique name).",
)
@click.option("--emitter", default="", metavar="NAME", help="Only the datasets that this emitter writes.")
@click.option(
    "--sort",
    "order",
    type=click.Choice(list(ORDERS)),
    default="worst",
    show_default=True,
    help="worst: overdue, then loose, then by state; age: oldest write first; deadline: next first.",
)
@click.option(
    "--limit",
    type=click.IntRange(0),
    default=50,
    show_default=True,
    help="Datasets in the table; 0: all. JSON has all.",
)
@click.option(
    "--watch",
    "watch_s",
    type=click.FloatRange(0.1),
    is_flag=False,
    flag_value=_WATCH_S,
    default=None,
    metavar="[SECONDS]",
    help=f"Look again and again, until Ctrl-C; every {_WATCH_S:g} seconds if none are given.",
)
@click.option("--fail", "fail_if_stale", is_flag=True, help="Exit with 1 if a dataset shown is STALE or NO_DATA.")
@click.pass_context
@answering_errors
def status(
    context: click.Context,
    states: tuple[str, ...],
    owners: tuple[str, ...],
    namespaces: tuple[str, ...],
    names: tuple[str, ...],
    tags: tuple[str, ...],
    unlinked: bool,
    kinds: tuple[str, ...],
    job: str,
    emitter: str,
    order: str,
    limit: int,
    watch_s: float | None,
    fail_if_stale: bool,
) -> None:
    """Show how fresh every dataset is, worst first, and what hangs loose.

    The head line says up to when everything has been seen: deadlines are judged at that time, not at the wall clock.
    """
    filters = Filters(tuple(state.upper() for state in states), owners, namespaces, names, tags, unlinked, kinds)
    if job and watch_s:
        raise click.UsageError("--watch is for datasets, not for --job")
    tags_of = _tags(context) if tags else _no_tags
    with open_reader(context) as reader:
        if job:
            found = find_job(reader, job)
            answer(context, lambda: status_view.job_object(found), lambda: trace_view.job_lines(found, _now_us()))
            return

        def again() -> StatusReport:
            return look(reader, filters, emitter, order=order, tags_of=tags_of)

        with progress(context, "reading datasets", unit="datasets") as bar:
            report = look(reader, filters, emitter, order=order, tags_of=tags_of, bar=bar)
        if watch_s:
            report = watch(_watching(context, again, limit, watch_s), report, Console(highlight=False))
        else:
            document, lines = _said(limit)
            answer(context, lambda: document(report), lambda: lines(report))
    if fail_if_stale and any(report.counts[state] for state in status_view.BREACHED):
        context.exit(EXIT_BREACHED)


def _said(limit: int) -> tuple[Callable[[StatusReport], object], Lines]:
    return status_view.as_object, lambda report: status_view.as_lines(report, _now_us(), limit)


def _watching(context: click.Context, again: Callable[[], StatusReport], limit: int, every_s: float) -> Watch:
    document, lines = _said(limit)
    return Watch(again, lines, document, print_lines, _now_us, every_s, as_json=wants_json(context))


def _now_us() -> int:
    return time.time_ns() // 1000


def _tags(context: click.Context) -> TagsOf:
    """The tags of datasets by the policies in force: the state does not keep those."""
    from headwater_processor.core.policies import compile_policies
    from headwater_processor.local.policy_topic import in_force

    found = in_force(invocation(context).settings())
    policies = compile_policies(found.policies(), found.version)
    return lambda name: policies.for_class(policies.same_as(name)).tags


def _no_tags(_name: Name) -> tuple[str, ...]:
    return ()


def look(
    reader: StateReader,
    filters: Filters,
    emitter: str = "",
    *,
    order: str = "worst",
    tags_of: TagsOf = _no_tags,
    bar: Bar | None = None,
) -> StatusReport:
    """Read everything that the report says, once."""
    summary = reader.summary()
    if bar is not None:
        bar.expect(summary.datasets)
    if emitter:
        filters = replace(filters, written=frozenset(_written_by(reader, emitter)))
    every = reader.datasets() if bar is None else tracked(bar, reader.datasets())
    datasets = in_order((dataset for dataset in every if filters.pass_(dataset, tags_of)), order)
    return StatusReport(
        summary=summary,
        partitions=reader.partitions(),
        alerts=reader.alerts(),
        datasets=datasets,
        jobs=sorted(reader.jobs(), key=lambda job: str(job.name)),
        counts=Counter(dataset.state for dataset in datasets),
        tags={d.name: tuple(dict.fromkeys((*tags_of(d.name), *d.about.tags))) for d in datasets}
        if filters.tags
        else {},
    )


def _written_by(reader: StateReader, emitter: str) -> set[Name]:
    seen_us, names = reader.emitter(emitter)
    if not seen_us and not names:
        raise unknown(
            f"no emitter named {emitter!r} was ever heard; headwater status --output json names those of jobs"
        )
    return set(names)


def find_job(reader: StateReader, text: str) -> JobState:
    """The job that a person means: "namespace/name" (the longest namespace that fits wins) or a unique name.

    Raises:
        click.ClickException: there is none, or there are several.
    """
    for place in reversed([i for i, letter in enumerate(text) if letter == "/"]):
        found = reader.job(Name(text[:place], text[place + 1 :]))
        if found is not None:
            return found
    matches = _jobs_named(reader.jobs(), text)
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise unknown(f"{text!r} exists in several namespaces: {', '.join(str(job.name) for job in matches[:5])}")
    near = reader.near_jobs(text)
    raise unknown(f"there is no job named {text!r}.{f' Did you mean {near[0]}?' if near else ''}")


def _jobs_named(jobs: Iterable[JobState], text: str) -> Sequence[JobState]:
    return [job for job in jobs if job.name.name == text]
