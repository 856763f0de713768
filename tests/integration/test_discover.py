"""`headwater discover` on a real Kafka: what consumer groups tell of themselves while they live, stop and are away."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from tests.support.doors import events_of
from tests.support.outages import BACK_SOON
from tests.support.processes import wait_until
from tests.support.services import KafkaServer, KafkaService

from headwater.cli.root import run
from headwater.cli.watching import deliver, now_ms
from headwater.discover.asking import Asking
from headwater.discover.service import Discoverer, Look, groups_of, namespace_of, topics_of
from headwater.errors import DeliveryError
from headwater.runtime.models import DiscoverSettings, KafkaSettings, Settings
from headwater_schemas.events import NIL_UUID, EventType, LineageEvent
from headwater_schemas.topics import catalogue

FOR_EVER_MS = 10**15
"""No slot ends within a test."""


@dataclass(slots=True)
class Found:
    """The command on this test's own topics and groups, and what it sent."""

    kafka: KafkaService
    prefix: str
    capsys: pytest.CaptureFixture[str]

    def arguments(self, *more: str) -> list[str]:
        own = ["--topic", f"{self.prefix}*", "--group", f"{self.prefix}*"]
        told = [f"topic_prefix={self.prefix}lineage.", f"discover.repeat_ms={FOR_EVER_MS}", "metrics.enabled=false"]
        settings = [word for text in told for word in ("--set", text)]
        return ["discover", "--kafka", self.kafka.bootstrap_servers, *settings, *own, *more]

    def once(self, *more: str) -> Any:  # Any: what JSON holds
        self.capsys.readouterr()
        assert run(self.arguments("--once", "--output", "json", *more)) == 0
        return json.loads(self.capsys.readouterr().out)

    def topic(self, name: str, partitions: int = 1) -> str:
        return self.kafka.create_topic(f"{self.prefix}{name}", partitions)

    def events(self, group: str = "") -> list[LineageEvent]:
        every = events_of(self.kafka.bootstrap_servers, catalogue(f"{self.prefix}lineage.")["events"].name)
        return [event for event in every if not group or event.job.name == f"group/{group}"]


@pytest.fixture
def found(
    kafka: KafkaService, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Found:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    told = Found(kafka, kafka.unique("found") + ".", capsys)
    kafka.create_topic(catalogue(f"{told.prefix}lineage.")["events"].name, 2)
    return told


def produce(servers: str, topic: str, records: int = 1) -> None:
    producer = Producer({"bootstrap.servers": servers, "message.timeout.ms": 30_000})
    for _ in range(records):
        producer.produce(topic, b"x")
    assert producer.flush(20) == 0


@contextmanager
def repeated(step: Callable[[], None]) -> Iterator[None]:
    """Do it again and again, on a thread, for as long as the block lasts."""
    over = threading.Event()

    def loop() -> None:
        while not over.wait(0.02):
            step()

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def consuming(servers: str, group: str, topic: str, **settings: str) -> Iterator[Consumer]:
    """A member of the group that reads and commits for as long as the block lasts."""
    own = {
        "bootstrap.servers": servers,
        "group.id": group,
        "client.id": f"{group}-client",
        "auto.offset.reset": "earliest",
    }
    consumer = Consumer({**own, "enable.auto.commit": False, **settings})
    consumer.subscribe([topic])

    def step() -> None:
        if consumer.consume(1_000, 0.02):
            consumer.commit(asynchronous=False)

    try:
        with repeated(step):
            wait_until(lambda: bool(consumer.assignment()), within_s=30, what=f"partitions of {group}")
            yield consumer
    finally:
        consumer.close()


def commit(servers: str, group: str, offsets: Mapping[str, int]) -> None:
    """Commit for a group that has no members."""
    places = [TopicPartition(topic, 0, offset) for topic, offset in offsets.items()]
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})

    def committed() -> bool:
        # The first commits of a new broker may meet a coordinator that is not there yet.
        (future,) = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, places)]).values()
        return all(at.error is None for at in future.result(30).topic_partitions)

    wait_until(committed, within_s=30, what=f"commits of {group}")


