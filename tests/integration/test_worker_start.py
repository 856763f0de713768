"""The start of a worker, and being told to stop in the middle of it."""

from __future__ import annotations

import threading

import redis
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from tests.support.services import KafkaService

from headwater_processor.worker import Worker, WorkerConfig


def test_a_worker_told_to_stop_before_its_threads_run_starts_none_and_stops_without_a_word(
    kafka: KafkaService, redis_db: str
) -> None:
    prefix = kafka.unique("start") + "."
    where: dict[str, str | int | float | bool] = {"bootstrap.servers": kafka.bootstrap_servers}
    admin = AdminClient(dict(where))  # kept: a client that is collected takes its futures with it
    admin.create_topics([NewTopic(f"{prefix}events", 1, 1)])[f"{prefix}events"].result(30)
    consumer = where | {"group.id": prefix, "enable.auto.commit": False}
    worker = Worker(
        WorkerConfig(
            consumer=consumer, producer=where, client=where, redis_client=lambda: redis.Redis.from_url(redis_db),
            bootstrap_servers=kafka.bootstrap_servers, group=prefix, topic_prefix=prefix,
        )
    )  # fmt: skip
    worker.prepare()
    before = threading.active_count()
    worker.stop()
    worker.start()
    worker.stop()
    assert not worker.started
    assert threading.active_count() == before
