"""One run of the laboratory: a stream, workers, what the schedule does to them, and what was found afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import redis
from confluent_kafka import KafkaException
from tests.support.kafka_server import KafkaServer
from tests.support.lab.acts import ACTS
from tests.support.lab.ledger import Ledger, missed
from tests.support.lab.pages import judge_again
from tests.support.lab.schedule import PARTITIONS, PROTOCOLS, SESSION_S, Schedule
from tests.support.lab.stream import Stream
from tests.support.oracle.drive import POLICIES
from tests.support.oracle.records import policy_records
from tests.support.oracle.topics import end_offsets, produce
from tests.support.oracle.world import spellings
from tests.support.processes import wait_until
from tests.support.redis_server import RedisServer
from tests.support.workers import LEAVES_WITHIN_S, WorkerProcess, differences, new_run, start_worker

QUIET_WITHIN_S: Final = 120.0
RSS_MAX_BYTES: Final = 600 * 1024 * 1024
"""Far above what a run of this size needs: a bound for what must not grow."""


@dataclass(slots=True)
class Outcome:
    """What was found after a run; empty `faults` when everything holds."""

    schedule: Schedule
    faults: list[str] = field(default_factory=list)
    reached: dict[str, bool] = field(default_factory=dict)
    """Each step, and whether it took place: a point may not be passed so often."""
    seconds: float = 0.0
    ledger: str = ""
    """How much the ledger of the outboxes heard."""
    pages: str = ""
    """How much the alert oracle judged again."""

    @property
    def good(self) -> bool:
        return not self.faults


class Lab:
    """The services and workers of one run, and everything that can be done to them."""

    def __init__(self, schedule: Schedule, kafka: KafkaServer, own_redis: RedisServer, folder: Path) -> None:
        self.schedule = schedule
        self.kafka = kafka
        self.redis = own_redis
        domain = f"lab-{schedule.seed}-{os.getpid()}-{time.time_ns() % 1_000_000}"
        self.run = new_run(kafka.bootstrap_servers, own_redis.url, domain, folder)
        self.settings = {**PROTOCOLS[schedule.protocol], **schedule.settings}
        self.stream = Stream(self.run, schedule)
        self.found: list[str] = []
        self.rolled_back = False
        self.pages = ""
        self.ledger = Ledger(own_redis.port, domain)
        self._pool = ThreadPoolExecutor(1)
        self._streaming: Future[None] | None = None

    # ---- life ------------------------------------------------------------------------------------------------------

    def go(self) -> Outcome:
        """The whole run."""
        began = time.monotonic()
        outcome = Outcome(self.schedule)
        try:
            self.ledger.start()
            self.run.create_topics(PARTITIONS)
            if self.schedule.present:
                self._ask_for_seconds()
            self.stream.preload()
            for _ in range(self.schedule.workers):
                self.start()
            self._streaming = self._pool.submit(self.stream.rest)
            for number, step in enumerate(self.schedule.steps, 1):
                self._supervise(step.at, str(step))
                outcome.reached[f"{number} {step}"] = ACTS[step.fault](self, step)
            self._supervise(1.0, "the end of the stream")
            self._compare()
        except (AssertionError, KafkaException, RuntimeError, TimeoutError, redis.RedisError) as error:
            self.found.append(f"{type(error).__name__}: {error}")
        finally:
            for worker in self.workers():
                worker.kill()
            self._pool.shutdown(wait=False, cancel_futures=True)
            self.ledger.close()
        self._read_logs()
        outcome.ledger = str(self.ledger)
        outcome.pages = self.pages
        outcome.faults = self.found
        outcome.seconds = time.monotonic() - began
        return outcome

    def _supervise(self, share: float, what: str) -> None:
        """Until so much of the stream is sent. Whoever runs a worker starts another when none is left: one that found its
        services away at its start says so and ends."""

        def sent() -> bool:
            if not self.workers():
                self.start()
            return self._sent_share() >= share

        wait_until(sent, within_s=300, what=what)

    def _owns_all(self, worker: WorkerProcess) -> bool:
        every = sorted(end_offsets(self.run.where.bootstrap, self.run.where.events))
        said = [line for line in worker.log_tail(10_000).splitlines() if ", owning [" in line or ": lost [" in line]
        return bool(said) and said[-1].endswith(f", owning {every}")

    def _compare(self) -> None:
        self.run.wait_until_quiet(self._member(), QUIET_WITHIN_S)
        for worker in self.workers():
            peak = _peak_rss_bytes(worker.pid)
            if peak > RSS_MAX_BYTES:
                self.found.append(f"a worker took {peak:,} bytes of memory")
        # Shards that change hands are looked at anew, which may name something: the last one publishes that before it goes.
        *others, last = self.workers()
        for worker in others:
            self.leave(worker)
        # After an outage of the broker it may be on its way back into its group: quiet, but nobody's publisher.
        wait_until(lambda: self._owns_all(last), within_s=QUIET_WITHIN_S, what="the last worker owns every partition")
        self.run.wait_until_quiet(last, QUIET_WITHIN_S)
        self.leave(last)
        ends = end_offsets(self.run.where.bootstrap, self.run.where.events)
        for partition, count in self.stream.acknowledged.items():
            # More may be there: a producer that a broker forgot while it died sends again what it got no answer for.
            if ends[partition] < count:
                self.found.append(f"partition {partition} holds {ends[partition]} records, {count} were acknowledged")
        told = differences(self.run, rolled_back=self.rolled_back)
        if told:
            self.found.append(told)
        self.found += missed(self.ledger, self.run.where)
        verdict = judge_again(self.ledger.clocks, self.stream.told, self.run.where, rolled_back=self.rolled_back)
        self.found += verdict.wrong
        self.pages = str(verdict)

    def _ask_for_seconds(self) -> None:
        """Targets that are met while everything runs, and broken by some seconds of silence: who pages for a lag is caught."""
        names = [spellings(number)[0] for number in range(POLICIES)]
        records = [policy_records(names, max_age_ms=1_000 + 700 * (number % 8))[number] for number in range(POLICIES)]
        produce(self.run.where.bootstrap, f"{self.run.where.prefix}policies", records)

    def _member(self) -> WorkerProcess:
        """A worker that lives and has joined. One that found its services away at its start has said so and ended, as it
        should (exit code 3); whoever runs it starts it again, as we do."""
        for _ in range(5):
            worker = (self.workers() or [self.start()])[0]
            wait_until(lambda w=worker: w.said("assigned [") or not w.running, within_s=60, what="a member")  # type: ignore[misc]  # bound now
            if worker.running:
                return worker
        raise AssertionError(f"no worker stays; the log of the last one ends:\n{worker.log_tail(30)}")

    def _sent_share(self) -> float:
        if self._streaming is not None and self._streaming.done():
            self._streaming.result()
            return 1.0
        return self.stream.sent / self.schedule.events

    def _read_logs(self) -> None:
        for worker in self.run.workers:
            said = worker.log.read_text(errors="replace")
            if "Traceback" in said or "a bug in Headwater" in said:
                self.found.append(f"a traceback in {worker.log}:\n{worker.log_tail(30)}")

    # ---- workers ---------------------------------------------------------------------------------------------------

    def workers(self) -> list[WorkerProcess]:
        """Those that run."""
        return [worker for worker in self.run.workers if isinstance(worker, WorkerProcess) and worker.running]

    def start(self, **more: str) -> WorkerProcess:
        """One more worker; with `FAILPOINT` or `CLOCK_SHIFT_S` one that fails."""
        return start_worker(self.run, failing=bool(more), **self.settings, **more)

    def leave(self, worker: WorkerProcess) -> None:
        """SIGTERM, and it must do as it is told."""
        code = worker.leave()
        starting = not worker.said("Starting...")  # it knows no signal yet, or could not begin and says so
        if code != 0 and not (starting and code in (-signal.SIGTERM, 3)):
            self.found.append(f"a worker that was told to leave exited with {code}:\n{worker.log_tail(30)}")

    def send_away(self, worker: WorkerProcess) -> None:
        """SIGTERM to one that may still freeze at its point: it is thawed as often as it does, and must leave then."""
        worker.tell(signal.SIGTERM)

        def gone() -> bool:
            worker.thaw()
            return not worker.running

        with contextlib.suppress(TimeoutError):
            wait_until(gone, within_s=LEAVES_WITHIN_S + SESSION_S, what="its end")
        code = worker.ended(0.1)
        if code != 0:
            self.found.append(f"a worker that was told to leave exited with {code}:\n{worker.log_tail(30)}")

    def only(self, **more: str) -> WorkerProcess:
        """A worker that fails, and no other: it gets everything there is."""
        before = self.workers()
        failing = self.start(**more)
        # It may pass its point, and freeze there, before it is a member: offsets are to be committed from the beginning.
        here = ("assigned [", "failpoint ")
        wait_until(lambda: any(map(failing.said, here)) or not failing.running, within_s=60, what="it is a member")
        for worker in before:
            self.leave(worker)
        return failing

    def away(self, worker: WorkerProcess, within_s: float) -> bool:
        """Whether it ends by itself in time."""
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: not worker.running, within_s=within_s, what="its end")
        return not worker.running


def run_schedule(schedule: Schedule, kafka: KafkaServer, folder: Path, binary: str | None = None) -> Outcome:
    """One run on a Redis of its own; the folder is removed if everything holds."""
    folder.mkdir(parents=True, exist_ok=True)
    with RedisServer(appendonly=schedule.durable, binary=binary) as own:
        outcome = Lab(schedule, kafka, own, folder).go()
    if outcome.good:
        shutil.rmtree(folder, ignore_errors=True)
    return outcome


def _peak_rss_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
