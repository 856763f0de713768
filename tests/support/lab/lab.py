"""One run of the laboratory: a stream, workers, what the schedule does to them, and what was found afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import redis
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions
from tests.support.kafka_server import KafkaServer
from tests.support.lab.clocks import Acknowledged
from tests.support.lab.ledger import Ledger, missed
from tests.support.lab.pages import judge_again
from tests.support.lab.schedule import PROTOCOLS, Schedule, Step
from tests.support.oracle.drive import POLICIES, Run
from tests.support.oracle.generator import Generator
from tests.support.oracle.records import Options, Record, S, policy_records
from tests.support.oracle.topics import configure_topic, end_offsets, produce
from tests.support.oracle.world import spellings
from tests.support.processes import wait_until
from tests.support.redis_server import RedisServer
from tests.support.workers import LEAVES_WITHIN_S, WorkerProcess, differences, fence, new_run, start_worker

PARTITIONS: Final = 4
SESSION_S: Final = 6.0
QUIET_WITHIN_S: Final = 120.0
RSS_MAX_BYTES: Final = 600 * 1024 * 1024
"""Far above what a run of this size needs: a bound for what must not grow."""
STEP_WITHIN_S: Final = 60.0


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


class Stream:
    """The producer: a part at once, the rest at a pace, in a thread. Its ledger is what Kafka acknowledged."""

    def __init__(self, run: Run, schedule: Schedule) -> None:
        self._run = run
        self._schedule = schedule
        self._began = time.monotonic()
        self._records = Generator(self._options()).records()
        self.sent = 0
        self.told = Acknowledged()
        self.acknowledged: dict[int, int] = {}
        self._lock = threading.Lock()

    def _options(self) -> Options:
        """In the present a record is dated when it is sent: what is there before lies in the past, the rest comes at its pace."""
        s = self._schedule
        if not s.present:
            return Options(s.events, s.seed, PARTITIONS)
        before_us = int(s.events * s.preloaded) * S // s.per_second
        return Options(
            s.events, s.seed, PARTITIONS, start_us=time.time_ns() // 1000 - before_us, step_us=S // s.per_second
        )

    def beside(self, count: int, seed: int, partitions: int, ahead_us: int = 0) -> Iterator[Record]:
        """Another stream that is dated like this one, or so much ahead of it; appended when this one is."""
        start_us = (time.time_ns() // 1000 if self._schedule.present else Options(0).start_us) + ahead_us
        for record in Generator(Options(count, seed, partitions, start_us=start_us)).records():
            yield record._replace(timestamp_ms=record.timestamp_ms - ahead_us // 1000)

    def preload(self) -> None:
        """What is there before the first worker."""
        self._note(
            self._run.produce(self._counted(int(self._schedule.events * self._schedule.preloaded)), self.told.note)
        )

    def rest(self) -> None:
        """All others, at their pace."""
        self._note(self._run.produce(self._paced(), self.told.note))

    def more(self, records: list[Record]) -> None:
        """Others beside them."""
        self._note(self._run.produce(records, self.told.note))

    def _note(self, counts: Mapping[int, int]) -> None:
        with self._lock:  # some come beside the stream
            for partition, count in counts.items():
                self.acknowledged[partition] = self.acknowledged.get(partition, 0) + count

    def _counted(self, count: int | None = None) -> Iterator[Record]:
        for record in islice(self._records, count):
            self.sent += 1
            yield record

    def _paced(self) -> Iterator[Record]:
        start, before = time.monotonic(), self.sent
        if self._schedule.present:  # workers took a while to start, and events are dated from the beginning on
            start, before = self._began, int(self._schedule.events * self._schedule.preloaded)
        for record in self._counted():
            ahead_s = start + (self.sent - before) / self._schedule.per_second - time.monotonic()
            if ahead_s > 0.05:
                time.sleep(ahead_s)
            yield record


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


# ---- what can be done ----------------------------------------------------------------------------------------------


def _pick(lab: Lab, step: Step) -> WorkerProcess:
    workers = lab.workers() or [lab.start()]
    return workers[step.number % len(workers)]


def _kill(lab: Lab, step: Step) -> bool:
    _pick(lab, step).kill()
    time.sleep(step.seconds * 4 * (step.number % 2))
    lab.start()
    return True


def _tell_to_leave(lab: Lab, step: Step) -> bool:
    worker = _pick(lab, step)
    if step.number % 2:
        lab.start()
    lab.leave(worker)
    if not lab.workers():
        lab.start()
    return True


def _freeze(lab: Lab, step: Step) -> bool:
    worker = _pick(lab, step)
    worker.freeze()
    if step.number % 2:
        lab.start()
    time.sleep(SESSION_S + 1 + 3 * step.seconds)
    worker.thaw()
    return True


def _storm(lab: Lab, step: Step) -> bool:
    for turn in range(3):
        lab.start()
        time.sleep(step.seconds * 2)
        goes = lab.workers()[(step.number + turn) % len(lab.workers())]
        if (step.number >> turn) % 2:
            goes.kill()
        else:
            lab.leave(goes)
    if not lab.workers():
        lab.start()
    return True


def _failpoint(step: Step) -> str:
    action = {"killed-at-a-point": "kill", "frozen-at-a-point": "freeze", "cut-at-a-point": "cut"}[step.fault]
    return f"{step.point}:{step.nth}:{action}"


def _kill_at(lab: Lab, step: Step) -> bool:
    worker = lab.only(FAILPOINT=_failpoint(step))
    if step.point == "releasing":
        worker.tell(signal.SIGTERM)
    reached = lab.away(worker, 10)
    lab.start()
    if worker.running:
        lab.leave(worker)
    return reached


def _freeze_at(lab: Lab, step: Step) -> bool:
    worker = lab.only(FAILPOINT=_failpoint(step))
    if step.point == "releasing":
        worker.tell(signal.SIGTERM)
    with contextlib.suppress(TimeoutError):
        wait_until(lambda: worker.said("failpoint "), within_s=10, what="the point")
    reached = worker.said("failpoint ")
    lab.start()
    time.sleep(SESSION_S + 2 * step.seconds)
    worker.thaw()
    if step.point == "releasing" and not lab.away(worker, 30):
        raise AssertionError(f"a worker that was told to leave and slept does not leave:\n{worker.log_tail(30)}")
    if not reached and worker.running:
        lab.send_away(worker)  # its point may come in the middle of another fault, and nobody would thaw it there
    return reached


def _cut_at(lab: Lab, step: Step) -> bool:
    worker = lab.only(FAILPOINT=_failpoint(step))
    with contextlib.suppress(TimeoutError):
        wait_until(lambda: worker.said("failpoint "), within_s=10, what="the point")
    return worker.said("failpoint ")


def _wrong_clock(lab: Lab, step: Step) -> bool:
    lab.only(CLOCK_SHIFT_S=str(86_400 if step.number % 2 else -86_400))
    return True


def _jumping_clock(lab: Lab, step: Step) -> bool:
    lab.only(CLOCK_JUMPS_S=str((5, 600, 86_400)[step.number % 3]))
    return True


def _wrong_producers(lab: Lab, step: Step) -> bool:
    """Their events say another time than the broker's clock at which they come."""
    ahead_s = (86_400, -7 * 86_400)[step.number % 2]
    seed = lab.schedule.seed * 1000 + step.number
    lab.stream.more(list(lab.stream.beside(600, seed, PARTITIONS, ahead_s * S)))
    return True


