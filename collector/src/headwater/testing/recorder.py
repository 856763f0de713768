"""Records what the code under test says, instead of sending it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from headwater.buffer import EmitterStats
from headwater.emitter import Emitter
from headwater.jobs import set_default_emitter
from headwater.origin import Origin
from headwater.testing import assertions
from headwater.testing.assertions import Dataset
from headwater.testing.clock import ManualClock
from headwater.transports.memory import MemoryTransport
from headwater_schemas.events import LineageEvent, Name, Runtime


class Recorder:
    """What was said so far, and the assertions of `headwater.testing` on it.

    `emitter` is strict (what would be dropped raises), knows no parent run, and stamps the time of `clock`.
    """

    def __init__(self, *, job: str | Name | None = None, namespace: str = "test") -> None:
        self.clock = ManualClock()
        self.transport = MemoryTransport()
        self.emitter = Emitter(
            self.transport,
            job=job,
            namespace=namespace,
            runtime=Runtime(host="test"),
            origin=Origin(),
            strict=True,
            clock_us=self.clock,
        )

    @property
    def events(self) -> list[LineageEvent]:
        """Everything said so far, oldest first."""
        self.emitter.flush()
        return self.transport.events

    @property
    def stats(self) -> EmitterStats:
        """The emitter's books."""
        return self.emitter.stats()

    def assert_reads(self, job: str | Name, dataset: Dataset, *, rows: int | None = None) -> None:
        """As `headwater.testing.assert_reads`."""
        __tracebackhide__ = True
        assertions.assert_reads(self, job, dataset, rows=rows)

    def assert_writes(self, job: str | Name, dataset: Dataset, *, rows: int | None = None) -> None:
        """As `headwater.testing.assert_writes`."""
        __tracebackhide__ = True
        assertions.assert_writes(self, job, dataset, rows=rows)

    def assert_completed(self, job: str | Name, *, runs: int | None = None) -> None:
        """As `headwater.testing.assert_completed`."""
        __tracebackhide__ = True
        assertions.assert_completed(self, job, runs=runs)

    def assert_failed(self, job: str | Name, *, match: str = "") -> None:
        """As `headwater.testing.assert_failed`."""
        __tracebackhide__ = True
        assertions.assert_failed(self, job, match=match)

    def assert_no_lineage_errors(self) -> None:
        """As `headwater.testing.assert_no_lineage_errors`."""
        __tracebackhide__ = True
        assertions.assert_no_lineage_errors(self)


@contextmanager
def recording(*, job: str | Name | None = None, namespace: str = "test") -> Iterator[Recorder]:
    """In the block, what `@headwater.job` functions say goes into the recorder; its `emitter` can be handed around too."""
    recorder = Recorder(job=job, namespace=namespace)
    before = set_default_emitter(recorder.emitter)
    try:
        yield recorder
    finally:
        set_default_emitter(before)
        recorder.emitter.close()
