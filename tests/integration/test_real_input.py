"""Real input, all the way: files of the OpenLineage client and a job on Kafka, to a stale alert and a trace."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import Producer
from tests.support.openlineage_client import FAILED_RUN_ID, PARENT_RUN_ID, RUN_ID, write_documents
from tests.support.oracle.topics import read_topic
from tests.support.processes import ChildServer, wait_until
from tests.support.services import KafkaService

from headwater_schemas.alerts import Alert, AlertState
from headwater_schemas.codec import decode_alert
from headwater_schemas.naming import canonical_dataset

pytestmark = pytest.mark.timeout(300)

READ, WRITTEN = 100, 50
DAILY: Final = "s3://lake/orders/daily"
"""What the OpenLineage client says was written."""
POD: Final = {
    "POD_NAME": "orders-cleaner-7d9f-x2x4z",
    "POD_UID": "5f4c8a52-4a55-4a53-9be1-0d5f6c3b2a10",
    "POD_NAMESPACE": "shop",
    "NODE_NAME": "node-3",
    "CONTAINER_IMAGE": "registry.example.org/shop/orders-cleaner:1.4.2",
}
SHORT: Final = {
    "HEADWATER_PROCESSOR__DOMAIN_GRACE_MS": "0",
    "HEADWATER_PROCESSOR__FRESHNESS_INTERVAL_MS": "0",
    "HEADWATER_PROCESSOR__SWEEP_INTERVAL_MS": "200",
    "HEADWATER_PROCESSOR__ASOF_INTERVAL_MS": "200",
    "HEADWATER_METRICS__ENABLED": "false",
}

JOB: Final = '''
"""Reads orders, writes the clean ones, and says so; prints the offsets that Kafka gave it."""

import json
import sys

from confluent_kafka import Consumer, Producer

from headwater import Emitter

servers, source, target, wanted, kept = *sys.argv[1:4], int(sys.argv[4]), int(sys.argv[5])
broker = f"kafka://{servers}"
read, wrote = {}, {}


def widen(spans, message):
    first, _ = spans.get(message.partition(), (message.offset(), 0))
    spans[message.partition()] = (min(first, message.offset()), message.offset())


def delivered(error, message):
    assert error is None, error
    widen(wrote, message)


consumer = Consumer({"bootstrap.servers": servers, "group.id": f"{target}-job", "auto.offset.reset": "earliest"})
producer = Producer({"bootstrap.servers": servers, "enable.idempotence": True})
consumer.subscribe([source])
with Emitter.from_env() as emitter, emitter.run() as run:
    count = 0
    while count < wanted:
        message = consumer.poll(60)
        assert message is not None, f"only {count} of {wanted} records came"
        assert message.error() is None, message.error()
        widen(read, message)
        if count < kept:
            producer.produce(target, message.value(), key=message.key(), on_delivery=delivered)
        count += 1
    assert producer.flush(60) == 0
    consumer.commit(asynchronous=False)
    for partition, (first, last) in read.items():
        run.reads(broker, source, partition=partition, first_offset=first, last_offset=last)
    for partition, (first, last) in wrote.items():
        run.writes(broker, target, partition=partition, first_offset=first, last_offset=last, rows=last - first + 1)
consumer.close()
assert emitter.stats().delivered == 2, emitter.stats()
print(json.dumps({"in": read, "out": wrote}))
'''


@dataclass(slots=True)
class Installation:
    """What somebody has who installed Headwater: the commands, settings in the environment, a Kafka and a Redis."""

    kafka: KafkaService
    redis_url: str
    domain: str
    folder: Path
    servers: list[ChildServer] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """The settings of all commands, and a home where nothing of this machine is found."""
        return {
            "HEADWATER_KAFKA__BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "HEADWATER_REDIS__URL": self.redis_url,
            "HEADWATER_DOMAIN": self.domain,
            "HEADWATER_TOPIC_PREFIX": f"{self.domain}.",
            "HEADWATER_PROCESSOR__GROUP": f"{self.domain}-worker",
            "XDG_CONFIG_HOME": str(self.folder),
            "XDG_RUNTIME_DIR": str(self.folder),
            **SHORT,
        }

    def headwater(self, *arguments: str) -> str:
        """A command's standard output; it must succeed."""
        return self.run([_program("headwater"), *arguments], self.environment)

    def run(self, command: list[str], environment: Mapping[str, str]) -> str:
        """A program's standard output; it must succeed."""
        done = _done(command, environment)
        assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stderr}"
        return done.stdout

    def start(self, *command: str) -> ChildServer:
        """A program that goes on until the test ends."""
        given = [f"{name}={value}" for name, value in self.environment.items()]
        server = ChildServer(["/usr/bin/env", *given, *command], self.folder / f"{Path(command[0]).name}.log")
        server.start(lambda: True, within_s=10)
        self.servers.append(server)
        return server

    def status(self) -> dict[str, Any]:
        """What `headwater status` says; empty as long as there is no state."""
        done = _done([_program("headwater"), "status", "--output", "json"], self.environment)
        assert done.returncode in {0, 4}, done.stderr
        return dict(json.loads(done.stdout)) if done.returncode == 0 else {}

    def alerts(self, kind: str) -> list[Alert]:
        """The transitions of a kind that are on the alerts topic, copies left out."""
        found: dict[str, Alert] = {}
        for message in read_topic(self.kafka.bootstrap_servers, f"{self.domain}.alerts"):
            alert = decode_alert(message.value or b"")
            found.setdefault(alert.alert_id, alert)
        return [alert for alert in found.values() if alert.kind == kind]

    def wait(self, condition: Callable[[], bool], what: str, within_s: float = 60) -> None:
        """Wait; AssertionError with what the worker said when it takes too long."""
        try:
            wait_until(condition, within_s=within_s, what=what, pause_s=0.2)
        except TimeoutError as error:
            logs = "\n".join(server.log_tail(30) for server in self.servers)
            raise AssertionError(f"{error}; status {self.status()}\n{logs}") from error


