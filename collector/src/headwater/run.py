"""One run of a job: START when it begins, COMPLETE, FAIL or ABORT when it ends, and what it read and wrote.

Nothing here waits or raises because of lineage: events go through `Emitter.emit`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextvars import Token
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from headwater import current
from headwater.errors import EventError
from headwater.failures import failure_text
from headwater.heartbeat import HEART
from headwater.ledger import Ledger, Uses
from headwater.masking import error_text, mask
from headwater.origin import NO_TRACE, ParentRun, active_trace, child_environment, parse_traceparent
from headwater_schemas.events import (
    NIL_UUID,
    Completeness,
    DatasetUse,
    DirectEdge,
    EventType,
    Lifecycle,
    LineageEvent,
    Measure,
    Name,
    Processing,
)
from headwater_schemas.ids import new_run_id
from headwater_schemas.naming import canonical_dataset

if TYPE_CHECKING:
    from headwater.emitter import Emitter

log = logging.getLogger(__name__)

_NAMELESS: Final = Name("", "")


class Run:
    """A run, used as `with emitter.run(job=…) as run:`, or `async with`. Thread-safe.

    `reads` and `writes` may be called before the block (then START says them already) and in it. COMPLETE, FAIL and
    ABORT carry everything; `running()` carries what was measured since the event before it, so that a silent hour does
    not look like an hour of writing. An exception that leaves the block is reported and goes on its way. The first end
    counts: after `run.complete()` the end of the block says nothing more.

    Args:
        run_id: taken over from a scheduler; made here if not given.
        parent: the run that started this one; if not given, the run in whose block this one is made, else the one that
            the environment names (see `headwater.origin`).
        processing: STREAMING for a job that runs for ever: it should call `running()` every minute or so.
        backfill: old data is being written again; does not prove freshness.
        nominal_start_us, nominal_end_us: the interval the run is for, where it is for one.
        traceparent: W3C trace context, `00-<trace id>-<span id>-<flags>`; if not given, that of the active
            OpenTelemetry span, else `TRACEPARENT`.
        heartbeat_s: a RUNNING event without measures is sent whenever the run has said nothing for so long; 0: never;
            if not given, as the emitter has it (`HEADWATER_HEARTBEAT_S`, a minute).
        repeatable: the same run, by its `run_id`, may be done again from the start, as platforms do that call a function
            at least once: ids of its events follow from the run's, so that what is told twice counts once.

    Raises:
        ConfigError: traceparent is none.
    """

    def __init__(
        self,
        emitter: Emitter,
        job: Name,
        *,
        run_id: uuid.UUID | None = None,
        parent: Run | ParentRun | None = None,
        processing: Processing = Processing.BATCH,
        backfill: bool = False,
        nominal_start_us: int = 0,
        nominal_end_us: int = 0,
        traceparent: str = "",
        heartbeat_s: float | None = None,
        repeatable: bool = False,
    ) -> None:
        self._emitter = emitter
        self.job = job
        self.id = run_id or uuid.UUID(bytes=new_run_id())
        self._parent = _parent(parent or current.innermost()) or emitter.origin.parent
        self._processing = processing
        self._backfill = backfill
        self._nominal_us = (nominal_start_us, nominal_end_us)
        self._trace = parse_traceparent(traceparent) if traceparent else active_trace()
        if self._trace == NO_TRACE:
            self._trace = emitter.origin.trace
        self._heartbeat_s = emitter.heartbeat_s if heartbeat_s is None else heartbeat_s
        self._spoke_s = float("inf")
        self._pid = os.getpid()
        self._tokens: list[Token[Run | None]] = []
        self._lock = threading.RLock()
        self._ended = False
        self._warned = False
        self._ledger = Ledger()
        self._edges: dict[DirectEdge, None] = {}
        self._transactions: dict[str, None] = {}
        self._files: dict[str, None] = {}
        self._at_end: list[Callable[[], object]] = []
        self._repeatable = repeatable
        self._facets: dict[str, Mapping[str, object]] = {}

    @property
    def ended(self) -> bool:
        """Whether COMPLETE, FAIL or ABORT was said. What is said later is not sent, and warned about once."""
        return self._ended

    def reads(
        self,
        namespace: str,
        name: str,
        *,
        partition: int = -1,
        first_offset: int = -1,
        last_offset: int = -1,
        rows: int = -1,
        bytes: int = -1,  # noqa: A002 - the word of the contract
        lag: int = -1,
        data_through_us: int = 0,
        schema_version: str = "",
        aliases: Iterable[Name] = (),
    ) -> None:
        """Say that the run reads a dataset, and what is known of it. Said again, it adds up.

        Rows and bytes are added, offsets widened (per partition), `lag` is the newest. -1 and 0 mean unknown; offsets
        are inclusive; `lag` is how many records of the partition are unread, 0 for caught up.
        """
        measure = Measure(partition, first_offset, last_offset, rows, bytes, lag, data_through_us)
        self._note(lambda: self._ledger.reads(_use(namespace, name, schema_version, aliases), measure))

    def writes(
        self,
        namespace: str,
        name: str,
        *,
        partition: int = -1,
        first_offset: int = -1,
        last_offset: int = -1,
        rows: int = -1,
        bytes: int = -1,  # noqa: A002 - the word of the contract
        data_through_us: int = 0,
        schema_version: str = "",
        aliases: Iterable[Name] = (),
        lifecycle: Lifecycle = Lifecycle.NONE,
        previous: Name | None = None,
    ) -> None:
        """Say that the run writes a dataset; as `reads`.

        `lifecycle` says that it was created, dropped, renamed (from `previous`) … as a whole; `data_through_us` how far
        the data itself reaches.
        """
        measure = Measure(partition, first_offset, last_offset, rows, bytes, -1, data_through_us)
        self._note(
            lambda: self._ledger.writes(
                _use(namespace, name, schema_version, aliases, lifecycle, previous),
                measure,
            )
        )

    def derives(self, source: Name, target: Name) -> None:
        """State that one dataset is made from another, where the run's inputs × outputs would say too much."""
        self._note(lambda: self._edges.setdefault(_edge(source, target)))

    def correlate(self, *, transaction_id: str = "", file_id: str = "") -> None:
        """Attach the id of a transaction or a file, by which the data can be found again."""

        def note() -> None:
            if transaction_id:
                self._transactions[transaction_id] = None
            if file_id:
                self._files[file_id] = None

        self._note(note)

    def facet(self, name: str, value: Mapping[str, object]) -> None:
        """Attach a run facet of OpenLineage's, or one of your own: plain JSON, which Headwater keeps and does not read."""
        self._note(lambda: self._facets.update({name: json.loads(mask(json.dumps(value)))}))

    def at_end(self, last: Callable[[], object]) -> None:
        """Have `last` called before the end is sent, by whoever ends the run: what it says of the run still counts.

        For clients that know only then how far they came. What it raises is ignored.
        """
        self._at_end.append(last)

    def running(self) -> None:
        """Report a sign of life with what was measured since the last event."""
        with self._lock:
            if not self._ended:
                self._emit(EventType.RUNNING, self._ledger.since_last())

    def heartbeat(self) -> bool:
        """Report that the run lives, with the names known so far and no measures: it proves no write.

        Called from the background (`heartbeat_s`); what was measured waits for `running()` or the end. Returns
        whether there will be a next one.
        """
        with self._lock:
            if self._ended or not self._emitter.enabled:
                return False
            self._emit(EventType.RUNNING, self._ledger.names())
            return True

    def beat_due_s(self) -> float:
        """When the next heartbeat is due, on the monotonic clock."""
        return self._spoke_s + self._heartbeat_s if self._heartbeat_s > 0 else float("inf")

    def in_child(self) -> None:
        """In a forked child: the lock may be held by a thread that is not there any more. Called at the fork."""
        self._lock = threading.RLock()

    def as_parent(self) -> ParentRun:
        """This run as the parent of another, also in another process."""
        above = self._parent
        return ParentRun(self.id, self.job, above.root or above if above else ParentRun(self.id, self.job))

    def child_environment(self) -> dict[str, str]:
        """Variables for a process that this run starts, so that its runs name this one as their parent.

        `subprocess.run(command, env=os.environ | run.child_environment())`; dbt-ol and other OpenLineage producers
        understand them too.
        """
        return child_environment(self.as_parent(), self._trace)

    def start(self) -> None:
        """Send START with what is known. The `with` statement does it."""
        with self._lock:
            self._pid = os.getpid()
            self._emit(EventType.START, self._ledger.at_start())
            if self._emitter.enabled:
                HEART.watch(self)

    def complete(self) -> None:
        """Send COMPLETE with everything. The `with` statement does it."""
        self._end(EventType.COMPLETE, None)

    def fail(self, error: BaseException | str) -> None:
        """Send FAIL with everything and why; secrets in the text are masked. The `with` statement does it."""
        self._end(EventType.FAIL, error)

    def abort(self, error: BaseException | str) -> None:
        """Send ABORT: the run was stopped from outside. The `with` statement does it."""
        self._end(EventType.ABORT, error)

    def end(self, error: BaseException | None) -> None:
        """Send the end that fits what left the block: COMPLETE for nothing or `SystemExit(0)`, FAIL for an `Exception`.

        ABORT for all else: `KeyboardInterrupt`, `SystemExit`, cancellation, a generator closed before its end.
        """
        if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
            self.complete()
        elif isinstance(error, Exception):
            self.fail(error)
        else:
            self.abort(error)

    def __enter__(self) -> Self:
        self.start()
        self._tokens.append(current.CURRENT.set(self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._tokens:
            current.leave(self._tokens.pop())
        self.end(error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def _end(self, kind: EventType, error: BaseException | str | None) -> None:
        if os.getpid() != self._pid:
            return  # a child forked in the middle of the run leaves the block too; the run is its parent's
        while self._at_end and not self._ended:
            with contextlib.suppress(Exception):
                self._at_end.pop()()
        told = None if error is None else failure_text(error)
        with self._lock:
            if self._ended:
                return
            self._emit(kind, self._ledger.everything(), told)
            self._ended = True
            HEART.forget(self)

    def _note(self, note: Callable[[], object]) -> None:
        """Keep what the job says; what cannot be kept makes the run incomplete, never the job fail."""
        with self._lock:
            if self._ended:
                self._warn("it has ended: what is said of it now is not sent")
                return
            try:
                note()
            except Exception as error:
                self._ledger.incomplete = True
                self._warn(error_text(error))
                if self._emitter.strict:
                    raise EventError(f"run of {self.job}: {error_text(error)}") from error

    def _warn(self, why: str) -> None:
        if not self._warned:
            self._warned = True
            log.warning("lineage of run %s of %s is incomplete: %s", self.id, self.job, why)

    def _emit(self, kind: EventType, uses: tuple[Uses, Uses], error: str | None = None) -> None:
        self._spoke_s = time.monotonic()
        parent = self._parent
        root = parent.root if parent else None
        trace_id, span_id = self._trace
        inputs, outputs = uses
        self._emitter.emit(
            LineageEvent(
                event_id=self._event_id(kind),
                event_time_us=0,
                event_type=kind,
                run_id=self.id.bytes,
                job=self.job,
                inputs=inputs,
                outputs=outputs,
                edges=tuple(self._edges),
                processing=self._processing,
                backfill=self._backfill,
                completeness=Completeness.PARTIAL if self._ledger.incomplete else Completeness.FULL,
                parent_run_id=parent.id.bytes if parent else None,
                parent_job=parent.job if parent else None,
                root_run_id=root.id.bytes if root else None,
                root_job=root.job if root else None,
                trace_id=trace_id,
                span_id=span_id,
                nominal_start_us=self._nominal_us[0],
                nominal_end_us=self._nominal_us[1],
                transaction_ids=tuple(self._transactions),
                file_ids=tuple(self._files),
                error=error,
                facets=json.dumps({"run": self._facets}).encode() if self._facets else None,
            )
        )

    def _event_id(self, kind: EventType) -> bytes:
        """Nil, for a fresh one; of a run that may be repeated, the same for what is said once a run."""
        if self._repeatable and kind is not EventType.RUNNING:
            return uuid.uuid5(self.id, kind.value).bytes
        return NIL_UUID


def _use(
    namespace: str,
    name: str,
    schema_version: str,
    aliases: Iterable[Name],
    lifecycle: Lifecycle = Lifecycle.NONE,
    previous: Name | None = None,
) -> DatasetUse:
    canonical = canonical_dataset(namespace, name)
    return DatasetUse(
        canonical.namespace,
        canonical.name,
        schema_version,
        tuple(canonical_dataset(alias.namespace, alias.name) for alias in aliases),
        lifecycle,
        canonical_dataset(previous.namespace, previous.name) if previous else None,
    )


def _edge(source: Name, target: Name) -> DirectEdge:
    return DirectEdge(
        canonical_dataset(source.namespace, source.name), canonical_dataset(target.namespace, target.name)
    )


def _parent(run: Run | ParentRun | None) -> ParentRun | None:
    if isinstance(run, SilentRun):
        return None
    return run.as_parent() if isinstance(run, Run) else run


def abort_open_runs(emitter: Emitter, why: str) -> None:
    """End what this emitter's runs have open, for a process that is about to be ended from outside. Raises nothing."""
    for run in HEART.runs():
        if run._emitter is emitter:
            with contextlib.suppress(Exception):
                run.abort(why)


class SilentRun(Run):
    """What `emitter.run` gives where lineage is switched off: the same calls, and nothing happens."""

    id = uuid.UUID(bytes=NIL_UUID)
    _ended = False

    def __init__(self, job: Name | None = None) -> None:
        self.job = job or _NAMELESS
        self._tokens = []

    def reads(self, *args: object, **kwargs: object) -> None:
        """Nothing."""

    def writes(self, *args: object, **kwargs: object) -> None:
        """Nothing."""

    def derives(self, *args: object, **kwargs: object) -> None:
        """Nothing."""

    def at_end(self, last: Callable[[], object]) -> None:
        """Nothing."""

    def facet(self, name: str, value: Mapping[str, object]) -> None:
        """Nothing."""

    def correlate(self, *args: object, **kwargs: object) -> None:
        """Nothing."""

    def running(self) -> None:
        """Nothing."""

    def heartbeat(self) -> bool:
        """Nothing, and nothing next."""
        return False

    def as_parent(self) -> ParentRun:
        """A run that nobody knows."""
        return ParentRun(self.id, self.job)

    def child_environment(self) -> dict[str, str]:
        """Nothing to add."""
        return {}

    def start(self) -> None:
        """Nothing."""

    def end(self, error: BaseException | None) -> None:
        """Nothing."""

    def _end(self, kind: EventType, error: BaseException | str | None) -> None:
        """Nothing."""
