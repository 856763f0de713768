"""An idempotent producer that outlives its errors: each message is reported once, whatever happens to it.

librdkafka refuses some messages at once (larger than `message.max.bytes`) and everything after a fatal error (a broker that
no longer lets us write idempotently, a sequence that can't be mended; INTRODUCTION.md, "Fatal errors"). Neither is a fault
of the process: the first is reported as any failed delivery is, after the second a new producer takes the place of the old
one, and what the old one had is reported as failed. Whoever produces tries again, as after every failed delivery.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin._metadata import ClusterMetadata

from headwater.transports.kafka import RAISED, reason_of, to_write

log = logging.getLogger(__name__)

Headers = list[tuple[str, str | bytes | None]]
Reported = Callable[[KafkaError | None, Message | None], None]

_POLL_S: Final = 0.05
_REPORTS_WITHIN_S: Final = 5.0


class SteadyProducer:
    """Used by one thread."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._producer = Producer(config)
        self.renewed = 0
        """How often a fatal error ended a producer."""

    def produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        reported: Reported,
        *,
        headers: Headers | None = None,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        """Queue a message; waits, calling `alive`, while the queue is full. `reported` is called once, now or in a poll."""
        while True:
            try:
                if headers:
                    self._producer.produce(topic, value, key, headers=headers, on_delivery=reported)
                else:  # an empty list costs more than none
                    self._producer.produce(topic, value, key, on_delivery=reported)
            except BufferError:
                alive()
                self.poll(_POLL_S)
            except KafkaException as error:
                reason: KafkaError = error.args[0]
                if reason.fatal() or reason.code() == KafkaError._FATAL:
                    self._renew(reason)
                reported(reason, None)
                return
            else:
                return

    def poll(self, timeout_s: float) -> None:
        """Report what there is to report, and wait for it so long."""
        try:
            self._producer.poll(timeout_s)
        except RAISED as error:
            self._renew(reason_of(error))

    def flush(self, timeout_s: float) -> None:
        """As `poll`, until everything is reported; librdkafka lingers for nothing more meanwhile."""
        try:
            self._producer.flush(timeout_s)
        except RAISED as error:
            self._renew(reason_of(error))

    def purge(self) -> None:
        """Give up what is queued or under way, and report it as failed (it may still arrive)."""
        self._producer.purge()
        self.poll(0)

    def list_topics(self, topic: str, timeout_s: float) -> ClusterMetadata:
        """What the cluster says of a topic. From any thread. Raises KafkaException."""
        found: ClusterMetadata = self._producer.list_topics(topic, timeout=timeout_s)
        return found

    def _renew(self, reason: KafkaError) -> None:
        log.warning("the producer cannot go on (%s); another one takes its place", reason.str())
        old, self._producer = self._producer, Producer(self._config)
        self.renewed += 1
        old.purge()
        end = time.monotonic() + _REPORTS_WITHIN_S
        while len(old) and time.monotonic() < end:
            with contextlib.suppress(*RAISED):  # the same error, after it has served the reports
                old.poll(_POLL_S)


def advice(topic: str | None, error: KafkaError) -> str:
    """The error, and what helps where a human has to."""
    if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
        return f"{error.str()}; raise max.message.bytes of {topic}, it is tried again until then"
    if error.code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED):
        return f"{error.str()}; allow {to_write(topic or 'the topic')} to this user, it is tried again until then"
    return error.str()