def observed(event: LineageEvent) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(event.facets or b"{}")["job"]["headwater_observed"]
    return told


def status_of(event: LineageEvent) -> str:
    return str(observed(event)["lag"]["status"])


def test_of_two_groups_one_stops_and_both_are_told_as_they_are(found: Found, tmp_path: Path) -> None:
    servers, orders = found.kafka.bootstrap_servers, found.topic("orders", 2)
    loader, lake = f"{found.prefix}loader", f"{found.prefix}lake"
    told = ["--interval", "0.2", "--set", "discover.window=5"]
    command = [sys.executable, "-m", "headwater.cli", *found.arguments(*told)]
    with (
        (tmp_path / "log").open("w") as log,
        repeated(lambda: produce(servers, orders)),
        consuming(servers, lake, orders, **{"group.protocol": "consumer"}),
        subprocess.Popen(command, cwd=tmp_path, stderr=log) as child,
    ):
        try:
            with consuming(servers, loader, orders):
                wait_until(lambda: bool(found.events(loader)), within_s=30, what="an event of the group", pause_s=0.2)
            wait_until(lambda: status_of(found.events(loader)[-1]) == "STOP", within_s=30, what="the stop", pause_s=0.2)
            child.send_signal(signal.SIGTERM)
            assert child.wait(20) == 0
        finally:
            child.kill()
    first, last = found.events(loader)[0], found.events(loader)[-1]
    assert (first.event_type, first.run_id, first.outputs) == (EventType.OTHER, NIL_UUID, ())
    assert [(use.namespace, use.name) for use in first.inputs] == [(f"kafka://{servers}", orders)]
    assert {m.partition for m in first.inputs[0].measures} <= {0, 1}
    assert [one["client_id"] for one in observed(first)["clients"]] == [f"{loader}-client"]
    assert (observed(last)["state"], last.inputs, observed(last)["lag"]["trend"]) == ("EMPTY", (), "growing")
    alive = found.events(lake)
    assert {status_of(event) for event in alive} == {"OK"}
    assert {observed(event)["protocol"] for event in alive} == {"CONSUMER"}
    assert [use.name for use in alive[-1].inputs] == [orders]
    assert f"group {loader}: OK → STOP" in (tmp_path / "log").read_text()


def test_one_look_shows_who_reads_what_and_what_nobody_reads(found: Found) -> None:
    servers = found.kafka.bootstrap_servers
    orders, unread, blank = found.topic("orders"), found.topic("unread"), found.topic("blank")
    produce(servers, orders, 10)
    produce(servers, unread)
    commit(servers, f"{found.prefix}left", {orders: 4})
    with consuming(servers, f"{found.prefix}loader", orders):
        told = found.once()
        assert run(found.arguments("--once", "--orphans")) == 0
        said = found.capsys.readouterr()
    cluster = found.kafka.admin.describe_cluster().result(20)
    assert told["cluster"]["id"] == cluster.cluster_id
    assert told["cluster"]["brokers"] == [f"{node.host}:{node.port}" for node in cluster.nodes]
    groups = {row["group"].removeprefix(found.prefix): row for row in told["groups"]}
    assert (groups["loader"]["state"], groups["loader"]["members"], groups["loader"]["orphan"]) == ("STABLE", 1, [])
    assert (groups["left"]["state"], groups["left"]["lag"], groups["left"]["orphan"]) == ("EMPTY", 6, ["empty"])
    topics = {row["topic"]: row for row in told["topics"]}
    assert set(topics) == {orders, unread, blank}  # neither Kafka's own nor Headwater's
    assert (topics[orders]["records"], topics[orders]["written_by"]) == (10, "unknown")
    assert topics[orders]["written"] is not None
    assert [topics[name]["orphan"] for name in (orders, unread, blank)] == [[], ["unread"], ["unread", "empty"]]
    assert {event.job.name for event in found.events()} == {f"group/{found.prefix}loader"}
    assert f"{found.prefix}left" in said.out
    assert f"{found.prefix}loader" not in said.out
    assert f"cluster {cluster.cluster_id} at" in said.err


