"""What a worker does when Kafka refuses what it wants to say: too large, not allowed, for ever or for a while."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from tests.support.kafka_server import KafkaServer
from tests.support.oracle.drive import Run
from tests.support.oracle.generator import Generator
from tests.support.oracle.records import Options
from tests.support.oracle.topics import configure_topic, read_topic
from tests.support.processes import wait_until
from tests.support.redis_server import RedisServer
from tests.support.services import KafkaService
from tests.support.workers import Domain, differences, new_run, start_worker

pytestmark = pytest.mark.timeout(180)

PARTITIONS = 2
EVENTS = 1_500
TOO_SMALL = {"max.message.bytes": "1000"}
LARGE_ENOUGH = {"max.message.bytes": str(2 << 20)}


@pytest.fixture
def domain(kafka: KafkaService, redis_url: str, tmp_path: Path) -> Iterator[Domain]:
    """A domain with topics and some events; its workers end with the test."""
    domain = Domain(new_run(kafka.bootstrap_servers, redis_url, kafka.unique("refused"), tmp_path), PARTITIONS)
    domain.run.create_topics(PARTITIONS)
    domain.run.produce(Generator(Options(EVENTS, 81, PARTITIONS)).records())
    yield domain
    domain.run.stop_workers()


def say(run: Run, value: bytes, compression: str) -> None:
    """One record as somebody else's producer writes it."""
    config = {
        "bootstrap.servers": run.where.bootstrap,
        "compression.type": compression,
        "message.max.bytes": 100_000_000,
    }
    failures: list[str] = []
    producer = Producer(config)
    producer.produce(
        run.where.events, value, b"somebody", 0,
        on_delivery=lambda error, _: failures.append(str(error)) if error is not None else None,
    )  # fmt: skip
    assert producer.flush(30) == 0
    assert not failures


def letters(run: Run) -> list[bytes | None]:
    return [message.value for message in read_topic(run.where.bootstrap, f"{run.where.prefix}deadletter")]


def test_a_record_twenty_times_as_large_as_any_event_becomes_a_letter_byte_for_byte(domain: Domain) -> None:
    huge = bytes(20 << 20)
    say(domain.run, huge, "gzip")
    worker = start_worker(domain.run)
    domain.run.wait_until_quiet(worker)
    assert huge in letters(domain.run)
    assert worker.leave() == 0
    assert differences(domain.run) == ""


def test_a_letter_that_its_topic_is_too_small_for_holds_the_partition_and_says_what_helps(domain: Domain) -> None:
    run = domain.run
    topic = f"{run.where.prefix}deadletter"
    configure_topic(run.where.bootstrap, topic, TOO_SMALL)
    noise = random.Random(82).randbytes(5_000)
    say(run, noise, "none")
    worker = start_worker(run)
    wait_until(lambda: worker.said(f"raise max.message.bytes of {topic}"), within_s=40, what="the advice")
    wait_until(lambda: worker.said("nothing is skipped until they are"), within_s=20, what="the reminder")
    assert worker.said_often("raise max.message.bytes") == 1
    assert noise not in letters(run)
    configure_topic(run.where.bootstrap, topic, LARGE_ENOUGH)
    run.wait_until_quiet(worker)
    assert letters(run).count(noise) == 1
    assert worker.leave() == 0
    assert differences(run) == ""


def test_images_that_their_topic_is_too_small_for_wait_in_the_outbox(domain: Domain) -> None:
    run = domain.run
    topic = f"{run.where.prefix}deltas"
    configure_topic(run.where.bootstrap, topic, {"max.message.bytes": "150"})
    worker = start_worker(run)
    wait_until(lambda: worker.said(f"raise max.message.bytes of {topic}"), within_s=40, what="the advice")
    run.wait_for_offset(worker, EVENTS)
    configure_topic(run.where.bootstrap, topic, LARGE_ENOUGH)
    run.wait_until_quiet(worker)
    assert worker.said_often("raise max.message.bytes") < 30
    assert worker.leave() == 0
    assert differences(run) == ""


ACLS = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}


def acl(kind: ResourceType, name: str, operation: AclOperation, permission: AclPermissionType) -> AclBinding:
    return AclBinding(kind, name, ResourcePatternType.LITERAL, "User:ANONYMOUS", "*", operation, permission)


NO_WRITING = [
    acl(ResourceType.BROKER, "kafka-cluster", AclOperation.ALL, AclPermissionType.ALLOW),
    acl(ResourceType.TOPIC, "*", AclOperation.ALL, AclPermissionType.ALLOW),
    acl(ResourceType.BROKER, "kafka-cluster", AclOperation.IDEMPOTENT_WRITE, AclPermissionType.DENY),
    acl(ResourceType.TOPIC, "*", AclOperation.WRITE, AclPermissionType.DENY),
]
EVERY_DENIAL = AclBindingFilter(
    ResourceType.ANY,
    None,  # type: ignore[arg-type]  # any name; the stubs know of no filter
    ResourcePatternType.ANY,
    None,  # type: ignore[arg-type]  # any user
    None,  # type: ignore[arg-type]  # any host
    AclOperation.ANY,
    AclPermissionType.DENY,
)


def test_a_fatal_error_of_the_producers_is_outlived_by_the_worker(tmp_path: Path) -> None:
    """A broker that forbids idempotent writing makes every producer of librdkafka useless for ever: not the worker."""
    with KafkaServer(ACLS) as server, RedisServer() as own:
        run = new_run(server.bootstrap_servers, own.url, "fatal", tmp_path)
        run.create_topics(PARTITIONS)
        run.produce(Generator(Options(EVENTS, 83, PARTITIONS)).records())
        admin = AdminClient({"bootstrap.servers": server.bootstrap_servers})
        for future in admin.create_acls(NO_WRITING).values():
            future.result(30)
        worker = start_worker(run)
        wait_until(lambda: worker.said("another one takes its place"), within_s=40, what="a fatal error")
        for future in admin.delete_acls([EVERY_DENIAL]).values():
            future.result(30)
        run.wait_until_quiet(worker)
        assert worker.leave() == 0
        assert not worker.said("Traceback"), worker.log_tail(40)
        assert differences(run) == ""
