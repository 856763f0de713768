"""A partition that this worker owns: fence, planner, and what is known of its progress."""

from __future__ import annotations

from collections import deque
from typing import Final

from headwater_processor.core.plan import PartitionPlanner
from headwater_processor.ports import Fence

SECOND_US: Final = 1_000_000


class BadWindow:
    """How many of the records of the last while were bad. Sums are kept, for a quiet topic comes in hundreds of batches a second;
    batches of one second are one entry."""

    __slots__ = ("_bad", "_entries", "_records")

    def __init__(self) -> None:
        self._entries: deque[list[int]] = deque()  # [broker time of the first (µs), records, bad]
        self._records = 0
        self._bad = 0

    def __len__(self) -> int:
        return len(self._entries)

    def exceeded(self, now_us: int, records: int, bad: int, *, window_us: int, least: int, share: float) -> bool:
        """Whether more than `share` of at least `least` records within the window are bad, counting this batch."""
        entries = self._entries
        if entries and entries[-1][0] // SECOND_US == now_us // SECOND_US:
            entries[-1][1] += records
            entries[-1][2] += bad
        else:
            entries.append([now_us, records, bad])
        self._records += records
        self._bad += bad
        while entries[0][0] < now_us - window_us:
            _, gone, gone_bad = entries.popleft()
            self._records -= gone
            self._bad -= gone_bad
        return self._records >= least and self._bad > share * self._records


class Owned:
    """One ownership of a partition. A refused call ends it (`dead`); the next begins at the fence in Redis.

    Written by the engine's thread once it is handed over; `applied` and `as_of_us` are read by others (one word each).
    """

    __slots__ = (
        "accepted", "applied", "as_of_us", "bad_window", "dead", "epoch_session", "fence", "planner", "proof",
        "stopped",
    )  # fmt: skip

    def __init__(self, fence: Fence, planner: PartitionPlanner, session: int) -> None:
        self.fence = fence
        self.planner = planner
        self.epoch_session = session
        self.accepted = fence.next  # planned up to here
        self.applied = fence.next  # in Redis up to here
        self.dead = False
        self.stopped = fence.stopped
        self.proof: tuple[int, int] | None = None  # (end offset to reach, as-of µs)
        self.as_of_us = 0
        self.bad_window = BadWindow()

    def to_prove(self, end: int, as_of_us: int) -> None:
        """What the next call that passes `end` will prove. One that no call has carried yet stays, or under a steady load, in
        which the end is always ahead, none would ever be reached; one that was carried gives way, or as-of stood still."""
        if self.proof is None or self.as_of_us >= self.proof[1]:
            self.proof = (end, as_of_us)

    def proved_by(self, next_offset: int) -> int:
        """As-of (µs) that is proven once everything before this offset is applied; 0: none that is new."""
        proof = self.proof
        return proof[1] if proof is not None and next_offset >= proof[0] and proof[1] > self.as_of_us else 0
