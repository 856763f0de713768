"""Heartbeats: a RUNNING event every so often from runs that say nothing themselves, by one thread for all of them.

A heartbeat proves that the process lives; it carries names and no measures, so it proves no write, and a dataset does
not stay fresh by it. A run that spoke a short time ago needs none. The thread is made when the first run begins and
holds runs weakly: a run that was thrown away without an end falls silent.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from headwater.run import Run

log = logging.getLogger(__name__)

_LEAST_PAUSE_S: Final = 0.25
"""Between two looks at all runs: with thousands of them open some is always due, and each look costs as many steps."""


class Heart:
    """Beats for the runs it watches. Thread-safe.

    Args:
        clock_s: the clock that runs stamp their last event with; goes on evenly.
        in_background: beat by a thread; else `beat` is called by somebody.
    """

    def __init__(self, clock_s: Callable[[], float] = time.monotonic, *, in_background: bool = True) -> None:
        self._clock_s = clock_s
        self._in_background = in_background
        self.reset()

    def in_child(self) -> None:
        """After a fork there is neither the thread nor a lock that can be trusted, and the runs are the parent's."""
        runs = list(self._runs)
        self.reset()
        for run in runs:
            run.in_child()

    def reset(self) -> None:
        """Forget every run."""
        self._runs: weakref.WeakSet[Run] = weakref.WeakSet()
        self._changed = threading.Condition(threading.RLock())
        self._wakes_s = float("inf")
        self._thread: threading.Thread | None = None

    def watch(self, run: Run) -> None:
        """Beat for this run until it has ended, if it is to have heartbeats at all."""
        with self._changed:
            self._runs.add(run)
            if self._thread is None and self._in_background and run.beat_due_s() < float("inf"):
                self._thread = threading.Thread(target=self._work, name="headwater-heartbeat", daemon=True)
                self._thread.start()
            if run.beat_due_s() < self._wakes_s:
                self._wakes_s = run.beat_due_s()
                self._changed.notify()

    def forget(self, run: Run) -> None:
        """Beat no more for this run."""
        with self._changed:
            self._runs.discard(run)

    def runs(self) -> list[Run]:
        """Those that began and have not ended."""
        with self._changed:
            return list(self._runs)

    def beat(self) -> float:
        """Send what is due; returns when the next is, on this heart's clock (infinite if there is no run)."""
        now_s = self._clock_s()
        next_s = float("inf")
        for run in self.runs():  # outside the lock: a run that ends meanwhile waits for nobody
            if run.beat_due_s() <= now_s and not _beaten(run):
                self.forget(run)
                continue
            next_s = min(next_s, run.beat_due_s())
        return next_s

    def _work(self) -> None:
        while True:
            with self._changed:
                self._wakes_s = float("inf")
            next_s = self.beat()
            with self._changed:
                self._wakes_s = min(self._wakes_s, next_s)  # a run may have begun since `beat` looked
                wait_s = self._wakes_s - self._clock_s()
                self._changed.wait(None if wait_s == float("inf") else max(wait_s, _LEAST_PAUSE_S))


def _beaten(run: Run) -> bool:
    try:
        return run.heartbeat()
    except Exception:  # a strict emitter raises, and that is for the job's thread
        log.debug("a heartbeat could not be sent", exc_info=True)
        return True


HEART = Heart()
"""The process's own."""


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=HEART.in_child)
