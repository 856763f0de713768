"""What an on-call person asks, on the whole system: jobs, Kafka, a worker, `headwater trace`.

Consumers write a dataset and one pod is killed; a file becomes a warehouse table by a function.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest
import redis
from tests.support.doors import Door, run_event
from tests.support.processes import ChildServer, wait_until
from tests.support.services import KafkaService
from tests.support.workers import ROOT, Domain, headwater, new_run, start_worker

from headwater_processor.state import NoStateError, StateReader, UnknownDatasetError
from headwater_processor.state.runs import RunImage
from headwater_processor.state.walk import UPSTREAM

pytestmark = pytest.mark.timeout(120)

PARTITIONS = 2
IMAGE = "registry.acme/orders-to-lake:1.14.2"


@pytest.fixture(scope="module")
def domain(kafka: KafkaService, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Domain]:
    """A domain with a worker."""
    folder = tmp_path_factory.mktemp("scenario")
    run = new_run(kafka.bootstrap_servers, redis_url, kafka.unique("scenario"), folder)
    run.settings["HEADWATER_PROCESSOR__ON_EMPTY_STATE"] = "earliest"
    domain = Domain(run)
    domain.create_topics()
    start_worker(run)
    yield domain
    run.stop_workers()


class Pods:
    """The pods of one job."""

    def __init__(self, domain: Domain, kafka: KafkaService, folder: Path) -> None:
        self._kafka = kafka
        self._prefix = domain.run.where.prefix
        self._folder = folder
        self._producer = confluent_kafka.Producer({"bootstrap.servers": kafka.bootstrap_servers})
        self.topic = kafka.create_topic(kafka.unique("orders"), PARTITIONS)
        self.group = kafka.unique("g")
        self.running: list[ChildServer] = []

    def produce(self, count: int) -> None:
        for number in range(count):
            self._producer.produce(self.topic, b"x" * 100, partition=number % PARTITIONS)
        assert self._producer.flush(30) == 0

    def start(self, name: str, node: str) -> ChildServer:
        """A pod with what Kubernetes tells it of itself."""
        given = {
            "POD_NAME": name,
            "POD_NAMESPACE": "shop",
            "NODE_NAME": node,
            "CONTAINER_IMAGE": IMAGE,
            "HEADWATER_JOB": "orders-to-lake",
            "HEADWATER_NAMESPACE": "k8s",
            "HEADWATER_KAFKA_BOOTSTRAP_SERVERS": self._kafka.bootstrap_servers,
            "HEADWATER_TOPIC_PREFIX": self._prefix,
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        }
        command = [
            sys.executable,
            "-m",
            "tests.support.consumer_pod",
            self._kafka.bootstrap_servers,
            self.topic,
            self.group,
        ]
        pod = ChildServer(
            ["/usr/bin/env", *(f"{k}={v}" for k, v in given.items()), *command], self._folder / f"{name}.log"
        )
        pod.start(lambda: True, within_s=5)
        self.running.append(pod)
        return pod

    def wait_for(self, pod: ChildServer, records: int) -> None:
        wait_until(lambda: f"read {records}\n" in pod.log_tail() + "\n", within_s=30, what=f"{records} records read")


@pytest.fixture
def pods(domain: Domain, kafka: KafkaService, tmp_path: Path) -> Iterator[Pods]:
    pods = Pods(domain, kafka, tmp_path)
    yield pods
    for pod in pods.running:
        pod.kill()


def traced(domain: Domain, dataset: str = "s3://lake/orders/daily", *arguments: str) -> dict[str, Any]:
    """The job that writes the dataset, as `headwater trace` knows it; empty as long as it does not."""
    done = headwater(domain.run, "trace", dataset, "--output", "json", *(arguments or ("--lag",)))
    if done.returncode:
        return {}
    (job,) = json.loads(done.stdout)["jobs"]
    return dict(job)


def runs(domain: Domain, dataset: str = "s3://lake/orders/daily") -> list[RunImage]:
    """The runs of the job that writes it, newest first, as they are in the state: for waiting."""
    where = domain.run.where
    with redis.Redis.from_url(where.redis_url) as client:
        try:
            found = StateReader(client, where.domain).trace(dataset, UPSTREAM, 1)
        except (NoStateError, UnknownDatasetError):
            return []
    return [run for job in found.jobs for run in job.runs]


def spans(run: dict[str, Any]) -> dict[int, tuple[int, int]]:
    return {span["partition"]: (span["first"], span["last"]) for span in run["offsets"] if span["direction"] == "in"}


def test_a_pod_is_killed_and_trace_tells_what_was_done_where_and_what_is_left(domain: Domain, pods: Pods) -> None:
    pods.produce(300)
    first = pods.start("orders-to-lake-a1", "node-1")
    pods.wait_for(first, 300)
    first.stop()
    pods.produce(200)
    second = pods.start("orders-to-lake-b2", "node-2")
    pods.wait_for(second, 200)
    second_read = [(0, 150, 249), (1, 150, 249)]
    wait_until(lambda: _read(runs(domain)) == second_read, within_s=30, what="the second's")
    second.kill()
    pods.produce(150)

    job = traced(domain)
    last_ok = job["last_ok"]
    assert last_ok["state"] == "COMPLETE"
    assert last_ok["runtime"]["pod"] == "orders-to-lake-a1"
    assert (last_ok["runtime"]["node"], last_ok["runtime"]["image"]) == ("node-1", IMAGE)
    assert spans(last_ok) == {0: (0, 149), 1: (0, 149)}
    assert _last(job)["state"] == "OPEN"  # it could not speak of its end; silent for the run time-out, it is LOST
    assert (_last(job)["runtime"]["pod"], _last(job)["runtime"]["node"]) == ("orders-to-lake-b2", "node-2")
    assert {each["partition"]: each["lag"] for each in job["lag"]} == {0: 75, 1: 75}
    shown = headwater(domain.run, "trace", "s3://lake/orders/daily", "--lag").stdout
    assert "pod shop/orders-to-lake-a1" in shown
    assert f"behind kafka://{pods._kafka.bootstrap_servers}/{pods.topic} by 150 records  [0] 75  [1] 75" in shown

    third = pods.start("orders-to-lake-c3", "node-3")
    pods.wait_for(third, 150)
    third.stop()
    wait_until(lambda: runs(domain)[0].state == "COMPLETE", within_s=30, what="the third's end")
    job = traced(domain)
    assert spans(_last(job)) == {0: (250, 324), 1: (250, 324)}  # where the killed one had committed, and no gap
    assert _last(job)["runtime"]["pod"] == "orders-to-lake-c3"
    assert {each["lag"] for each in job["lag"]} == {0}
    assert len(job["runs"]) == 3


def _read(found: list[RunImage]) -> list[tuple[int, int, int]]:
    """Partition, first and last offset of what the newest run read."""
    return [
        (span.partition, span.first, span.last) for run in found[:1] for span in run.offsets if span.direction == "in"
    ]


def _last(job: dict[str, Any]) -> dict[str, Any]:
    """The newest run."""
    runs = job.get("runs") or [{"state": "", "offsets": []}]
    return dict(runs[0])


TABLE = "snowflake://acme/shop.raw.orders"


def call_function(domain: Domain, version: str, request: str, key: str) -> None:
    """One call of a Lambda function, in a process of its own as after a cold start."""
    given = {
        "AWS_LAMBDA_FUNCTION_NAME": "load-orders",
        "AWS_LAMBDA_FUNCTION_VERSION": version,
        "HEADWATER_NAMESPACE": "lambda",
        "HEADWATER_KAFKA_BOOTSTRAP_SERVERS": domain.run.where.bootstrap,
        "HEADWATER_TOPIC_PREFIX": domain.run.where.prefix,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, "-m", "tests.support.lambda_call", request, key]
    done = subprocess.run(command, env=os.environ | given, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "90\n"), done.stderr


def test_a_file_to_a_warehouse_table_in_one_trace_and_the_function_version_that_wrote_it_last(domain: Domain) -> None:
    call_function(domain, "41", "request-1", "orders/2026-11-25.csv")
    call_function(domain, "42", "request-2", "orders/2026-11-26.csv")
    call_function(domain, "42", "request-2", "orders/2026-11-26.csv")  # the platform had no answer, and tries again
    wait_until(
        lambda: [run.state for run in runs(domain, TABLE)] == ["COMPLETE"] * 2,
        within_s=30,
        what="both runs of the function",
    )
    job = traced(domain, TABLE, "--depth", "1")
    assert job["name"] == "load-orders"
    facts = job["last_ok"]["runtime"]
    assert (facts["function"], facts["function_version"]) == ("load-orders", "42")
    assert [run["runtime"]["function_version"] for run in job["runs"]] == [
        "42",
        "41",
    ]  # tried again, it is the same run
    shown = headwater(domain.run, "trace", TABLE).stdout
    assert "written by job lambda/load-orders" in shown
    assert "function load-orders:42" in shown
    assert "s3://landing/orders/{date}.csv" in shown  # a file a day is one dataset


def test_two_addresses_of_one_kafka_are_one_topic_in_a_trace(
    domain: Domain, kafka: KafkaService, pods: Pods, tmp_path: Path
) -> None:
    """A producer speaks through the gateway and knows Kafka by one address, the consumer reads by another one."""
    other = kafka.bootstrap_servers.replace("127.0.0.1", "localhost")
    assert other != kafka.bootstrap_servers
    prefix = domain.run.where.prefix
    told = ["--kafka", other, "--set", f"topic_prefix={prefix}", "--port", "0"]
    with Door(tmp_path, "gateway", *told) as door:
        wait_until(lambda: door.ask("GET", "/readyz").status == 200, within_s=20, what="a gateway that is ready")
        outputs = [{"namespace": f"kafka://{other}", "name": pods.topic}]
        job = {"namespace": "shop", "name": "producer"}
        assert door.post(run_event(job=job, outputs=outputs)).status == 200
    pods.produce(10)
    pod = pods.start("orders-to-lake-7", "node-7")
    pods.wait_for(pod, 10)

    def jobs() -> set[str]:
        done = headwater(domain.run, "trace", "s3://lake/orders/daily", "--output", "json")
        return (
            {f"{job['namespace']}/{job['name']}" for job in json.loads(done.stdout)["jobs"]}
            if done.returncode == 0
            else set()
        )

    wait_until(lambda: "shop/producer" in jobs(), within_s=40, what="the producer in the trace", pause_s=0.5)
    trace = json.loads(headwater(domain.run, "trace", "s3://lake/orders/daily", "--output", "json").stdout)
    names = {f"kafka://{servers}/{pods.topic}" for servers in (other, kafka.bootstrap_servers)}
    assert names in [set(group) for group in trace["same_as"]]
    assert not any(dataset["namespace"].startswith("kafka-cluster") for dataset in trace["datasets"])