def test_who_begins_anew_says_the_same_event(found: Found) -> None:
    servers, orders = found.kafka.bootstrap_servers, found.topic("orders")
    produce(servers, orders, 10)
    with consuming(servers, f"{found.prefix}loader", orders):
        found.once()
        produce(servers, orders, 10)
        found.once()
    first, second = found.events()
    assert first.event_id == second.event_id


def test_a_dry_run_sends_nothing(found: Found) -> None:
    servers, orders = found.kafka.bootstrap_servers, found.topic("orders")
    with consuming(servers, f"{found.prefix}loader", orders):
        assert run(found.arguments("--once", "--dry-run")) == 0
    (line,) = found.capsys.readouterr().out.splitlines()
    assert json.loads(line)["event_type"] == "OTHER"
    assert found.events() == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--orphans"], 2, "--orphans goes with --once"),
        (["--interval", "0"], 2, "--interval"),
        (["--once", "--set", "discover.window=1"], 2, "discover.window"),
        (["--once", "--kafka", "127.0.0.1:1"], 3, "cannot be reached"),
    ],
)
def test_wrong_usage_names_the_thing(
    found: Found, arguments: list[str], code: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headwater.discover.asking._TIMEOUT_S", 1.0)
    assert run(found.arguments(*arguments)) == code
    assert said in found.capsys.readouterr().err


@pytest.fixture
def embedded() -> Iterator[str]:
    """The address of a broker as `headwater up` starts it: it cannot list groups."""
    producer = Producer({"bootstrap.servers": "unused", "test.mock.num.brokers": 1, "log_level": 0})
    (broker,) = producer.list_topics(timeout=10).brokers.values()
    yield f"{broker.host}:{broker.port}"
    producer.flush(10)


def test_a_broker_that_cannot_list_groups_is_named(found: Found, embedded: str) -> None:
    assert run(found.arguments("--once", "--kafka", embedded)) == 2
    said = found.capsys.readouterr().err
    assert "cannot list consumer groups" in said
    assert "try: name them in full (--group NAME)" in said


def test_of_a_broker_that_cannot_list_groups_the_named_ones_are_told_by_their_commits(
    found: Found, embedded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headwater.discover.asking._TIMEOUT_S", 1.0)  # it describes no cluster either
    orders, named = f"{found.prefix}orders", "loader"
    produce(embedded, orders, 10)
    settings = Settings(
        kafka=KafkaSettings(bootstrap_servers=embedded),
        discover=DiscoverSettings(groups=(named, "nobody", "pattern-*"), topics=(f"{found.prefix}*",)),
    )
    asking = Asking(settings.kafka, topics_of(settings), groups_of(settings))
    here = Discoverer(asking, namespace=namespace_of(embedded, ""), repeat_ms=FOR_EVER_MS, window=3)
    said: list[LineageEvent] = []

    def look() -> Look:
        seen = here.look(now_ms())
        here.confirm(seen)
        said.extend(seen.events)
        return seen

    def moves() -> bool:
        """While the topic goes on: a look at a busy machine may see one commit and not the next."""
        produce(embedded, orders)
        return bool(look().events)

    with consuming(embedded, named, orders, log_level="0"):
        wait_until(lambda: bool(look().seen.groups), within_s=30, what="commits of the group")
        assert said == []  # commits that were there before prove nobody there now
        wait_until(moves, within_s=30, what="an event of a group whose commits move")
    (event,) = said
    assert (event.job.name, [use.name for use in event.inputs]) == (f"group/{named}", [orders])
    assert (observed(event)["state"], observed(event)["members"], observed(event)["protocol"]) == (
        "UNTOLD",
        0,
        "UNTOLD",
    )

    def stalls() -> bool:
        """While the topic goes on: the last commit may be seen only now, and on a quiet topic nobody stalls."""
        produce(embedded, orders)
        return bool(look().statuses["STALL"])

    wait_until(stalls, within_s=30, what="that nothing moves")
    last = look()
    assert [(row.group, row.status, row.orphan) for row in here.groups(last)] == [(named, "STALL", ())]
    assert last.seen.silent == {"nobody"}
    assert not last.refused


def test_an_outage_loses_nothing_and_says_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with KafkaServer(BACK_SOON) as server:
        servers = server.bootstrap_servers
        service = KafkaService(servers, "own", server=server)
        events, orders = service.create_topic("lineage.events"), service.create_topic("orders")
        produce(servers, orders, 10)
        commit(servers, "loader", {orders: 1})
        told = ["--interval", "0.2", *_settings("discover.window=1000", f"discover.repeat_ms={FOR_EVER_MS}")]
        told += _settings("metrics.enabled=false", "kafka.reconnect.backoff.max.ms=200")
        with (
            subprocess.Popen(
                [sys.executable, "-m", "headwater.cli", "discover", "--kafka", servers, *told],
                cwd=tmp_path, stderr=subprocess.DEVNULL,
            ) as command,
        ):  # fmt: skip
            try:
                here = _discoverer(servers)
                settings = Settings(kafka=KafkaSettings(bootstrap_servers=servers))
                here.look(now_ms())
                wait_until(
                    lambda: _moves(server, orders, events, ["loader"]), within_s=30, what="the event", pause_s=0.2
                )
                seen = here.look(now_ms())
                assert [event.job.name for event in seen.events] == ["group/loader"]
                server.kill()
                with monkeypatch.context() as impatient:
                    for name in ("discover.asking._TIMEOUT_S", "cli.watching._SEND_WITHIN_S", "cli.producing._REACH_S"):
                        impatient.setattr(f"headwater.{name}", 1.0)
                    with pytest.raises(DeliveryError):
                        deliver(settings, seen.events, dry_run=False)
                    with pytest.raises(DeliveryError):
                        here.look(now_ms())
                server.start()
                again = _first_look(here)
                assert [event.event_id for event in again.events] == [event.event_id for event in seen.events]
                deliver(settings, again.events, dry_run=False)
                here.confirm(again)
                assert here.look(now_ms()).events == []
                commit(servers, "late", {orders: 1})
                both = ["late", "loader"]
                wait_until(
                    lambda: _moves(server, orders, events, both), within_s=90, what="an event after it", pause_s=0.2
                )
                command.send_signal(signal.SIGTERM)
                assert command.wait(30) == 0
            finally:
                command.kill()
        # Two who look, one of them through an outage: one event of each group.
        said = {event.event_id: (event.job.name, observed(event)["state"]) for event in events_of(servers, events)}
        assert sorted(said.values()) == [("group/late", "EMPTY"), ("group/loader", "EMPTY")]


def _settings(*texts: str) -> list[str]:
    return [word for text in texts for word in ("--set", text)]


def _first_look(here: Discoverer) -> Look:
    """Of a broker that begins to answer."""
    found: list[Look] = []

    def looks() -> bool:
        with contextlib.suppress(DeliveryError):
            found.append(here.look(now_ms()))
        return bool(found)

    wait_until(looks, within_s=30, what="a look at the broker that is back", pause_s=0.2)
    return found[0]


def _discoverer(servers: str) -> Discoverer:
    kafka = KafkaSettings(bootstrap_servers=servers, extra={"reconnect.backoff.max.ms": "200"})
    settings = Settings(kafka=kafka, discover=DiscoverSettings())
    asking = Asking(kafka, topics_of(settings), groups_of(settings))
    return Discoverer(asking, namespace=namespace_of(servers, ""), repeat_ms=FOR_EVER_MS, window=1_000)


def _moves(server: KafkaServer, topic: str, events: str, groups: list[str]) -> bool:
    """Let the groups commit one more record; whether there are events of all of them."""
    for group in groups:
        moved = _committed(server.bootstrap_servers, group, topic) + 1
        commit(server.bootstrap_servers, group, {topic: moved})
    told = {event.job.name for event in events_of(server.bootstrap_servers, events)}
    return {f"group/{group}" for group in groups} <= told


def _committed(servers: str, group: str, topic: str) -> int:
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    (future,) = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]).values()
    offsets: list[int] = [at.offset for at in future.result(30).topic_partitions if at.topic == topic]
    return max(offsets)
