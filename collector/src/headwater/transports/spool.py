"""Keeps on disk what its way out does not take, and sends it when the way out is back.

Four states, told apart by where events are:

    direct   nothing of ours on disk: events go straight out
    storing  the way out is closed (it said so, or settled nothing for `patience_s`): what was on its way is recalled,
             it and what comes goes to disk; one record is tried after a pause that doubles up to half a minute
    draining that record arrived: the rest follows, oldest first, a window at a time; what comes goes to disk behind it
    lending  direct, and a dead process left something: a window of it goes out between two batches of ours

Event ids are in the records, so what is sent a second time (the machine died, or the first was recalled and arrived
nevertheless) is a duplicate and changes nothing. Called from the emitter's thread only.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from headwater.errors import DeliveryError, Dropped, Spooled
from headwater.spool.store import Room, SpoolFolder
from headwater.transports.base import Busy, Counting, Disowning, Encoded, Forkable, Hurried, Settle, Transport
from headwater.transports.link import PATIENCE_S, Link, Outcome, another_way_may_help

DEFAULT_MAX_BYTES: Final = 128 * 1024 * 1024
_WINDOW: Final = 256
_MOST_AT_ONCE: Final = 512
"""Records in one write: where the disk is full, so many are lost at once."""
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
_LOOK_FOR_ORPHANS_S: Final = 10.0
_LEND_EVERY_S: Final = 0.05
_CLOSE_RESERVE_S: Final = 0.2
_WRITE_RESERVE_S: Final = 1.5
"""Kept back from close's time (at most half of it) for writing what did not arrive: it may be ten thousand records."""
_SPOOLED: Final = Spooled("kept on disk, to be sent later")