def _restart_kafka(lab: Lab, _step: Step) -> bool:
    lab.kafka.restart()
    return True


def _kill_kafka(lab: Lab, step: Step) -> bool:
    lab.kafka.kill()
    time.sleep(4 * step.seconds)
    lab.kafka.start()
    return True


def _freeze_kafka(lab: Lab, step: Step) -> bool:
    lab.kafka.freeze()
    time.sleep(3 + 6 * step.seconds)
    lab.kafka.thaw()
    return True


def _refuse_writes(lab: Lab, step: Step) -> bool:
    topic = f"{lab.run.where.prefix}{('deltas', 'alerts', 'late', 'deadletter')[step.number % 4]}"
    # Whatever was stamped before it arrived. (A topic with one replica asks for no second one: Kafka 4 takes the lesser of
    # `min.insync.replicas` and the replicas that there are.)
    configure_topic(lab.run.where.bootstrap, topic, {"message.timestamp.before.max.ms": "0"})
    time.sleep(2 + 6 * step.seconds)
    configure_topic(lab.run.where.bootstrap, topic, {"message.timestamp.before.max.ms": str(2**63 - 1)})
    return True


def _refuse_large(lab: Lab, step: Step) -> bool:
    topic = f"{lab.run.where.prefix}{('deltas', 'alerts', 'late', 'deadletter')[step.number % 4]}"
    configure_topic(lab.run.where.bootstrap, topic, {"max.message.bytes": "150"})
    time.sleep(2 + 6 * step.seconds)
    configure_topic(lab.run.where.bootstrap, topic, {"max.message.bytes": str(2 << 20)})
    return True


def _add_partitions(lab: Lab, step: Step) -> bool:
    admin = AdminClient({"bootstrap.servers": lab.run.where.bootstrap})
    total = len(end_offsets(lab.run.where.bootstrap, lab.run.where.events)) + 2
    admin.create_partitions([NewPartitions(lab.run.where.events, total)])[lab.run.where.events].result(30)
    wait_until(
        lambda: len(end_offsets(lab.run.where.bootstrap, lab.run.where.events)) == total, within_s=30, what="partitions"
    )
    others = lab.stream.beside(600, lab.schedule.seed * 1000 + step.number, 2)
    lab.stream.more([record._replace(partition=record.partition + total - 2) for record in others])
    return True


def _restart_redis(lab: Lab, _step: Step) -> bool:
    lab.redis.restart()
    return True


