"""Dead and late letters on Kafka: acknowledged before the call that skips their records.

Key, value and headers stay as they were received. Kafka Connect's error headers come on top (KIP-298; strings, numbers
too), so that existing dead-letter tools read them, and ours with the reason code. A letter's identity is its source topic,
partition and offset: it may be there twice after a crash, never not at all.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final

from confluent_kafka import KafkaError, Message, Producer

from headwater_processor.ports import RawRecord

log = logging.getLogger(__name__)

Headers = list[tuple[str, str | bytes | None]]

_TEXT_MAX: Final = 1000
_POLL_S: Final = 0.05
_COMPLAIN_S: Final = 5.0


class KafkaLetters:
    """Letters over one idempotent producer. Used by the engine's thread.

    What cannot be delivered is produced again until it is: the engine waits, the partition does not move, and a health
    check sees a loop that moves. `closing` ends the wait at shutdown; the records are then read again by the next owner.
    """

    def __init__(self, config: dict[str, Any], *, dead_topic: str, late_topic: str, group: str) -> None:
        self._producer = Producer(config)
        self._dead_topic = dead_topic
        self._late_topic = late_topic
        self._group = group
        self._open = 0
        self._again: list[tuple[str, bytes | None, bytes | None, Headers]] = []
        self.closing = False

    def dead(self, record: RawRecord, reason: str, detail: str) -> None:
        """See ports.Letters."""
        headers = _received(record)
        headers += [
            ("__connect.errors.topic", record.topic() or ""),
            ("__connect.errors.partition", str(record.partition())),
            ("__connect.errors.offset", str(record.offset())),
            ("__connect.errors.connector.name", self._group),
            ("__connect.errors.task.id", str(record.partition())),
            ("__connect.errors.stage", "VALUE_CONVERTER"),
            ("__connect.errors.class.name", "headwater_processor.core.decode.BatchDecoder"),
            ("__connect.errors.exception.class.name", f"headwater.{reason}"),
            ("__connect.errors.exception.message", detail[:_TEXT_MAX]),
            ("headwater.dlq.reason", reason),
            ("headwater.dlq.timestamp", str(record.timestamp()[1])),
        ]
        self._produce(self._dead_topic, record.key(), record.value(), headers)

    def late(self, record: RawRecord, lateness_us: int) -> None:
        """See ports.Letters."""
        headers = _received(record)
        headers += [
            ("headwater.late.ms", str(lateness_us // 1000)),
            ("headwater.late.topic", record.topic() or ""),
            ("headwater.late.partition", str(record.partition())),
            ("headwater.late.offset", str(record.offset())),
        ]
        self._produce(self._late_topic, record.key(), record.value(), headers)

    def wait(self, alive: Callable[[], None]) -> bool:
        """See ports.Letters."""
        complain_at = time.monotonic() + _COMPLAIN_S
        while self._open or self._again:
            alive()
            if self.closing:
                return False
            self._producer.poll(_POLL_S)
            if time.monotonic() > complain_at:
                complain_at += _COMPLAIN_S
                log.warning("%d letters are not acknowledged yet; nothing is skipped until they are", self._open)
            again, self._again = self._again, []
            for letter in again:
                self._produce(*letter)
        return True

    def close(self, deadline_s: float) -> None:
        """Deliver what is queued, if that works in time."""
        self._producer.flush(deadline_s)

    def _produce(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        def delivered(error: KafkaError | None, _message: Message) -> None:
            self._open -= 1
            if error is not None:
                log.warning("a letter to %s was not delivered: %s", topic, error)
                self._again.append((topic, key, value, headers))

        self._open += 1
        while True:
            try:
                self._producer.produce(topic, value, key, headers=headers, on_delivery=delivered)
            except BufferError:
                self._producer.poll(_POLL_S)
            else:
                return


def _received(record: RawRecord) -> Headers:
    return list(record.headers() or [])
