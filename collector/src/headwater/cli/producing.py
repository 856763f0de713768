"""Producing for commands: waits when the queue is full, knows what arrived and what did not, and why."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin._metadata import ClusterMetadata

from headwater.errors import BrokerUnavailable, HeadwaterError
from headwater.runtime.kafka import Heard, list_topics, producer_config, translate
from headwater.runtime.models import KafkaSettings
from headwater.transports.kafka import RAISED, reason_of, to_write

_WAIT_S: Final = 30.0
_REACH_S: Final = 10.0


class Producing:
    """A producer for one command and one topic, as a context manager: after the block all has arrived or failed.

    `delivered` counts, `failed` holds (label, error) of what did not arrive, `cluster` what Kafka said of itself at entry.

    Raises:
        UsageError: librdkafka refuses its settings.
        DeliveryError: at entry, when no broker answers or the topic does not exist.
    """

    def __init__(self, kafka: KafkaSettings, topic: str, *, wait_s: float = _WAIT_S) -> None:
        self._servers = kafka.bootstrap_servers
        self._topic = topic
        self._wait_s = wait_s
        self.cluster = ClusterMetadata()
        self.delivered = 0
        self.failed: list[tuple[str, HeadwaterError]] = []
        try:
            self._config = producer_config(kafka, message_timeout_ms=int(wait_s * 1000))
            self._producer = Producer(self._config)
        except KafkaException as error:
            raise translate(error, self._servers) from error

    def __enter__(self) -> Self:
        try:
            # Says at once that broker or topic are not there, instead of after the time-out of the first message.
            self.cluster = list_topics(self._producer, self._config, self._topic, timeout_s=_REACH_S)
        except KafkaException as error:
            raise translate(error, self._servers) from error
        found = self.cluster.topics[self._topic]
        if found.error is not None:
            raise translate(found.error, self._servers, to_write(self._topic))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._producer.purge()
        left = 0
        try:
            left = self._producer.flush(self._wait_s + 5.0)
        except RAISED as fatal:
            if kind is None:
                raise self._translated(fatal) from fatal
        if left and kind is None:
            raise BrokerUnavailable(f"Kafka at {self._servers} did not confirm {left} records")

    def send(self, key: bytes, value: bytes | None, label: str) -> None:
        """Queue one record; waits while the queue is full. `label` names it in `failed`."""

        def report(error: KafkaError | None, _message: Message) -> None:
            if error is None:
                self.delivered += 1
            else:
                self.failed.append((label, translate(error, self._servers, to_write(self._topic))))

        while True:
            try:
                self._producer.produce(self._topic, key=key, value=value, on_delivery=report)
            except BufferError:
                self._producer.poll(0.5)
            except RAISED as error:
                self.failed.append((label, self._translated(error)))
                return
            else:
                self._producer.poll(0)
                return

    def _translated(self, error: BaseException) -> HeadwaterError:
        """What a poll or flush raised, as one of ours; where that says nothing, by what the client was told before."""
        reason, heard = reason_of(error), self._config.get("error_cb")
        if reason.code() == KafkaError._FAIL and isinstance(heard, Heard) and heard.fatal is not None:
            reason = heard.fatal
        return translate(reason, self._servers, to_write(self._topic))

    def raise_first_failure(self) -> None:
        """Raise the error of the first record that did not arrive, if there is one."""
        if self.failed:
            raise self.failed[0][1]
