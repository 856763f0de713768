"""Whole topics, read and written with the plain client."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic
from tests.support.oracle.records import Record

SILENT_DEADLINE_S: Final = 60.0
"""How long a topic may give nothing; what is made of its records takes as long as it takes."""
END_DEADLINE_S: Final = 30.0
_IN_FLIGHT: Final = 50_000
_PASSING: Final = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError._UNKNOWN_PARTITION,
    }
)
"""What ends by itself; librdkafka calls few of them retriable."""


class Message(NamedTuple):
    """One record as it lies in a topic."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]


def _reader(bootstrap: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "oracle-reader",
            "log_level": 0,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )


def partitions_of(bootstrap: str, topic: str) -> list[int]:
    """Partitions of a topic; empty when there is no such topic."""
    found = AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=30).topics.get(topic)
    return [] if found is None or found.error is not None else sorted(found.partitions)


def end_offsets(bootstrap: str, topic: str) -> dict[int, int]:
    """Partition to the offset that the next record will get. Raises KafkaException."""
    consumer = _reader(bootstrap)
    try:
        return {number: _end(consumer, TopicPartition(topic, number)) for number in partitions_of(bootstrap, topic)}
    finally:
        consumer.close()


def _end(consumer: Consumer, partition: TopicPartition) -> int:
    """A partition that was added a moment ago has no leader yet, and a client may ask the one from before."""
    deadline = time.monotonic() + END_DEADLINE_S
    while True:
        try:
            end: int = consumer.get_watermark_offsets(partition, timeout=10)[1]
        except KafkaException as error:
            if (not error.args[0].retriable() and error.args[0].code() not in _PASSING) or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return end


def read_topic(bootstrap: str, topic: str) -> Iterator[Message]:
    """Every record up to the present end, in order within a partition. Raises TimeoutError, KafkaException."""
    waiting = set(partitions_of(bootstrap, topic))
    if not waiting:
        return
    consumer = _reader(bootstrap)
    deadline = time.monotonic() + SILENT_DEADLINE_S
    try:
        consumer.assign([TopicPartition(topic, number, 0) for number in waiting])
        while waiting:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{topic}: partitions {sorted(waiting)} were not read to their end")
            for raw in consumer.consume(10_000, timeout=0.2):
                error = raw.error()
                if error is None:
                    yield _message(raw)
                elif error.code() == KafkaError._PARTITION_EOF:
                    waiting.discard(raw.partition() or 0)
                else:
                    raise KafkaException(error)
                deadline = time.monotonic() + SILENT_DEADLINE_S
    finally:
        consumer.close()


def _message(raw: Any) -> Message:
    headers = {name: value or b"" for name, value in raw.headers() or []}
    return Message(raw.partition(), raw.offset(), raw.timestamp()[1], raw.key(), raw.value(), headers)


def create_topic(bootstrap: str, topic: str, partitions: int, config: dict[str, str] | None = None) -> None:
    """A topic that keeps old timestamps, on as many brokers as they think right. Raises KafkaException."""
    settings = {"retention.ms": "-1", "message.timestamp.type": "CreateTime"} | (config or {})
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, partitions, config=settings)])[topic].result(30)


def configure_topic(bootstrap: str, topic: str, settings: Mapping[str, str]) -> None:
    """Change these settings of a topic and leave the others."""
    entries = [ConfigEntry(k, v, incremental_operation=AlterConfigOpType.SET) for k, v in settings.items()]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(30)


def produce(
    bootstrap: str, topic: str, records: Iterable[Record], told: Callable[[int, int | None, int], None] | None = None
) -> dict[int, int]:
    """Produces in order and waits for every acknowledgement; the records of each partition, counted. `told` hears of each
    acknowledgement: partition, offset (None: the broker only says that it has it), and the clock (µs) when it came."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "linger.ms": 20,
            "log_level": 0,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 2 * _IN_FLIGHT,
        }
    )
    counts: dict[int, int] = {}
    failures: list[str] = []

    def delivered(error: KafkaError | None, message: Any) -> None:
        if error is not None:
            failures.append(str(error))
        elif told is not None:
            told(message.partition(), message.offset(), time.time_ns() // 1000)

    for record in records:
        counts[record.partition] = counts.get(record.partition, 0) + 1
        producer.poll(0)  # or nobody is told before the end
        while len(producer) >= _IN_FLIGHT:
            producer.poll(0.1)
        producer.produce(
            topic,
            record.value,
            record.key,
            record.partition,
            on_delivery=delivered,
            timestamp=record.timestamp_ms,
            headers=[*record.headers],
        )
    if producer.flush(60) or failures:
        raise RuntimeError(f"{topic}: {len(producer)} records were not delivered; {failures[:3]}")
    return counts
