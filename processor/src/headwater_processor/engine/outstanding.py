"""Polls that are out of the source's hand and not yet done, and partitions that stand still although their log goes on."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final

POLLS_OUT_MAX: Final = 2
LOST_POLL_S: Final = 2.0
"""A poll that is not with the engine after this long, while the engine has nothing to do, was dropped on the way."""
STANDING_S: Final = 20.0
"""A partition with records before it moves many times a second; after this long somebody has to be told."""


class PollsOut:
    """How many polls are on their way. What was dropped is not found by counting, which a poll of a partition that went
    can confuse, but by looking at the positions once nothing has been handed on for a while. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._out = 0
        self._handed_on_at: float | None = None

    @property
    def out(self) -> int:
        """Polls that are handed on and not done."""
        return self._out

    def handed_on(self, now: float) -> None:
        """A poll goes to the engine."""
        with self._lock:
            self._out += 1
            self._handed_on_at = now

    def done(self) -> None:
        """The engine is done with a poll, perhaps with one that was forgotten before."""
        with self._lock:
            self._out = max(0, self._out - 1)

    def forget(self) -> None:
        """What is out may never arrive: its partitions went, or it was dropped."""
        with self._lock:
            self._out = 0

    def room(self) -> bool:
        """Whether another one may be handed on."""
        return self._out < POLLS_OUT_MAX

    def overdue(self, now: float) -> bool:
        """Whether the last poll was handed on so long ago that it must have arrived, and nobody has looked since."""
        return self._handed_on_at is not None and now - self._handed_on_at > LOST_POLL_S

    def looked(self) -> None:
        """Everything that was handed on has arrived or is read again."""
        with self._lock:
            self._handed_on_at = None


class Standing:
    """Notices partitions whose log goes on while nothing of it is applied. Used by one thread."""

    def __init__(self, after_s: float = STANDING_S) -> None:
        self._after_s = after_s
        self._since: dict[int, tuple[int, float, float]] = {}

    def look(self, now: float, progress: Mapping[int, tuple[int, int]]) -> dict[int, float]:
        """`progress` is partition → (applied, end of the log), for all that should move. Returns partition → seconds without
        progress; each is returned again only when it has stood still for twice as long."""
        told = {}
        for gone in self._since.keys() - progress.keys():
            del self._since[gone]
        for partition, (applied, end) in progress.items():
            at, since, tell_s = self._since.get(partition, (-1, now, self._after_s))
            if applied != at or applied >= end:
                at, since, tell_s = applied, now, self._after_s
            elif now - since >= tell_s:
                told[partition] = now - since
                tell_s *= 2
            self._since[partition] = (at, since, tell_s)
        return told
