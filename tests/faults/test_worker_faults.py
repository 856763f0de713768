"""What happens to a worker in the middle of its work, and that the state is the oracle's all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from tests.support.kafka_server import KafkaServer
from tests.support.oracle.drive import Run, paced
from tests.support.oracle.generator import Generator
from tests.support.oracle.records import Options
from tests.support.processes import wait_until
from tests.support.redis_server import RedisServer
from tests.support.services import KafkaService
from tests.support.workers import Domain, as_of, differences, fence, in_thread, new_run, now_us, start_worker, until

from headwater_schemas.alerts import AlertState, Severity
from headwater_schemas.events import Name
from headwater_schemas.policies import Criticality, Policy

pytestmark = pytest.mark.timeout(300)

EVENTS = 30_000
PARTITIONS = 4
SESSION_S = 6.0


@pytest.fixture
def run(kafka: KafkaService, redis_url: str, tmp_path: Path) -> Iterator[Run]:
    """A domain of its own on the session's services; its workers end with the test."""
    run = new_run(kafka.bootstrap_servers, redis_url, kafka.unique("faults"), tmp_path)
    yield run
    run.stop_workers()


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A Redis that may be hurt; it keeps its data over a restart."""
    with RedisServer(["--appendfsync", "everysec"], appendonly=True) as server:
        yield server


@pytest.fixture
def own_kafka() -> Iterator[KafkaServer]:
    """A Kafka that may be hurt."""
    with KafkaServer() as server:
        yield server


def records(seed: int, events: int = EVENTS) -> Generator:
    return Generator(Options(events, seed, PARTITIONS))


def epochs(run: Run) -> list[str]:
    return [fence(run, partition).get("epoch", "") for partition in range(PARTITIONS)]


def test_a_worker_that_was_frozen_for_longer_than_its_session_changes_nothing_when_it_wakes(run: Run) -> None:
    run.create_topics(PARTITIONS)
    stream = list(records(31).records())
    run.produce(stream[: EVENTS // 2])
    first = start_worker(run, PROCESSOR__BATCH_RECORDS="200")
    run.wait_for_offset(first, EVENTS // 8)
    first.freeze()  # with polls in hand
    before = epochs(run)
    second = start_worker(run)
    wait_until(
        lambda: all(old != new for old, new in zip(before, epochs(run), strict=True)),
        within_s=4 * SESSION_S,
        what="the second worker owns every partition",
    )
    with in_thread(lambda: run.produce(paced(stream[EVENTS // 2 :], per_second=2_000))):
        first.thaw()
        # It learns from the group, or from a refused call, that it was given up; then it is a member again.
        wait_until(lambda: first.said("FENCED") or first.said("lost ["), within_s=30, what="the first learns of it")
        wait_until(lambda: first.said_often(", owning [") >= 2, within_s=30, what="the first worker is a member again")
    run.wait_until_quiet(second)
    run.check_alive(first)
    assert first.leave() == 0
    assert second.leave() == 0
    assert differences(run) == ""


def test_a_worker_that_was_frozen_alone_with_polls_in_hand_reads_on_when_it_wakes(run: Run) -> None:
    run.create_topics(PARTITIONS)
    stream = list(records(33).records())
    run.produce(stream[: EVENTS // 2])
    worker = start_worker(run, PROCESSOR__BATCH_RECORDS="200")
    run.wait_for_offset(worker, EVENTS // 8)
    worker.freeze()
    frozen = epochs(run)
    until(now_us() + int((SESSION_S + 2) * 1_000_000))
    with in_thread(lambda: run.produce(paced(stream[EVENTS // 2 :], per_second=2_000))):
        worker.thaw()
        wait_until(lambda: worker.said("lost ["), within_s=30, what="it learns that it was given up")
        wait_until(lambda: worker.said_often(", owning [0, 1, 2, 3]") >= 2, within_s=30, what="it owns all again")
    run.wait_until_quiet(worker)
    assert all(old != new for old, new in zip(frozen, epochs(run), strict=True))
    assert not worker.said("stands at offset")
    assert worker.leave() == 0
    assert differences(run) == ""


def test_of_two_workers_one_comes_and_one_is_told_to_leave_and_nothing_is_lost(run: Run) -> None:
    run.create_topics(PARTITIONS)
    first = start_worker(run)
    with in_thread(lambda: run.produce(paced(records(37).records(), per_second=3_000))):
        run.wait_for_offset(first, EVENTS // 8)
        second = start_worker(run)
        run.wait_for_offset(second, EVENTS // 2)
        assert first.leave() == 0
    run.wait_until_quiet(second)
    assert second.leave() == 0
    assert differences(run) == ""


@pytest.mark.parametrize(
    "setting",
    [{"KAFKA__GROUP_PROTOCOL": "consumer"}, {"KAFKA__PARTITION_ASSIGNMENT_STRATEGY": "range"}],
    ids=["KIP-848", "eager"],
)
def test_under_the_other_group_protocols_workers_come_and_go_and_nothing_is_lost(
    run: Run, setting: dict[str, str]
) -> None:
    run.create_topics(PARTITIONS)
    first = start_worker(run, failing=False, **setting)
    with in_thread(lambda: run.produce(paced(records(39).records(), per_second=2_000))):
        run.wait_for_offset(first, EVENTS // 8)
        second = start_worker(run, failing=False, **setting)
        wait_until(
            lambda: second.said("owning [") and not second.said("owning [0, 1, 2, 3]"), within_s=30, what="a share"
        )
        run.wait_for_offset(second, EVENTS // 2)
        assert first.leave() == 0
        third = start_worker(run, failing=False, **setting)
        run.wait_for_offset(second, EVENTS * 3 // 4)
        second.kill()
    run.wait_until_quiet(third)
    assert third.leave() == 0
    assert differences(run) == ""
    assert not any(worker.said("Traceback") for worker in (first, second, third))


def test_a_worker_that_has_no_partition_leaves_when_it_is_told(run: Run) -> None:
    run.create_topics(1)
    workers = [start_worker(run), start_worker(run)]
    wait_until(lambda: all(worker.said("assigned [") for worker in workers), within_s=30, what="both are members")
    wait_until(lambda: any(worker.said("assigned []") for worker in workers), within_s=30, what="one has nothing")
    assert [worker.leave() for worker in sorted(workers, key=lambda worker: not worker.said("assigned []"))] == [0, 0]
    assert not any(worker.said("Traceback") for worker in workers)


def _restart(server: RedisServer, _client: redis.Redis) -> None:
    server.restart()


def _flush_scripts(_server: RedisServer, client: redis.Redis) -> None:
    client.script_flush()


def _cut_connections(_server: RedisServer, client: redis.Redis) -> None:
    client.client_kill_filter(_type="normal", skipme=True)


def _pause(_server: RedisServer, client: redis.Redis) -> None:
    client.client_pause(3000, all=True)


def _freeze_longer_than_the_socket_timeout(server: RedisServer, _client: redis.Redis) -> None:
    server.freeze()
    until(now_us() + 11_000_000)
    server.thaw()


@pytest.mark.parametrize(
    ("disturb", "times"),
    [(_restart, 2), (_flush_scripts, 20), (_cut_connections, 20), (_pause, 2), (_freeze_longer_than_the_socket_timeout, 1)],
    ids=["restarted", "scripts flushed", "connections cut", "paused", "frozen"],
)  # fmt: skip
def test_a_worker_survives_what_happens_to_redis(
    kafka: KafkaService,
    own_redis: RedisServer,
    tmp_path: Path,
    disturb: Callable[[RedisServer, redis.Redis], None],
    times: int,
) -> None:
    run = new_run(kafka.bootstrap_servers, own_redis.url, kafka.unique("redis"), tmp_path)
    run.create_topics(PARTITIONS)
    worker = start_worker(run)
    try:
        with in_thread(lambda: run.produce(paced(records(41).records(), per_second=3_000))):
            for turn in range(times):
                run.wait_for_offset(worker, EVENTS * (turn + 1) // (times + 2))
                with own_redis.client() as client:
                    disturb(own_redis, client)
        run.wait_until_quiet(worker)
        assert worker.leave() == 0
        assert differences(run) == ""
        assert not worker.said("Traceback")
    finally:
        run.stop_workers()


def test_a_worker_survives_that_kafka_is_gone_for_a_while(
    own_kafka: KafkaServer, redis_url: str, kafka: KafkaService, tmp_path: Path
) -> None:
    run = new_run(own_kafka.bootstrap_servers, redis_url, kafka.unique("outage"), tmp_path)
    run.create_topics(PARTITIONS)
    stream = list(records(43).records())
    run.produce(stream[: EVENTS // 2])
    worker = start_worker(run, PROCESSOR__BATCH_RECORDS="500")
    try:
        run.wait_for_offset(worker, EVENTS // 8)
        own_kafka.stop()
        until(now_us() + 8_000_000)
        own_kafka.start()
        run.produce(stream[EVENTS // 2 :])
        run.wait_until_quiet(worker)
        assert worker.leave() == 0
        assert differences(run) == ""
        assert not worker.said("Traceback")
    finally:
        run.stop_workers()


def test_while_kafka_is_gone_as_of_stands_still_and_nobody_is_paged(
    own_kafka: KafkaServer, redis_url: str, kafka: KafkaService, tmp_path: Path
) -> None:
    domain = Domain(new_run(own_kafka.bootstrap_servers, redis_url, kafka.unique("outage"), tmp_path))
    domain.create_topics()
    dataset = Name("postgres://db:5432", "shop.public.orders")
    domain.policy(Policy("orders", *_pair(dataset), max_age_ms=6_000, criticality=Criticality.HIGH))
    worker = start_worker(domain.run)
    try:
        domain.write(dataset)
        domain.wait_for_state(dataset, "FRESH")
        written_us = domain.write(dataset)
        domain.wait_until_judged_after(written_us)
        own_kafka.stop()
        stopped_us = now_us()
        until(stopped_us + 2_000_000)
        then = as_of(domain.run)
        until(stopped_us + 8_000_000)
        assert as_of(domain.run) == then
        assert _unpublished_alerts(domain.run) == 0
        own_kafka.start()
        domain.write(dataset)
        domain.wait_until_judged_after(now_us())
        assert worker.running
        # Between the outage and the write a true breach may be seen; what was raised must be over by then.
        fired = [alert for alert in domain.alerts() if alert.state is AlertState.FIRING]
        assert [a.kind for a in fired if a.severity is Severity.PAGE and a.as_of_us < stopped_us] == []
        domain.wait_for_state(dataset, "FRESH")
        assert worker.leave() == 0
    finally:
        domain.run.stop_workers()


def _pair(name: Name) -> tuple[str, str]:
    return name.namespace, name.name


def _unpublished_alerts(run: Run) -> int:
    with redis.Redis.from_url(run.where.redis_url) as client:
        return sum(int(client.llen(f"{{hw:{run.where.domain}}}:ao:{shard}")) for shard in range(16))
