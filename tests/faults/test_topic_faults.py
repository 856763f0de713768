"""What happens to the events topic itself: truncated, deleted and created again, more partitions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from tests.support.oracle.drive import Run
from tests.support.oracle.generator import Generator
from tests.support.oracle.records import Options
from tests.support.oracle.topics import create_topic, partitions_of
from tests.support.processes import wait_until
from tests.support.services import KafkaService
from tests.support.workers import Domain, fence, new_run, start_worker

from headwater_schemas.alerts import AlertState

pytestmark = pytest.mark.timeout(180)

PARTITIONS = 2


@pytest.fixture
def domain(kafka: KafkaService, redis_url: str, tmp_path: Path) -> Iterator[Domain]:
    """A domain with empty topics; its workers end with the test."""
    domain = Domain(new_run(kafka.bootstrap_servers, redis_url, kafka.unique("topic"), tmp_path), PARTITIONS)
    domain.run.create_topics(PARTITIONS)
    yield domain
    domain.run.stop_workers()


def fill(run: Run, events: int, seed: int) -> None:
    run.produce(Generator(Options(events, seed, PARTITIONS)).records())


def create_again(run: Run) -> None:
    """The topic of the same name and as many partitions, with nothing in it."""
    admin = AdminClient({"bootstrap.servers": run.where.bootstrap})
    admin.delete_topics([run.where.events])[run.where.events].result(30)
    wait_until(lambda: not partitions_of(run.where.bootstrap, run.where.events), within_s=30, what="the topic is gone")
    create_topic(run.where.bootstrap, run.where.events, PARTITIONS)


def stopped(run: Run) -> list[str]:
    return [fence(run, partition).get("stopped", "") for partition in range(PARTITIONS)]


@pytest.mark.parametrize("away", [True, False], ids=["while it is away", "under its hands"])
def test_a_topic_created_anew_is_not_taken_for_the_old_one_though_it_has_more_records(
    domain: Domain, away: bool
) -> None:
    run = domain.run
    fill(run, 2_000, 71)
    worker = start_worker(run)
    run.wait_until_quiet(worker)
    before = [fence(run, partition)["applied"] for partition in range(PARTITIONS)]
    if away:
        assert worker.leave() == 0
    create_again(run)
    if away:
        fill(run, 6_000, 72)
        worker = start_worker(run)
    wait_until(lambda: all(stopped(run)), within_s=40, what="all partitions are stopped")
    assert all("recreated or truncated" in reason for reason in stopped(run)), stopped(run)
    alert = domain.wait_for_alert("PartitionStopped", AlertState.FIRING, 30, count=PARTITIONS)
    assert "begin anew" in alert.remedy
    assert [fence(run, partition)["applied"] for partition in range(PARTITIONS)] == before
    assert worker.leave() == 0
    assert not worker.said("Traceback"), worker.log_tail(40)


def test_records_that_are_deleted_before_they_were_read_stop_the_partition_and_are_named(domain: Domain) -> None:
    run = domain.run
    fill(run, 2_000, 73)
    worker = start_worker(run)
    run.wait_until_quiet(worker)
    assert worker.leave() == 0
    read = int(fence(run, 0)["next"])
    fill(run, 2_000, 74)
    admin = AdminClient({"bootstrap.servers": run.where.bootstrap})
    (future,) = admin.delete_records([TopicPartition(run.where.events, 0, read + 10)]).values()
    future.result(30)
    worker = start_worker(run)
    wait_until(lambda: bool(stopped(run)[0]), within_s=40, what="the partition is stopped")
    assert f"records {read} to {read + 9} left the log" in stopped(run)[0]
    assert "--skip-lost" in domain.wait_for_alert("PartitionStopped", AlertState.FIRING, 30).remedy
    wait_until(lambda: not stopped(run)[1], within_s=10, what="the other one is read")
    assert worker.leave() == 0