@pytest.fixture
def installation(kafka: KafkaService, redis_url: str, tmp_path: Path) -> Iterator[Installation]:
    """An installation with a domain of its own and its topics; what it starts ends with the test."""
    made = Installation(kafka, redis_url, kafka.unique("real"), tmp_path)
    made.headwater("topics", "create", "--partitions", "2")
    yield made
    for server in made.servers:
        server.stop()


@dataclass(frozen=True, slots=True)
class Job:
    """The job on Kafka: its topics, as datasets, and what it said on its way."""

    source: str
    target: str
    offsets: dict[str, dict[str, list[int]]]


def test_files_of_the_openlineage_client_and_a_job_on_kafka_end_in_an_alert_and_a_trace(
    installation: Installation,
) -> None:
    worker = installation.start(_program("headwater"), "worker")
    source, target = installation.kafka.unique("orders"), installation.kafka.unique("orders-clean")
    clean = _dataset(installation, target)
    _apply(installation, f"- {{subject: lake, dataset: s3://lake *, max_age: 1h}}\n{_policy(clean, '1h')}")
    _emit_openlineage(installation)
    job = _run_job(installation, source, target)

    installation.wait(lambda: _states(installation).get(DAILY) == "FRESH", f"{DAILY} is fresh")
    installation.wait(lambda: _states(installation).get(job.target) == "FRESH", f"{job.target} is fresh")
    _check_openlineage(installation)
    assert installation.alerts("DatasetStale") == []

    age_s = _passes_in(installation, job.target, 5)
    _apply(installation, _policy(clean, f"{age_s}s"))
    installation.wait(lambda: _states(installation).get(job.target) == "STALE", f"{job.target} is stale")
    installation.wait(lambda: bool(installation.alerts("DatasetStale")), "the alert is published")
    _check_alert(installation, clean, age_s)
    _check_trace(installation, job)
    assert worker.running
    assert "Traceback" not in worker.log.read_text()
    assert len(installation.alerts("DatasetStale")) == 1


