"""From settings to librdkafka: the only place where its configurations are put together, and its errors translated."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Mapping
from typing import Any, Final, Protocol

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin._metadata import ClusterMetadata
from pydantic import SecretStr

from headwater.errors import DeliveryError, HeadwaterError
from headwater.kafka_security import client_security
from headwater.masking import mask
from headwater.runtime.errors import UsageError
from headwater.runtime.kafka_probe import contradiction
from headwater.runtime.models import OWN_NAMES, KafkaSettings
from headwater.transports.kafka import FORBIDDEN, Needs, translated
from headwater_schemas.topics import MAX_EVENT_BYTES, PARTITIONER

log = logging.getLogger(__name__)

Config = dict[str, Any]  # Any: librdkafka takes text, numbers, booleans and callables

_STRATEGIES: Final = {"eager": "range", "cooperative": "cooperative-sticky"}
_DECIDED_BY_BROKER: Final = (
    "group.protocol.type", "heartbeat.interval.ms", "partition.assignment.strategy", "session.timeout.ms",
)  # fmt: skip
"""What librdkafka (2.16) refuses beside `group.protocol=consumer`."""
_HEARTBEATS_PER_SESSION: Final = 6


class Heard:
    """What a client says of its connections, as its `error_cb`: the last word that tells why no broker takes it."""

    def __init__(self) -> None:
        self.why: KafkaError | None = None
        self.fatal: KafkaError | None = None
        """What ended a producer: confluent-kafka does not always pass it on with what it raises."""
        self._told_at = -_TELL_EVERY_S

    def __call__(self, error: KafkaError) -> None:
        if error.fatal() or error.code() in FORBIDDEN:
            self.fatal = error
        if error.code() in _TELLING or "security.protocol" in error.str() or "PLAINTEXT" in error.str():
            self.why = error
            if time.monotonic() - self._told_at >= _TELL_EVERY_S:  # librdkafka tries again several times a second
                self._told_at = time.monotonic()
                log.info("kafka: %s", mask(error.str()))


_TELL_EVERY_S: Final = 30.0


_TELLING: Final = (
    KafkaError._AUTHENTICATION,
    KafkaError._SSL,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
    KafkaError._UNSUPPORTED_FEATURE,
    KafkaError._RESOLVE,
)


class Asking(Protocol):
    """What all clients can: tell of topics, and serve their callbacks."""

    def list_topics(self, topic: str | None = ..., timeout: float = ...) -> ClusterMetadata: ...

    def poll(self, timeout: float = ...) -> object: ...


def list_topics(
    client: Asking, config: Mapping[str, Any], topic: str | None = None, *, timeout_s: float = 10.0
) -> ClusterMetadata:
    """As the client's own, but what will not come by waiting is said at once: a wrong password, a certificate of somebody we
    do not trust, plain text against TLS. librdkafka would try these again until the time is over, and then say "timed out".

    Args:
        client: one that reads nothing yet: its callbacks are served by a poll.
        config: what it was made of, with the `error_cb` of `client_config`.
        topic: the only one to tell of; None for all that we may see.
        timeout_s: until a broker has answered.

    Raises:
        KafkaException: no broker answers, or none takes us; the most telling error.
    """
    heard = config.get("error_cb")
    if isinstance(heard, Heard):
        heard.why = None  # what was heard in an outage that is over explains nothing now
    give_up_s = time.monotonic() + timeout_s
    for attempt in itertools.count(1):
        try:
            wait_s = min(_SLICE_S, max(0.1, give_up_s - time.monotonic()))
            return (
                client.list_topics(topic, timeout=wait_s) if topic is not None else client.list_topics(timeout=wait_s)
            )
        except KafkaException as error:
            client.poll(0)
            why = heard.why if isinstance(heard, Heard) else None
            if why is not None and (why.code() != KafkaError._RESOLVE or time.monotonic() >= give_up_s):
                raise KafkaException(why) from error
            over = time.monotonic() >= give_up_s
            if (over or attempt == _PROBE_AFTER) and (said := contradiction(config, time_is_over=over)):
                raise KafkaException(KafkaError(KafkaError._SSL, said)) from error
            if over:
                raise
    raise AssertionError("unreachable")  # for the checker: a count does not end


_SLICE_S: Final = 1.0
_PROBE_AFTER: Final = 2


def client_config(kafka: KafkaSettings, *, client_id: str = "headwater") -> Config:
    """What every client shares: address, credentials, pass-through settings. Enough for an AdminClient.

    Raises:
        ConfigError: settings contradict each other, or a file that they name cannot be read.
    """
    return {
        "bootstrap.servers": kafka.bootstrap_servers,
        "client.id": client_id,
        "log_level": 0,  # it would repeat itself on stderr; what matters comes through callbacks and results
        "error_cb": Heard(),
        **_given(kafka),
    }


def consumer_config(
    kafka: KafkaSettings,
    *,
    group: str,
    protocol: str = "cooperative",
    session_timeout_ms: int = 6_000,
    client_id: str = "headwater",
) -> Config:
    """A consumer that commits nothing by itself. `protocol`: `eager`, `cooperative`, or `consumer` (KIP-848); librdkafka's
    `group.protocol` among the settings that pass through wins. Raises UsageError for what KIP-848 does not allow."""
    protocol = _protocol(kafka, protocol)
    config = (
        client_config(kafka, client_id=client_id)
        | {
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 100,
            "topic.metadata.refresh.interval.ms": 30_000,  # new partitions are seen within this; librdkafka waits five minutes
            "max.partition.fetch.bytes": 4 * MAX_EVENT_BYTES,
        }
    )
    if protocol == "consumer":
        config["group.protocol"] = "consumer"
    else:
        config["partition.assignment.strategy"] = _STRATEGIES[protocol]
        config["session.timeout.ms"] = session_timeout_ms
        config["heartbeat.interval.ms"] = max(100, session_timeout_ms // _HEARTBEATS_PER_SESSION)
    return config | _given(kafka)


def _protocol(kafka: KafkaSettings, protocol: str) -> str:
    """The group protocol that is meant."""
    said = kafka.extra.get("group.protocol")
    if said == "classic" and protocol == "consumer":
        protocol = "cooperative"
    elif said is not None and said != "classic":
        protocol = str(said)
    refused = sorted(key for key in _DECIDED_BY_BROKER if key in kafka.extra)
    if protocol == "consumer" and refused:
        raise UsageError(
            f"with the group protocol `consumer` (KIP-848) the broker decides {', '.join(refused)}, and the client may not",
            remedy="take it out of [kafka.extra] and set it on the broker (group.consumer.*), or choose "
            "processor.group_protocol=cooperative",
        )
    if protocol not in {*_STRATEGIES, "consumer"}:
        raise UsageError(
            f"there is no group protocol {protocol!r}", remedy="set group.protocol to `classic` or `consumer`"
        )
    return protocol


def producer_config(kafka: KafkaSettings, *, client_id: str = "headwater", message_timeout_ms: int = 120_000) -> Config:
    """An idempotent producer that partitions as Java's do. Owners of shards give a `message_timeout_ms` below their
    session's, so that what a zombie has queued dies before its successor speaks."""
    config = client_config(kafka, client_id=client_id) | {
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": PARTITIONER,
        "compression.type": "lz4",
        "linger.ms": 5,
        "message.max.bytes": 2 * MAX_EVENT_BYTES,
        "message.timeout.ms": message_timeout_ms,
    }
    return config | _given(kafka)


