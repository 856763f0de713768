"""Events into Kafka through confluent-kafka's idempotent producer.

What is fixed and why: `acks=all` with idempotence, so that a retry inside the producer neither loses nor repeats;
`partitioner=murmur2_random`, so that a key lands where Java's producers put it (librdkafka's default differs). Any
librdkafka setting may be given and wins over the defaults here.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from headwater.errors import BrokerUnavailable, ConfigError, DeliveryError, Unauthorized
from headwater.masking import mask
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
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
    }
)
FORBIDDEN: Final = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "this topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "this consumer group",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "this on the cluster",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "this transactional id",
}
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
_REASON_LOST: Final = KafkaError._FAIL
"""What `reason_of` says where confluent-kafka (2.16) dropped the exception on the way out of a callback."""
_NO_TOPIC: Final = frozenset({KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART})
_REPORTS_BETWEEN_PAUSES: Final = 100
_PAUSE_S: Final = 0.00005
_RENEWED_EVERY_S: Final = 1.0
RAISED: Final = (KafkaException, SystemError)
"""What a poll or flush of a producer raises after a fatal error: confluent-kafka (2.16) goes on calling callbacks with the
exception set, and Python makes a SystemError of that."""


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
        self._renewed_at = -_RENEWED_EVERY_S
        self._why: DeliveryError | None = None
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
            try:
                self._producer.poll(timeout_s)
            except RAISED as error:
                self._renew(reason_of(error))
            self._report()

    def flush(self, timeout_s: float) -> int:
        """Wait until Kafka has confirmed everything; returns how many it has not."""
        if self._producer is None:
            return 0
        left = 0
        try:
            left = self._producer.flush(timeout_s)
        except RAISED as error:
            self._renew(reason_of(error))
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

    def _renew(self, reason: KafkaError) -> None:
        """After a fatal error a producer delivers nothing any more: what it holds has failed, another one takes its place.

        Not more often than once a second: where permissions are missing, each one ends like this.
        """
        why = translated(reason, self._servers, to_write(self._topic))
        self._why = why  # of what is purged
        old, self._producer = self._producer, None
        if old is not None:
            with contextlib.suppress(*RAISED):
                old.purge()
            with contextlib.suppress(*RAISED):
                old.flush(0.1)
        time.sleep(max(0.0, self._renewed_at + _RENEWED_EVERY_S - time.monotonic()))
        self._renewed_at = time.monotonic()
        self._producer, self._why = self._built(), None
        if self._settle is not None:
            self._settle(0, why)

    def _refused(self, error: KafkaException) -> DeliveryError:
        kafka_error: KafkaError = error.args[0]
        if kafka_error.code() == KafkaError._FATAL:
            # An idempotent producer that lost its place is of no use any more; a new one starts a new sequence.
            self._let_go(0.0)
            return DeliveryError(f"Kafka's producer had to be replaced: {kafka_error.str()}", retriable=True)
        return translated(kafka_error, self._servers, to_write(self._topic))

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._arrived += 1
            if self._arrived % _REPORTS_BETWEEN_PAUSES == 0:
                time.sleep(_PAUSE_S)  # thousands of reports come at once; the job's thread wants to run in between
        elif self._settle is not None:
            why = self._why or translated(error, self._servers, to_write(self._topic))
            self._settle(1, why, (_lost(message),))

    def _on_error(self, error: KafkaError) -> None:
        if self._settle is not None:
            self._settle(0, translated(error, self._servers))

    def _report(self) -> None:
        arrived, self._arrived = self._arrived, 0
        if arrived and self._settle is not None:
            self._settle(arrived, None)


def reason_of(error: BaseException) -> KafkaError:
    """Kafka's reason in one of `RAISED`."""
    for each in (error, error.__cause__, error.__context__):
        if isinstance(each, KafkaException) and each.args and isinstance(each.args[0], KafkaError):
            return each.args[0]
    return KafkaError(_REASON_LOST, str(error))


