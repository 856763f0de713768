"""What an event must say before it may leave the job. Pure; runs on the job's own thread, so it is kept short."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from headwater.errors import EventError
from headwater_schemas.events import DatasetUse, LineageEvent, Name

EARLIEST_US: Final = 315_532_800_000_000
"""1980-01-01. Microseconds before that are seconds or milliseconds in disguise."""
LATEST_US: Final = 253_402_300_800_000_000
"""10000-01-01, exclusive. What is later is nanoseconds in disguise."""
LONGEST_NAME_CHARS: Final = 4_096
MOST_DATASETS: Final = 1_000
MOST_MEASURES: Final = 20_000
MOST_EDGES: Final = 10_000
LONGEST_ERROR_CHARS: Final = 8_000
MOST_FACET_BYTES: Final = 512 * 1024
_LARGEST_LONG: Final = 2**63 - 1


def check(event: LineageEvent) -> None:
    """Raise `EventError` unless the event says something usable within bounds.

    An event needs a job or at least one dataset or edge; names are not empty; times are microseconds. `event_id` and
    `event_time_us` may be unset (all zero): the emitter sets them.
    """
    _check_head(event)
    if event.job.namespace or event.job.name:
        _check_name("job", event.job)
    elif not (event.inputs or event.outputs or event.edges):
        raise EventError("the event names neither a job nor a dataset", remedy="set job, inputs, outputs or edges")
    for role, uses in (("inputs", event.inputs), ("outputs", event.outputs)):
        for at, use in enumerate(uses):
            _check_use(role, at, use)
    for edge in event.edges:
        _check_name("edge source", edge.source)
        _check_name("edge target", edge.target)
    for role, parent in (("parent_job", event.parent_job), ("root_job", event.root_job)):
        if parent is not None:
            _check_name(role, parent)


def _check_head(event: LineageEvent) -> None:
    for field, value, optional in (
        ("event_id", event.event_id, False),
        ("run_id", event.run_id, False),
        ("parent_run_id", event.parent_run_id, True),
        ("root_run_id", event.root_run_id, True),
        ("trace_id", event.trace_id, True),
    ):
        if not (optional and value is None) and (type(value) is not bytes or len(value) != 16):
            raise EventError(f"{field} is not 16 bytes", remedy="give a UUID's .bytes")
    for field, time_us in (
        ("event_time_us", event.event_time_us),
        ("nominal_start_us", event.nominal_start_us),
        ("nominal_end_us", event.nominal_end_us),
    ):
        if time_us != 0 and not EARLIEST_US <= time_us < LATEST_US:
            raise EventError(
                f"{field}={time_us} is not a time in microseconds since 1970", remedy="use time.time_ns() // 1000"
            )
    _check_size("inputs and outputs", len(event.inputs) + len(event.outputs), MOST_DATASETS)
    _check_size("edges", len(event.edges), MOST_EDGES)
    _check_size("measures", sum(len(use.measures) for use in (*event.inputs, *event.outputs)), MOST_MEASURES)
    _check_size("characters in error", len(event.error or ""), LONGEST_ERROR_CHARS)
    _check_size("bytes in facets", len(event.facets or b""), MOST_FACET_BYTES)


def _check_use(role: str, at: int, use: DatasetUse) -> None:
    if not (use.namespace and use.name) or len(use.namespace) + len(use.name) > LONGEST_NAME_CHARS:
        _check_name(f"{role}[{at}]", Name(use.namespace, use.name))
    for alias in use.aliases:
        _check_name(f"{role}[{at}] alias", alias)
    for measure in use.measures:
        numbers = (measure.first_offset, measure.last_offset, measure.rows, measure.bytes, measure.lag)
        _check_numbers(f"{role}[{at}] measure", numbers)
        if measure.data_through_us != 0 and not EARLIEST_US <= measure.data_through_us < LATEST_US:
            raise EventError(
                f"{role}[{at}] data_through_us={measure.data_through_us} is not a time in microseconds since 1970",
                remedy="leave it 0 where it is not known",
            )


def _check_numbers(what: str, numbers: Iterable[int]) -> None:
    for number in numbers:
        if not -1 <= number <= _LARGEST_LONG:
            raise EventError(f"{what} holds {number}", remedy="counts and offsets are -1 (unknown), 0 or larger")


def _check_name(what: str, name: Name) -> None:
    if not name.namespace or not name.name:
        part = "name" if name.namespace else "namespace"
        raise EventError(f"{what} has an empty {part}", remedy="give namespace and name")
    if len(name.namespace) + len(name.name) > LONGEST_NAME_CHARS:
        raise EventError(f"{what} is longer than {LONGEST_NAME_CHARS} characters", remedy="shorten it")


def _check_size(what: str, size: int, most: int) -> None:
    if size > most:
        raise EventError(
            f"the event has {size} {what}", remedy=f"at most {most} fit: split the event", reason="too_large"
        )
