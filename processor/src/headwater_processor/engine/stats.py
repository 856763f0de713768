"""What the engine counts for itself: plain numbers, read by the metrics adapter and the benchmark.

Histograms are observed once a batch or call, never once an event (decision 0013).
"""

from __future__ import annotations

import time
from collections import Counter
from types import TracebackType
from typing import Final

from headwater.runtime.metrics import Histogram

_Bounds = tuple[float, ...]
"""Written out: mypyc takes the type of a literal tuple for one whose values cannot be told from unset ones."""

SECONDS: Final[_Bounds] = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Stages and calls: a batch of one record takes half a millisecond, a backlog's some ten, an outage seconds."""
DELAYS: Final[_Bounds] = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)
"""From an event to what follows from it: a hundredth of a second when quiet, hours after an outage."""
RECORDS: Final[_Bounds] = (1.0, 4.0, 16.0, 64.0, 256.0, 1000.0, 4000.0, 16000.0)
"""Of a batch: one when quiet, `processor.batch_records` when behind."""

CALLS: Final[tuple[str, ...]] = (
    "apply", "acquire", "stop", "prove", "load_seen", "shard_acquire", "take", "read", "snapshot", "settle", "judge", "trim_alerts",
    "census",
)  # fmt: skip
"""Every kind of call to Redis that is measured."""


class EngineStats:
    """Written by the engine's thread, read by anybody."""

    def __init__(self) -> None:
        self.records = 0
        self.batches = 0
        self.applied = 0
        self.operations = 0
        self.dropped_batches = 0
        self.decode_s = 0.0
        self.plan_s = 0.0
        self.apply_s = 0.0
        self.letters_s = 0.0
        self.rejections: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.moved_at = time.monotonic()
        self.batch_records = Histogram(RECORDS)
        self.decode = Histogram(SECONDS)
        self.plan = Histogram(SECONDS)
        self.letters = Histogram(SECONDS)
        self.call = Histogram(SECONDS)
        self.to_state = Histogram(DELAYS)

    def pulse(self) -> None:
        """The loop moves."""
        self.moved_at = time.monotonic()

    def rejected(self, reason: str) -> None:
        """A record went to the dead letters."""
        self.rejections[reason] += 1

    def refused(self, reason: str) -> None:
        """A call was refused."""
        self.refusals[reason] += 1

    def in_state(self, oldest_us: int, records: int) -> None:
        """A batch is in the state, whose oldest record came to the log at that time (0: nobody says)."""
        if oldest_us > 0:
            self.to_state.observe(max(0.0, time.time() - oldest_us / 1e6), records)


class RedisCalls:
    """How long calls to Redis took, by kind, and how often one failed and had to be made again. Each kind has one thread."""

    def __init__(self) -> None:
        self.took = {kind: Histogram(SECONDS) for kind in CALLS}
        self.failed = dict.fromkeys(CALLS, 0)

    def timed(self, kind: str) -> Timed:
        """Measures what the block does; an error in it is counted, and goes on."""
        return Timed(self, kind)


class Timed:
    """See `RedisCalls.timed`."""

    def __init__(self, calls: RedisCalls, kind: str) -> None:
        self._calls = calls
        self._kind = kind
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._calls.took[self._kind].observe(time.perf_counter() - self._began)
        else:
            self._calls.failed[self._kind] += 1