def translate(error: KafkaError | KafkaException, servers: str, needs: Needs | None = None) -> HeadwaterError:
    """Kafka's error as one of ours, with its remedy. `DeliveryError.retriable` says whether trying again can help.

    `needs`: the permissions of what was tried, for where it is forbidden.
    """
    if isinstance(error, KafkaException):
        error = error.args[0] if error.args and isinstance(error.args[0], KafkaError) else KafkaError(KafkaError._FAIL)
    if error.code() == KafkaError._INVALID_ARG:
        said = mask(error.str())
        remedy = _KEY if "ssl.key" in said else _CONFIGURATION
        return UsageError(f"Kafka's client refuses its settings: {said}", remedy=remedy)
    if error.fatal() and error.code() not in FORBIDDEN:
        return DeliveryError(f"Kafka at {servers}: {error.str()}", remedy="start the process again", retriable=False)
    return translated(error, servers, needs)


_KEY: Final = "is it a private key in PEM, and kafka.key_password (or kafka.key_password_file) its password?"
_CONFIGURATION: Final = "look the key up in librdkafka's CONFIGURATION.md, then correct [kafka.extra]"


def answered(offset: int, topic: str, partition: int) -> int:
    """The offset that `AdminClient.list_offsets` found. librdkafka (2.16) calls a request to which a broker gave no answer
    in time a success, with the offset -1001. Raises KafkaException for that."""
    if offset < 0:
        raise KafkaException(
            KafkaError(KafkaError._TIMED_OUT, f"the broker did not say where partition {partition} of {topic} ends")
        )
    return offset


def _given(kafka: KafkaSettings) -> Config:
    """Credentials and what passes through, as librdkafka wants them."""
    given = {key: text for field, key in _NAMES.items() if (text := _plain(getattr(kafka, field)))}
    # `log_level` is the one name of librdkafka with an underscore, which variables cannot tell from a dot.
    extra = {("log_level" if key == "log.level" else key): value for key, value in kafka.extra.items()}
    return dict(client_security(given | extra, lambda key: f"kafka.{OWN_NAMES.get(key, key)}"))


_NAMES: Final = {field: key for key, field in reversed(list(OWN_NAMES.items()))}
"""Settings with a place of their own, to the first of the names that mean each."""


def _plain(value: str | SecretStr | None) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return value or ""