def test_documents_that_come_through_a_pipe_are_all_sent(installation: Installation) -> None:
    file = write_documents(installation.folder / "events.jsonl")
    line = f"{_program('headwater')} emit --openlineage <(cat {file}) --output json"
    told = json.loads(installation.run(["bash", "-c", line], installation.environment))
    assert (told["documents"], told["sent"]) == (8, 8)


def test_plain_faust_runs_the_same_worker(installation: Installation) -> None:
    command = ("-A", "headwater_processor.adapters.faust_app", "worker", "--without-web")
    worker = installation.start(_program("faust"), *command)
    installation.headwater("emit", "--job", "shop/load", "--writes", "s3://lake", "orders", "--rows", "90")
    installation.wait(lambda: "s3://lake/orders" in _states(installation), "the event is applied")
    os.kill(worker.pid, signal.SIGTERM)
    installation.wait(lambda: not worker.running, "it leaves when it is told to", within_s=20)
    assert "Traceback" not in worker.log.read_text()


# --- what is done ---------------------------------------------------------------------------------------------------


def _emit_openlineage(installation: Installation) -> None:
    began = datetime.now(UTC) - timedelta(seconds=140)
    file = write_documents(installation.folder / "events.jsonl", began)
    told = json.loads(installation.headwater("emit", "--openlineage", str(file), "--output", "json"))
    assert (told["documents"], told["sent"], told["rejected"]) == (8, 8, 0)


def _run_job(installation: Installation, source: str, target: str) -> Job:
    for topic in (source, target):
        installation.kafka.create_topic(topic, 2)
    producer = Producer({"bootstrap.servers": installation.kafka.bootstrap_servers})
    for number in range(READ):
        producer.produce(source, f"order {number}".encode(), key=str(number).encode(), partition=number % 2)
    assert producer.flush(60) == 0
    script = installation.folder / "orders_cleaner.py"
    script.write_text(JOB)
    servers = installation.kafka.bootstrap_servers
    said = installation.run(
        [sys.executable, str(script), servers, source, target, str(READ), str(WRITTEN)],
        {
            "HEADWATER_KAFKA_BOOTSTRAP_SERVERS": servers,
            "HEADWATER_TOPIC_PREFIX": f"{installation.domain}.",
            "HEADWATER_NAMESPACE": "k8s://shop",
            "HEADWATER_JOB": "orders-cleaner",
            **POD,
        },
    )
    offsets = json.loads(said)
    assert sum(last - first + 1 for first, last in offsets["in"].values()) == READ
    assert sum(last - first + 1 for first, last in offsets["out"].values()) == WRITTEN
    return Job("/".join(_dataset(installation, source)), "/".join(_dataset(installation, target)), offsets)


def _apply(installation: Installation, policies: str) -> None:
    file = installation.folder / "policies.yaml"
    file.write_text(policies)
    installation.headwater("policy", "apply", str(file))


def _policy(dataset: tuple[str, str], max_age: str) -> str:
    namespace, name = dataset
    return f"- {{subject: clean, dataset: '{namespace} {name}', owner: team-shop, max_age: {max_age}}}\n"


def _passes_in(installation: Installation, dataset: str, seconds: int) -> int:
    """The allowed age, in seconds, that the dataset exceeds so many seconds from now."""
    found = _found(installation.status()["datasets"], dataset)
    return int(time.time() - datetime.fromisoformat(found["last_write"]).timestamp()) + seconds


# --- what is found --------------------------------------------------------------------------------------------------


def _check_openlineage(installation: Installation) -> None:
    status = installation.status()
    read = _found(status["datasets"], "postgres://db.example.com:5432/shop.public.orders")
    assert (read["state"], read["last_write"]) == ("UNKNOWN", None)
    failed = _found(status["jobs"], "etl/customers")
    assert (failed["last_state"], failed["last_run"]) == ("FAIL", str(uuid.UUID(FAILED_RUN_ID)))
    assert failed["last_error"] == "cannot connect to postgres://reader:***@db/shop"
    (run,) = json.loads(installation.headwater("status", "--job", "etl/orders_daily", "-o", "json"))["runs"]
    assert (run["run"], run["state"]) == (RUN_ID, "COMPLETE")
    assert (run["parent_run"], run["parent_job"]) == (PARENT_RUN_ID, "airflow/shop.load")
    _check_about(installation, status)


