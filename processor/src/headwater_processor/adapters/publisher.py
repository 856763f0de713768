"""Images and alerts to Kafka: one idempotent producer, in order, acknowledged.

A worker that slept (SIGSTOP, a frozen host) and wakes after it was declared dead must not say older things after its
successor said newer ones. So it asks whether it is still the owner when what it says was read a while ago, and
`message.timeout.ms` lets die what was queued when it fell asleep; both times together, and a heartbeat, stay below the
session timeout. What sleeps in the few instructions between asking and queueing can still come late; it carries a lower
version.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError, Message

from headwater_processor.adapters.producing import SteadyProducer, advice

log = logging.getLogger(__name__)

_POLL_S: Final = 0.05
_PAUSE_S: Final = (0.1, 2.0)
"""What failed at once fails again at once: the first pause before the next attempt, and the longest."""


class KafkaPublisher:
    """See engine.publishing.Publisher. Used by the shards' thread; `alive` is called while it waits."""

    def __init__(
        self,
        config: dict[str, Any],
        *,
        deltas: str,
        alerts: str,
        alive: Callable[[], None] = lambda: None,
        fresh_s: float = 1.0,
    ) -> None:
        self._producer = SteadyProducer(config)
        self._deltas = deltas
        self._alerts = alerts
        self._alive = alive
        self._reporters = {topic: partial(self._reported, topic) for topic in (deltas, alerts)}
        self._open = 0
        self._failed: dict[str, int] = {}
        self._pause_s = _PAUSE_S[0]
        self._fresh_s = fresh_s
        self._ours: Callable[[], bool] = lambda: True
        self._fresh_until = 0.0
        self.delivered = 0
        self.closing = False

    def begin(self, ours: Callable[[], bool]) -> None:
        """See engine.publishing.Publisher."""
        self._alive()
        self._ours = ours
        self._fresh_until = time.monotonic() + self._fresh_s

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
        if self._open:
            self._producer.purge()
        elif not self._failed:
            self._pause_s = _PAUSE_S[0]
            return True
        self._failed.clear()
        self._pause()
        return False

    def close(self, deadline_s: float) -> None:
        """Deliver what is queued, if that works in time."""
        self._producer.flush(deadline_s)

    def _still_ours(self) -> bool:
        """A process that slept between reading and speaking may have a successor that said newer things meanwhile."""
        self.begin(self._ours)
        if not self._ours():
            self._fresh_until = 0.0
        return self._fresh_until > 0.0

    def _pause(self) -> None:
        end = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, _PAUSE_S[1])
        while (left_s := end - time.monotonic()) > 0 and not self.closing:
            self._alive()
            self._producer.poll(min(_POLL_S, left_s))

    def _produce(self, topic: str, key: str, value: bytes) -> None:
        if time.monotonic() > self._fresh_until and not self._still_ours():
            self._failed[topic] = self._failed.get(topic, 0) + 1
            return
        self._open += 1
        self._producer.produce(topic, value, key.encode(), self._reporters[topic], alive=self._alive)

    def _reported(self, topic: str, error: KafkaError | None, _message: Message | None) -> None:
        self._open -= 1
        if error is None:
            self.delivered += 1
            return
        self._failed[topic] = self._failed.get(topic, 0) + 1
        if self._failed[topic] == 1:
            log.warning("%s was not delivered: %s", topic, advice(topic, error))
