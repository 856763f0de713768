"""Full mode: the records of chosen topics, through a consumer group, as windows of lineage.

Offsets are committed by the caller's word that the events have arrived, and only up to the first record of a window
that is not over. If events do not arrive, the reader forgets what it has and begins again at what is committed.
"""

from __future__ import annotations

import fnmatch
import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from headwater.cdc.names import HEARTBEATS, Servers
from headwater.cdc.windows import Partition
from headwater.cdc.wire import Schemas, read
from headwater.runtime.kafka import consumer_config, translate
from headwater.runtime.leaving import leave
from headwater.runtime.models import KafkaSettings
from headwater.runtime.offsets import Place
from headwater_schemas.events import LineageEvent
from headwater_schemas.naming import kafka_topic

log = logging.getLogger(__name__)

_AT_ONCE: Final = 1_000
_QUEUE_KBYTES: Final = 16 * 1024
_PASSING: Final = frozenset(
    {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT, KafkaError._RESOLVE}
)


def chosen(topics: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """The topics that patterns name; heartbeats and what begins with `__` are never read whole."""
    return sorted(
        topic
        for topic in topics
        if not topic.startswith((HEARTBEATS, "__")) and any(fnmatch.fnmatchcase(topic, pattern) for pattern in patterns)
    )


class Reader:
    """Reads topics from their beginning, or from where its group was. Used by one thread; `close` it.

    Raises:
        UsageError: librdkafka refuses its settings.
    """

    def __init__(self, kafka: KafkaSettings, schemas: Schemas, *, group: str, cluster: str) -> None:
        self._servers = kafka.bootstrap_servers
        self._schemas = schemas
        self._cluster = cluster
        config = consumer_config(kafka, group=group, client_id="headwater-cdc")
        self._config = {
            **config,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "queued.max.messages.kbytes": _QUEUE_KBYTES,
            "on_commit": self._on_commit,
        }
        self._consumer: Consumer | None = None
        self._topics: list[str] = []
        self._partitions: dict[Place, Partition] = {}
        self._at_end: set[Place] = set()
        self._confirmed: dict[Place, int] = {}
        self._committed: dict[Place, int] = {}
        self.records = 0
        """Records read so far."""

    def subscribe(self, topics: Sequence[str]) -> None:
        """Read these topics from now on. Raises DeliveryError, UsageError."""
        if list(topics) == self._topics and self._consumer is not None:
            return
        self._topics = list(topics)
        try:
            if self._consumer is None:
                self._consumer = Consumer(self._config)
            if topics:
                self._consumer.subscribe(self._topics, on_revoke=self._lost, on_lost=self._lost)
        except KafkaException as error:
            raise translate(error, self._servers) from error

    def read(self, servers: Servers, for_s: float) -> None:
        """Add what comes within `for_s` seconds, at most. Raises DeliveryError."""
        until_s = time.monotonic() + for_s
        while self._consumer is not None and self._topics and (left_s := until_s - time.monotonic()) > 0:
            try:
                messages = self._consumer.consume(_AT_ONCE, timeout=min(left_s, 0.2))
            except KafkaException as error:
                raise translate(error, self._servers) from error
            for message in messages:
                self._add(message, servers)

    @property
    def at_end(self) -> bool:
        """Whether every assigned partition was read to its end."""
        assigned = {(at.topic, at.partition) for at in self._consumer.assignment()} if self._consumer else set()
        return not self._topics or (bool(assigned) and assigned <= self._at_end)

    def say(self, now_ms: int) -> tuple[list[LineageEvent], Counter[str]]:
        """The events of the windows, and what was refused since the last time."""
        events: list[LineageEvent] = []
        refused: Counter[str] = Counter()
        for partition in self._partitions.values():
            events += partition.say(now_ms)
            refused += partition.refused
            partition.refused = Counter()
        return events, refused

    def confirm(self) -> None:
        """All that was said has arrived: commit. Nobody waits for the answer, which may take as long as an outage; what is
        refused is committed with the next."""
        self._confirmed = {place: one.resume_at for place, one in self._partitions.items() if one.resume_at >= 0}
        new = [place for place, at in self._confirmed.items() if self._committed.get(place) != at]
        if self._consumer is None or not new:
            return
        offsets = [TopicPartition(*place, self._confirmed[place]) for place in new]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
            self._committed = dict(self._confirmed)
        except KafkaException as error:
            log.warning("offsets are not committed: %s", translate(error, self._servers).message)

    def begin_again(self) -> None:
        """What was said has not arrived: forget it, and read again from what is committed."""
        self.close()
        self._partitions.clear()
        self._committed.clear()
        self._at_end.clear()

    def close(self) -> None:
        """Leave the group, what is confirmed committed: in bounded time, also while no broker answers."""
        if self._consumer is not None:
            leave(self._consumer, [TopicPartition(*place, at) for place, at in self._confirmed.items()])
            self._consumer = None
            self._confirmed.clear()

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        for at in partitions:
            if failed := error or at.error:
                log.warning("offsets of %s partition %d are not committed: %s", at.topic, at.partition, failed.str())
                self._committed.pop((at.topic, at.partition), None)

    def _add(self, message: Message, servers: Servers) -> None:
        place = message.topic() or "", message.partition() or 0
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                self._at_end.add(place)
            elif not error.retriable() and error.code() not in _PASSING:
                raise translate(error, self._servers)
            return
        self._at_end.discard(place)
        self.records += 1
        partition = self._partitions.get(place)
        if partition is None:
            partition = self._partitions[place] = Partition(kafka_topic(self._cluster, place[0]), place[1])
        value = message.value()
        kind, at_ms = message.timestamp()
        found = read(value if isinstance(value, bytes) else None, self._schemas)
        partition.add(message.offset() or 0, at_ms if kind else 0, found, servers)

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Another member reads on from what is committed."""
        if consumer is not self._consumer:
            return
        for at in partitions:
            self._partitions.pop((at.topic, at.partition), None)
            self._confirmed.pop((at.topic, at.partition), None)
            self._at_end.discard((at.topic, at.partition))
