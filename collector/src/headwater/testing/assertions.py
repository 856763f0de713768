"""Assertions on what jobs said, with messages that show what was there and the nearest name.

They take events, or anything with `events` (a `MemoryTransport` whose emitter was flushed, a `Recorder`). A job is named
by its name, by `namespace/name`, or as a `Name`; a dataset by `(namespace, name)`, as a `Name`, or by `namespace/name`.

`__tracebackhide__` lets pytest show the line of the test instead of a line of this file.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, Protocol, runtime_checkable

from headwater_schemas.events import NIL_UUID, Completeness, DatasetUse, EventType, LineageEvent, Name
from headwater_schemas.naming import canonical_dataset


@runtime_checkable
class HasEvents(Protocol):
    """Something that kept events."""

    @property
    def events(self) -> list[LineageEvent]:
        """The events so far, oldest first."""
        ...


Events = HasEvents | Iterable[LineageEvent]
Dataset = Name | tuple[str, str] | str

_ENDS: Final = (EventType.COMPLETE, EventType.FAIL, EventType.ABORT)
_MOST_SHOWN: Final = 20


def assert_reads(events: Events, job: str | Name, dataset: Dataset, *, rows: int | None = None) -> None:
    """The job said that it reads the dataset; `rows` in all, over the events that end its runs, if given."""
    __tracebackhide__ = True
    _assert_uses("reads", events, job, dataset, rows)


def assert_writes(events: Events, job: str | Name, dataset: Dataset, *, rows: int | None = None) -> None:
    """The job said that it writes the dataset; `rows` in all, over the events that end its runs, if given."""
    __tracebackhide__ = True
    _assert_uses("writes", events, job, dataset, rows)


def assert_completed(events: Events, job: str | Name, *, runs: int | None = None) -> None:
    """Every run of the job that began has ended with COMPLETE; there is at least one, or exactly `runs`."""
    __tracebackhide__ = True
    of_job = _of_job(events, job)
    last = {event.run_id: event for event in of_job}
    for event in last.values():
        if event.event_type is not EventType.COMPLETE:
            raise AssertionError(
                f"a run of job {_named(job)} did not complete: its last event is {event.event_type.value}"
                + (f"\n  {event.error}" if event.error else "")
            )
    if runs is not None and len(last) != runs:
        raise AssertionError(f"job {_named(job)} has {len(last)} runs, not {runs}")


def assert_failed(events: Events, job: str | Name, *, match: str = "") -> None:
    """A run of the job ended with FAIL, with an error in which the regular expression `match` is found."""
    __tracebackhide__ = True
    of_job = _of_job(events, job)
    errors = [event.error or "" for event in of_job if event.event_type is EventType.FAIL]
    if not errors:
        raise AssertionError(f"no run of job {_named(job)} failed; its events are {_types(of_job)}")
    if not any(re.search(match, error) for error in errors):
        raise AssertionError(f"job {_named(job)} failed otherwise than {match!r}:{_listed(errors)}")


def assert_no_lineage_errors(events: Events) -> None:
    """Nothing that was said went missing: no event dropped (a `Recorder` knows), no run partial, none without an end."""
    __tracebackhide__ = True
    stats = getattr(events, "stats", None)
    if stats is not None and (stats.failed or stats.dropped):
        raise AssertionError(f"events were lost: {dict(stats.dropped)}, {stats.failed} failed; {stats.last_error}")
    told = _events(events)
    partial = sorted({str(event.job) for event in told if event.completeness is Completeness.PARTIAL})
    if partial:
        raise AssertionError(f"these jobs said more than could be kept (the log says what):{_listed(partial)}")
    ended = {event.run_id for event in told if event.event_type in _ENDS}
    open_runs = Counter(
        str(event.job) for event in told if event.event_type is EventType.START and event.run_id not in ended
    )
    if open_runs:
        raise AssertionError(f"runs began and did not end:{_listed(f'{job} ({n})' for job, n in open_runs.items())}")


def _assert_uses(verb: str, events: Events, job: str | Name, dataset: Dataset, rows: int | None) -> None:
    __tracebackhide__ = True
    of_job = _of_job(events, job)
    wanted = _dataset(dataset)
    told = [(event, use) for event in of_job for use in _uses(event, verb)]
    found = [(event, use) for event, use in told if _full(use) == wanted]
    if not found:
        names = sorted({_full(use) for _, use in told})
        other = "writes" if verb == "reads" else "reads"
        turned = any(_full(use) == wanted for event in of_job for use in _uses(event, other))
        raise AssertionError(
            f"job {_named(job)} {verb} no dataset {wanted}{f', it {other} it' if turned else ''}."
            f"{_nearest(wanted, names)} It {verb}{_listed(names) if names else ' nothing'}"
        )
    if rows is None:
        return
    counts = [measure.rows for event, use in found if event.event_type in _ENDS for measure in use.measures]
    known = [count for count in counts if count >= 0]
    if not known or sum(known) != rows:
        said = f"{sum(known)}" if known else "an unknown number of"
        raise AssertionError(f"job {_named(job)} {verb} {said} rows of {wanted}, not {rows}")


def _of_job(events: Events, job: str | Name) -> list[LineageEvent]:
    __tracebackhide__ = True
    told = [event for event in _events(events) if event.run_id != NIL_UUID]
    wanted = _named(job)
    found = [event for event in told if wanted in (str(event.job), "" if isinstance(job, Name) else event.job.name)]
    if not found:
        names = sorted({str(event.job) for event in told})
        raise AssertionError(
            f"no run of job {wanted} said anything.{_nearest(wanted, names)}"
            f" There are events of{_listed(names) if names else ' no job'}"
        )
    return found


def _events(events: Events) -> Sequence[LineageEvent]:
    return events.events if isinstance(events, HasEvents) else list(events)


def _uses(event: LineageEvent, verb: str) -> tuple[DatasetUse, ...]:
    return event.inputs if verb == "reads" else event.outputs


def _dataset(dataset: Dataset) -> str:
    if isinstance(dataset, str):
        return dataset
    namespace, name = (dataset.namespace, dataset.name) if isinstance(dataset, Name) else dataset
    return str(canonical_dataset(namespace, name))


def _full(use: DatasetUse) -> str:
    return f"{use.namespace}/{use.name}"


def _named(job: str | Name) -> str:
    return str(job)


def _types(events: Iterable[LineageEvent]) -> str:
    return ", ".join(event.event_type.value for event in events)


def _nearest(wanted: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(wanted, names, n=1, cutoff=0.6)
    near = near or [name for name in names if name.endswith(f"/{wanted}")][:1]
    return f" Did you mean {near[0]}?" if near else ""


def _listed(lines: Iterable[str]) -> str:
    shown = list(lines)
    more = [f"… and {len(shown) - _MOST_SHOWN} more"] if len(shown) > _MOST_SHOWN else []
    return "".join(f"\n  {line}" for line in shown[:_MOST_SHOWN] + more)
