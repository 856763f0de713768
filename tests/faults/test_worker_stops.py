"""What a worker does with records it cannot read, with a state that is not there, and with services that are not there."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from tests.support.kafka_server import KafkaServer
from tests.support.oracle.contract import BY_ID, WRITERS
from tests.support.oracle.drive import Run
from tests.support.oracle.generator import Generator
from tests.support.oracle.records import Options, Record, schema_records
from tests.support.oracle.topics import end_offsets, produce, read_topic
from tests.support.processes import free_port, wait_until
from tests.support.redis_server import RedisServer
from tests.support.schema_registry import registry_server
from tests.support.services import KafkaService
from tests.support.workers import (
    Domain,
    WorkerProcess,
    differences,
    fence,
    forget,
    headwater,
    new_run,
    now_us,
    start_worker,
    until,
)

from headwater_schemas.alerts import AlertState

pytestmark = pytest.mark.timeout(240)

PARTITIONS = 4
PER_PARTITION = 3_000
BAD_PARTITION = 1
BATCH = 500
REASON = "headwater.dlq.reason"
NO_SERVICE = "127.0.0.1:1"
REDIS_GONE = "Redis"


@pytest.fixture
def domain(kafka: KafkaService, redis_url: str, tmp_path: Path) -> Iterator[Domain]:
    """A domain with empty topics; its workers end with the test."""
    domain = Domain(new_run(kafka.bootstrap_servers, redis_url, kafka.unique("stops"), tmp_path), PARTITIONS)
    domain.create_topics()
    yield domain
    domain.run.stop_workers()


def publish_schemas(run: Run, *writers: str) -> None:
    records = [record for name, record in schema_records() if name in writers]
    produce(run.where.bootstrap, f"{run.where.prefix}schemas", records)


def good(events: int, seed: int, **more: float) -> list[Record]:
    options = dataclasses.replace(Options(events, seed, PARTITIONS, step_us=1_000, only_good=True), **more)  # type: ignore[arg-type]  # all are shares
    return list(Generator(options).records())


def with_bad_ones(records: list[Record], share: float, seed: int) -> list[Record]:
    """The same records, some of one partition replaced by noise, from the second thousand of it on."""
    rng, seen, out = random.Random(seed), 0, []
    for record in records:
        if record.partition == BAD_PARTITION:
            seen += 1
            if seen > 1_000 and rng.random() < share:
                record = record._replace(value=rng.randbytes(60), kind="noise")
        out.append(record)
    return out


def dead_letters(run: Run) -> int:
    return sum(1 for _ in read_topic(run.where.bootstrap, f"{run.where.prefix}deadletter"))


def test_a_partition_with_too_many_bad_records_stops_alone_until_somebody_lets_it_go_on(domain: Domain) -> None:
    run = domain.run
    publish_schemas(run, *WRITERS)
    records = with_bad_ones(good(PARTITIONS * PER_PARTITION, 51), 0.3, 52)
    bad = sum(record.kind == "noise" for record in records)
    assert run.produce(records)[BAD_PARTITION] > 2_000
    worker = start_worker(run, PROCESSOR__BATCH_RECORDS=str(BATCH))
    fired = domain.wait_for_alert("PartitionStopped", AlertState.FIRING, 60)
    assert f"headwater worker resume {BAD_PARTITION}" in fired.remedy
    assert fence(run, BAD_PARTITION)["stopped"]
    others = [fence(run, partition) for partition in range(PARTITIONS) if partition != BAD_PARTITION]
    assert not any(other.get("stopped") for other in others)
    before = dead_letters(run)
    assert before <= BATCH < bad
    more = [record for record in good(400, 63) if record.partition != BAD_PARTITION]
    run.produce(more)
    wait_until(lambda: _all_applied(run, but=BAD_PARTITION), within_s=30, what="the others go on")
    assert dead_letters(run) == before
    done = headwater(run, "worker", "resume", str(BAD_PARTITION))
    assert done.returncode == 0, done.stderr
    resolved = domain.wait_for_alert("PartitionStopped", AlertState.RESOLVED, 30)
    assert resolved.incident_id == fired.incident_id
    run.wait_until_quiet(worker)
    assert worker.leave() == 0
    assert dead_letters(run) == bad
    assert differences(run) == ""


def test_a_partition_that_was_stopped_stays_stopped_when_its_worker_is_another_one(domain: Domain) -> None:
    run = domain.run
    publish_schemas(run, *WRITERS)
    run.produce(with_bad_ones(good(PARTITIONS * PER_PARTITION, 53), 0.3, 54))
    worker = start_worker(run, PROCESSOR__BATCH_RECORDS=str(BATCH))
    domain.wait_for_alert("PartitionStopped", AlertState.FIRING, 60)
    stopped_at = fence(run, BAD_PARTITION)["next"]
    worker.kill()
    worker = start_worker(run, PROCESSOR__BATCH_RECORDS=str(BATCH))
    wait_until(lambda: worker.said("is stopped"), within_s=30, what="the next owner says that it is stopped")
    until(now_us() + 3_000_000)  # a few rounds in which it could say so again
    assert fence(run, BAD_PARTITION)["next"] == stopped_at
    assert [alert.state for alert in domain.alerts("PartitionStopped")] == [AlertState.FIRING]
    assert headwater(run, "worker", "resume", str(BAD_PARTITION)).returncode == 0
    run.wait_until_quiet(worker)
    assert worker.leave() == 0
    assert differences(run) == ""


def test_records_whose_schema_comes_a_little_later_are_read(domain: Domain) -> None:
    run = domain.run
    publish_schemas(run, "slow")
    run.produce(good(4_000, 55))
    worker = start_worker(run, PROCESSOR__SCHEMA_WAIT_MS="10000")
    wait_until(lambda: worker.said("assigned [0"), within_s=30, what="the worker has its partitions")
    until(now_us() + 2_000_000)
    publish_schemas(run, "extra")
    run.wait_until_quiet(worker)
    assert worker.leave() == 0
    assert dead_letters(run) == 0
    assert differences(run) == ""


def test_records_whose_schema_never_comes_go_to_the_dead_letters(domain: Domain) -> None:
    run = domain.run
    publish_schemas(run, *WRITERS)
    unknown = b"\xc3\x01" + bytes(range(8))
    records = [
        record._replace(value=unknown + (record.value or b"")[10:], kind="unknown") if number % 100 == 0 else record
        for number, record in enumerate(good(4_000, 56))
    ]
    run.produce(records)
    worker = start_worker(run, PROCESSOR__SCHEMA_WAIT_MS="1500")
    run.wait_until_quiet(worker)
    assert worker.leave() == 0
    letters = list(read_topic(run.where.bootstrap, f"{run.where.prefix}deadletter"))
    assert len(letters) == 40
    assert {letter.headers[REASON] for letter in letters} == {b"unknown_schema"}
    assert differences(run) == ""


def test_a_registry_that_is_down_for_a_while_only_delays(domain: Domain) -> None:
    run = domain.run
    publish_schemas(run, *WRITERS)
    with registry_server() as registry:
        registry.schemas.update({number: {"schema": orjson.dumps(schema).decode()} for number, schema in BY_ID.items()})
        registry.status = 503
        run.produce(good(4_000, 57, confluent=0.3))
        worker = start_worker(run, REGISTRY__URL=registry.url)
        wait_until(lambda: bool(registry.asked), within_s=30, what="the registry was asked")
        until(now_us() + 4_000_000)
        assert worker.running
        registry.status = 200
        run.wait_until_quiet(worker)
        assert worker.leave() == 0
    assert dead_letters(run) == 0
    assert differences(run, with_registry=True) == ""


def test_a_worker_that_waits_for_a_registry_can_be_told_to_leave(domain: Domain) -> None:
    run = domain.run
    publish_schemas(run, *WRITERS)
    with registry_server() as registry:
        registry.status = 503
        run.produce(good(2_000, 58, confluent=0.3))
        worker = start_worker(run, REGISTRY__URL=registry.url)
        wait_until(lambda: bool(registry.asked), within_s=30, what="the registry was asked")
        assert worker.leave() == 0
        registry.schemas.update({number: {"schema": orjson.dumps(schema).decode()} for number, schema in BY_ID.items()})
        registry.status = 200
        worker = start_worker(run, REGISTRY__URL=registry.url)
        run.wait_until_quiet(worker)
        assert worker.leave() == 0
    assert differences(run, with_registry=True) == ""


def test_a_partition_whose_state_is_gone_does_not_start_until_somebody_says_that_it_begins_anew(domain: Domain) -> None:
    run = domain.run
    publish_schemas(run, *WRITERS)
    run.produce(good(8_000, 59))
    worker = start_worker(run)
    run.wait_until_quiet(worker)
    assert worker.leave() == 0
    forget(run)
    worker = start_worker(run)
    wait_until(
        lambda: all(fence(run, p).get("stopped") for p in range(PARTITIONS)), within_s=30, what="all are stopped"
    )
    for partition in range(PARTITIONS):
        assert "Redis has no state" in fence(run, partition)["stopped"]
        assert "next" not in fence(run, partition)
    fired = domain.wait_for_alert("PartitionStopped", AlertState.FIRING, 30, count=PARTITIONS)
    assert "on_empty_state=earliest" in fired.remedy
    assert worker.leave() == 0
    worker = start_worker(run, PROCESSOR__ON_EMPTY_STATE="earliest")
    run.wait_until_quiet(worker)
    domain.wait_for_alert("PartitionStopped", AlertState.RESOLVED, 30, count=PARTITIONS)
    assert worker.leave() == 0
    # What was published before stands in the log: the images of a state that begins anew begin small again, and what it
    # alerts about once more was seen at another as-of.
    told = differences(run).splitlines()
    assert [line for line in told if not line.startswith(("history", "alerts"))] == []


def test_a_redis_that_loses_everything_under_a_worker_stops_the_partitions_and_somebody_is_told(
    kafka: KafkaService, tmp_path: Path
) -> None:
    with RedisServer() as own_redis:
        domain = Domain(new_run(kafka.bootstrap_servers, own_redis.url, kafka.unique("lost"), tmp_path), PARTITIONS)
        domain.create_topics()
        run = domain.run
        publish_schemas(run, *WRITERS)
        run.produce(good(4_000, 60))
        worker = start_worker(run)
        try:
            run.wait_until_quiet(worker)
            own_redis.kill()
            own_redis.start()
            run.produce(good(4_000, 61))
            wait_until(
                lambda: all(fence(run, p).get("stopped") for p in range(PARTITIONS)),
                within_s=30,
                what="all are stopped",
            )
            domain.wait_for_alert("PartitionStopped", AlertState.FIRING, 40, count=PARTITIONS)
            assert worker.leave() == 0
        finally:
            run.stop_workers()


def ends_or_waits(worker: WorkerProcess, word: str) -> None:
    """It says once in words what is wrong, and it can be told to leave."""
    wait_until(lambda: not worker.running or worker.said(word), within_s=30, what=f"it says {word!r}")
    if worker.running:
        until(now_us() + 5_000_000)
    code = worker.leave() if worker.running else worker.ended(1)
    assert code in (0, 3, 4), worker.log_tail(40)
    assert not worker.said("Traceback"), worker.log_tail(60)
    assert len(worker.log.read_text(errors="replace").splitlines()) < 40, worker.log_tail(60)


def test_without_kafka_a_worker_says_so_and_leaves_when_it_is_told(redis_url: str, tmp_path: Path) -> None:
    run = new_run(NO_SERVICE, redis_url, "nowhere", tmp_path)
    ends_or_waits(start_worker(run), "Kafka")


def test_without_redis_a_worker_says_so_and_leaves_when_it_is_told(kafka: KafkaService, tmp_path: Path) -> None:
    run = new_run(kafka.bootstrap_servers, f"redis://127.0.0.1:{free_port()}/0", kafka.unique("nowhere"), tmp_path)
    Domain(run).create_topics()
    ends_or_waits(start_worker(run), REDIS_GONE)


def test_without_its_topics_a_worker_says_which_command_makes_them(
    kafka: KafkaService, redis_url: str, tmp_path: Path
) -> None:
    run = new_run(kafka.bootstrap_servers, redis_url, kafka.unique("nowhere"), tmp_path)
    worker = start_worker(run)
    ends_or_waits(worker, "headwater topics create")
    assert worker.said("headwater topics create")


def test_a_broker_that_does_not_know_the_group_protocol_is_named_with_the_way_out(
    redis_url: str, tmp_path: Path, kafka: KafkaService
) -> None:
    with KafkaServer({"group.coordinator.rebalance.protocols": "classic"}) as server:
        run = new_run(server.bootstrap_servers, redis_url, kafka.unique("protocol"), tmp_path)
        Domain(run).create_topics()
        worker = start_worker(run, PROCESSOR__GROUP_PROTOCOL="consumer")
        assert worker.ended(30) == 3, worker.log_tail(40)
        assert worker.said("processor.group_protocol=cooperative")
        assert not worker.said("Traceback"), worker.log_tail(60)
        run.stop_workers()


def test_settings_that_a_group_protocol_does_not_allow_are_refused_before_the_start(
    redis_url: str, tmp_path: Path, kafka: KafkaService
) -> None:
    run = new_run(kafka.bootstrap_servers, redis_url, kafka.unique("protocol"), tmp_path)
    worker = start_worker(run, KAFKA__GROUP_PROTOCOL="consumer", KAFKA__SESSION_TIMEOUT_MS="9000")
    assert worker.ended(30) == 2, worker.log_tail(40)
    assert worker.said("session.timeout.ms")
    assert not worker.said("Traceback"), worker.log_tail(60)


def test_a_worker_with_a_stopped_partition_survives_that_redis_is_gone_for_a_while(
    kafka: KafkaService, tmp_path: Path
) -> None:
    with RedisServer(["--appendfsync", "everysec"], appendonly=True) as own_redis:
        domain = Domain(new_run(kafka.bootstrap_servers, own_redis.url, kafka.unique("stops"), tmp_path), PARTITIONS)
        domain.create_topics()
        run = domain.run
        publish_schemas(run, *WRITERS)
        run.produce(with_bad_ones(good(PARTITIONS * PER_PARTITION, 65), 0.3, 66))
        worker = start_worker(run, PROCESSOR__BATCH_RECORDS=str(BATCH))
        try:
            domain.wait_for_alert("PartitionStopped", AlertState.FIRING, 60)
            own_redis.stop()
            until(now_us() + 6_000_000)  # longer than it waits before it asks again whether the partition may go on
            own_redis.start()
            assert headwater(run, "worker", "resume", str(BAD_PARTITION)).returncode == 0
            run.wait_until_quiet(worker)
            assert worker.leave() == 0
            assert not worker.said("Traceback"), worker.log_tail(60)
            assert differences(run) == ""
        finally:
            run.stop_workers()


@pytest.mark.parametrize("gone", ["kafka", "redis"])
def test_a_worker_whose_service_went_away_leaves_within_ten_seconds_when_it_is_told(
    gone: str, tmp_path: Path, kafka: KafkaService, redis_url: str
) -> None:
    with KafkaServer() if gone == "kafka" else RedisServer() as server:
        bootstrap = server.bootstrap_servers if isinstance(server, KafkaServer) else kafka.bootstrap_servers
        url = server.url if isinstance(server, RedisServer) else redis_url
        domain = Domain(new_run(bootstrap, url, kafka.unique("leaving"), tmp_path), PARTITIONS)
        domain.create_topics()
        publish_schemas(domain.run, *WRITERS)
        domain.run.produce(good(4_000, 62))
        worker = start_worker(domain.run)
        try:
            domain.run.wait_until_quiet(worker)
            server.stop()
            until(now_us() + 3_000_000)
            assert worker.leave() == 0
            assert not worker.said("Traceback"), worker.log_tail(60)
        finally:
            domain.run.stop_workers()


def _all_applied(run: Run, but: int) -> bool:
    ends = end_offsets(run.where.bootstrap, run.where.events)
    return all(fence(run, p).get("next") == str(end) for p, end in ends.items() if p != but)