def _check_about(installation: Installation, status: dict[str, Any]) -> None:
    daily = _found(status["datasets"], DAILY)
    assert daily["owner"] == "team:lake"  # no policy names one
    assert daily["about"] == {"owners": ["team:lake"], "description": "Orders by day", "tags": ["pii"]}
    assert _found(status["jobs"], "etl/orders_daily")["about"] == {
        "owners": ["team:etl"],
        "sql": "COPY orders TO 's3://lake' SECRET_ACCESS_KEY '***'",
        "code": "https://git.example.com/etl/daily.sql",
        "job_type": "SPARK JOB",
        "engine": "Spark 3.5.1",
    }
    for chosen in (("--owner", "team:lake"), ("--tag", "pii")):
        found = json.loads(installation.headwater("status", *chosen, "--output", "json"))
        assert [_name(row) for row in found["datasets"]] == [DAILY]
    drawn = installation.headwater("trace", DAILY)
    assert "owner team:lake" in drawn
    assert "code https://git.example.com/etl/daily.sql" in drawn


def _check_alert(installation: Installation, dataset: tuple[str, str], age_s: int) -> None:
    (alert,) = installation.alerts("DatasetStale")
    assert (alert.state, alert.owner) == (AlertState.FIRING, "team-shop")
    assert (alert.namespace, alert.name) == dataset
    found = _found(installation.status()["datasets"], "/".join(dataset))
    written_us = round(datetime.fromisoformat(found["last_write"]).timestamp() * 1_000_000)
    assert alert.deadline_us == written_us + age_s * 1_000_000
    assert alert.as_of_us > alert.deadline_us


def _check_trace(installation: Installation, job: Job) -> None:
    trace = json.loads(installation.headwater("--output", "json", "trace", job.target, "--upstream"))
    assert trace["root"] == job.target
    assert {(found["kind"], found["source"], found["target"]) for found in trace["edges"]} == {
        ("READS", job.source, "k8s://shop/orders-cleaner"),
        ("WRITES", "k8s://shop/orders-cleaner", job.target),
    }
    (found,) = trace["jobs"]
    run = found["last_ok"]
    assert {name: run["runtime"].get(name) for name in ("pod", "pod_uid", "k8s_namespace", "node", "image")} == {
        "pod": POD["POD_NAME"],
        "pod_uid": POD["POD_UID"],
        "k8s_namespace": POD["POD_NAMESPACE"],
        "node": POD["NODE_NAME"],
        "image": POD["CONTAINER_IMAGE"],
    }
    named = {"in": job.source, "out": job.target}
    told = {
        (direction, named[direction], int(partition), first, last)
        for direction, spans in job.offsets.items()
        for partition, (first, last) in spans.items()
    }
    assert {tuple(span.values()) for span in run["offsets"]} == told
    drawn = installation.headwater("trace", job.target)
    assert f"pod shop/{POD['POD_NAME']}" in drawn
    assert "offsets [0] 0–49 [1] 0–49" in drawn


def _states(installation: Installation) -> dict[str, str]:
    return {_name(found): found["state"] for found in installation.status().get("datasets", [])}


def _found(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (found,) = (row for row in rows if _name(row) == name)
    return found


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['namespace']}/{row['name']}"


def _dataset(installation: Installation, topic: str) -> tuple[str, str]:
    found = canonical_dataset(f"kafka://{installation.kafka.bootstrap_servers}", topic)
    return found.namespace, found.name


def _done(command: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """A program that ended, run in this environment without what it may say about another Headwater."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_")}
    return subprocess.run(
        command, env={**bare, **environment}, capture_output=True, text=True, timeout=120, check=False
    )


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))
