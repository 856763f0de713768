"""The emitter's bounded buffer and its books: every event offered ends in exactly one column.

    offered = delivered + spooled + failed + pending + sum(dropped)

Thread-safe: any thread puts, one takes. A `put` holds the lock for a few hundred nanoseconds and waits for nobody.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EmitterStats:
    """How many events met which end so far.

    `offered` were given to `emit`; `accepted` were found right and kept; `pending` are in the buffer or on their way;
    `delivered` were confirmed by the transport; `spooled` are on disk instead, to be sent later; `failed` were given up
    by the transport, `failures` says for which reasons and `last_error` why the last one; `dropped` never reached it, by
    reason: `invalid`, `too_large`, `buffer_full`, `closed`, `unsent` (still here at close), `disabled`, `forked` (the
    transport cannot be used in a child), `disk_full`, `spool_full`, `spool_failed`, `internal`.

    `transport` is what the transport counts itself, of the spool for example `replayed`, `adopted`, `cut`, `damaged`:
    those may be events of other processes, so they are no part of the sum.
    """

    offered: int = 0
    accepted: int = 0
    pending: int = 0
    delivered: int = 0
    failed: int = 0
    dropped: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    last_error: str = ""
    spooled: int = 0
    failures: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    transport: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


class Buffer(Generic[T]):
    """At most `capacity` items, oldest first. When full, `drop_oldest` lets the oldest go, else the new one."""

    def __init__(self, capacity: int, *, drop_oldest: bool) -> None:
        self._capacity = capacity
        self._drop_oldest = drop_oldest
        self._items: deque[T] = deque()
        # Re-entrant: a signal handler may emit or close while its own thread is in here.
        self._lock = threading.RLock()
        self._filled = threading.Condition(self._lock)
        self._emptied = threading.Condition(self._lock)
        self._taker_waits = False
        self._closed = ""
        self._offered = self._accepted = self._settled = self._delivered = self._spooled = 0
        self._failures: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._last_error = ""

    def put(self, item: T) -> str:
        """Keep the item; returns "" or the reason why not (`buffer_full`, `closed`, …), which is counted."""
        with self._lock:
            self._offered += 1
            if self._closed:
                self._dropped[self._closed] += 1
                return self._closed
            if len(self._items) >= self._capacity:
                self._dropped["buffer_full"] += 1
                if not self._drop_oldest:
                    return "buffer_full"
                self._items.popleft()
                self._settled += 1
            self._accepted += 1
            self._items.append(item)
            if self._taker_waits:
                self._filled.notify()
        return ""

    def refuse(self, reason: str) -> None:
        """Count an event that was offered and not kept."""
        with self._lock:
            self._offered += 1
            self._dropped[reason] += 1

    def take(self, most: int, timeout_s: float | None, *, unseen_s: float = 0.0) -> list[T]:
        """Up to `most` of the oldest; waits for the first at most `timeout_s` (None: until `put` or `close`).

        For the first `unseen_s` of that `put` wakes nobody: to wake a thread costs the job five times what the rest of
        a call does, and where events come close together one look finds several.
        """
        with self._lock:
            if timeout_s is not None:
                unseen_s = min(unseen_s, timeout_s)
                timeout_s -= unseen_s
            if unseen_s and not self._items and not self._closed:
                self._filled.wait(unseen_s)
            if not self._items and not self._closed and timeout_s != 0:
                self._taker_waits = True
                self._filled.wait(timeout_s)
                self._taker_waits = False
            return [self._items.popleft() for _ in range(min(most, len(self._items)))]

    def close(self, reason: str) -> bool:
        """Refuse what comes from now on, for this reason. False if it was closed before."""
        with self._lock:
            if self._closed:
                return False
            self._closed = reason
            self._filled.notify_all()
            return True

    @property
    def closed(self) -> str:
        """Why it takes no more; "" while it does. Takes no lock: in a forked child somebody else may hold it for ever."""
        return self._closed

    def delivered(self, count: int) -> None:
        """That many of those taken have arrived."""
        with self._lock:
            self._delivered += count
            self._settle(count)

    def spooled(self, count: int) -> None:
        """That many of those taken are safe on disk."""
        with self._lock:
            self._spooled += count
            self._settle(count)

    def failed(self, count: int, why: str, reason: str = "delivery") -> None:
        """That many of those taken were given up by the transport."""
        with self._lock:
            self._failures[reason] += count
            self._last_error = why
            self._settle(count)

    def dropped(self, count: int, reason: str, why: str = "") -> None:
        """That many of those taken never reached the transport."""
        with self._lock:
            self._dropped[reason] += count
            self._last_error = why or self._last_error
            self._settle(count)

    def note(self, why: str) -> None:
        """Remember what keeps events from leaving, though none is lost yet."""
        with self._lock:
            self._last_error = why

    def give_up(self) -> None:
        """At the end: what is still in the buffer was never sent, what was sent and not settled has failed."""
        with self._lock:
            left = len(self._items)
            self._items.clear()
            if left:
                self._dropped["unsent"] += left
            unknown = self._accepted - self._settled - left
            self._failures["unknown"] += unknown
            self._settle(left + unknown)

    def wait_settled(self, timeout_s: float) -> int:
        """Wait until nothing is pending; returns what still is after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        with self._lock:
            while self._accepted > self._settled:
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    break
                self._emptied.wait(left_s)
            return self._accepted - self._settled

    def pending(self) -> int:
        """Accepted and not settled."""
        with self._lock:
            return self._accepted - self._settled

    def stats(self) -> EmitterStats:
        """The books as they stand."""
        with self._lock:
            return EmitterStats(
                offered=self._offered,
                accepted=self._accepted,
                pending=self._accepted - self._settled,
                delivered=self._delivered,
                failed=self._failures.total(),
                dropped=_read_only(self._dropped),
                last_error=self._last_error,
                spooled=self._spooled,
                failures=_read_only(self._failures),
            )

    def _settle(self, count: int) -> None:
        self._settled += count
        if self._accepted == self._settled:
            self._emptied.notify_all()


def _read_only(counts: Mapping[str, int]) -> Mapping[str, int]:
    return MappingProxyType({reason: count for reason, count in counts.items() if count})
