"""The emitter on real Kafka, and without any."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Callable

import pytest
from confluent_kafka import Consumer, Message
from tests.support.services import KafkaService

from headwater import DatasetUse, Emitter, EventType, LineageEvent, Name, Runtime
from headwater.transports.kafka import KafkaTransport
from headwater_processor.local.bench.sdk import emit_times_us
from headwater_schemas.codec import Rejected, decode, own_schema
from headwater_schemas.events import NIL_UUID
from headwater_schemas.schema import WriterSchema

pytestmark = pytest.mark.timeout(120)


class OwnSchema:
    """Knows the schema that the emitter writes with, and no other."""

    def resolve(self, ref: bytes | int) -> WriterSchema | Rejected:
        return own_schema() if ref == own_schema().fingerprint else Rejected("unknown_schema", repr(ref))


def _event(job: str = "orders") -> LineageEvent:
    return LineageEvent(
        NIL_UUID, 0, EventType.RUNNING, job=Name("shop", job), inputs=(DatasetUse("kafka://b:9092", "orders"),)
    )


def _read(kafka: KafkaService, topic: str, count: int) -> list[Message]:
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "group.id": kafka.unique("reader"),
            "auto.offset.reset": "earliest",
            "log_level": 0,
        }
    )
    consumer.subscribe([topic])
    found: list[Message] = []
    deadline = time.monotonic() + 30
    while len(found) < count and time.monotonic() < deadline:
        found += [message for message in consumer.consume(count, 1.0) if message.error() is None]
    consumer.close()
    return found


def _decoded(message: Message) -> LineageEvent:
    value = message.value()
    assert isinstance(value, bytes)
    event = decode(value, OwnSchema())
    assert isinstance(event, LineageEvent)
    return event


def test_events_arrive_in_kafka_keyed_by_job_and_decodable(kafka: KafkaService) -> None:
    prefix = kafka.unique("sdk") + "."
    topic = kafka.create_topic(f"{prefix}events", partitions=4)
    transport = KafkaTransport(kafka.bootstrap_servers, topic_prefix=prefix)
    here = Runtime(pod="orders-7d9", pod_uid="6f0c", k8s_namespace="shop")
    with Emitter(transport, job="orders", namespace="shop", runtime=here, strict=True) as emitter:
        with emitter.run() as run:
            run.reads("kafka://b:9092", "orders", partition=3, first_offset=10, last_offset=19, rows=10)
            run.writes("s3://lake", "daily", rows=10)
        for number in range(2_000):
            emitter.emit(_event(f"job-{number % 50}"))
        assert emitter.flush(30) == 0
        assert emitter.stats().delivered == 2_002
    messages = _read(kafka, topic, 2_002)
    events = [_decoded(message) for message in messages]
    assert len({event.event_id for event in events}) == 2_002
    assert all(message.key() == str(event.job).encode() for message, event in zip(messages, events, strict=True))
    partitions = Counter((message.key(), message.partition()) for message in messages)
    assert len(partitions) == 51  # a job's events are all in one partition
    complete = next(event for event in events if event.event_type is EventType.COMPLETE)
    assert complete.runtime == here
    assert complete.inputs[0].measures[0].last_offset == 19
    assert complete.run_id == run.id.bytes


def test_the_environment_is_enough_to_reach_kafka(kafka: KafkaService) -> None:
    prefix = kafka.unique("sdk") + "."
    topic = kafka.create_topic(f"{prefix}events")
    environ = {
        "HEADWATER_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "HEADWATER_KAFKA__LINGER_MS": "0",
        "HEADWATER_TOPIC_PREFIX": prefix,
        "HEADWATER_JOB": "orders",
    }
    with Emitter.from_env(environ) as emitter, emitter.run():
        pass
    assert [_decoded(message).event_type.value for message in _read(kafka, topic, 2)] == ["START", "COMPLETE"]


def test_a_message_that_kafka_refuses_is_counted_as_failed(kafka: KafkaService) -> None:
    prefix = kafka.unique("sdk") + "."
    kafka.create_topic(f"{prefix}events", config={"max.message.bytes": "500"})
    transport = KafkaTransport(kafka.bootstrap_servers, topic_prefix=prefix, config={"compression.type": "none"})
    with Emitter(transport) as emitter:
        emitter.emit(_event("x" * 2_000))
        assert emitter.flush(30) == 0
        stats = emitter.stats()
    assert (stats.failed, stats.delivered) == (1, 0)
    assert "too large" in stats.last_error.lower()


def test_without_a_broker_the_job_is_not_held_up_and_every_loss_is_counted(
    record_property: Callable[[str, object], None],
) -> None:
    with socket.socket() as taken:  # bound and not listening: whoever connects is refused
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        transport = KafkaTransport(f"127.0.0.1:{port}", config={"queue.buffering.max.messages": 1_000})
        emitter = Emitter(transport, job="orders", capacity=1_000)
        took_us = emit_times_us(emitter, 20_000)
        began_s = time.monotonic()
        emitter.close(3.0)
        assert time.monotonic() - began_s < 5.0
    stats = emitter.stats()
    assert (stats.offered, stats.delivered, stats.pending) == (20_000, 0, 0)
    assert stats.dropped["buffer_full"] >= 17_000
    assert stats.failed + sum(stats.dropped.values()) == 20_000
    record_property("emit_p99_us", took_us[19_800])
    assert took_us[19_800] < 1_000
