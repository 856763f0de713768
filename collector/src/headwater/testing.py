"""For the tests of jobs that emit: a transport that keeps events, and a clock that moves when told.

from headwater import Emitter
from headwater.testing import ManualClock, MemoryTransport

def test_the_job_says_what_it_writes():
    transport, clock = MemoryTransport(), ManualClock()
    with Emitter(transport, job="orders", strict=True, clock_us=clock) as emitter:
        my_job(emitter)
    assert [event.event_type.value for event in transport.events] == ["START", "COMPLETE"]
"""

from __future__ import annotations

from headwater.transports.memory import MemoryTransport

__all__ = ["ManualClock", "MemoryTransport"]


class ManualClock:
    """A clock in microseconds since the epoch, UTC; called, it says its time. Begins at 2026-01-01."""

    def __init__(self, now_us: int = 1_767_225_600_000_000) -> None:
        self.now_us = now_us

    def __call__(self) -> int:
        return self.now_us

    def advance(self, *, seconds: float = 0.0, us: int = 0) -> None:
        """Move the clock on (or back, with negative numbers)."""
        self.now_us += round(seconds * 1_000_000) + us
