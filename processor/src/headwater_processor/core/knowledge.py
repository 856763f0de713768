"""What a worker knows to be in Redis, so that a batch sends only what changes something."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from headwater_processor.core.runs import Run, decode_run, is_closed

MINUTE_US: Final = 60_000_000


def minute_end(c: int) -> int:
    """The last microsecond of the minute of `c`: what jobs and edges are asserted at (SEMANTICS.md, section 3)."""
    return c - c % MINUTE_US + MINUTE_US - 1


class Knowledge:
    """What this worker knows to be in Redis. Bounded: over `entities_max` it is dropped and learned anew.

    Of runs that ended the last `closed_max` are kept, for the words that trail behind; of another one the call itself finds
    out what is stored, and joins.
    """

    def __init__(self, entities_max: int = 1_000_000, closed_max: int = 50_000) -> None:
        self._max = entities_max
        self._closed_max = closed_max
        self.generation = 0
        self.clear()

    def clear(self) -> None:
        """Forget everything; the templates notice by the generation."""
        self.generation += 1
        self.names: set[bytes] = set()
        self.datasets: dict[bytes, list[Any]] = {}  # [(first, event id), first read, first written, minute]
        self.jobs: dict[bytes, list[Any]] = {}  # [(first, event id), first input, first output, streaming, minute]
        self.edges: dict[bytes, list[Any]] = {}  # [(first, event id), minute]
        self.pairs: set[bytes] = set()
        self.aliases: dict[bytes, tuple[int, int]] = {}  # asserted, minute
        self.writers: set[bytes] = set()
        self.slots: dict[bytes, int] = {}
        self.runs: dict[bytes, tuple[Run, bytes]] = {}
        self.closed: deque[bytes] = deque()

    def learn_run(self, key: bytes, stored: bytes, token: bytes) -> None:
        """What the call `token` found when it joined a run: more than this worker knew. If a later plan spoke of the run
        already, that one finds the difference itself."""
        known = self.runs.get(key)
        if known is not None and known[1] == token:
            self.runs[key] = (decode_run(stored[8:]), stored[:8])

    def trim(self) -> None:
        """Keep the bound."""
        if len(self.datasets) + len(self.edges) + len(self.jobs) > self._max:
            self.clear()
        while len(self.closed) > self._closed_max:
            key = self.closed.popleft()
            known = self.runs.get(key)
            if known is not None and is_closed(known[0]):
                del self.runs[key]
        if len(self.runs) > self._max:
            self.runs.clear()
            self.closed.clear()
        if len(self.pairs) + len(self.writers) + len(self.slots) > 4 * self._max:
            self.clear()
