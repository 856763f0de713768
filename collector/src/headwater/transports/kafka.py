"""Events into Kafka through confluent-kafka's idempotent producer.

What is fixed and why: `acks=all` with idempotence, so that a retry inside the producer neither loses nor repeats;
`partitioner=murmur2_random`, so that a key lands where Java's producers put it (librdkafka's default differs). Any
librdkafka setting may be given and wins over the defaults here.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from headwater.errors import BrokerUnavailable, ConfigError, DeliveryError, Unauthorized
from headwater.transports.base import Encoded, Settle
from headwater_schemas.topics import MAX_EVENT_BYTES, PARTITIONER

DEFAULTS: Final[Mapping[str, str | int | bool]] = {
    "acks": "all",
    "client.id": "headwater",
    "compression.type": "lz4",
    "enable.idempotence": True,
    "linger.ms": 5,
    "log_level": 0,  # librdkafka's own log would fill the job's stderr; errors come through error_cb
    "message.max.bytes": MAX_EVENT_BYTES + 16 * 1024,
    "message.timeout.ms": 120_000,
    "partitioner": PARTITIONER,
    "queue.buffering.max.kbytes": 32 * 1024,
    "queue.buffering.max.messages": 10_000,
    "topic.metadata.refresh.interval.ms": 60_000,
}

_UNAUTHORIZED: Final = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
_UNAVAILABLE: Final = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError._RESOLVE,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._TIMED_OUT,
    }
)
_RECALLED: Final = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})
_NO_TOPIC: Final = frozenset({KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART})
_REPORTS_BETWEEN_PAUSES: Final = 100
_PAUSE_S: Final = 0.00005


class KafkaTransport:
    """Produces to `<topic_prefix>events`. Nothing here waits for a broker, except `flush` and `close`.

    Args:
        bootstrap_servers: `host:port,host:port`.
        config: librdkafka settings, by their own names; they win over `DEFAULTS`.
        topic_prefix: what the names of all topics of this Headwater begin with.

    Raises:
        ConfigError: librdkafka refuses a setting.
    """

    def __init__(
        self, bootstrap_servers: str, *, config: Mapping[str, Any] | None = None, topic_prefix: str = "lineage."
    ) -> None:  # Any: librdkafka takes text, numbers, booleans and callables
        self._servers = bootstrap_servers
        self._topic = f"{topic_prefix}events"
        self._settle: Settle | None = None
        self._arrived = 0
        self._closed = False
        self._given = (bootstrap_servers, config, topic_prefix)
        self._config = {
            **DEFAULTS,
            "bootstrap.servers": bootstrap_servers,
            **(config or {}),
            "error_cb": self._on_error,
            "on_delivery": self._on_delivery,
        }
        self._producer: Producer | None = self._built()

    def send(self, batch: Sequence[Encoded], settle: Settle) -> int:
        """Put the batch into librdkafka's queue; what does not fit is left for later."""
        self._settle = settle
        if self._closed:
            raise DeliveryError("the Kafka transport is closed", remedy="make a new emitter")
        producer = self._producer = self._producer or self._built()
        taken = 0
        try:
            for encoded in batch:
                producer.produce(self._topic, value=encoded.value, key=encoded.key)
                taken += 1
        except BufferError:
            pass  # the queue is full: back-pressure, not loss
        except KafkaException as error:
            if not taken:
                raise self._refused(error) from error
        self.poll(0.0)
        return taken

    def poll(self, timeout_s: float) -> None:
        """Serve delivery reports."""
        if self._producer is not None:
            self._producer.poll(timeout_s)
            self._report()

    def flush(self, timeout_s: float) -> int:
        """Wait until Kafka has confirmed everything; returns how many it has not."""
        if self._producer is None:
            return 0
        left = self._producer.flush(timeout_s)
        self._report()
        return int(left)

    def recall(self) -> None:
        """Give back what is not confirmed. A producer that lost messages is replaced: the next begins a new sequence."""
        self._let_go(0.0)

    def close(self, timeout_s: float) -> None:
        """Wait for confirmations, then give up what is left: it is reported as failed."""
        self._closed = True
        self._let_go(timeout_s)

    def after_fork(self) -> Self:
        """One with a producer of its own."""
        servers, config, topic_prefix = self._given
        return type(self)(servers, config=config, topic_prefix=topic_prefix)

    def _let_go(self, timeout_s: float) -> None:
        producer = self._producer
        if producer is None:
            return
        if self.flush(timeout_s):
            producer.purge()
            self.flush(0.1)
        self._producer = None

    def _built(self) -> Producer:
        try:
            return Producer(self._config)
        except (KafkaException, ValueError, TypeError) as error:
            said = error.args[0].str() if isinstance(error, KafkaException) else str(error)
            raise ConfigError(
                f"Kafka's client refuses its settings: {said}",
                remedy="see librdkafka's CONFIGURATION.md; in the environment they are HEADWATER_KAFKA__<KEY>",
            ) from error

    def _refused(self, error: KafkaException) -> DeliveryError:
        kafka_error: KafkaError = error.args[0]
        if kafka_error.code() == KafkaError._FATAL:
            # An idempotent producer that lost its place is of no use any more; a new one starts a new sequence.
            self._let_go(0.0)
            return DeliveryError(f"Kafka's producer had to be replaced: {kafka_error.str()}", retriable=True)
        return translated(kafka_error, self._servers)

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._arrived += 1
            if self._arrived % _REPORTS_BETWEEN_PAUSES == 0:
                time.sleep(_PAUSE_S)  # thousands of reports come at once; the job's thread wants to run in between
        elif self._settle is not None:
            self._settle(1, translated(error, self._servers), (_lost(message),))

    def _on_error(self, error: KafkaError) -> None:
        if self._settle is not None:
            self._settle(0, translated(error, self._servers))

    def _report(self) -> None:
        arrived, self._arrived = self._arrived, 0
        if arrived and self._settle is not None:
            self._settle(arrived, None)


def translated(error: KafkaError, servers: str) -> DeliveryError:
    """Kafka's error as one of ours, with what to do about it."""
    code, said = error.code(), error.str()
    if code in _RECALLED:
        return BrokerUnavailable(f"Kafka at {servers} did not confirm in time", remedy="look at brokers and network")
    if code in _UNAUTHORIZED:
        return Unauthorized(f"Kafka at {servers} refuses us: {said}", remedy="check credentials and the topic's ACLs")
    if code in _UNAVAILABLE:
        return BrokerUnavailable(
            f"Kafka at {servers} cannot be reached: {said}", remedy="check bootstrap servers, network and brokers"
        )
    if code in _NO_TOPIC:
        return DeliveryError(
            f"Kafka at {servers} has no such topic: {said}", remedy="headwater topics create", retriable=True
        )
    return DeliveryError(f"Kafka at {servers}: {said}", retriable=bool(error.retriable()))


def _lost(message: Message) -> Encoded:
    key, value = message.key(), message.value()
    return Encoded(key if isinstance(key, bytes) else b"", value if isinstance(value, bytes) else b"")
