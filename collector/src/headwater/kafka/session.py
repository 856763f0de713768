"""The run that Kafka clients of a process belong to, and how often it speaks of them.

A client that is made within a run (`with emitter.run(…)`, a function under `@headwater.job`) is part of that run. Clients
made outside of one share a run of their own: it begins with the first consumer, or with the first record that a producer
has written, and ends when all of them are closed, else at the end of the process. It is the current run of the thread that made
the first of them, so that `headwater.current_run().writes(…)` in a consume loop ties what is written to what was read.

The job of that run is the process's (`HEADWATER_JOB`, the pod's label), else the consumer group.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from headwater import current
from headwater.doors.learning import PROCESS, learn_in_background
from headwater.jobs import default_emitter
from headwater.masking import error_text
from headwater_schemas.events import Measure, Processing

if TYPE_CHECKING:
    from headwater.emitter import Emitter
    from headwater.run import Run

log = logging.getLogger(__name__)

EVERY_S: Final = 10.0
IDLE_EVERY_S: Final = 60.0
"""What is caught up and has nothing to read says so this often: that its topic is quiet, not its consumer."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """How a client says what it reads and writes; every part has a default.

    Args:
        run: the run it belongs to, which is not ended by it.
        emitter: who sends; the process's if not given.
        job: the name of the clients' own run, where the process has none.
        namespace: of the topics, `kafka://<bootstrap servers>` if not given. Say it where clients of one cluster know it
            by different addresses.
        every_s: at most one event in so many seconds, besides those at a rebalance and at the end.
    """

    run: Run | None = None
    emitter: Emitter | None = None
    job: str = ""
    namespace: str = ""
    every_s: float = EVERY_S


class Session:
    """A run and the clients in it. Thread-safe.

    Args:
        given: the run of somebody else; None: one of our own, made when it is first needed.
    """

    def __init__(self, emitter: Emitter, given: Run | None, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._emitter = emitter
        self._run = given
        self._owned = given is None
        self._clock_s = clock_s
        self._spoke_s = float("-inf")
        self._lasts: dict[object, Callable[[], None]] = {}
        self._job = ""
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self.ended = False
        self.noted = False
        """Whether a client told the run of something that no event has said yet."""

    @property
    def joins_clusters(self) -> bool:
        """Whether it is of use to know which clusters the clients are of."""
        return self._emitter.rules is not None and self._emitter.rules.book is PROCESS

    @property
    def over(self) -> bool:
        """Whether its run has ended, ours or not."""
        return self.ended or (self._run is not None and self._run.ended)

    def join(self, client: object, job: str, last: Callable[[], None]) -> None:
        """One more client; `job` names the run if nothing else does, `last` is called before it ends."""
        with self._lock:
            if not self._lasts:
                if self._run is not None:
                    self._run.at_end(self._say_last)
                if self._owned:
                    atexit.register(self._at_exit)
            self._lasts[client] = last
            self._job = self._job or job

    def run(self) -> Run:
        """The run, begun."""
        with self._lock:
            if self._run is None:
                name = self._emitter.job or self._job or Path(sys.argv[0] or "python").stem
                self._run = self._emitter.run(name, processing=Processing.STREAMING)
                self._run.at_end(self._say_last)
                self._run.start()
            return self._run

    def speak(self, every_s: float) -> None:
        """Send what was noted, unless it spoke less than `every_s` ago."""
        now_s = self._clock_s()
        with self._lock:
            if self.over or now_s - self._spoke_s < every_s:
                return
            self._spoke_s = now_s
            self.noted = False
        self.run().running()

    def leave(self, client: object, error: BaseException | None) -> None:
        """A client was closed, perhaps because of `error`. With the last one our own run ends."""
        with self._lock:
            self._lasts.pop(client, None)
            if not self._lasts:
                self._end(error)

    def _say_last(self) -> None:
        for last in list(self._lasts.values()):
            last()

    def _end(self, error: BaseException | None) -> None:
        if not self._owned or self.ended:
            return
        if self._run is None:
            self._say_last()  # nothing was said yet, and perhaps there is something
        with self._lock:
            self.ended = True
        atexit.unregister(self._at_exit)
        if self._run is not None:
            self._run.end(error)
            if current.innermost() is self._run:
                current.CURRENT.set(None)

    def _at_exit(self) -> None:
        """The process ends and nobody closed the client. An exception that nobody caught is why."""
        if os.getpid() == self._pid:  # a forked child has the list of what is to be done, and not the clients
            self._end(getattr(sys, "last_value", None))


_sessions: weakref.WeakKeyDictionary[Emitter, Session] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def session_of(lineage: Lineage) -> Session | None:
    """The session that a client made here and now belongs to; None: lineage is switched off."""
    given = lineage.run or current.innermost()
    emitter = lineage.emitter or default_emitter()
    with _lock:
        session = _sessions.get(emitter)
        if session is not None and not session.over and (given is None or given is session._run):
            return session
        if given is not None:
            return Session(emitter, given)
        if not emitter.enabled:
            return None
        _sessions[emitter] = session = Session(emitter, None)
        return session


class Teller:
    """Says for one client what is new, and never fails the client for it.

    Args:
        servers: bootstrap servers, which name the topics' namespace unless `lineage` does.
        job: the name of the run if nothing else names it.
        news: gives what is new, by topic.
        last: called before the run ends, whoever ends it: the time to find out what was not known yet.
        reads: whether it is told as an input, else as an output.
    """

    def __init__(
        self,
        session: Session,
        lineage: Lineage,
        servers: str,
        job: str,
        news: Callable[[], Iterable[tuple[str, Measure]]],
        last: Callable[[], None],
        *,
        reads: bool,
    ) -> None:
        self._session = session
        self._lineage = lineage
        self._namespace = lineage.namespace or f"kafka://{servers}"
        self._job = job
        self._news = news
        self._last = last
        self._reads = reads
        self._told_s = time.monotonic() - lineage.every_s
        self._left = False
        self._warned = False
        self._lock = threading.RLock()
        session.join(self, job, self._say_last)

    def begin(self) -> None:
        """Begin the run, and make it the current one of this thread if it is in none."""
        run = self.run()
        if current.innermost() is None:
            current.CURRENT.set(run)

    def run(self) -> Run:
        """The run that the client belongs to: if that of old has ended, the one that its thread is in now."""
        with self._lock:
            if self._session.over and not self._left:
                again = session_of(self._lineage)
                if again is not None and again is not self._session:
                    self._session = again
                    again.join(self, self._job, self._say_last)
            return self._session.run()

    def due(self, *, progress: bool) -> bool:
        """Whether enough time has gone by for the next event; `progress`: there is something to tell."""
        silent_s = time.monotonic() - self._told_s
        if progress or self._session.noted:
            return silent_s >= self._lineage.every_s
        return self._reads and silent_s >= IDLE_EVERY_S

    def tell(self, *, now: bool = False) -> None:
        """Give the run what is new, and let it speak, unless it has just done so and it need not be now."""
        self._told_s = time.monotonic()
        self.note()
        self._session.speak(0.0 if now else self._lineage.every_s)

    def note(self) -> None:
        """Give the run what is new; it speaks by itself."""
        with self._lock:
            run = self.run()
            for topic, measure in self._news():
                self._note(run, topic, measure)
                self._session.noted = True

    def name(self, topics: Iterable[str]) -> None:
        """Tell which topics there are, before anything was read of them."""
        run = self.run()
        for topic in topics:
            self._note(run, topic, Measure())

    def leave(self, error: BaseException | None = None) -> None:
        """The client is closed."""
        if not self._left:
            self._left = True
            self._session.leave(self, error)

    def quietly(self, work: Callable[[], Any]) -> None:  # Any: whatever it gives is not needed
        """Do it; what goes wrong is logged once and goes no further."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the promise: the client goes on
            if not self._warned:
                self._warned = True
                log.warning("lineage of a Kafka client is incomplete: %s", error_text(error))

    def _say_last(self) -> None:
        self.quietly(self._last)

    def _note(self, run: Run, topic: str, measure: Measure) -> None:
        tell = run.reads if self._reads else run.writes
        tell(
            self._namespace,
            topic,
            partition=measure.partition,
            first_offset=measure.first_offset,
            last_offset=measure.last_offset,
            rows=measure.rows,
            bytes=measure.bytes,
        )
        if measure.lag >= 0:
            run.reads(self._namespace, topic, partition=measure.partition, lag=measure.lag)


