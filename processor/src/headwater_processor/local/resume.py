"""Letting a stopped partition go on: what `headwater worker resume` does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # exported, but not by name
from redis.exceptions import RedisError

from headwater.runtime.errors import RefusedError
from headwater.runtime.kafka import answered, client_config, list_topics, translate
from headwater.runtime.models import Settings
from headwater.runtime.redis import connect
from headwater.runtime.redis import translate as translate_redis
from headwater_processor.adapters.redis_store import RedisStore
from headwater_processor.core import stops
from headwater_schemas.topics import catalogue


@dataclass(frozen=True, slots=True)
class Resumed:
    """A partition that may go on: why it had stopped, where it goes on, and up to where bad records pass."""

    partition: int
    was_stopped: str
    goes_on_at: int
    bad_pass_until: int


def resume_partition(settings: Settings, partition: int, *, skip_lost: bool) -> Resumed:
    """Say in the state that the partition may go on; its worker looks every two seconds.

    Raises RefusedError if the partition is not stopped, or would stop again at once; DeliveryError, RedisUnavailable.
    """
    topic = catalogue(settings.topic_prefix)["events"].name
    store = RedisStore(
        connect(settings.redis, settings.domain),
        settings.domain,
        shards=settings.processor.shards,
        closed_runs_max=0,
        horizon_us=0,
    )
    try:
        reason = store.is_stopped(partition)
        if not reason:
            _refuse_unknown(settings, topic, partition)
            raise RefusedError(
                f"partition {partition} of {topic} is not stopped", remedy="headwater status  # names those that are"
            )
        low, high = _offsets(settings, topic, partition)
        at = _goes_on_at(store.next_offset(partition), low, high, partition, skip_lost=skip_lost)
        if skip_lost:
            store.skip_to(partition, low)
        store.resume(partition, high)
    except RedisError as error:
        raise translate_redis(error, settings.redis.url) from error
    finally:
        store.close()
    return Resumed(partition, reason, at, high)


def _goes_on_at(stored: int | None, low: int, high: int, partition: int, *, skip_lost: bool) -> int:
    """Where the partition goes on. Raises RefusedError where its next owner would stop it again at once."""
    if stored is not None and stored > high:
        reason = stops.state_ahead(stored, high)
        raise RefusedError(
            f"partition {partition} cannot go on: {reason}",
            remedy=stops.remedy(reason, stops.resume_command(partition)),
        )
    if (stored is None or stored < low) and not skip_lost:
        what = "Redis has no state of it" if stored is None else stops.lost_records(stored, low)
        raise RefusedError(
            f"partition {partition} cannot go on without loss: {what}; the oldest record left is {low}",
            remedy=f"{stops.resume_command(partition)} --skip-lost  # if what is lost may stay lost",
        )
    return low if stored is None else max(stored, low)


def _refuse_unknown(settings: Settings, topic: str, partition: int) -> None:
    config = client_config(settings.kafka)
    try:
        found = list_topics(AdminClient(config), config).topics
    except KafkaException as error:
        raise translate(error, settings.kafka.bootstrap_servers) from error
    partitions = len(found[topic].partitions) if topic in found else 0
    if partition >= partitions:
        has = f"partitions 0 to {partitions - 1}" if partitions else "no such topic"
        raise RefusedError(
            f"there is no partition {partition} of {topic}: Kafka at {settings.kafka.bootstrap_servers} has {has}",
            remedy="headwater status  # names the stopped partitions",
        )


def _offsets(settings: Settings, topic: str, partition: int) -> tuple[int, int]:
    admin = AdminClient(client_config(settings.kafka))
    at = TopicPartition(topic, partition)
    spec: Any = OffsetSpec  # the client types none of it
    try:
        low, high = (
            answered(admin.list_offsets({at: end}, request_timeout=10)[at].result(12).offset, topic, partition)
            for end in (spec.earliest(), spec.latest())
        )
    except KafkaException as error:
        raise translate(error, settings.kafka.bootstrap_servers) from error
    return low, high
