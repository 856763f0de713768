"""The first of several ways out that works.

A way out that refuses, gives events back or settles nothing for `patience_s` is passed over for a pause that doubles
from one second to a minute; what it held is recalled and goes to the next. The last has none behind it: what it gives
back is settled as it says, so a spool around all of them can still keep it. Called from the emitter's thread only.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Self

from headwater.errors import BrokerUnavailable, ConfigError, DeliveryError
from headwater.transports.base import Busy, Counting, Disowning, Encoded, Forkable, Settle, Transport
from headwater.transports.link import PATIENCE_S, Link, Outcome, another_way_may_help

_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0


class _Way:
    """One of the ways out, and when it may be tried again."""

    def __init__(self, name: str, transport: Transport, patience_s: float, now_s: Callable[[], float]) -> None:
        self.name = name
        self.link = Link(transport, patience_s=patience_s, now_s=now_s)
        self.again_s = 0.0
        self._pause_s = 0.0

    def failed(self, now_s: float) -> None:
        if now_s >= self.again_s:  # one trouble counts once, however many events it meets
            self._pause_s = min(max(_FIRST_PAUSE_S, 2 * self._pause_s), _LONGEST_PAUSE_S)
            self.again_s = now_s + self._pause_s

    def worked(self) -> None:
        self._pause_s = 0.0


class FallbackTransport:
    """Sends each event by the first way that works.

    Args:
        ways: name and transport, best first; the names are for `counts`.
        patience_s: how long a way may settle nothing before it is passed over.

    Raises:
        ConfigError: there is none.
    """

    def __init__(
        self,
        ways: Sequence[tuple[str, Transport]],
        *,
        patience_s: float = PATIENCE_S,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        if not ways:
            raise ConfigError("a fallback of no transports", remedy="name at least one")
        self._patience_s = patience_s
        self._now_s = now_s
        self._ways = [_Way(name, transport, patience_s, now_s) for name, transport in ways]
        self._homeless: deque[Encoded] = deque()
        """Given back by one way, not yet taken by another; they go first."""
        self._settle: Settle | None = None
        self._counts: Counter[str] = Counter()

    def send(self, batch: Sequence[Encoded], settle: Settle) -> int:
        """Hand the batch to the first way that takes something of it.

        Raises:
            DeliveryError: none does; it is what the last of them said.
        """
        self._settle = settle
        self._take_outcomes()
        self._rehome()
        return 0 if self._homeless else self._handed(batch)

    def poll(self, timeout_s: float) -> None:
        """Serve every way; wait for the first that has something on its way."""
        for way in self._ways:
            way.link.transport.poll(timeout_s if way.link.in_flight else 0.0)
            timeout_s = 0.0 if way.link.in_flight else timeout_s
        self._take_outcomes()
        for way in self._ways:
            if way.link.stuck():
                self._recall(way)
        self._rehome()

    def flush(self, timeout_s: float) -> int:
        """Wait until nothing is on its way."""
        deadline_s = time.monotonic() + timeout_s
        while self._on_the_way() and time.monotonic() < deadline_s:
            self.poll(0.02)
        return self._on_the_way()

    def recall(self) -> None:
        """Give everything back."""
        homeless, self._homeless = list(self._homeless), deque()
        for way in self._ways:
            for outcome in way.link.recall():
                self._say(outcome)
        if homeless:
            self._say(Outcome(len(homeless), DeliveryError("no transport took it", retriable=True), homeless))

    def close(self, timeout_s: float) -> None:
        """Wait half the time for what is on its way, hand it on to the next way, give up the rest, close every way."""
        deadline_s = time.monotonic() + timeout_s
        self.flush(timeout_s / 2)
        for way in self._ways[:-1]:
            if way.link.in_flight:
                self._recall(way)
        self.flush(max(0.0, deadline_s - time.monotonic()))
        self.recall()
        for way in self._ways:
            way.link.transport.close(max(0.0, deadline_s - time.monotonic()))
            for outcome in way.link.outcomes():
                self._say(outcome)

    def idle_s(self) -> float | None:
        """Soon while something is on its way."""
        waits = [way.link.transport.idle_s() for way in self._ways if isinstance(way.link.transport, Busy)]
        return 0.02 if self._on_the_way() else min((wait for wait in waits if wait is not None), default=None)

    def disown(self) -> None:
        """Pass it on."""
        for way in self._ways:
            if isinstance(way.link.transport, Disowning):
                way.link.transport.disown()

    def after_fork(self) -> Self:
        """One for the child."""
        ways = [(way.name, way.link.transport) for way in self._ways]
        again = [(name, way.after_fork() if isinstance(way, Forkable) else way) for name, way in ways]
        return type(self)(again, patience_s=self._patience_s, now_s=self._now_s)

    def counts(self) -> Mapping[str, int]:
        """How many events each way took (`by_kafka` …), how often one was passed over, and what they count themselves."""
        found: dict[str, int] = {}
        for way in self._ways:
            found |= way.link.transport.counts() if isinstance(way.link.transport, Counting) else {}
        return found | dict(self._counts)

    def _on_the_way(self) -> int:
        return len(self._homeless) + sum(way.link.in_flight for way in self._ways)

    def _handed(self, batch: Sequence[Encoded]) -> int:
        """How many the first way that works took."""
        trouble: DeliveryError = BrokerUnavailable("no transport of the fallback works", remedy="look at each of them")
        for way in self._usable():
            try:
                taken = way.link.send(batch)
            except DeliveryError as error:
                trouble = error
                if not another_way_may_help(error):
                    raise
                self._pass_over(way, error)
                continue
            if taken:
                self._counts[f"by_{way.name}"] += taken
            return taken  # 0 is back-pressure: it works, and is slow
        raise trouble

    def _usable(self) -> list[_Way]:
        """Those whose pause is over."""
        now_s = self._now_s()
        return [way for way in self._ways if now_s >= way.again_s]

    def _take_outcomes(self) -> None:
        for way in self._ways:
            for outcome in way.link.outcomes():
                self._handle(way, outcome)

    def _handle(self, way: _Way, outcome: Outcome) -> None:
        error = outcome.error
        if error is None:
            way.worked()
        elif outcome.count and another_way_may_help(error) and len(outcome.lost) == outcome.count:
            self._pass_over(way, error)
            if way is not self._ways[-1]:
                self._homeless += outcome.lost
                return
        self._say(outcome)

    def _recall(self, way: _Way) -> None:
        self._pass_over(way, BrokerUnavailable(f"{way.name} settles nothing", remedy="look at it and at the network"))
        for outcome in way.link.recall():
            self._handle(way, outcome)

    def _pass_over(self, way: _Way, error: DeliveryError) -> None:
        if self._now_s() >= way.again_s:
            self._counts["passed_over"] += 1
            if self._settle is not None:
                self._settle(0, error)
        way.failed(self._now_s())

    def _rehome(self) -> None:
        """Hand on what a way gave back; what nobody takes waits."""
        while self._homeless:
            some = [self._homeless[at] for at in range(min(64, len(self._homeless)))]
            try:
                taken = self._handed(some)
            except DeliveryError as error:
                if another_way_may_help(error):
                    return
                self._say(Outcome(len(some), error, some))
                taken = len(some)
            if not taken:
                return
            for _ in range(taken):
                self._homeless.popleft()

    def _say(self, outcome: Outcome) -> None:
        if self._settle is not None:
            self._settle(outcome.count, outcome.error, outcome.lost)
