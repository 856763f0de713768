"""Letting a stopped partition go on: what `headwater worker resume` does."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # exported, but not by name
from redis.exceptions import RedisError

from headwater.runtime.errors import RefusedError
from headwater.runtime.kafka import client_config, translate
from headwater.runtime.models import Settings
from headwater.runtime.redis import connect
from headwater.runtime.redis import translate as translate_redis
from headwater_processor.adapters.redis_store import RedisStore
from headwater_schemas.topics import catalogue


def resume_partition(settings: Settings, partition: int, *, skip_lost: bool) -> str:
    """Say in the state that the partition may go on; its worker looks every two seconds. Returns what was done.

    Raises RefusedError if the partition does not exist or is not stopped; DeliveryError, RedisUnavailable.
    """
    topic = catalogue(settings.topic_prefix)["events"].name
    store = RedisStore(
        connect(settings.redis), settings.domain, shards=settings.processor.shards, closed_runs_max=0, horizon_us=0
    )
    try:
        reason = store.is_stopped(partition)
        if not reason:
            raise RefusedError(
                f"partition {partition} of {topic} is not stopped", remedy="`headwater status` lists the partitions"
            )
        low, high = _offsets(settings, topic, partition)
        if skip_lost:
            store.skip_to(partition, low)
        store.resume(partition, high)
    except RedisError as error:
        raise translate_redis(error, settings.redis.url) from error
    finally:
        store.close()
    return f"partition {partition} goes on (it was stopped: {reason}); bad records before offset {high} do not stop it again"


def _offsets(settings: Settings, topic: str, partition: int) -> tuple[int, int]:
    admin = AdminClient(client_config(settings.kafka))
    at = TopicPartition(topic, partition)
    spec: Any = OffsetSpec  # the client types none of it
    try:
        low: int = admin.list_offsets({at: spec.earliest()}, request_timeout=10)[at].result(12).offset
        high: int = admin.list_offsets({at: spec.latest()}, request_timeout=10)[at].result(12).offset
    except KafkaException as error:
        raise translate(error, settings.kafka.bootstrap_servers) from error
    return low, high
