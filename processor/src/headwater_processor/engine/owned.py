"""A partition that this worker owns: fence, planner, and what is known of its progress."""

from __future__ import annotations

from collections import deque

from headwater_processor.core.plan import PartitionPlanner
from headwater_processor.ports import Fence


class Owned:
    """One ownership of a partition. A refused call ends it (`dead`); the next begins at the fence in Redis.

    Written by the engine's thread once it is handed over; `applied` and `as_of_us` are read by others (one word each).
    """

    __slots__ = (
        "accepted", "applied", "as_of_us", "bad_window", "dead", "epoch_session", "fence", "planner", "proof",
        "soft", "stopped",
    )  # fmt: skip

    def __init__(self, fence: Fence, planner: PartitionPlanner, session: int) -> None:
        self.fence = fence
        self.planner = planner
        self.epoch_session = session
        self.accepted = fence.next  # planned up to here
        self.applied = fence.next  # in Redis up to here
        self.soft = fence.soft
        self.dead = False
        self.stopped = fence.stopped
        self.proof: tuple[int, int] | None = None  # (end offset to reach, as-of µs)
        self.as_of_us = 0
        self.bad_window: deque[tuple[int, int, int]] = deque()  # (broker time µs, records, bad)


def bad_share_exceeded(
    window: deque[tuple[int, int, int]],
    now_us: int,
    records: int,
    bad: int,
    *,
    window_us: int,
    least: int,
    share: float,
) -> bool:
    """Whether more than `share` of at least `least` records within the window are bad, counting this batch."""
    window.append((now_us, records, bad))
    while window[0][0] < now_us - window_us:
        window.popleft()
    total = sum(entry[1] for entry in window)
    wrong = sum(entry[2] for entry in window)
    return total >= least and wrong > share * total
