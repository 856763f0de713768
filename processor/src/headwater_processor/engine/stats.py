"""What the engine counts for itself: plain numbers, read by the metrics adapter and the benchmark."""

from __future__ import annotations

import time
from collections import Counter


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

    def pulse(self) -> None:
        """The loop moves."""
        self.moved_at = time.monotonic()

    def rejected(self, reason: str) -> None:
        """A record went to the dead letters."""
        self.rejections[reason] += 1

    def refused(self, reason: str) -> None:
        """A call was refused."""
        self.refusals[reason] += 1
