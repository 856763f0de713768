"""How long an event travels to the deltas, and how long names wait in an outbox. Nothing of it is in the state.

An outbox entry has no time of its own. So the engine leaves a mark for each call that was applied: which outboxes it touched,
and when the oldest of its records came to the log. The shards' thread takes the marks before it reads the outboxes; what it
reads then holds all that the marks speak of, and when the last of that is published and trimmed, the journey is over. With
several workers this measures the calls whose partition and shard have one owner: a sample of equal kind.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from headwater.runtime.metrics import Histogram
from headwater_processor.engine.stats import DELAYS

MARKS_MAX: Final = 20_000
"""Calls that no round has looked at yet: while Redis or Kafka is away. Of more, the oldest are not measured."""


@dataclass(slots=True)
class Entries:
    """Entries of an outbox that were read together: how many are left, when that was, and the oldest record (0: unknown)."""

    left: int
    read_at: float
    oldest_us: int


@dataclass(slots=True)
class Road:
    """The entries of one shard that are read and not trimmed, in order."""

    entries: deque[Entries] = field(default_factory=deque)
    again: Entries | None = None
    """What was read before it had to be read anew."""

    def since(self) -> float:
        """When the oldest entry was read (monotonic); 0 if there is none."""
        if self.again is not None:
            return self.again.read_at
        return self.entries[0].read_at if self.entries else 0.0


class Travel:
    """`applied` is called by the engine's thread, the rest by that of the shards."""

    def __init__(self, wall: Callable[[], float] = time.time, clock: Callable[[], float] = time.monotonic) -> None:
        self.to_delta = Histogram(DELAYS)
        self._marks: deque[tuple[float, int, int]] = deque(maxlen=MARKS_MAX)
        self._wall = wall
        self._clock = clock

    def applied(self, shards_touched: int, oldest_us: int) -> None:
        """A call is in the state that put an entry into the outboxes of these shards (bit s: shard s)."""
        if shards_touched and oldest_us > 0:
            self._marks.append((self._clock(), shards_touched, oldest_us))

    def read(self, roads: Sequence[tuple[int, Road, int]], began: float) -> None:
        """So many new entries were read of each (shard, road, entries), by a look that began then (monotonic)."""
        oldest: dict[int, int] = {}
        marks = self._marks
        while marks and marks[0][0] <= began:
            _, touched, at_us = marks.popleft()
            for shard, _, _ in roads:
                if touched >> shard & 1:
                    oldest[shard] = min(at_us, oldest.get(shard, at_us))
        for shard, road, count in roads:
            at_us = oldest.get(shard, 0)
            if count:
                self._begin(road, Entries(count, began, at_us))
            elif at_us and road.entries:
                road.entries[-1].oldest_us = _older(road.entries[-1].oldest_us, at_us)
            elif at_us:
                self._arrived(at_us)  # read, published and trimmed by the round before, ahead of the mark

    def _begin(self, road: Road, entries: Entries) -> None:
        if road.again is not None:
            entries.read_at = road.again.read_at
            entries.oldest_us = _older(entries.oldest_us, road.again.oldest_us)
            road.again = None
        road.entries.append(entries)

    def trimmed(self, road: Road, count: int) -> None:
        """The first entries of an outbox are gone: everything they named is acknowledged."""
        while count and road.entries:
            first = road.entries[0]
            gone = min(count, first.left)
            first.left -= gone
            count -= gone
            if not first.left:
                road.entries.popleft()
                if first.oldest_us:
                    self._arrived(first.oldest_us)

    def anew(self, road: Road) -> None:
        """Nothing was acknowledged: the outbox is read from its head again."""
        every = [*([road.again] if road.again is not None else []), *road.entries]
        road.entries.clear()
        if every:
            known = [each.oldest_us for each in every if each.oldest_us]
            road.again = Entries(0, every[0].read_at, min(known, default=0))

    def _arrived(self, oldest_us: int) -> None:
        self.to_delta.observe(max(0.0, self._wall() - oldest_us / 1e6))


def _older(one_us: int, other_us: int) -> int:
    return min(one_us, other_us) if one_us and other_us else one_us or other_us