def _kill_redis(lab: Lab, step: Step) -> bool:
    lab.redis.kill()
    time.sleep(4 * step.seconds)
    lab.redis.start()
    return True


def _has_state(lab: Lab) -> bool:
    if not lab.workers():  # it found its services away at its start; whoever runs it starts it again
        lab.start()
    return all(fence(lab.run, number) for number in range(PARTITIONS))


def _roll_back(lab: Lab, step: Step) -> bool:
    wait_until(lambda: _has_state(lab), within_s=90, what="state of every partition")
    with lab.redis.client() as client:
        saved_us = time.time_ns() // 1000
        client.save()
    old = lab.redis.folder / "dump.rdb"
    kept = old.with_suffix(".kept")
    shutil.copy(old, kept)
    time.sleep(0.5 + 2 * step.seconds)
    lab.redis.kill()
    lab.ledger.set_back(saved_us, time.time_ns() // 1000)
    shutil.copy(kept, old)
    lab.redis.start()
    lab.rolled_back = True
    return True


def _pause_redis(lab: Lab, step: Step) -> bool:
    with lab.redis.client() as client:
        client.client_pause(1000 + int(3000 * step.seconds), all=True)
    return True


_BUSY_FOR_2_S: Final = """
local began = redis.call('TIME')
repeat
  local now = redis.call('TIME')
until (now[1] - began[1]) * 1000000 + now[2] - began[2] > 2000000
"""


def _busy_redis(lab: Lab, _step: Step) -> bool:
    with lab.redis.client() as client:
        client.config_set("lua-time-limit", 200)  # the name that Redis before 7.0 knows, and all after it
        with contextlib.suppress(redis.ResponseError):
            client.eval(_BUSY_FOR_2_S, 0)
    return True


def _fill_redis(lab: Lab, _step: Step) -> bool:
    with lab.redis.client() as client:
        client.config_set("maxmemory", 1_000_000)
        time.sleep(2.0)
        client.config_set("maxmemory", 0)
    return True


def _flush_scripts(lab: Lab, _step: Step) -> bool:
    return _often(lab, lambda client: client.script_flush())


def _cut_connections(lab: Lab, _step: Step) -> bool:
    return _often(lab, lambda client: client.client_kill_filter(_type="normal", skipme=True))


def _often(lab: Lab, act: Callable[[redis.Redis], Any]) -> bool:
    with lab.redis.client() as client:
        for _ in range(10):
            act(client)
            time.sleep(0.1)
    return True


def _change_policies(lab: Lab, step: Step) -> bool:
    names = [spellings(number)[0] for number in range(POLICIES)]
    topic = f"{lab.run.where.prefix}policies"
    tight = policy_records(names, max_age_ms=1_000)
    loose = policy_records(names, max_age_ms=400 * 86_400_000)
    for records in (tight, loose) if step.number % 2 else (loose, tight):
        produce(lab.run.where.bootstrap, topic, records)
        time.sleep(step.seconds)
    gone = [record._replace(value=None) for record in tight[: POLICIES // 2]]
    produce(lab.run.where.bootstrap, topic, gone)
    return True


def _policies_behind(lab: Lab, _step: Step) -> bool:
    """A worker that comes finds twenty thousand changes of policies, of which the last few count."""
    names = [spellings(number)[0] for number in range(POLICIES)]
    topic = f"{lab.run.where.prefix}policies"
    ages_ms = [1_000 * (1 + turn) for turn in range(1_000)] + [3_600_000]
    produce(lab.run.where.bootstrap, topic, [r for age in ages_ms for r in policy_records(names, max_age_ms=age)])
    lab.start()
    return True


ACTS: Final[Mapping[str, Callable[[Lab, Step], bool]]] = MappingProxyType(
    {
        "worker-killed": _kill,
        "worker-told-to-leave": _tell_to_leave,
        "worker-frozen": _freeze,
        "workers-storm": _storm,
        "killed-at-a-point": _kill_at,
        "frozen-at-a-point": _freeze_at,
        "cut-at-a-point": _cut_at,
        "worker-clock-wrong": _wrong_clock,
        "worker-clock-jumps": _jumping_clock,
        "producers-clocks-wrong": _wrong_producers,
        "kafka-restarted": _restart_kafka,
        "kafka-killed": _kill_kafka,
        "kafka-frozen": _freeze_kafka,
        "writes-refused": _refuse_writes,
        "writes-too-large": _refuse_large,
        "partitions-added": _add_partitions,
        "redis-restarted": _restart_redis,
        "redis-killed": _kill_redis,
        "redis-rolled-back": _roll_back,
        "redis-paused": _pause_redis,
        "redis-busy": _busy_redis,
        "redis-full": _fill_redis,
        "scripts-flushed": _flush_scripts,
        "connections-cut": _cut_connections,
        "policies-changed": _change_policies,
        "policies-behind": _policies_behind,
    }
)
"""Each fault of `schedule.FAULTS`; returns whether it took place."""
