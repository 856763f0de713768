"""Workers under test: processes that are told to leave, domains of present events, and what was said about them."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Producer
from tests.support.oracle.compare import Where, compare, feed, state_client
from tests.support.oracle.drive import COMPACTED, Run, new_model
from tests.support.oracle.topics import Message, create_topic, read_topic
from tests.support.processes import ChildServer, wait_until

from headwater_schemas.alerts import Alert, AlertState
from headwater_schemas.codec import decode_alert, decode_delta, encode_policy, encode_single_object
from headwater_schemas.deltas import Aspect, GraphDelta, Status
from headwater_schemas.events import DatasetUse, EventType, LineageEvent, Name
from headwater_schemas.policies import Policy

HEADWATER: Final = str(Path(sys.executable).with_name("headwater"))
ROOT: Final = Path(__file__).resolve().parents[2]
LEAVES_WITHIN_S: Final = 10.0
QUIET: Final = {"HEADWATER_METRICS__ENABLED": "false"}
"""Several workers of one host would want the same port."""


class WorkerProcess(ChildServer):
    """`headwater worker` as a process, whose exit code counts."""

    def leave(self, within_s: float = LEAVES_WITHIN_S) -> int:
        """SIGTERM; the exit code. AssertionError with the end of its log when it does not end in time."""
        self.tell(signal.SIGTERM)
        return self.ended(within_s)

    def tell(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def ended(self, within_s: float) -> int:
        """The exit code of a process that ends by itself. AssertionError when it does not in time."""
        if self._process is None:
            raise RuntimeError("the worker was not started")
        try:
            code = self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            tail = self.log_tail(40)
            self.kill()
            raise AssertionError(f"the worker did not end within {within_s:g} s; its log ends:\n{tail}") from None
        self._process = None
        return code

    def said(self, text: str) -> bool:
        """Whether its output contains the text."""
        return self.log.exists() and text in self.log.read_text(errors="replace")

    def said_often(self, text: str) -> int:
        """How often its output contains the text."""
        return self.log.read_text(errors="replace").count(text) if self.log.exists() else 0


def start_worker(run: Run, *, failing: bool = False, **settings: str) -> WorkerProcess:
    """A worker of the run's domain. `settings` are environment variables without their prefix; `failing`: one that
    understands those of `tests.support.failing_worker` too."""
    environment = {
        "HEADWATER_KAFKA__BOOTSTRAP_SERVERS": run.where.bootstrap,
        "HEADWATER_REDIS__URL": run.where.redis_url,
        "HEADWATER_DOMAIN": run.where.domain,
        "HEADWATER_TOPIC_PREFIX": run.where.prefix,
        "HEADWATER_PROCESSOR__GROUP": f"{run.where.domain}-worker",
        **QUIET,
        **run.settings,
        **{f"HEADWATER_{name}": value for name, value in settings.items()},
    }
    given = [f"{name}={value}" for name, value in environment.items()]
    log = run.folder / f"worker-{len(run.workers)}.log"
    command = [sys.executable, "-m", "tests.support.failing_worker"] if failing else [HEADWATER]
    if failing:
        given.append(f"PYTHONPATH={os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])}")
    worker = WorkerProcess(["/usr/bin/env", *given, *command, "worker"], log)
    worker.start(lambda: True, within_s=5)
    run.workers.append(worker)
    return worker


def headwater(run: Run, *arguments: str, within_s: float = 30) -> subprocess.CompletedProcess[str]:
    """Another command on the same domain."""
    where = ["--kafka", run.where.bootstrap, "--redis", run.where.redis_url, "--domain", run.where.domain]
    command = [HEADWATER, *where, "--set", f"topic_prefix={run.where.prefix}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=within_s, check=False)


def differences(
    run: Run, *, strict_versions: bool = True, with_registry: bool = False, rolled_back: bool = False
) -> str:
    """What is not as the oracle says, as text; empty when all is well."""
    model = new_model(with_registry=with_registry)
    feed(model, run.where)
    return "\n".join(compare(model, run.where, strict_versions=strict_versions, rolled_back=rolled_back))


def fence(run: Run, partition: int) -> dict[str, str]:
    """The fence of a partition as Redis has it; empty when there is none."""
    with state_client(run.where) as client:
        stored: Any = client.hgetall(f"{{hw:{run.where.domain}}}:f:{partition}")
    return {name.decode(): value.decode() for name, value in stored.items()}


def as_of(run: Run) -> dict[str, int]:
    """As-of by partition, microseconds."""
    with state_client(run.where) as client:
        stored: Any = client.hgetall(f"{{hw:{run.where.domain}}}:asof")
    return {name.decode(): int(value) for name, value in stored.items()}


def forget(run: Run) -> None:
    """Delete every key of the domain, as a Redis without persistence does when it is started anew."""
    with state_client(run.where) as client:
        for key in client.scan_iter(f"{{hw:{run.where.domain}}}:*", count=1000):
            client.delete(key)


@contextlib.contextmanager
def in_thread(work: Callable[[], object], within_s: float = 120) -> Iterator[None]:
    """Something that goes on while the block runs; waited for at its end, its error raised there."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        yield
        future.result(within_s)


