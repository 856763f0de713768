"""A clock that moves when told."""

from __future__ import annotations


class ManualClock:
    """A clock in microseconds since the epoch, UTC; called, it says its time. Begins at 2026-01-01."""

    def __init__(self, now_us: int = 1_767_225_600_000_000) -> None:
        self.now_us = now_us

    def __call__(self) -> int:
        return self.now_us

    def advance(self, *, seconds: float = 0.0, us: int = 0) -> None:
        """Move the clock on (or back, with negative numbers)."""
        self.now_us += round(seconds * 1_000_000) + us
