"""What an event must say before it may leave the job. Pure; runs on the job's own thread, so it is kept short."""

from __future__ import annotations

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
_ID_BYTES: Final = 16


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
    # Each line asks in one expression what nearly every event passes: this is what a call of `emit` costs the job.
    if not (
        type(event.event_id) is type(event.run_id) is bytes
        and len(event.event_id) == len(event.run_id) == _ID_BYTES
        and event.parent_run_id is event.root_run_id is event.trace_id is None
    ):
        _check_ids(event)
    if not event.event_time_us == event.nominal_start_us == event.nominal_end_us == 0:
        _check_times(event)
    inputs, outputs = event.inputs, event.outputs
    if len(inputs) + len(outputs) > MOST_DATASETS:
        raise _too_much("inputs and outputs", len(inputs) + len(outputs), MOST_DATASETS)
    if len(event.edges) > MOST_EDGES:
        raise _too_much("edges", len(event.edges), MOST_EDGES)
    measures = 0
    for use in inputs:
        measures += len(use.measures)
    for use in outputs:
        measures += len(use.measures)
    if measures > MOST_MEASURES:
        raise _too_much("measures", measures, MOST_MEASURES)
    if event.error and len(event.error) > LONGEST_ERROR_CHARS:
        raise _too_much("characters in error", len(event.error), LONGEST_ERROR_CHARS)
    if event.facets and len(event.facets) > MOST_FACET_BYTES:
        raise _too_much("bytes in facets", len(event.facets), MOST_FACET_BYTES)


def _check_ids(event: LineageEvent) -> None:
    for field, value, optional in (
        ("event_id", event.event_id, False),
        ("run_id", event.run_id, False),
        ("parent_run_id", event.parent_run_id, True),
        ("root_run_id", event.root_run_id, True),
        ("trace_id", event.trace_id, True),
    ):
        if not (optional and value is None) and (type(value) is not bytes or len(value) != _ID_BYTES):
            raise EventError(f"{field} is not 16 bytes", remedy="give a UUID's .bytes")


def _check_times(event: LineageEvent) -> None:
    for field, time_us in (
        ("event_time_us", event.event_time_us),
        ("nominal_start_us", event.nominal_start_us),
        ("nominal_end_us", event.nominal_end_us),
    ):
        if time_us != 0 and not EARLIEST_US <= time_us < LATEST_US:
            raise EventError(
                f"{field}={time_us} is not a time in microseconds since 1970", remedy="use time.time_ns() // 1000"
            )


def _check_use(role: str, at: int, use: DatasetUse) -> None:
    if not (use.namespace and use.name) or len(use.namespace) + len(use.name) > LONGEST_NAME_CHARS:
        _check_name(f"{role}[{at}]", Name(use.namespace, use.name))
    for alias in use.aliases:
        _check_name(f"{role}[{at}] alias", alias)
    for measure in use.measures:
        if not (
            -1 <= measure.first_offset <= _LARGEST_LONG
            and -1 <= measure.last_offset <= _LARGEST_LONG
            and -1 <= measure.rows <= _LARGEST_LONG
            and -1 <= measure.bytes <= _LARGEST_LONG
            and -1 <= measure.lag <= _LARGEST_LONG
        ):
            numbers = (measure.first_offset, measure.last_offset, measure.rows, measure.bytes, measure.lag)
            wrong = next(number for number in numbers if not -1 <= number <= _LARGEST_LONG)
            raise EventError(
                f"{role}[{at}] measure holds {wrong}", remedy="counts and offsets are -1 (unknown), 0 or larger"
            )
        if measure.data_through_us != 0 and not EARLIEST_US <= measure.data_through_us < LATEST_US:
            raise EventError(
                f"{role}[{at}] data_through_us={measure.data_through_us} is not a time in microseconds since 1970",
                remedy="leave it 0 where it is not known",
            )


def _check_name(what: str, name: Name) -> None:
    if not name.namespace or not name.name:
        part = "name" if name.namespace else "namespace"
        raise EventError(f"{what} has an empty {part}", remedy="give namespace and name")
    if len(name.namespace) + len(name.name) > LONGEST_NAME_CHARS:
        raise EventError(f"{what} is longer than {LONGEST_NAME_CHARS} characters", remedy="shorten it")


def _too_much(what: str, size: int, most: int) -> EventError:
    return EventError(f"the event has {size} {what}", remedy=f"at most {most} fit: split the event", reason="too_large")