@dataclass(slots=True)
class Domain:
    """A domain of events that happen now, for what is judged by the clock."""

    run: Run
    partitions: int = 2
    _producer: Producer = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._producer = Producer({"bootstrap.servers": self.run.where.bootstrap, "linger.ms": 0, "log_level": 0})

    def create_topics(self) -> None:
        """All topics of the domain, and nothing in them."""
        bootstrap, prefix = self.run.where.bootstrap, self.run.where.prefix
        for name, count in (("events", self.partitions), ("deltas", 2), ("alerts", 1), ("late", 1), ("deadletter", 1)):
            create_topic(bootstrap, f"{prefix}{name}", count)
        for name in ("schemas", "policies"):
            create_topic(bootstrap, f"{prefix}{name}", 1, COMPACTED)

    # --- what is said to it --------------------------------------------------------------------------------------

    def say(self, event: LineageEvent) -> None:
        """One event, acknowledged; events of a job go to one partition."""
        partition = sum(str(event.job).encode()) % self.partitions
        self.put("events", str(event.job).encode(), encode_single_object(event), partition)

    def write(self, dataset: Name, job: str = "load", emitter: str = "") -> int:
        """The dataset is written now; returns the time of the event, microseconds."""
        event = LineageEvent(
            os.urandom(16),
            time.time_ns() // 1000,
            EventType.COMPLETE,
            os.urandom(16),
            Name("jobs", job),
            inputs=(DatasetUse("kafka://source:9092", "raw"),),
            outputs=(DatasetUse(dataset.namespace, dataset.name),),
            emitter=emitter,
        )
        self.say(event)
        return event.event_time_us

    def policy(self, policy: Policy) -> None:
        """Publish a policy."""
        self.put("policies", policy.subject.encode(), encode_policy(policy), 0)

    def withdraw(self, subject: str) -> None:
        """Take a policy back."""
        self.put("policies", subject.encode(), None, 0)

    def put(self, topic: str, key: bytes | None, value: bytes | None, partition: int) -> None:
        """One record, acknowledged."""
        failures: list[str] = []
        self._producer.produce(
            f"{self.run.where.prefix}{topic}",
            value,
            key,
            partition,
            on_delivery=lambda error, _message: failures.append(str(error)) if error is not None else None,
        )
        if self._producer.flush(30) or failures:
            raise RuntimeError(f"{topic}: not delivered: {failures}")

    # --- what it says --------------------------------------------------------------------------------------------

    def alerts(self, kind: str = "") -> list[Alert]:
        """Every transition that was published, copies left out, in order."""
        seen: dict[str, Alert] = {}
        for message in self._read("alerts"):
            if message.value is not None:
                alert = decode_alert(message.value)
                seen.setdefault(alert.alert_id, alert)
        return [alert for alert in seen.values() if alert.kind != "Watchdog" and kind in ("", alert.kind)]

    def copies(self) -> list[Alert]:
        """Every alert but the watchdog's, copies too."""
        found = [decode_alert(message.value) for message in self._read("alerts") if message.value is not None]
        return [alert for alert in found if alert.kind != "Watchdog"]

    def states(self, dataset: Name) -> list[str]:
        """The freshness states of a dataset in the order of their images, repetitions left out."""
        out: list[str] = []
        for delta in self.statuses(dataset):
            state = (delta.status or Status()).state.value
            if not out or out[-1] != state:
                out.append(state)
        return out

    def statuses(self, dataset: Name) -> list[GraphDelta]:
        """The status images of a dataset, in order."""
        return [
            delta
            for delta in self.deltas()
            if delta.aspect is Aspect.STATUS and (delta.namespace, delta.name) == (dataset.namespace, dataset.name)
        ]

    def deltas(self) -> Iterable[GraphDelta]:
        """Every image, in the order of the log of its partition."""
        return [decode_delta(message.value) for message in self._read("deltas") if message.value is not None]

    def _read(self, role: str) -> Iterator[Message]:
        return read_topic(self.run.where.bootstrap, f"{self.run.where.prefix}{role}")

    # --- waiting -------------------------------------------------------------------------------------------------

    def wait_for_state(self, dataset: Name, state: str, within_s: float = 30) -> None:
        """Until the newest status image shows the state. Raises AssertionError with what it went through."""
        self._wait(lambda: self.states(dataset)[-1:] == [state], within_s, f"{dataset} {state}", dataset)

    def wait_for_alert(self, kind: str, state: AlertState, within_s: float = 30, count: int = 1) -> Alert:
        """Until so many transitions were published; the last of them. AssertionError with all that were."""

        def found() -> list[Alert]:
            return [alert for alert in self.alerts(kind) if alert.state is state]

        self._wait(lambda: len(found()) >= count, within_s, f"{count} × {kind} {state.value}")
        return found()[-1]

    def wait_until_judged_after(self, time_us: int, within_s: float = 30) -> None:
        """Until as-of of all partitions is later than that, and one more sweep has surely looked."""

        def passed() -> bool:
            known = as_of(self.run)
            return len(known) == self.partitions and min(known.values()) > time_us

        self._wait(passed, within_s, f"as-of past {time_us}")

    def _wait(self, condition: Callable[[], bool], within_s: float, what: str, dataset: Name | None = None) -> None:
        try:
            wait_until(condition, within_s=within_s, what=what, pause_s=0.2)
        except TimeoutError as error:
            said = [(a.kind, a.name, a.state.value) for a in self.alerts()]
            shown = self.states(dataset) if dataset else ""
            logs = "\n".join(worker.log_tail(25) for worker in self.run.workers)
            raise AssertionError(f"{error}; alerts {said}; states {shown}; as-of {as_of(self.run)}\n{logs}") from error


def until(time_us: int) -> None:
    """Wait until that time of the wall clock, microseconds: for what may not happen before."""
    wait_until(lambda: time.time_ns() // 1000 > time_us, within_s=120, what="a time")


def now_us() -> int:
    """The wall clock, microseconds."""
    return time.time_ns() // 1000


def new_run(
    bootstrap: str, redis_url: str, domain: str, folder: Path, settings: Mapping[str, str] | None = None
) -> Run:
    """A domain of its own."""
    return Run(Where(bootstrap, redis_url, domain, f"{domain}."), folder, dict(settings or {}))
