"""Whether a group keeps up with a partition, in the manner of Burrow: no thresholds, but a window of looks. Pure.

Burrow reads commits with their times; the admin API tells only which offset is committed now. So a look stands for a commit,
time is counted in looks (an hour in which Kafka could not be asked is no hour of silence), and whether somebody is still there
is what the group's members tell: a partition is *held* if a member has it.

Of one partition a look sees the committed offset, the first offset that there is, and the end. *Unread* is what lies
between the position (the larger of the first two) and the end. A position has *caught up* if it has reached the end that
the look before saw: everything that was there then has been read. The first rule that holds decides:

| | of the last `window` looks | status |
|---|---|---|
| 1 | there were not so many yet | OK, not judged |
| 2 | nothing is unread, or one of them had caught up | OK |
| 3 | commits moved; what is unread never became less, and became more | WARN: it falls behind |
| 4 | commits moved | OK: it is behind and gets on |
| 5 | the end is where it was when commits moved last | OK: the topic is quiet |
| 6 | it has not waited longer than it did before one of its last moves | OK: its own rhythm |
| 7 | a member holds the partition, or nobody told whether one does | STALL: somebody is there, and nothing moves |
| 8 | nobody does | STOP |

Rule 2 makes a keeping-up consumer OK whatever the rate. Rule 5 makes STALL and STOP on a quiet topic impossible: the last
records of a partition may be marks of transactions, which no consumer commits. Rule 6 knows a batch job that commits once an
hour, after its first hour. A committed offset or an end that goes back (a reset, a truncation, a topic made anew) begins a
new window.
(Source: Burrow's wiki, "Consumer Lag Evaluation Rules", and core/internal/evaluator/caching.go.)
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Final

LOOKS: Final = 10
"""Length of the window, as Burrow's `intervals`."""
MOVES: Final = 10
"""The rhythm is the longest wait before one of the last moves: at least so many of them, at most twice as many."""


class Status(enum.IntEnum):
    """How a group does in a partition; the larger, the worse."""

    OK = 0
    WARN = 1
    STALL = 2
    STOP = 3


def worst(statuses: Iterable[Status]) -> Status:
    """The worst of them; OK of none."""
    return max(statuses, default=Status.OK)


class Trail:
    """What is remembered of one group in one partition: numbers of looks, not the looks. Used by one thread.

    `committed` is the next offset that the group would read, `end` that of the next record; `lag` records are unread.
    `told_to` is `committed` as it was last told, -1 for never.
    """

    __slots__ = (
        "_before",
        "_caught",
        "_end_at_move",
        "_fell",
        "_moves",
        "_recent",
        "_rose",
        "_waiting",
        "committed",
        "end",
        "lag",
        "looks",
        "moved",
        "told_to",
    )

    def __init__(self) -> None:
        self.looks = 0
        self.committed = self.end = self.told_to = -1
        self.lag = 0
        self.moved = 0
        """Number of the look that saw the commits move last; 0 for none."""
        self._caught = self._fell = self._rose = self._waiting = 0
        self._end_at_move = -1
        self._recent = self._before = self._moves = 0

    def look(self, committed: int, begin: int, end: int) -> None:
        """One look at the partition. `begin`: its first offset, 0 where nobody asked."""
        position = max(committed, begin)
        lag = max(0, end - position)
        if not self.looks or committed < self.committed or end < self.end:
            self._begin(committed, lag, end)
            return
        self.looks += 1
        if position >= self.end:
            self._caught = self.looks
        if lag > self.lag:
            self._rose = self.looks
        elif lag < self.lag:
            self._fell = self.looks
        if committed != self.committed:
            self._move(end)
        if not lag:
            self._waiting = 0
        elif not self._waiting:
            self._waiting = self.looks
        self.committed, self.lag, self.end = committed, lag, end

    def judged(self, window: int = LOOKS) -> bool:
        """Whether there were looks enough to say anything but OK."""
        return self.looks >= window

    def moved_lately(self, window: int = LOOKS) -> bool:
        """Whether a look of the window saw the commits move."""
        return self.moved > 0 and self.looks - self.moved < window

    def status(self, *, held: bool, window: int = LOOKS) -> Status:
        """By the rules of this module."""
        if self.looks < window or not self.lag or self._within(self._caught, window):
            return Status.OK
        if self.moved_lately(window):
            falls_behind = self._within(self._rose, window) and not self._within(self._fell, window)
            return Status.WARN if falls_behind else Status.OK
        if self.end == self._end_at_move or self.looks - self._waiting <= max(self._recent, self._before):
            return Status.OK
        return Status.STALL if held else Status.STOP

    def _within(self, look: int, window: int) -> bool:
        return look > 0 and self.looks - look < window

    def _begin(self, committed: int, lag: int, end: int) -> None:
        self.looks = 1
        self.committed, self.lag, self.end = committed, lag, end
        self.told_to = min(self.told_to, committed)
        self.moved = self._fell = self._rose = 0
        self._caught = 0 if lag else 1
        self._waiting = 1 if lag else 0
        self._end_at_move = end

    def _move(self, end: int) -> None:
        wait = self.looks - self._waiting if self._waiting else 0
        self._recent = max(self._recent, wait)
        self._moves += 1
        if self._moves >= MOVES:
            self._before, self._recent, self._moves = self._recent, 0, 0
        self.moved, self._waiting, self._end_at_move = self.looks, 0, end
