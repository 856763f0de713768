"""What goes on while a latency is measured: a worker comes and goes, or a hundred thousand deadlines fall due at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from headwater.runtime.errors import RefusedError
from headwater_processor.local.bench.bench import Bench, InterruptedBenchError
from headwater_processor.local.bench.fill import produce, publish
from headwater_processor.local.bench.place import Place
from headwater_processor.local.bench.synthetic import NAMESPACE, graph_records
from headwater_processor.local.bench.throughput import applied_records, watch
from headwater_processor.local.bench.worker import BenchWorker, worker
from headwater_schemas.policies import Policy

_SWEEP_BASE_S: Final = 40.0
_SWEEP_RATE: Final = 1_000
"""Datasets a second that are surely made, published and judged before their deadline."""
_HOUR_MS: Final = 3_600_000


class Rebalance:
    """A second worker joins at a third of the time and leaves at two thirds."""

    def __init__(self, bench: Bench, here: Place, settings: Mapping[str, str]) -> None:
        self._bench, self._here, self._settings = bench, here, settings

    def start_us(self, earliest_us: int, _seconds: float) -> int:
        """As soon as the events are ready."""
        return earliest_us

    @contextmanager
    def during(self, start_us: int, seconds: float) -> Iterator[None]:
        """Raises RefusedError when the visitor did not come."""
        failed: list[Exception] = []
        visit = threading.Thread(target=self._visit, args=(start_us / 1e6, seconds, failed), name="bench-visitor")
        visit.start()
        try:
            yield
        finally:
            visit.join()
        for error in failed:
            raise error

    def _visit(self, start_s: float, seconds: float, failed: list[Exception]) -> None:
        try:
            self._until(start_s + seconds / 3)
            with worker(self._bench, self._here, self._settings):
                self._until(start_s + seconds * 2 / 3)
        except InterruptedBenchError:
            return  # the measurement ends by itself for the same reason
        except (RefusedError, OSError) as error:
            failed.append(error)

    def _until(self, at_s: float) -> None:
        self._bench.pause(max(0.0, at_s - time.time()))


class Sweep:
    """Many datasets whose deadline is in the middle of the measurement; each becomes late (and none of them alerts)."""

    def __init__(self, bench: Bench, here: Place) -> None:
        self._bench, self._here = bench, here
        self._due_s = 0.0

    def make(self, running: BenchWorker) -> None:
        """Make the datasets and wait until they are judged.

        Raises:
            RefusedError: it took longer than the deadline is away.
        """
        count, applied = self._bench.plan.sweep, applied_records(self._here)
        age_s = _SWEEP_BASE_S + count / _SWEEP_RATE
        publish(
            self._here,
            [Policy("bench-sweep", NAMESPACE, "*", owner="bench", max_age_ms=int(age_s * 1000), for_ms=_HOUR_MS)],
        )
        written_us = time.time_ns() // 1000
        self._due_s = written_us / 1e6 + age_s
        self._bench.say(f"sweep: {count:,} datasets that fall due in {age_s:.0f} s")
        produce(self._bench, self._here, graph_records(count, written_us, step_us=0), count)
        watch(self._bench, self._here, [running], applied + count)
        if time.time() > self._due_s:
            raise RefusedError(
                f"making {count:,} datasets took longer than {age_s:.0f} s, so that they fell due before the measurement",
                remedy="choose fewer with --sweep, or a machine that does nothing else",
            )

    def start_us(self, earliest_us: int, seconds: float) -> int:
        """So that the deadlines are in the middle."""
        start_us = int((self._due_s - seconds / 2) * 1e6)
        if start_us < earliest_us:
            raise RefusedError(
                "the deadlines fall due before the events of the latency are ready",
                remedy="choose fewer with --sweep, or a lower --rate",
            )
        return start_us

    @contextmanager
    def during(self, _start_us: int, _seconds: float) -> Iterator[None]:
        """The deadlines come by themselves."""
        yield
