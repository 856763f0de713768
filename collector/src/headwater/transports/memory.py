"""Keeps what was sent in a list, for tests of jobs that emit."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Self

from headwater.transports.base import Encoded, Settle
from headwater_schemas.events import LineageEvent


class MemoryTransport:
    """Delivers at once, into `sent` (with key and bytes) and `events`. `closed` says whether `close` was called."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent: list[Encoded] = []
        self.closed = False

    @property
    def sent(self) -> list[Encoded]:
        """A copy of what arrived so far, oldest first."""
        with self._lock:
            return list(self._sent)

    @property
    def events(self) -> list[LineageEvent]:
        """The events that arrived so far, oldest first. Call `emitter.flush()` before you look."""
        return [encoded.event for encoded in self.sent]

    def send(self, batch: Sequence[Encoded], settle: Settle) -> int:
        """Take the whole batch."""
        with self._lock:
            self._sent.extend(batch)
        settle(len(batch), None)
        return len(batch)

    def poll(self, timeout_s: float) -> None:
        """Nothing is ever on its way."""

    def flush(self, timeout_s: float) -> int:
        """Nothing is ever on its way."""
        return 0

    def close(self, timeout_s: float) -> None:
        """Remember that it was called; what arrived stays readable."""
        self.closed = True

    def after_fork(self) -> Self:
        """An empty one: what the parent has got stays the parent's."""
        return type(self)()
