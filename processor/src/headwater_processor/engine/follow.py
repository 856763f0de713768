"""Follows the two compacted topics that every worker reads whole: writer schemas and policies.

No group and no commits: a worker reads them from the beginning at its start, says when it has reached their end, and goes on
following. Nothing is judged before the policies are read to their end.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

log = logging.getLogger(__name__)

Handler = Callable[[bytes, bytes | None, int], None]
"""key, value (None: a tombstone), offset."""


class Follower:
    """Reads topics from their beginning for ever. `handlers` are called on its thread, topic by topic in order."""

    def __init__(self, config: dict[str, Any], handlers: dict[str, Handler], on_caught_up: Callable[[], None]) -> None:
        self._config = {**config, "enable.auto.commit": False, "auto.offset.reset": "earliest",
                        "enable.partition.eof": True}  # fmt: skip
        self._handlers = handlers
        self._on_caught_up = on_caught_up
        self._halt = threading.Event()
        self.caught_up = threading.Event()
        self.moved_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="headwater-follow", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def close(self, deadline_s: float = 5.0) -> None:
        """Stop reading."""
        self._halt.set()
        if self._thread.is_alive():
            self._thread.join(deadline_s)

    def _run(self) -> None:
        while not self._halt.is_set():
            try:
                self._follow()
            except KafkaException as error:
                log.warning("cannot follow %s: %s; trying again", ", ".join(self._handlers), error)
                self._halt.wait(1.0)

    def _follow(self) -> None:
        consumer = Consumer(self._config)
        try:
            ends = self._assign(consumer)
            while not self._halt.is_set():
                self.moved_at = time.monotonic()
                if not ends and not self.caught_up.is_set():
                    self.caught_up.set()
                    self._on_caught_up()
                for message in consumer.consume(500, 0.2):
                    error = message.error()
                    topic, partition = message.topic() or "", message.partition() or 0
                    if error is not None:
                        if error.code() == KafkaError._PARTITION_EOF:
                            ends.pop((topic, partition), None)  # what was last may have been compacted away
                        elif error.code() != KafkaError.GROUP_AUTHORIZATION_FAILED:  # nothing joins the group
                            log.warning("following %s: %s", topic, error.str())
                        continue
                    offset = message.offset() or 0
                    self._handle(topic, message.key() or b"", message.value(), offset)
                    if ends.get((topic, partition), 0) <= offset + 1:
                        ends.pop((topic, partition), None)
        finally:
            consumer.close()

    def _assign(self, consumer: Consumer) -> dict[tuple[str, int], int]:
        """Read all partitions from the beginning; returns the ends to be reached, of those that have anything."""
        ends: dict[tuple[str, int], int] = {}
        assignment = []
        for topic in self._handlers:
            metadata = consumer.list_topics(topic, 10.0).topics[topic]
            if metadata.error is not None:
                raise KafkaException(metadata.error)
            for partition in metadata.partitions:
                at = TopicPartition(topic, partition, OFFSET_BEGINNING)
                low, high = consumer.get_watermark_offsets(at, 10.0, cached=False)
                if high > low:
                    ends[topic, partition] = high
                assignment.append(at)
        consumer.assign(assignment)
        return ends

    def _handle(self, topic: str, key: bytes, value: bytes | None, offset: int) -> None:
        try:
            self._handlers[topic](key, value, offset)
        except ValueError as error:
            # One entry that cannot be read is not a reason to judge by none of the others.
            log.warning("%s at offset %d is left out: %s", topic, offset, error)
