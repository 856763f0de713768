"""From settings to librdkafka: the only place where its configurations are put together, and its errors translated."""

from __future__ import annotations

from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException

from headwater.errors import DeliveryError, HeadwaterError
from headwater.runtime.errors import UsageError
from headwater.runtime.models import KafkaSettings
from headwater.transports.kafka import translated
from headwater_schemas.topics import MAX_EVENT_BYTES, PARTITIONER

Config = dict[str, Any]  # Any: librdkafka takes text, numbers, booleans and callables

_STRATEGIES: Final = {"eager": "range", "cooperative": "cooperative-sticky"}
_DECIDED_BY_BROKER: Final = (
    "group.protocol.type", "heartbeat.interval.ms", "partition.assignment.strategy", "session.timeout.ms",
)  # fmt: skip
"""What librdkafka (2.16) refuses beside `group.protocol=consumer`."""
_HEARTBEATS_PER_SESSION: Final = 6


def client_config(kafka: KafkaSettings, *, client_id: str = "headwater") -> Config:
    """What every client shares: address, credentials, pass-through settings. Enough for an AdminClient."""
    config: Config = {
        "bootstrap.servers": kafka.bootstrap_servers,
        "client.id": client_id,
        "log_level": 0,  # it would repeat itself on stderr; what matters comes through callbacks and results
        **_extra(kafka),
    }
    if kafka.sasl_password is not None:
        config["sasl.password"] = kafka.sasl_password.get_secret_value()
    return config


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
    return config | _extra(kafka)


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
    return config | _extra(kafka)


def translate(error: KafkaError | KafkaException, servers: str) -> HeadwaterError:
    """Kafka's error as one of ours, with its remedy. `DeliveryError.retriable` says whether trying again can help."""
    if isinstance(error, KafkaException):
        error = error.args[0] if error.args and isinstance(error.args[0], KafkaError) else KafkaError(KafkaError._FAIL)
    if error.code() == KafkaError._INVALID_ARG:
        return UsageError(f"Kafka's client refuses its settings: {error.str()}", remedy=_CONFIGURATION)
    if error.fatal():
        return DeliveryError(f"Kafka at {servers}: {error.str()}", remedy="start the process again", retriable=False)
    return translated(error, servers)


_CONFIGURATION: Final = "look the key up in librdkafka's CONFIGURATION.md, then correct [kafka.extra]"


def answered(offset: int, topic: str, partition: int) -> int:
    """The offset that `AdminClient.list_offsets` found. librdkafka (2.16) calls a request to which a broker gave no answer
    in time a success, with the offset -1001. Raises KafkaException for that."""
    if offset < 0:
        raise KafkaException(
            KafkaError(KafkaError._TIMED_OUT, f"the broker did not say where partition {partition} of {topic} ends")
        )
    return offset


def _extra(kafka: KafkaSettings) -> Config:
    # `log_level` is the one name of librdkafka with an underscore, which variables cannot tell from a dot.
    return {("log_level" if key == "log.level" else key): value for key, value in kafka.extra.items()}
