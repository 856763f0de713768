"""Reading a topic from where it begins to where it ended when we came, or on from there: without a group's help, leaving no
trace."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from headwater.errors import BrokerUnavailable
from headwater.runtime.errors import RefusedError
from headwater.runtime.kafka import client_config, list_topics, translate
from headwater.runtime.models import KafkaSettings

_TIMEOUT_S: Final = 10.0
_SILENT_S: Final = 20.0
_BATCH: Final = 500
_MISSING: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC})
_NO_GROUP: Final = KafkaError.GROUP_AUTHORIZATION_FAILED
"""librdkafka asks for the coordinator of the group that it must be given, though nothing joins it: readers need no right to it."""

Bounds = Mapping[int, tuple[int, int]]
"""By partition: the oldest offset left, and the one that the next record gets."""


class TopicReader:
    """One topic. Every method raises DeliveryError as `headwater.runtime.kafka.translate` says."""

    def __init__(self, kafka: KafkaSettings, topic: str) -> None:
        self.topic = topic
        self._servers = kafka.bootstrap_servers
        # A group must be named, though nothing joins it or commits to it.
        reading = {"group.id": "headwater-reading", "enable.auto.commit": False, "enable.partition.eof": True}
        with self._translated():
            self._config = {**client_config(kafka), **reading, "auto.offset.reset": "earliest"}
            self._consumer = Consumer(self._config)

    def close(self) -> None:
        """Let the connections go."""
        self._consumer.close()

    def bounds(self) -> Bounds:
        """What the topic holds now. Raises RefusedError if it does not exist."""
        with self._translated():
            found = list_topics(self._consumer, self._config, self.topic, timeout_s=_TIMEOUT_S).topics[self.topic]
            if found.error is not None:
                if found.error.code() in _MISSING:
                    where = f"Kafka at {self._servers} has no topic {self.topic}"
                    raise RefusedError(where, remedy="headwater topics create")
                raise KafkaException(found.error)
            ends = {}
            for number in sorted(found.partitions):
                at = TopicPartition(self.topic, number)
                low, high = self._consumer.get_watermark_offsets(at, timeout=_TIMEOUT_S)
                ends[number] = (low, high)
            return ends

    def records(self, bounds: Bounds, seen: Callable[[int], None] = lambda _count: None) -> Iterator[Message]:
        """The records within the bounds, in order of each partition. `seen` is told how many offsets were passed."""
        left = {number: end for number, (begin, end) in bounds.items() if end > begin}
        with self._translated():
            self._consumer.assign([TopicPartition(self.topic, number, bounds[number][0]) for number in left])
            heard_s = time.monotonic()
            while left:
                first = self._consumer.poll(0.5)
                # `consume` alone would wait until a whole batch is there.
                messages = [] if first is None else [first, *self._consumer.consume(_BATCH, 0)]
                if messages:
                    heard_s = time.monotonic()
                elif time.monotonic() - heard_s > _SILENT_S:
                    raise BrokerUnavailable(f"Kafka at {self._servers} says nothing", remedy="look at its brokers")
                for message in messages:
                    number, offset = message.partition() or 0, message.offset() or 0
                    if message.error() is not None:
                        self._at_end_or_raise(message, left)
                    elif number in left and offset < left[number]:
                        yield message
                    if message.error() is None and offset + 1 >= left.get(number, 0):
                        left.pop(number, None)
                seen(len(messages))
            self._consumer.unassign()

    def since(self, bounds: Bounds, at_ms: int) -> dict[int, int]:
        """By partition the first offset that Kafka stamped at this time or later; the end where there is none."""
        with self._translated():
            asked = [TopicPartition(self.topic, number, at_ms) for number in bounds]
            found = self._consumer.offsets_for_times(asked, timeout=_TIMEOUT_S)
        return {one.partition: one.offset if one.offset >= 0 else bounds[one.partition][1] for one in found}

    def begin(self, offsets: Mapping[int, int]) -> None:
        """Read on from these offsets with `more`."""
        with self._translated():
            self._consumer.assign([TopicPartition(self.topic, number, offset) for number, offset in offsets.items()])

    def more(self, wait_s: float) -> list[Message]:
        """What comes within so many seconds; at once, when something does."""
        with self._translated():
            first = self._consumer.poll(wait_s)
            messages = [] if first is None else [first, *self._consumer.consume(_BATCH, 0)]
            for message in messages:
                if message.error() is not None:
                    self._at_end_or_raise(message, {})
            return [message for message in messages if message.error() is None]

    @staticmethod
    def _at_end_or_raise(message: Message, left: dict[int, int]) -> None:
        error = message.error()
        if error is not None and error.code() == KafkaError._PARTITION_EOF:
            left.pop(message.partition() or 0, None)  # what was last may have been compacted away
        elif error is not None and not error.retriable() and error.code() != _NO_GROUP:
            raise KafkaException(error)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except KafkaException as error:
            raise translate(error, self._servers) from error


@contextmanager
def reading(kafka: KafkaSettings, topic: str) -> Iterator[TopicReader]:
    """A reader that is closed in the end."""
    reader = TopicReader(kafka, topic)
    try:
        yield reader
    finally:
        reader.close()