def translated(error: KafkaError, servers: str, needs: Needs | None = None) -> DeliveryError:
    """Kafka's error as one of ours, with what to do about it. `needs`: what was tried, for where it is forbidden."""
    code, said = error.code(), mask(error.str())
    if code in _RECALLED:
        return BrokerUnavailable(f"Kafka at {servers} did not confirm in time", remedy="look at brokers and network")
    if code == _REASON_LOST and needs is not None:
        return Unauthorized(
            f"Kafka at {servers} ended the producer, and its client lost the reason ({said}); most often it is not allowed "
            f"{needs}",
            remedy=needs.command(servers),
        )
    if code in FORBIDDEN:
        what = needs or FORBIDDEN[code]
        remedy = needs.command(servers) if needs is not None else "grant it with kafka-acls.sh --add"
        return Unauthorized(f"Kafka at {servers} knows us, and forbids {what}: {said}", remedy=remedy)
    if code in _UNAUTHORIZED:
        return Unauthorized(f"Kafka at {servers} refuses us: {said}", remedy=_CREDENTIALS)
    if code in _UNAVAILABLE or code == KafkaError._SSL:
        return BrokerUnavailable(f"Kafka at {servers} cannot be reached: {said}", remedy=_remedy_of_connection(said))
    if code in _NO_TOPIC:
        return DeliveryError(
            f"Kafka at {servers} has no such topic: {said}", remedy="headwater topics create", retriable=True
        )
    return DeliveryError(f"Kafka at {servers}: {said}", retriable=bool(error.retriable()))


class Needs(NamedTuple):
    """What an ACL has to allow: operations on a topic or group, or on the cluster (no name)."""

    kind: str
    name: str
    operations: tuple[str, ...]

    def __str__(self) -> str:
        return f"{' and '.join(self.operations)} on {self.kind} {self.name}".rstrip()

    def command(self, servers: str) -> str:
        """The command that grants it."""
        options = [f"--{self.kind} {self.name}".rstrip(), *(f"--operation {each}" for each in self.operations)]
        return f"kafka-acls.sh --bootstrap-server {servers} --add --allow-principal User:NAME {' '.join(options)}"


def to_write(topic: str) -> Needs:
    """What a producer needs of a topic."""
    return Needs("topic", topic, ("Write", "Describe"))


def to_read(topic: str) -> Needs:
    """What a reader needs of a topic."""
    return Needs("topic", topic, ("Read", "Describe"))


def _remedy_of_connection(said: str) -> str:
    """What TLS's own words mean, for a human."""
    if "certificate verify failed" in said or "could not be verified" in said:
        return f"name who signed the broker's certificate: {_NAMES}CA_FILE (kafka.ca_file)"
    if ("alert" in said and "certificate" in said) or "bad certificate" in said:
        return (
            f"the broker wants a certificate of ours: {_NAMES}CERT_FILE and KEY_FILE (kafka.cert_file, kafka.key_file)"
        )
    if "speaks TLS" in said:
        return f"set {_NAMES}SECURITY_PROTOCOL (kafka.security_protocol) to SSL, or to SASL_SSL with a user"
    if "PLAINTEXT" in said or "wrong version number" in said:
        return f"this port speaks plain text: name the broker's TLS port, or set {_NAMES}SECURITY_PROTOCOL"
    if "wants a certificate of the client" in said:
        return f"set {_NAMES}CERT_FILE and {_NAMES}KEY_FILE (kafka.cert_file, kafka.key_file)"
    if "may want SASL" in said:
        return f"set {_NAMES}SASL_MECHANISM, with user and password (kafka.sasl_mechanism …)"
    if "security.protocol" in said:
        return (
            f"this port wants TLS: set {_NAMES}SECURITY_PROTOCOL (kafka.security_protocol) to SSL, or SASL_SSL with a "
            "user, or name a port without"
        )
    return "check bootstrap servers, network and brokers, and whether they want TLS or SASL"


_NAMES: Final = "HEADWATER_KAFKA__"
_CREDENTIALS: Final = f"check user, password and mechanism ({_NAMES}SASL_USERNAME, …SASL_PASSWORD, …SASL_MECHANISM)"


def _lost(message: Message) -> Encoded:
    key, value = message.key(), message.value()
    return Encoded(key if isinstance(key, bytes) else b"", value if isinstance(value, bytes) else b"")
