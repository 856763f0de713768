"""Told to end while their broker is frozen, the doors end: in bounded time, and with 0, since nothing is lost by it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from tests.support.cdc_records import as_bytes, envelope
from tests.support.doors import events_of, run_event
from tests.support.processes import wait_until
from tests.support.services import KafkaServer, KafkaService

from headwater.bridge.serving import bridge_of
from headwater.runtime.leaving import leave
from headwater.runtime.models import BridgeSettings, KafkaSettings, Settings

pytestmark = pytest.mark.timeout(180)

_ENDS_WITHIN_S = 25.0
"""Kubernetes gives 30."""

DOORS: dict[str, tuple[str, ...]] = {
    "gateway": ("gateway", "--port", "0"),
    "bridge": ("bridge",),
    "cdc": ("cdc", "--topic", "shop.*", "--interval", "0.2"),
    "cdc --full": ("cdc", "--full", "full.*", "--interval", "0.2"),
    "discover": ("discover", "--interval", "0.2"),
}
JOBS = {"orders", "shop.0", "full.0", "group/readers"}
"""Of the events of bridge, cdc, cdc --full and discover."""
LISTENS = "OpenLineage events are taken at"
"""Of the gateway, which says nothing unasked."""


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaServer]:
    """A broker with something for every door."""
    with KafkaServer() as server:
        service = KafkaService(server.bootstrap_servers, "own", server=server)
        for topic in ("lineage.events", "lineage.openlineage", "lineage.deadletter"):
            service.create_topic(topic)
        producer = Producer({"bootstrap.servers": server.bootstrap_servers})
        producer.produce("lineage.openlineage", json.dumps(run_event()))
        for prefix in ("shop", "full"):
            producer.produce(service.create_topic(f"{prefix}.public.orders"), as_bytes(envelope(name=prefix)))
        assert producer.flush(20) == 0
        yield server


@pytest.fixture
def frozen_later(broker: KafkaServer) -> Iterator[KafkaServer]:
    """The broker, which the test freezes."""
    yield broker
    broker.thaw()


def started(door: Sequence[str], server: KafkaServer, folder: Path, log: IO[bytes]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "headwater.cli", *door, "--kafka", server.bootstrap_servers]
    return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)


def test_every_door_ends_soon_while_its_broker_is_frozen(frozen_later: KafkaServer, tmp_path: Path) -> None:
    servers = frozen_later.bootstrap_servers
    reader = Consumer({"bootstrap.servers": servers, "group.id": "readers", "auto.offset.reset": "earliest"})
    reader.subscribe(["shop.public.orders"])

    def all_speak() -> bool:
        reader.poll(0)  # a group whose member takes part, for discover
        told = {event.job.name for event in events_of(servers, "lineage.events")}
        return told >= JOBS and LISTENS in (tmp_path / "log").read_text()

    children = {}
    with (tmp_path / "log").open("wb") as log:
        try:
            for door, told in DOORS.items():
                children[door] = started(told, frozen_later, tmp_path, log)
            wait_until(all_speak, within_s=60, what="a word of each door")
            reader.close()
            frozen_later.freeze()
            for child in children.values():
                child.send_signal(signal.SIGTERM)
            codes = {door: child.wait(_ENDS_WITHIN_S) for door, child in children.items()}
        finally:
            for child in children.values():
                child.kill()
                child.wait()
    assert codes == dict.fromkeys(DOORS, 0), (tmp_path / "log").read_text()


def test_a_bridge_whose_commit_is_not_answered_ends(frozen_later: KafkaServer) -> None:
    kafka = KafkaSettings(bootstrap_servers=frozen_later.bootstrap_servers)
    bridge = bridge_of(Settings(kafka=kafka, bridge=BridgeSettings(group="another")))
    bridge.begin()

    def acknowledged() -> bool:
        bridge.step()
        return bridge.outcomes["acknowledged"] == 1

    wait_until(acknowledged, within_s=60, what="the event", pause_s=0)
    frozen_later.freeze()
    began = time.monotonic()
    bridge.end()
    assert time.monotonic() - began < _ENDS_WITHIN_S


def test_who_leaves_says_whether_the_last_commit_was_answered(kafka: KafkaService) -> None:
    topic = kafka.create_topic(kafka.unique("leave"))
    group = kafka.unique("leavers")
    settings = {"bootstrap.servers": kafka.bootstrap_servers, "group.id": group, "enable.auto.commit": False}
    consumer = Consumer(settings)
    consumer.assign([TopicPartition(topic, 0, 0)])
    assert leave(consumer, [TopicPartition(topic, 0, 7)])
    with Consumer(settings) as after:
        assert [each.offset for each in after.committed([TopicPartition(topic, 0)], timeout=20)] == [7]