class SpoolTransport:
    """`transport`, with a folder on disk behind it.

    Args:
        transport: the way out; it should be able to give back what it holds (`Recallable`: Kafka, HTTP and fallback
            are), else what it holds when it fails is not saved.
        folder: made if it is not there; may be shared by any number of processes of one machine, see `spool.store`.
        max_bytes: of the folder as a whole; beyond it events are dropped as `spool_full`.
        patience_s: how long the way out may settle nothing before it is taken for closed.

    Raises:
        ConfigError: the folder cannot be used.
    """

    def __init__(
        self,
        transport: Transport,
        folder: str | Path,
        *,
        max_bytes: int = DEFAULT_MAX_BYTES,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._options = (Path(folder), max_bytes, patience_s)
        self._link = Link(transport, patience_s=patience_s)
        self._store = SpoolFolder(folder, max_bytes=max_bytes)
        self._counts: Counter[str] = Counter()
        self._settle: Settle | None = None
        self._open = True
        self._hurried = False
        # A window of what is on disk: what of it has not arrived yet, how many records it had, and where they are.
        self._window: list[Encoded] = []
        self._window_size = 0
        self._window_room: Room | None = None
        self._replaying = False  # what is on its way is of the window, not of the emitter
        self._given_back: list[Encoded] = []
        self._pause_s = _FIRST_PAUSE_S
        self._next_try_s = 0.0
        self._next_look_s = 0.0
        self._damage_said = 0

    def send(self, batch: Sequence[Encoded], settle: Settle) -> int:
        """Send the batch, or keep it on disk; nothing is taken while a window of a dead process is on its way."""
        self._settle = settle
        self._take_outcomes()
        if self._storing():
            self._store_all(batch)
            return len(batch)
        if self._replaying or self._wants_to_lend():
            return 0
        try:
            return self._link.send(batch)
        except DeliveryError as error:
            if not another_way_may_help(error):
                raise
            self._close_way(error)
        self._store_all(batch)
        return len(batch)

    def poll(self, timeout_s: float) -> None:
        """Serve the way out, and move on what is on disk."""
        self._link.transport.poll(timeout_s)
        self._take_outcomes()
        if self._link.stuck():
            self._recall()
        if not self._hurried:
            self._look_for_orphans()
            self._replay()

    def flush(self, timeout_s: float) -> int:
        """Wait until what is on its way has arrived; what is on disk does not count."""
        deadline_s = time.monotonic() + timeout_s
        while self._link.in_flight and time.monotonic() < deadline_s:
            self.poll(min(0.02, timeout_s))
        return self._link.in_flight

    def idle_s(self) -> float | None:
        """Soon while something can be sent, else when something is to be tried."""
        if self._link.in_flight:
            return 0.01
        next_s = self._next_look_s
        if self._store.own() or self._store.adopted():
            next_s = min(next_s, self._next_try_s)
        wait_s = max(0.005, next_s - time.monotonic())
        inner = self._link.transport
        other_s = inner.idle_s() if isinstance(inner, Busy) else None
        return wait_s if other_s is None else min(wait_s, other_s)

    def hurry(self) -> None:
        """Recall what is on its way and keep it and the rest on disk."""
        self._hurried = True
        if isinstance(self._link.transport, Hurried):
            self._link.transport.hurry()
        self._recall()

    def close(self, timeout_s: float) -> None:
        """Wait for what is on its way, keep on disk what does not arrive, and let go of the folder."""
        self._hurried = True  # no new window: what is on disk is safe there
        if self._open:
            self.flush(timeout_s - min(_WRITE_RESERVE_S, timeout_s / 2))
        self._recall()
        self._link.transport.close(_CLOSE_RESERVE_S)
        self._take_outcomes()
        self._store.close()

    def disown(self) -> None:
        """Close what holds the parent's lock."""
        self._store.forget()
        inner = self._link.transport
        if isinstance(inner, Disowning):
            inner.disown()

    def after_fork(self) -> Self:
        """One for the child, with a room of its own in the same folder. The parent's files are left to the parent."""
        inner = self._link.transport
        folder, max_bytes, patience_s = self._options
        again = inner.after_fork() if isinstance(inner, Forkable) else inner
        return type(self)(again, folder, max_bytes=max_bytes, patience_s=patience_s)

    def save(self) -> None:
        """Recall what is on its way and keep it on disk; what comes goes there too until the way out is tried again."""
        self._recall()

    recall = save

    def counts(self) -> Mapping[str, int]:
        """`replayed`: sent from disk; `adopted`, `cut`, `damaged` … as in `spool.store`; and the way out's own."""
        inner = self._link.transport
        own = inner.counts() if isinstance(inner, Counting) else {}
        return {**own, **self._store.counts(), **self._counts}

    def _storing(self) -> bool:
        return not self._open or self._hurried or self._store.own() is not None

    def _take_outcomes(self) -> None:
        self._handle(self._link.outcomes())

    def _handle(self, outcomes: Sequence[Outcome]) -> None:
        if self._replaying:
            for outcome in outcomes:
                self._of_window(outcome)
            if not self._link.in_flight:
                self._window_came_back()
            return
        saved: list[Encoded] = []
        for outcome in outcomes:
            if _can_be_saved(outcome):
                saved += outcome.lost
                self._say(0, outcome.error)
            else:
                self._say(outcome.count, outcome.error, outcome.lost)
        if saved:  # all at once, because each write is synced
            if self._open:
                self._close_way(None)
            self._store_all(saved)
            self._recall()  # what is still on its way would wait for the same end, and in memory only

    def _of_window(self, outcome: Outcome) -> None:
        error = outcome.error
        if error is None:
            self._counts["replayed"] += outcome.count
            return
        self._say(0, error)
        if another_way_may_help(error):
            self._given_back += outcome.lost
        else:
            self._counts["replay_refused"] += outcome.count

    def _window_came_back(self) -> None:
        """Everything sent of the window has met its end; what was given back is tried again later, and it alone."""
        self._replaying = False
        self._window = self._given_back + self._window
        if self._given_back:
            self._given_back = []
            self._close_way(None)
            return
        self._open_way()
        if not self._window:
            self._window_is_over()

    def _window_is_over(self) -> None:
        room, self._window_room = self._window_room, None
        if room is not None:
            room.sent(self._window_size)
            if room is not self._store.own():
                self._next_try_s = time.monotonic() + _LEND_EVERY_S  # the emitter's own events come first

    def _close_way(self, error: DeliveryError | None) -> None:
        if self._open:
            self._open, self._pause_s = False, _FIRST_PAUSE_S
        else:
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        # Many workers lose the same broker at the same time, and should not all come back at the same time.
        self._next_try_s = time.monotonic() + self._pause_s * random.uniform(0.7, 1.3)  # noqa: S311 - no secret
        if error is not None:
            self._say(0, error)

    def _open_way(self) -> None:
        self._open, self._pause_s, self._next_try_s = True, _FIRST_PAUSE_S, 0.0

    def _recall(self) -> None:
        if not self._link.in_flight:
            return
        if not self._replaying and self._open:
            self._close_way(None)
        self._handle(self._link.recall())

    def _store_all(self, batch: Sequence[Encoded]) -> None:
        for begin in range(0, len(batch), _MOST_AT_ONCE):
            some = batch[begin : begin + _MOST_AT_ONCE]
            try:
                self._store.append([(encoded.key, encoded.value) for encoded in some])
            except Dropped as error:
                self._say(len(some), error, some)
            else:
                self._say(len(some), _SPOOLED, some)

    def _wants_to_lend(self) -> bool:
        return self._link.in_flight > 0 and self._store.adopted() is not None and time.monotonic() >= self._next_try_s

    def _look_for_orphans(self) -> None:
        now_s = time.monotonic()
        if now_s >= self._next_look_s and self._store.adopted() is None:
            found = self._store.adopt()
            self._next_look_s = now_s + (0.0 if found else _LOOK_FOR_ORPHANS_S)

    def _replay(self) -> None:
        """Send what is next of the disk, if nothing is on its way and it is time."""
        if self._link.in_flight or time.monotonic() < self._next_try_s:
            return
        if not self._window:
            try:
                found = self._next_window()
            except DeliveryError as error:  # the way out may be well: what is on disk waits a little longer
                self._next_try_s = time.monotonic() + _FIRST_PAUSE_S
                self._say(0, error)
                return
            if not found:
                self._open_way()
                return
        sending = self._window if self._open else self._window[:1]
        self._replaying = True
        try:
            taken = self._link.send(sending)
        except DeliveryError as error:
            self._replaying = False
            self._refused(error, len(sending))
            return
        self._window = self._window[taken:]
        self._replaying = taken > 0
        self._take_outcomes()

    def _next_window(self) -> bool:
        """Take the next records of our own room, or of one that we have adopted."""
        room = self._store.own() or self._store.adopted()
        if room is None:
            return False
        found = room.peek(_WINDOW)
        self._say_damage()
        self._window = [Encoded(record.key, record.value) for record in found]
        self._window_room, self._window_size = room, len(found)
        return bool(found)

    def _refused(self, error: DeliveryError, count: int) -> None:
        if another_way_may_help(error):
            self._close_way(error)
            return
        self._say(0, error)
        self._counts["replay_refused"] += count
        self._window = self._window[count:]
        if not self._window:
            self._window_is_over()

    def _say_damage(self) -> None:
        counts = self._store.counts()
        damaged = sum(counts.get(reason, 0) for reason in ("cut", "damaged", "unreadable"))
        if damaged > self._damage_said:
            self._damage_said = damaged
            self._say(0, Dropped(f"{damaged} stretches of the spool cannot be read", reason="spool_damaged"))

    def _say(self, count: int, error: DeliveryError | None, lost: Sequence[Encoded] = ()) -> None:
        if self._settle is not None and (count or error is not None):
            self._settle(count, error, lost)


def _can_be_saved(outcome: Outcome) -> bool:
    """Whether we know which events were given back, and another try may help them."""
    error = outcome.error
    known = bool(outcome.count) and len(outcome.lost) == outcome.count
    return known and error is not None and another_way_may_help(error)
