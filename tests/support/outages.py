"""What tests of the SDK in outages share: an emitter with a spool, jobs as processes, and what is in a topic at last."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from tests.support.outage_job import PATIENCE_S
from tests.support.processes import wait_until
from tests.support.services import KafkaServer, KafkaService

from headwater import Emitter
from headwater.transports.base import Encoded
from headwater.transports.kafka import KafkaTransport
from headwater.transports.spool import SpoolTransport

BACK_SOON = {"broker.heartbeat.interval.ms": "500", "broker.session.timeout.ms": "3000"}
"""A broker that was killed is taken back only when its last session is over."""


def own_kafka() -> Iterator[KafkaService]:
    """A Kafka that a test may hurt, for a fixture; skips where there can be none."""
    try:
        server = KafkaServer(BACK_SOON)
        server.start()
    except RuntimeError as error:
        pytest.skip(f"needs a Kafka of its own: {error}")
    yield KafkaService(server.bootstrap_servers, "own", server=server)
    server.close()


def server_of(kafka: KafkaService) -> KafkaServer:
    """What is hurt."""
    assert kafka.server is not None
    return kafka.server


def new_topic(kafka: KafkaService) -> tuple[str, str]:
    """A prefix, and the events topic under it."""
    prefix = f"{kafka.unique('out')}."
    return prefix, kafka.create_topic(f"{prefix}events")


def spooling(kafka: KafkaService, prefix: str, folder: Path) -> Emitter:
    """An emitter to Kafka with that folder behind it."""
    out = KafkaTransport(kafka.bootstrap_servers, topic_prefix=prefix)
    return Emitter(SpoolTransport(out, folder, patience_s=PATIENCE_S), job="orders")


def wait_until_replayed(emitter: Emitter) -> None:
    """Until all that this emitter ever put on disk has been sent from there."""

    def nothing_left() -> bool:
        stats = emitter.stats()
        return stats.transport.get("replayed", 0) >= stats.spooled

    wait_until(nothing_left, within_s=60, what="the replay")


def wait_until_empty(folder: Path) -> None:
    """Until no process has left anything in the spool."""

    def empty() -> bool:
        try:
            return not list(folder.glob("*/*.spool"))
        except FileNotFoundError:
            return False  # a process removed its room while it was looked into

    wait_until(empty, within_s=60, what="an empty spool")


def ids_in(kafka: KafkaService, topic: str, wanted: set[str], within_s: float = 30) -> Counter[str]:
    """How often each event id is in the topic, once all that are wanted are there, or the time is over."""
    settings = {"bootstrap.servers": kafka.bootstrap_servers, "group.id": kafka.unique("g"), "log_level": 0}
    found: Counter[str] = Counter()
    with Consumer(settings) as consumer:
        partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
        deadline = time.monotonic() + within_s
        while wanted - found.keys() and time.monotonic() < deadline:
            for message in consumer.consume(1_000, 0.2):
                value = message.value()
                if message.error() is None and isinstance(value, bytes):
                    found[Encoded(b"", value).event.event_id.hex()] += 1
    return found


class Job:
    """`tests.support.outage_job` as a process; `end` as there, or TERM or KILL: the signal that ends it."""

    def __init__(
        self,
        kafka: KafkaService,
        prefix: str,
        folder: Path,
        end: str,
        *,
        count: int = 200,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._signal = {"TERM": signal.SIGTERM, "KILL": signal.SIGKILL}.get(end)
        end = "wait" if self._signal else end
        arguments = [kafka.bootstrap_servers, prefix, str(folder), end, str(count), end, str(patience_s)]
        command = [sys.executable, "-m", "tests.support.outage_job", *arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def promised(self) -> set[str]:
        """The ids of what it said to be delivered or on disk before it ended, which it has when this returns."""
        out = self._process.stdout
        assert out is not None
        ids = set()
        if self._signal:
            while (line := out.readline().strip()) not in {"", "ready"}:
                ids.add(line)
            began_s = time.monotonic()
            self._process.send_signal(self._signal)
        said, _ = self._process.communicate(timeout=60)
        if self._signal:
            assert time.monotonic() - began_s < 6  # five seconds are what SIGTERM is given
        assert self._process.returncode == (-self._signal if self._signal else 0)
        return ids | set(said.split())
