"""What Headwater says downstream, as it says it: the records of `lineage.alerts` and `lineage.deltas`, decoded."""

from __future__ import annotations

from collections.abc import Iterator

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.cimpl import OFFSET_BEGINNING

from headwater.runtime.kafka import client_config
from headwater.runtime.models import KafkaSettings
from headwater_schemas.alerts import Alert
from headwater_schemas.codec import Malformed, decode_alert, decode_delta
from headwater_schemas.deltas import GraphDelta

_METADATA_TIMEOUT_S = 10.0
_BATCH = 500


class Watcher:
    """Reads both topics from the beginning, without a consumer group: nobody else notices."""

    def __init__(self, kafka: KafkaSettings, alerts_topic: str, deltas_topic: str) -> None:
        self._alerts_topic = alerts_topic
        self._consumer = Consumer(
            {
                **client_config(kafka),
                "group.id": "headwater-watch",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
            }
        )
        partitions = [
            TopicPartition(topic, number, OFFSET_BEGINNING)
            for topic in (alerts_topic, deltas_topic)
            for number in self._consumer.list_topics(topic, timeout=_METADATA_TIMEOUT_S).topics[topic].partitions
        ]
        self._consumer.assign(partitions)

    def arrived(self, timeout_s: float) -> Iterator[Alert | GraphDelta]:
        """What came within the time-out, in order of each partition. A record that is none of ours is passed over."""
        for message in self._consumer.consume(_BATCH, timeout_s):
            value = message.value()
            if message.error() is not None or value is None:
                continue
            try:
                yield decode_alert(value) if message.topic() == self._alerts_topic else decode_delta(value)
            except Malformed:
                continue

    def close(self) -> None:
        """Stop reading."""
        self._consumer.close()
