"""Headwater on one machine: broker, Redis and workers, started, watched and stopped together.

Theory of operation: every process is a child that dies with this one (`local.keeper`). `start` brings them up in order,
`look` is called a few times a second and says what happened to them, `stop` ends them in the reverse order, so that a
worker can finish its batch while Redis and the broker still answer.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from headwater_processor.local.services import Kept, ServiceError, start_broker, start_kept, start_redis

logger = logging.getLogger(__name__)

WORKER_GRACE_S: Final = 5.0
"""How long a worker may take to finish after SIGTERM; then it is killed."""

_STOP_S: Final = WORKER_GRACE_S + 1.5
_RESTARTS: Final = 4
_RESTART_WINDOW_S: Final = 60.0
_FIRST_DELAY_S: Final = 0.5
_LAST_WORDS: Final = 15


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the services of a stack are."""

    kafka: str
    redis_url: str


@dataclass(slots=True)
class _Worker:
    number: int
    process: Kept
    log: Path
    deaths_s: deque[float] = field(default_factory=deque)
    given_up: bool = False
    again_s: float = 0.0
    """When a dead worker is started again; 0 while it runs."""


class Stack:
    """What `headwater up` runs.

    Args:
        topics: topics of the embedded broker, name to partitions.
        worker: the command line and the environment of a worker, once the addresses are known.
        workers: how many.
        kafka, redis_url: addresses of real services; empty: embedded ones.
    """

    def __init__(
        self,
        topics: Mapping[str, int],
        worker: Callable[[Addresses, int], tuple[Sequence[str], Mapping[str, str]]],
        *,
        workers: int = 1,
        kafka: str = "",
        redis_url: str = "",
    ) -> None:
        self._topics = topics
        self._worker = worker
        self._count = workers
        self._given = Addresses(kafka, redis_url)
        self._services: list[Kept] = []
        self._workers: list[_Worker] = []
        self._addresses = self._given
        self.folder = Path(tempfile.mkdtemp(prefix="headwater-"))

    @property
    def addresses(self) -> Addresses:
        """Of the services; final after `start_services`."""
        return self._addresses

    def start_services(self) -> Addresses:
        """Start what was not given.

        Raises:
            ServiceError: one of them did not come up; what was started is stopped again.
        """
        kafka, redis_url = self._given.kafka, self._given.redis_url
        if not redis_url:
            redis = start_redis(self.folder)
            self._services.append(redis.process)
            redis_url = redis.url
        if not kafka:
            broker = start_broker(self._topics)
            self._services.append(broker.process)
            kafka = broker.bootstrap
        self._addresses = Addresses(kafka, redis_url)
        return self._addresses

    def start_workers(self) -> None:
        """Start the workers; their logs are `worker-<n>.log` in the folder of the stack."""
        for number in range(self._count):
            log = self.folder / f"worker-{number}.log"
            self._workers.append(_Worker(number, self._start_worker(number, log), log))

    def look(self) -> Iterator[str]:
        """Say what ended since the last look, and start workers again that died (a few times a minute at most).

        Raises:
            ServiceError: a service died, or every worker has died too often: there is nothing left to look after.
        """
        for service in self._services:
            code = service.exit_code()
            if code is not None:
                raise ServiceError(f"{service.name} ended by itself (exit code {code}); start again")
        for worker in self._workers:
            if worker.given_up:
                continue
            if worker.again_s:
                self._start_again(worker)
            elif (code := worker.process.exit_code()) is not None:
                yield self._bury(worker, code)
        if self._workers and all(worker.given_up for worker in self._workers):
            raise ServiceError(f"every worker dies at once; the last words of the first were:\n{self._last_words()}")

    def stop(self) -> None:
        """Stop everything, workers first, and remove the folder. Takes under ten seconds even if nobody listens."""
        for worker in self._workers:
            worker.process.ask_to_stop()
        deadline_s = time.monotonic() + _STOP_S
        for worker in self._workers:
            worker.process.stop(max(0.1, deadline_s - time.monotonic()))
        for service in reversed(self._services):
            service.stop(1.5)
        self._workers.clear()
        self._services.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start_worker(self, number: int, log: Path) -> Kept:
        command, environment = self._worker(self._addresses, number)
        with log.open("ab") as output:
            return start_kept(f"worker {number}", command, grace_s=WORKER_GRACE_S, log=output, env=environment)

    def _bury(self, worker: _Worker, code: int) -> str:
        """A worker died: decide when it starts again, a little later each time, or that it does not."""
        now_s = time.monotonic()
        worker.process.stop()
        worker.deaths_s.append(now_s)
        while worker.deaths_s[0] < now_s - _RESTART_WINDOW_S:
            worker.deaths_s.popleft()
        if len(worker.deaths_s) > _RESTARTS:
            worker.given_up = True
            return f"worker {worker.number} died {len(worker.deaths_s)} times within a minute and is left alone"
        delay_s = _FIRST_DELAY_S * 2 ** (len(worker.deaths_s) - 1)
        worker.again_s = now_s + delay_s
        return f"worker {worker.number} died (exit code {code}) and starts again in {delay_s:g} s; log: {worker.log}"

    def _start_again(self, worker: _Worker) -> None:
        if time.monotonic() >= worker.again_s:
            worker.again_s = 0.0
            worker.process = self._start_worker(worker.number, worker.log)

    def _last_words(self) -> str:
        lines = self._workers[0].log.read_text(errors="replace").strip().splitlines()
        return "\n".join(dict.fromkeys(lines[-_LAST_WORDS:])) or "(nothing)"
