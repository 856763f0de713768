"""A way out, watched: what it has taken and not settled, since when nothing moves, and what it gave back.

For ways out that are made of others (`spool`, `fallback`, `composite`). Outcomes may come from any thread; they wait
here until the emitter's thread asks for them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from headwater.errors import DeliveryError, Dropped, Unauthorized
from headwater.transports.base import Encoded, Recallable, Transport

PATIENCE_S: Final = 5.0
"""How long a way out may hold events without settling any, before it is taken for closed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What `Settle` was called with."""

    count: int
    error: DeliveryError | None
    lost: Sequence[Encoded]


class Link:
    """One way out and what is on its way there."""

    def __init__(
        self, transport: Transport, *, patience_s: float = PATIENCE_S, now_s: Callable[[], float] | None = None
    ) -> None:
        self.transport = transport
        self.in_flight = 0
        self._patience_s = patience_s
        self._now_s = now_s or time.monotonic
        self._moved_s = self._now_s()
        self._arrived: deque[Outcome] = deque()

    def send(self, batch: Sequence[Encoded]) -> int:
        """As `Transport.send`. Raises DeliveryError."""
        if not self.in_flight:
            self._moved_s = self._now_s()
        taken = self.transport.send(batch, self._settle)
        self.in_flight += taken
        return taken

    def outcomes(self) -> list[Outcome]:
        """What was settled since the last call."""
        found = []
        while self._arrived:
            outcome = self._arrived.popleft()
            self.in_flight -= outcome.count
            if outcome.count:
                self._moved_s = self._now_s()
            found.append(outcome)
        return found

    def stuck(self) -> bool:
        """Whether events are on their way and none has met its end for longer than the patience lasts."""
        return self.in_flight > 0 and self._now_s() - self._moved_s > self._patience_s

    def recall(self) -> list[Outcome]:
        """Everything on its way, settled now where the way out can do that."""
        if self.in_flight and isinstance(self.transport, Recallable):
            self.transport.recall()
        return self.outcomes()

    def _settle(self, count: int, error: DeliveryError | None, lost: Sequence[Encoded] = (), /) -> None:
        self._arrived.append(Outcome(count, error, lost))


def another_way_may_help(error: DeliveryError) -> bool:
    """Whether the trouble is with the way out (away, slow, refusing us) and not with the event."""
    return error.retriable or isinstance(error, Unauthorized | Dropped)
