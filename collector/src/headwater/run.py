"""One run of a job: START when it begins, COMPLETE, FAIL or ABORT when it ends, and what it read and wrote.

Nothing here waits or raises because of lineage: events go through `Emitter.emit`.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from headwater.errors import ConfigError
from headwater.ledger import Ledger
from headwater.masking import error_text
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

_TRACEPARENT_CHARS: Final = 55


@dataclass(frozen=True, slots=True)
class ParentRun:
    """A run in another process that started this one; `root` is where the whole chain began, if known."""

    id: uuid.UUID
    job: Name
    root: ParentRun | None = None


class Run:
    """A run, used as `with emitter.run(job=…) as run:`. Thread-safe.

    `reads` and `writes` may be called before the block (then START says them already) and in it. COMPLETE, FAIL and
    ABORT carry everything; `running()` carries what was measured since the event before it, so that a silent hour does
    not look like an hour of writing. An exception that leaves the block is reported and goes on its way.

    Args:
        run_id: taken over from a scheduler; made here if not given.
        parent: the run that started this one.
        processing: STREAMING for a job that runs for ever: it should call `running()` every minute or so.
        backfill: old data is being written again; does not prove freshness.
        nominal_start_us, nominal_end_us: the interval the run is for, where it is for one.
        traceparent: W3C trace context, `00-<trace id>-<span id>-<flags>`.
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
    ) -> None:
        self._emitter = emitter
        self.job = job
        self.id = run_id or uuid.UUID(bytes=new_run_id())
        self._parent = parent.as_parent() if isinstance(parent, Run) else parent
        self._processing = processing
        self._backfill = backfill
        self._nominal_us = (nominal_start_us, nominal_end_us)
        self._trace = _trace(traceparent)
        self._lock = threading.RLock()
        self._ledger = Ledger()
        self._edges: dict[DirectEdge, None] = {}
        self._transactions: dict[str, None] = {}
        self._files: dict[str, None] = {}

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
        use = _use(namespace, name, schema_version, aliases)
        with self._lock:
            self._ledger.reads(use, measure)

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
        use = _use(namespace, name, schema_version, aliases, lifecycle, previous)
        with self._lock:
            self._ledger.writes(use, measure)

    def derives(self, source: Name, target: Name) -> None:
        """State that one dataset is made from another, where the run's inputs × outputs would say too much."""
        edge = DirectEdge(
            canonical_dataset(source.namespace, source.name), canonical_dataset(target.namespace, target.name)
        )
        with self._lock:
            self._edges[edge] = None

    def correlate(self, *, transaction_id: str = "", file_id: str = "") -> None:
        """Attach the id of a transaction or a file, by which the data can be found again."""
        with self._lock:
            if transaction_id:
                self._transactions[transaction_id] = None
            if file_id:
                self._files[file_id] = None

    def running(self) -> None:
        """Report a sign of life with what was measured since the last event."""
        with self._lock:
            inputs, outputs = self._ledger.since_last()
            self._emit(EventType.RUNNING, inputs, outputs)

    def as_parent(self) -> ParentRun:
        """This run as the parent of another, also in another process."""
        return ParentRun(self.id, self.job, (self._parent.root or self._parent) if self._parent else None)

    def start(self) -> None:
        """Send START with what is known. The `with` statement does it."""
        with self._lock:
            inputs, outputs = self._ledger.at_start()
            self._emit(EventType.START, inputs, outputs)

    def complete(self) -> None:
        """Send COMPLETE with everything. The `with` statement does it."""
        self._end(EventType.COMPLETE, None)

    def fail(self, error: BaseException | str) -> None:
        """Send FAIL with everything and why; secrets in the text are masked. The `with` statement does it."""
        self._end(EventType.FAIL, error_text(error))

    def abort(self, error: BaseException | str) -> None:
        """Send ABORT: the run was stopped from outside. The `with` statement does it."""
        self._end(EventType.ABORT, error_text(error))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
            self.complete()
        elif isinstance(error, Exception):
            self.fail(error)
        else:  # KeyboardInterrupt, SystemExit, cancellation, a generator thrown away
            self.abort(error)

    def _end(self, kind: EventType, error: str | None) -> None:
        with self._lock:
            inputs, outputs = self._ledger.everything()
            self._emit(kind, inputs, outputs, error)

    def _emit(
        self,
        kind: EventType,
        inputs: tuple[DatasetUse, ...],
        outputs: tuple[DatasetUse, ...],
        error: str | None = None,
    ) -> None:
        parent = self._parent
        root = parent.root if parent else None
        trace_id, span_id = self._trace
        self._emitter.emit(
            LineageEvent(
                event_id=NIL_UUID,
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
            )
        )


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


def _trace(traceparent: str) -> tuple[bytes | None, bytes | None]:
    if not traceparent:
        return None, None
    try:
        parts = traceparent.split("-")
        trace_id, span_id = bytes.fromhex(parts[1]), bytes.fromhex(parts[2])
        if len(traceparent) < _TRACEPARENT_CHARS or (len(trace_id), len(span_id)) != (16, 8):
            raise ValueError("wrong lengths")
    except (ValueError, IndexError) as error:
        raise ConfigError(
            f"traceparent {traceparent[:80]!r} is no W3C trace context", remedy="give 00-<32 hex>-<16 hex>-<2 hex>"
        ) from error
    return trace_id, span_id
