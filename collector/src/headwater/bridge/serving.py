"""The bridge as a process: found everything as it must be, then run until it is told to stop."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from headwater.bridge.bridging import Bridge
from headwater.bridge.metrics import BridgeCollector
from headwater.doors.clusters import ClusterBook
from headwater.runtime.doors import converter_of, told_cluster
from headwater.runtime.http import serve
from headwater.runtime.kafka import client_config, consumer_config, producer_config, translate
from headwater.runtime.models import Settings
from headwater_schemas.topics import catalogue

_REACH_S: Final = 10.0
_STILL_S: Final = 60.0
_CLIENT: Final = "headwater-bridge"


def source_of(settings: Settings) -> str:
    """The topic that the bridge reads."""
    return settings.bridge.topic or catalogue(settings.topic_prefix)["openlineage"].name


def bridge_of(settings: Settings, book: ClusterBook | None = None) -> Bridge:
    """A bridge as the settings say; `book`: what is known of clusters. Raises UsageError: Kafka's client refuses them."""
    topics = catalogue(settings.topic_prefix)
    consumer = {
        "queued.min.messages": 20_000,
        "queued.max.messages.kbytes": 65_536,
        **consumer_config(settings.kafka, group=settings.bridge.group, client_id=_CLIENT),
        # A bridge that comes late to a topic converts all of it.
        "auto.offset.reset": settings.kafka.extra.get("auto.offset.reset", "earliest"),
    }
    producer = {**producer_config(settings.kafka, client_id=_CLIENT), "queue.buffering.max.messages": 1_000_000}
    try:
        return Bridge(
            consumer,
            producer,
            source=source_of(settings),
            events=topics["events"].name,
            dead=topics["deadletter"].name,
            batch_records=settings.bridge.batch_records,
            converter=converter_of(settings, book or ClusterBook()),
        )
    except KafkaException as error:
        raise translate(error, settings.kafka.bootstrap_servers) from error


def check_topics(settings: Settings, book: ClusterBook) -> None:
    """Raise DeliveryError unless Kafka answers and has the topics that are read and written. `book` learns which cluster it is."""
    topics = catalogue(settings.topic_prefix)
    admin = AdminClient(client_config(settings.kafka, client_id=_CLIENT))
    for name in (source_of(settings), topics["events"].name, topics["deadletter"].name):
        try:
            told = admin.list_topics(name, timeout=_REACH_S)
        except KafkaException as error:
            raise translate(error, settings.kafka.bootstrap_servers) from error
        book.learn(told_cluster(told, settings.kafka.bootstrap_servers, loopback=False))
        found = told.topics[name]
        if found.error is not None:
            raise translate(found.error, settings.kafka.bootstrap_servers)


def run(settings: Settings, *, started: Callable[[Bridge], None] = lambda _bridge: None) -> Bridge:
    """Bridge until SIGINT or SIGTERM; then finish what was begun. Returns the bridge that was, for what it counted.

    Raises:
        UsageError: settings or the address of the metrics are wrong.
        DeliveryError: Kafka is away at the start, lacks a topic, or forbids what is needed.
    """
    book = ClusterBook()
    check_topics(settings, book)
    bridge = bridge_of(settings, book)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        bridge.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    metrics = serve(
        settings.metrics, [BridgeCollector(bridge)], healthy=lambda: _healthy(bridge), ready=lambda: _ready(bridge)
    )
    try:
        started(bridge)
        bridge.run()
    except KafkaException as error:
        raise translate(error, settings.kafka.bootstrap_servers) from error
    finally:
        if metrics is not None:
            metrics.close()
    return bridge


def _healthy(bridge: Bridge) -> tuple[bool, str]:
    still_s = time.monotonic() - bridge.moved_at
    return still_s < _STILL_S, f"the loop moved {still_s:.0f} s ago"


def _ready(bridge: Bridge) -> tuple[bool, str]:
    return not bridge.last_error, bridge.last_error or "ok"
