"""The policies in force: what the topic holds now, and what the settings of the workers add."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from headwater.errors import BrokerUnavailable
from headwater.runtime.errors import RefusedError
from headwater.runtime.kafka import Config, client_config, list_topics, translate
from headwater.runtime.models import KafkaSettings, Settings
from headwater.runtime.policy_files import read_policies
from headwater_schemas.codec import decode_policy, is_decision
from headwater_schemas.decisions import KEY_PREFIX
from headwater_schemas.policies import Policy
from headwater_schemas.topics import catalogue

_TIMEOUT_S: Final = 10.0
_POLL_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Held:
    """A policy as it is held: where it comes from, and its version, which is the offset of its record (-1: of the settings)."""

    policy: Policy
    origin: str
    version: int = -1


@dataclass(slots=True)
class InForce:
    """What workers go by. `version` is that of the newest record, -1 if there is none."""

    held: dict[str, Held] = field(default_factory=dict)
    version: int = -1
    unreadable: list[str] = field(default_factory=list)
    """Records that are left out, as workers leave them out, with the reason."""

    def policies(self) -> list[Policy]:
        """The policies, by subject."""
        return [self.held[subject].policy for subject in sorted(self.held)]


def in_force(settings: Settings, on_record: Callable[[], None] = lambda: None) -> InForce:
    """Read the topic of policies whole; what it says of a subject wins over the settings.

    Raises:
        DeliveryError: Kafka cannot be reached.
        RefusedError: there is no such topic, or a policy of the settings is wrong.
    """
    found = InForce()
    for policy in read_policies(settings.policies):
        found.held[policy.subject] = Held(policy, "settings")
    topic = catalogue(settings.topic_prefix)["policies"].name
    by_key: dict[bytes, Held] = {}
    for message in read_whole(settings.kafka, topic):
        on_record()
        _take(found, by_key, message, topic)
    found.held.update({held.policy.subject: held for held in by_key.values()})
    return found


def _take(found: InForce, by_key: dict[bytes, Held], message: Message, topic: str) -> None:
    key, value, offset = message.key() or b"", message.value(), message.offset() or 0
    if value is None and key not in by_key and key.startswith(KEY_PREFIX.encode()):
        return  # a decision about alerts that was taken back
    if value is not None and is_decision(value):
        return  # what people decided about alerts is no policy: workers pass it over as well
    found.version = max(found.version, offset)
    if value is None:
        by_key.pop(key, None)
        return
    try:
        by_key[key] = Held(decode_policy(value), topic, offset)
    except ValueError as error:
        found.unreadable.append(f"{topic} at offset {offset} is left out: {error}")


def read_whole(kafka: KafkaSettings, topic: str) -> Iterator[Message]:
    """Every record of a topic up to the end that it has now, partition by partition in order.

    Raises:
        DeliveryError: Kafka cannot be reached.
        RefusedError: there is no such topic.
    """
    reading = {"group.id": "headwater-policies", "enable.auto.commit": False, "enable.partition.eof": True}
    config = {**client_config(kafka), **reading, "auto.offset.reset": "earliest"}
    consumer = Consumer(config)
    try:
        partitions = _partitions(consumer, config, kafka, topic)
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
        yield from _until_end(consumer, kafka, set(partitions))
    except KafkaException as error:
        raise translate(error, kafka.bootstrap_servers) from error
    finally:
        consumer.close()


def _partitions(consumer: Consumer, config: Config, kafka: KafkaSettings, topic: str) -> list[int]:
    found = list_topics(consumer, config, topic, timeout_s=_TIMEOUT_S).topics[topic]
    if found.error is None:
        return sorted(found.partitions)
    if found.error.code() in {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}:
        raise RefusedError(f"Kafka at {kafka.bootstrap_servers} has no topic {topic}", remedy="headwater topics create")
    raise KafkaException(found.error)


def _until_end(consumer: Consumer, kafka: KafkaSettings, left: set[int]) -> Iterator[Message]:
    heard_s = time.monotonic()
    while left:
        message = consumer.poll(_POLL_S)
        if message is None:
            if time.monotonic() - heard_s > _TIMEOUT_S:
                raise BrokerUnavailable(
                    f"Kafka at {kafka.bootstrap_servers} says nothing", remedy="look at its brokers"
                )
            continue
        heard_s = time.monotonic()
        error = message.error()
        if error is None:
            yield message
        elif error.code() == KafkaError._PARTITION_EOF:
            left.discard(message.partition() or 0)
        elif not error.retriable():
            raise KafkaException(error)
