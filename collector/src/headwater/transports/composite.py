"""Several ways out at once: every event goes to all of them.

An event is delivered when all have delivered it; else it ends as the worst of its ends says (failed, then spooled).
One way that is slow or away does not hold up the others: up to `BACKLOG` events wait for it, the next are given up on
that way and counted `behind_<name>`. Around one that must not lose them put a spool of its own.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Final, Self

from headwater.errors import BufferFull, ConfigError, DeliveryError, Spooled
from headwater.transports.base import (
    Busy,
    Counting,
    Disowning,
    Encoded,
    Forkable,
    Hurried,
    Recallable,
    Settle,
    Transport,
)
from headwater.transports.link import Link

BACKLOG: Final = 10_000
_PUMP: Final = 64


class _Branch:
    """One of the ways out, and what waits for it."""

    def __init__(self, name: str, transport: Transport) -> None:
        self.name = name
        self.link = Link(transport)
        self.waiting: deque[Encoded] = deque()
        self.settled = 0

    @property
    def left(self) -> int:
        return len(self.waiting) + self.link.in_flight


class CompositeTransport:
    """Sends every event by all ways.

    Args:
        ways: name and transport; the names are for `counts`.

    Raises:
        ConfigError: there is none.
    """

    def __init__(self, ways: Sequence[tuple[str, Transport]]) -> None:
        if not ways:
            raise ConfigError("a composite of no transports", remedy="name at least one")
        self._branches = [_Branch(name, transport) for name, transport in ways]
        self._settle: Settle | None = None
        self._settled = 0
        # The worst end so far of events that did not get through everywhere, by their bytes.
        self._worst: dict[bytes, tuple[Encoded, DeliveryError]] = {}
        self._counts: Counter[str] = Counter()

    def send(self, batch: Sequence[Encoded], settle: Settle) -> int:
        """Take the batch for every way."""
        self._settle = settle
        for branch in self._branches:
            room = max(0, BACKLOG - len(branch.waiting))
            branch.waiting += batch[:room]
            for encoded in batch[room:]:
                self._counts[f"behind_{branch.name}"] += 1
                self._ended(branch, 1, BufferFull(f"{branch.name} is too far behind"), (encoded,))
            self._pump(branch)
        self._report()
        return len(batch)

    def poll(self, timeout_s: float) -> None:
        """Serve every way; wait for the first that has something on its way."""
        for branch in self._branches:
            branch.link.transport.poll(timeout_s if branch.link.in_flight else 0.0)
            timeout_s = 0.0 if branch.link.in_flight else timeout_s
            self._pump(branch)
        self._report()

    def flush(self, timeout_s: float) -> int:
        """Wait until every way has settled everything."""
        deadline_s = time.monotonic() + timeout_s
        while self._left() and time.monotonic() < deadline_s:
            self.poll(0.02)
        return self._left()

    def recall(self) -> None:
        """Give back what waits, and what is on its way where the way can do that."""
        for branch in self._branches:
            self._give_up(branch)
            if isinstance(branch.link.transport, Recallable):
                branch.link.transport.recall()
            self._pump(branch)
        self._report()

    def hurry(self) -> None:
        """Pass it on to those that have a spool."""
        for branch in self._branches:
            if isinstance(branch.link.transport, Hurried):
                branch.link.transport.hurry()

    def save(self) -> None:
        """Pass it on to those that have a spool."""
        for branch in self._branches:
            if isinstance(branch.link.transport, Hurried):
                branch.link.transport.save()

    def close(self, timeout_s: float) -> None:
        """Close every way, each with what is left of the time."""
        deadline_s = time.monotonic() + timeout_s
        self.flush(timeout_s / 2)
        for branch in self._branches:
            self._give_up(branch)
            branch.link.transport.close(max(0.0, deadline_s - time.monotonic()))
            self._take(branch)
        self._report()

    def idle_s(self) -> float | None:
        """Soon while something is on its way."""
        waits = [branch.link.transport.idle_s() for branch in self._branches if isinstance(branch.link.transport, Busy)]
        return 0.02 if self._left() else min((wait for wait in waits if wait is not None), default=None)

    def disown(self) -> None:
        """Pass it on."""
        for branch in self._branches:
            if isinstance(branch.link.transport, Disowning):
                branch.link.transport.disown()

    def after_fork(self) -> Self:
        """One for the child."""
        ways = [(branch.name, branch.link.transport) for branch in self._branches]
        return type(self)([(name, way.after_fork() if isinstance(way, Forkable) else way) for name, way in ways])

    def counts(self) -> Mapping[str, int]:
        """`<name>_delivered`, `<name>_spooled`, `<name>_failed`, `behind_<name>`, and `<name>_…` of the ways' own."""
        found = dict(self._counts)
        for branch in self._branches:
            if isinstance(branch.link.transport, Counting):
                found |= {f"{branch.name}_{key}": value for key, value in branch.link.transport.counts().items()}
        return found

    def _left(self) -> int:
        return max(branch.left for branch in self._branches)

    def _pump(self, branch: _Branch) -> None:
        self._take(branch)
        while branch.waiting:
            some = [branch.waiting[at] for at in range(min(_PUMP, len(branch.waiting)))]
            try:
                taken = branch.link.send(some)
            except DeliveryError as error:
                if error.retriable:
                    return  # it waits; if that takes too long, the backlog is full
                taken = len(some)
                self._ended(branch, taken, error, some)
            if not taken:
                return
            for _ in range(taken):
                branch.waiting.popleft()
        self._take(branch)

    def _take(self, branch: _Branch) -> None:
        for outcome in branch.link.outcomes():
            self._ended(branch, outcome.count, outcome.error, outcome.lost)

    def _give_up(self, branch: _Branch) -> None:
        waiting, branch.waiting = list(branch.waiting), deque()
        if waiting:
            self._ended(branch, len(waiting), DeliveryError(f"{branch.name} did not take it", retriable=True), waiting)

    def _ended(self, branch: _Branch, count: int, error: DeliveryError | None, lost: Sequence[Encoded]) -> None:
        branch.settled += count
        how = "delivered" if error is None else "spooled" if isinstance(error, Spooled) else "failed"
        self._counts[f"{branch.name}_{how}"] += count
        if error is None:
            return
        if self._settle is not None and not isinstance(error, Spooled):
            self._settle(0, error)
        for encoded in lost:
            known = self._worst.get(encoded.value)
            if known is None or isinstance(known[1], Spooled):
                self._worst[encoded.value] = (encoded, error)

    def _report(self) -> None:
        """Settle as many events as every way has settled.

        Ways say how many arrived, not which, so an event that failed may be told a little before its other ways have
        ended, instead of one that is done. The sum is right at every moment and each column at the end.
        """
        if self._settle is None:
            return
        new = min(branch.settled for branch in self._branches) - self._settled
        self._settled += new
        while new > 0 and self._worst:
            encoded, error = self._worst.pop(next(iter(self._worst)))
            self._settle(1, error, (encoded,))
            new -= 1
        if new > 0:
            self._settle(new, None)
