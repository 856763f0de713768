"""What a worker does when Kafka refuses to commit offsets: the group has moved on, or does not know it any more."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from tests.support.mock_kafka import RefusingCluster, Request
from tests.support.oracle.drive import Run, paced
from tests.support.oracle.generator import Generator
from tests.support.oracle.records import Options
from tests.support.oracle.topics import end_offsets
from tests.support.processes import wait_until
from tests.support.workers import WorkerProcess, differences, fence, in_thread, new_run, start_worker

pytestmark = pytest.mark.timeout(180)

PARTITIONS = 2
EVENTS = 4_000
"""The embedded broker keeps 5 MiB a partition; this is a third of it."""
PER_SECOND = 300
"""Slowly enough that offsets are committed all the while, once a second."""
REFUSALS = {
    "ILLEGAL_GENERATION": KafkaError.ILLEGAL_GENERATION,
    "UNKNOWN_MEMBER_ID": KafkaError.UNKNOWN_MEMBER_ID,
    "REBALANCE_IN_PROGRESS": KafkaError.REBALANCE_IN_PROGRESS,
}


@pytest.fixture
def domain(redis_db: str, tmp_path: Path) -> Iterator[tuple[Run, RefusingCluster]]:
    """A domain on a broker that refuses; its workers end with the test."""
    topics = new_run("", "", "refusing", tmp_path).topics(PARTITIONS)
    with RefusingCluster(topics) as broker:
        run = new_run(broker.bootstrap, redis_db, "refusing", tmp_path)
        run.fill_tables()
        yield run, broker
        run.stop_workers()


def handled(run: Run) -> int:
    """Records that were applied, known already or bad, by the counters of the fences."""
    return sum(int(fence(run, p).get(name, 0)) for p in range(PARTITIONS) for name in ("applied", "dup", "bad"))


def committed(run: Run) -> dict[int, int]:
    """Where the group stands by Kafka: a hint for the worker, and what people see of its lag."""
    config = {"bootstrap.servers": run.where.bootstrap, "group.id": f"{run.where.domain}-worker", "log_level": 0}
    consumer = Consumer(config)
    try:
        asked = [TopicPartition(run.where.events, partition) for partition in range(PARTITIONS)]
        return {each.partition: each.offset for each in consumer.committed(asked, 10)}
    finally:
        consumer.close()


def check(run: Run, worker: WorkerProcess, produced: int) -> None:
    """Everything was applied once, the state is the oracle's, and the worker leaves as it is told to."""
    run.wait_until_quiet(worker)
    assert worker.leave() == 0
    assert handled(run) == produced == sum(end_offsets(run.where.bootstrap, run.where.events).values())
    assert differences(run) == ""
    for each in run.workers:
        assert "Traceback" not in each.log.read_text(), each.log_tail(40)


@pytest.mark.parametrize(
    ("refusal", "protocol"), list(zip(REFUSALS, ("cooperative", "eager", "cooperative"), strict=True))
)
def test_a_worker_whose_commits_are_refused_goes_on_and_applies_everything_once(
    domain: tuple[Run, RefusingCluster], refusal: str, protocol: str
) -> None:
    run, broker = domain
    worker = start_worker(run, PROCESSOR__GROUP_PROTOCOL=protocol, PROCESSOR__BATCH_RECORDS="100")
    records = Generator(Options(EVENTS, 84, PARTITIONS)).records()
    run.produce(islice(records, EVENTS // 4))
    wait_until(lambda: broker.asked(Request.OFFSET_COMMIT) > 0, within_s=40, what="offsets are committed")
    with in_thread(lambda: run.produce(paced(records, PER_SECOND))):
        asked = broker.asked(Request.OFFSET_COMMIT)
        broker.refuse(Request.OFFSET_COMMIT, *[REFUSALS[refusal]] * 2)
        wait_until(lambda: broker.asked(Request.OFFSET_COMMIT) > asked + 2, within_s=60, what="two refused, one not")
    check(run, worker, EVENTS)


@pytest.mark.parametrize("refusal", REFUSALS)
def test_an_offset_that_was_refused_is_committed_again_though_nothing_more_comes(
    domain: tuple[Run, RefusingCluster], refusal: str
) -> None:
    run, broker = domain
    broker.refuse(Request.OFFSET_COMMIT, REFUSALS[refusal])
    run.produce(Generator(Options(EVENTS // 4, 88, PARTITIONS)).records())
    worker = start_worker(run)
    ends = end_offsets(run.where.bootstrap, run.where.events)
    wait_until(lambda: committed(run) == ends, within_s=60, what="everything is committed")
    assert worker.leave() == 0


def test_commits_that_are_refused_while_partitions_change_hands_lose_and_repeat_nothing(
    domain: tuple[Run, RefusingCluster],
) -> None:
    run, broker = domain
    first = start_worker(run, PROCESSOR__BATCH_RECORDS="100")
    records = Generator(Options(EVENTS, 85, PARTITIONS)).records()
    run.produce(islice(records, EVENTS // 4))
    wait_until(lambda: broker.asked(Request.OFFSET_COMMIT) > 0, within_s=40, what="offsets are committed")
    with in_thread(lambda: run.produce(paced(records, PER_SECOND))):
        asked = broker.asked(Request.OFFSET_COMMIT)
        broker.refuse(Request.OFFSET_COMMIT, *list(REFUSALS.values()) * 2)
        second = start_worker(run, PROCESSOR__BATCH_RECORDS="100")
        wait_until(lambda: second.said("assigned ["), within_s=60, what="the second has its share")
        wait_until(lambda: broker.asked(Request.OFFSET_COMMIT) >= asked + 6, within_s=60, what="six are refused")
    run.wait_until_quiet(first)
    assert first.leave() == 0
    check(run, second, EVENTS)


def test_a_worker_that_is_told_to_leave_does_so_though_its_last_commit_is_refused(
    domain: tuple[Run, RefusingCluster],
) -> None:
    run, broker = domain
    broker.refuse(Request.OFFSET_COMMIT, *list(REFUSALS.values()) * 30)
    worker = start_worker(run)
    run.produce(Generator(Options(EVENTS // 4, 86, PARTITIONS)).records())
    run.wait_for_offset(worker, EVENTS // 4)
    assert worker.leave() == 0
    broker.relent(Request.OFFSET_COMMIT)
    run.produce(Generator(Options(EVENTS // 4, 87, PARTITIONS)).records())
    check(run, start_worker(run), 2 * (EVENTS // 4))
