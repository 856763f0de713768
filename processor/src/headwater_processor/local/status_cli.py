"""`headwater status`: how fresh everything is, worst first."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import click

from headwater_processor.local import status_view, trace_view
from headwater_processor.local.cli_support import EXIT_BREACHED, answer, answering_errors, open_reader, unknown
from headwater_processor.local.status_view import StatusReport
from headwater_processor.state import DatasetState, JobState, StateReader
from headwater_processor.state.layout import FRESHNESS_STATES
from headwater_schemas.events import Name

_EPILOG = """\b
Examples:
  headwater status                                   what is stale, what hangs loose
  headwater status --state STALE --owner team-sales
  headwater status --unlinked                        loose ends and the names probably meant
  headwater status --job 'k8s://shop/order-enricher' its runs, pods and offsets
  headwater status --output json | jq '.datasets[] | select(.state == "STALE") | .name'
  headwater status --fail || page-somebody

\b
Exit codes: 0 looked, 1 with --fail and something is stale, 2 wrong usage or settings,
3 Redis cannot be reached, 4 no such state, job or emitter.
"""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which datasets are wanted; what is empty lets everything pass."""

    states: tuple[str, ...] = ()
    owner: str = ""
    namespace: str = ""
    unlinked: bool = False


@click.command(epilog=_EPILOG)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(FRESHNESS_STATES, case_sensitive=False),
    help="Only datasets in this state; may be given several times.",
)
@click.option("--owner", default="", help="Only datasets of this owner (from the policies).")
@click.option("--namespace", default="", help="Only datasets of this namespace.")
@click.option("--unlinked", is_flag=True, help="Only what hangs loose: read but never written, and the like.")
@click.option(
    "--job", default="", metavar="NAME", help="Show this job and its runs (namespace/name, or a unique name)."
)
@click.option("--emitter", default="", metavar="NAME", help="Only the datasets that this emitter writes.")
@click.option(
    "--limit",
    type=click.IntRange(0),
    default=50,
    show_default=True,
    help="Datasets in the table; 0: all. JSON has all.",
)
@click.option("--fail", "fail_if_stale", is_flag=True, help="Exit with 1 if a dataset shown is STALE or NO_DATA.")
@click.pass_context
@answering_errors
def status(
    context: click.Context,
    states: tuple[str, ...],
    owner: str,
    namespace: str,
    unlinked: bool,
    job: str,
    emitter: str,
    limit: int,
    fail_if_stale: bool,
) -> None:
    """Show how fresh every dataset is, worst first, and what hangs loose.

    The head line says up to when everything has been seen: deadlines are judged at that time, not at the wall clock.
    """
    filters = Filters(tuple(state.upper() for state in states), owner, namespace, unlinked)
    now_us = time.time_ns() // 1000
    with open_reader(context) as reader:
        if job:
            found = find_job(reader, job)
            answer(context, lambda: status_view.job_object(found), lambda: trace_view.job_lines(found, now_us))
            return
        report = look(reader, filters, emitter)
    answer(context, lambda: status_view.as_object(report), lambda: status_view.as_lines(report, now_us, limit))
    if fail_if_stale and any(report.counts[state] for state in status_view.BREACHED):
        context.exit(EXIT_BREACHED)


def look(reader: StateReader, filters: Filters, emitter: str = "") -> StatusReport:
    """Read everything that the report says, once."""
    datasets = status_view.worst_first(_wanted(reader, filters, emitter))
    return StatusReport(
        summary=reader.summary(),
        partitions=reader.partitions(),
        alerts=reader.alerts(),
        datasets=datasets,
        jobs=sorted(reader.jobs(), key=lambda job: str(job.name)),
        counts=Counter(dataset.state for dataset in datasets),
    )


def _wanted(reader: StateReader, filters: Filters, emitter: str) -> Iterator[DatasetState]:
    names = _written_by(reader, emitter) if emitter else None
    for dataset in reader.datasets(
        namespace=filters.namespace or None,
        states=filters.states or None,
        owner=filters.owner or None,
        unlinked=filters.unlinked,
    ):
        if names is None or dataset.name in names:
            yield dataset


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
