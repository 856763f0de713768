"""What is counted by whoever looks at something again and again: `cdc`, `discover`."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Looks:
    """Looks, and what came of them. Written by one thread, read by any. Times are of `time.monotonic`."""

    looks: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    events: int = 0
    took_s: float = 0.0
    ended_at: float = field(default_factory=time.monotonic)
    last_error: str = ""

    def looked(self, events: int, refused: Counter[str], took_s: float) -> None:
        """A look whose events have arrived."""
        self.looks["done"] += 1
        self.refused.update(refused)
        self.events += events
        self.took_s, self.ended_at, self.last_error = took_s, time.monotonic(), ""

    def failed(self, error: str) -> None:
        """A look that came to nothing."""
        self.looks["failed"] += 1
        self.ended_at, self.last_error = time.monotonic(), error
