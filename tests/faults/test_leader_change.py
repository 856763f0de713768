"""What a worker does when the broker that leads its partitions dies or freezes, another takes over, and it comes back."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.kafka_server import KafkaCluster
from tests.support.oracle.drive import Run, paced
from tests.support.oracle.generator import Generator
from tests.support.oracle.records import Options
from tests.support.oracle.topics import configure_topic, end_offsets
from tests.support.processes import wait_until
from tests.support.redis_server import RedisServer
from tests.support.workers import WorkerProcess, differences, in_thread, new_run, start_worker

pytestmark = pytest.mark.timeout(300)

PARTITIONS = 4
MANY = 100_000
"""More events than are produced before everything has happened."""
PER_SECOND = 250
LEADS_WITHIN_S = 40.0
"""Far longer than it takes to notice a dead node and to choose another one, on a busy machine too."""

serial = itertools.count(1)


@pytest.fixture(scope="module")
def cluster() -> Iterator[KafkaCluster]:
    """Three nodes; a test leaves them all running."""
    try:
        with KafkaCluster() as found:
            yield found
    except RuntimeError as error:
        pytest.skip(str(error))


@pytest.fixture
def run(cluster: KafkaCluster, tmp_path: Path) -> Iterator[Run]:
    """A domain whose topics are on all three nodes, written when two have it; its workers end with the test."""
    with RedisServer() as own:
        run = new_run(cluster.bootstrap_servers, own.url, f"leaders-{next(serial)}", tmp_path)
        run.create_topics(PARTITIONS)
        for topic in run.topics(PARTITIONS):
            configure_topic(run.where.bootstrap, topic, {"min.insync.replicas": "2"})
        yield run
        run.stop_workers()


def moved(cluster: KafkaCluster, topic: str, away: int) -> bool:
    """Whether somebody else leads what the node led."""
    return cluster.leader(topic, 0) not in (-1, away)


def has_come_back(cluster: KafkaCluster, run: Run) -> None:
    """Wait until every node has everything, and let each lead again what it led."""
    for name in ("events", "deltas"):
        topic = f"{run.where.prefix}{name}"
        wait_until(lambda t=topic: cluster.in_sync(t), within_s=60, what=f"all have all of {topic}")  # type: ignore[misc]  # bound now
        cluster.prefer(topic)


def goes_on(run: Run, worker: WorkerProcess) -> None:
    """Wait until all that is there now is applied, and more is published than there was."""
    deltas = f"{run.where.prefix}deltas"
    published = sum(end_offsets(run.where.bootstrap, deltas).values())
    run.wait_for_offset(worker, sum(end_offsets(run.where.bootstrap, run.where.events).values()))
    wait_until(
        lambda: sum(end_offsets(run.where.bootstrap, deltas).values()) > published, within_s=60, what="more images"
    )


@contextmanager
def stream(run: Run, seed: int) -> Iterator[dict[int, int]]:
    """Events at a pace while the block runs; after it, how many of each partition were acknowledged."""
    over, acknowledged = threading.Event(), dict[int, int]()
    records = Generator(Options(MANY, seed, PARTITIONS)).records()
    wanted = itertools.takewhile(lambda _: not over.is_set(), paced(records, PER_SECOND))
    with in_thread(lambda: acknowledged.update(run.produce(wanted))):
        try:
            yield acknowledged
        finally:
            over.set()


@pytest.mark.parametrize("role", ["events", "deltas"])
def test_the_leader_of_a_topic_is_killed_and_comes_back_and_nothing_is_lost(
    cluster: KafkaCluster, run: Run, role: str
) -> None:
    topic = f"{run.where.prefix}{role}"
    worker = start_worker(run, PROCESSOR__BATCH_RECORDS="200")
    with stream(run, 91) as acknowledged:
        run.wait_for_offset(worker, 500)
        for _ in range(2):
            node = cluster.leader(topic, 0)
            cluster.nodes[node].kill()
            wait_until(lambda n=node: moved(cluster, topic, n), within_s=LEADS_WITHIN_S, what="a new leader")  # type: ignore[misc]  # bound now
            goes_on(run, worker)
            cluster.nodes[node].start()
            has_come_back(cluster, run)
            goes_on(run, worker)
    check(run, worker, acknowledged)


def test_a_leader_that_freezes_and_does_not_know_that_another_one_leads_is_no_harm(
    cluster: KafkaCluster, run: Run
) -> None:
    topic = f"{run.where.prefix}events"
    worker = start_worker(run, PROCESSOR__BATCH_RECORDS="200")
    with stream(run, 92) as acknowledged:
        run.wait_for_offset(worker, 500)
        node = cluster.leader(topic, 0)
        cluster.nodes[node].freeze()
        try:
            wait_until(lambda: moved(cluster, topic, node), within_s=LEADS_WITHIN_S, what="a new leader")
        finally:
            cluster.nodes[node].thaw()
        has_come_back(cluster, run)
        goes_on(run, worker)
    check(run, worker, acknowledged)


def check(run: Run, worker: WorkerProcess, acknowledged: dict[int, int]) -> None:
    """Nothing is lost, everything is as the oracle says, and the worker leaves as it is told to."""
    run.wait_until_quiet(worker)
    assert worker.leave() == 0
    ends = end_offsets(run.where.bootstrap, run.where.events)
    assert all(ends[partition] >= count for partition, count in acknowledged.items()), (ends, acknowledged)
    assert not worker.said("Traceback"), worker.log_tail(40)
    assert differences(run) == ""
