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

from confluent_kafka import KafkaError, Message

from headwater.runtime.letters import dead_letter_headers
from headwater_processor.adapters.producing import Headers, SteadyProducer, advice
from headwater_processor.ports import RawRecord

log = logging.getLogger(__name__)

_DECODER: Final = "headwater_processor.core.decode.BatchDecoder"
_POLL_S: Final = 0.05
_COMPLAIN_S: Final = 5.0
_PAUSE_S: Final = (0.1, 2.0)
"""What failed at once fails again at once: the first pause before the next attempt, and the longest."""
_LARGEST_BYTES: Final = 1_000_000_000
"""librdkafka's own bound. A record that was compressed on its way may be larger than anything a topic takes plain; that it came
means that it can go on the same way, so only the broker may say no."""


class KafkaLetters:
    """Letters over one idempotent producer. Used by the engine's thread.

    What cannot be delivered is produced again until it is: the engine waits, the partition does not move, and a health
    check sees a loop that moves. `closing` ends the wait at shutdown; the records are then read again by the next owner.
    """

    def __init__(self, config: dict[str, Any], *, dead_topic: str, late_topic: str, group: str) -> None:
        self._producer = SteadyProducer({**config, "message.max.bytes": _LARGEST_BYTES})
        self._dead_topic = dead_topic
        self._late_topic = late_topic
        self._group = group
        self._open = 0
        self._again: list[tuple[str, bytes | None, bytes | None, Headers]] = []
        self._told: KafkaError | None = None
        self.closing = False

    def dead(self, record: RawRecord, reason: str, detail: str) -> None:
        """See ports.Letters."""
        headers = dead_letter_headers(record, reason, detail, group=self._group, stage_class=_DECODER)
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
        complain_at, pause_s, again_at = time.monotonic() + _COMPLAIN_S, _PAUSE_S[0], 0.0
        while self._open or self._again:
            alive()
            if self.closing:
                return False
            self._producer.poll(_POLL_S)
            if time.monotonic() > complain_at:
                complain_at += _COMPLAIN_S
                log.warning("%d letters are not acknowledged yet; nothing is skipped until they are", self._left)
            if not self._again:
                again_at = 0.0
            elif not again_at:
                again_at, pause_s = time.monotonic() + pause_s, min(2 * pause_s, _PAUSE_S[1])
            elif time.monotonic() > again_at:
                again_at = 0.0
                self._produce_again()
        self._told = None
        return True

    @property
    def _left(self) -> int:
        return self._open + len(self._again)

    def _produce_again(self) -> None:
        again, self._again = self._again, []
        for letter in again:
            self._produce(*letter)

    def close(self, deadline_s: float) -> None:
        """Deliver what is queued, if that works in time."""
        self._producer.flush(deadline_s)

    def _produce(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        def reported(error: KafkaError | None, _message: Message | None) -> None:
            self._open -= 1
            if error is not None:
                self._again.append((topic, key, value, headers))
                if self._told is None or self._told.code() != error.code():
                    self._told = error
                    log.warning("a letter to %s was not delivered: %s", topic, advice(topic, error))

        self._open += 1
        self._producer.produce(topic, value, key, reported, headers=headers)


def _received(record: RawRecord) -> Headers:
    return list(record.headers() or [])
