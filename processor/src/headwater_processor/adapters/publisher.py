"""Images and alerts to Kafka: one idempotent producer, in order, acknowledged.

`message.timeout.ms` stays below the session timeout: messages of a worker that was declared dead must die before its
successor speaks; what gets through all the same carries a lower version.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final

from confluent_kafka import KafkaError, Message, Producer

log = logging.getLogger(__name__)

_POLL_S: Final = 0.05


class KafkaPublisher:
    """See engine.publishing.Publisher. Used by the shards' thread; `alive` is called while it waits."""

    def __init__(
        self, config: dict[str, Any], *, deltas: str, alerts: str, alive: Callable[[], None] = lambda: None
    ) -> None:
        self._producer = Producer(config)
        self._deltas = deltas
        self._alerts = alerts
        self._alive = alive
        self._open = 0
        self._failed = 0
        self.delivered = 0
        self.closing = False

    def delta(self, key: str, value: bytes) -> None:
        """See Publisher."""
        self._produce(self._deltas, key, value)

    def alert(self, key: str, value: bytes) -> None:
        """See Publisher."""
        self._produce(self._alerts, key, value)

    def flush(self, deadline_s: float) -> bool:
        """See Publisher."""
        end = time.monotonic() + deadline_s
        while self._open and time.monotonic() < end and not self.closing:
            self._alive()
            self._producer.flush(_POLL_S)  # while this waits, librdkafka lingers for nothing more
        failed, self._failed = self._failed, 0
        if self._open:
            self._producer.purge()
            self._producer.poll(0)
            return False
        return not failed

    def close(self, deadline_s: float) -> None:
        """Deliver what is queued, if that works in time."""
        self._producer.flush(deadline_s)

    def _produce(self, topic: str, key: str, value: bytes) -> None:
        self._open += 1
        while True:
            try:
                self._producer.produce(topic, value, key.encode(), on_delivery=self._reported)
            except BufferError:
                self._alive()
                self._producer.poll(_POLL_S)
            else:
                return

    def _reported(self, error: KafkaError | None, message: Message) -> None:
        self._open -= 1
        if error is None:
            self.delivered += 1
            return
        self._failed += 1
        if self._failed == 1:
            log.warning("%s was not delivered: %s", message.topic(), error)