def teller_of(
    lineage: Lineage | None,
    *,
    servers: str,
    job: str,
    news: Callable[[], Iterable[tuple[str, Measure]]],
    last: weakref.WeakMethod[Callable[[], None]],
    reads: bool,
    settings: Mapping[str, Any] | None,
) -> Teller | None:
    """The one who speaks for a client made here and now; None where lineage is switched off. Raises nothing.

    `settings`: librdkafka's, that lead to the client's cluster: which one that is will be learned in the background. None: they
    cannot be said.
    """
    lineage = lineage or Lineage()

    def say_last() -> None:
        if (there := last()) is not None:
            there()

    try:
        session = session_of(lineage)
        if session is None:
            return None
        if session.joins_clusters and settings is not None:
            learn_in_background({**settings, "bootstrap.servers": servers}, also=lineage.namespace)
        return Teller(session, lineage, servers, lineage.job or job, news, say_last, reads=reads)
    except Exception as error:  # noqa: BLE001 - the promise: the client is made
        log.warning("a Kafka client goes without lineage: %s", error_text(error))
        return None


def under_way() -> BaseException | None:
    """The exception that is being handled, as in a `finally`. A Ctrl-C that the application handles is no failure."""
    error = sys.exc_info()[1]
    return error if isinstance(error, Exception) else None


def _in_child() -> None:
    """Clients and their runs are the parent's."""
    global _lock
    _lock = threading.Lock()
    _sessions.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
