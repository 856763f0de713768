"""A flood of equal events as one event, and a heartbeat now and then. Pure: the clock is the caller's.

Debezium's sinks send one RUNNING event for each record that they write, and its sources one FAIL for each poll while they
restart. Equal here means: equal but for the time.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

INTERVAL_MS: Final = 60_000
MOST_KEPT: Final = 2_000
MOST_KEPT_BYTES: Final = 32 * 1024 * 1024

T = TypeVar("T")


@dataclass(slots=True)
class _Kept(Generic[T]):
    said: T
    said_ms: int
    size: int
    newest: T
    newest_us: int
    owes: bool = False


class Floods(Generic[T]):
    """What of equal events goes on.

    The first goes on at once; those within `interval_ms` after it are held back, and then the newest of them goes on, as one
    heartbeat. At most `most` different ones are remembered, and `most_bytes` of them; the one not seen for longest goes first,
    and what it owes is due. `held_back` counts what was not sent on.
    """

    def __init__(
        self, interval_ms: int = INTERVAL_MS, most: int = MOST_KEPT, most_bytes: int = MOST_KEPT_BYTES
    ) -> None:
        self._interval_ms = interval_ms
        self._most = most
        self._most_bytes = most_bytes
        self._kept: OrderedDict[bytes, _Kept[T]] = OrderedDict()
        self._bytes = 0
        self._owed: list[T] = []
        self.held_back = 0

    def __len__(self) -> int:
        return len(self._kept)

    def offer(self, key: bytes, event: T, *, at_us: int, size: int, now_ms: int) -> T | None:
        """The event that is to be sent on now in the place of this one; None: it is held back.

        Args:
            key: what equal events have in common.
            at_us: the event's own time. size: about how many bytes it takes.
            now_ms: of any clock that goes forward.
        """
        kept = self._kept.get(key)
        if kept is None:
            self._kept[key] = _Kept(event, now_ms, size, event, at_us)
            self._bytes += size
            self._evict()
            return event
        self._kept.move_to_end(key)
        if at_us >= kept.newest_us:
            kept.newest, kept.newest_us = event, at_us
        if now_ms - kept.said_ms < self._interval_ms:
            kept.owes = True
            self.held_back += 1
            return None
        return _paid(kept, now_ms)

    def said(self, key: bytes) -> T | None:
        """The event that was sent on last for those of a key; None for none."""
        kept = self._kept.get(key)
        return None if kept is None else kept.said

    def forget(self, key: bytes) -> None:
        """What was sent on did not arrive: the next equal one goes on at once."""
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= kept.size

    def owe(self, event: T) -> None:
        """A heartbeat that did not arrive: it is due again. As many are kept as there may be different ones."""
        if len(self._owed) < self._most:
            self._owed.append(event)

    def due(self, now_ms: int) -> list[T]:
        """Heartbeats of what was held back for the interval. To be asked for about as often."""
        found, self._owed = self._owed, []
        for kept in self._kept.values():
            if kept.owes and now_ms - kept.said_ms >= self._interval_ms:
                found.append(_paid(kept, now_ms))
        return found

    def drain(self) -> list[T]:
        """Every heartbeat that is owed, for an orderly end; forgets everything."""
        owed = [*self._owed, *(kept.newest for kept in self._kept.values() if kept.owes)]
        self._kept.clear()
        self._owed, self._bytes = [], 0
        return owed

    def _evict(self) -> None:
        while len(self._kept) > 1 and (len(self._kept) > self._most or self._bytes > self._most_bytes):
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= oldest.size
            if oldest.owes:
                self._owed.append(oldest.newest)


def _paid(kept: _Kept[T], now_ms: int) -> T:
    kept.said, kept.said_ms, kept.owes = kept.newest, now_ms, False
    return kept.newest
