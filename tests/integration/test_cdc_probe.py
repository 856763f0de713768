"""`headwater cdc` on a real Kafka: the ends of topics that Debezium's records stand in."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from tests.support.cdc_records import TS_MS, as_bytes, envelope, snapshot
from tests.support.outages import BACK_SOON
from tests.support.processes import free_port, wait_until
from tests.support.services import KafkaServer, KafkaService

from headwater.cli.root import run
from headwater_schemas.codec import decode
from headwater_schemas.events import EventType, LineageEvent
from headwater_schemas.registry import SchemaStore
from headwater_schemas.topics import catalogue


@dataclass(slots=True)
class Cdc:
    """The command on this test's own topics, and what it sent."""

    kafka: KafkaService
    prefix: str
    capsys: pytest.CaptureFixture[str]

    def arguments(self, *more: str) -> list[str]:
        return ["cdc", "--kafka", self.kafka.bootstrap_servers, "--set", f"topic_prefix={self.prefix}", *more]

    def once(self, *more: str, source: str = "") -> Any:  # Any: what JSON holds
        given = ["--source", source or f"{self.prefix}shop=postgres://db:5432/store"]
        self.capsys.readouterr()
        assert run(self.arguments("--once", "--output", "json", *given, *more)) == 0
        return json.loads(self.capsys.readouterr().out)

    def topic(self, name: str, partitions: int = 1) -> str:
        return self.kafka.create_topic(f"{self.prefix}shop.{name}", partitions)

    def events(self) -> list[LineageEvent]:
        return read_events(self.kafka.bootstrap_servers, catalogue(self.prefix)["events"].name)


def read_events(servers: str, topic: str) -> list[LineageEvent]:
    """All events that the topic holds now."""
    settings = {
        "bootstrap.servers": servers,
        "group.id": "check",
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
    }
    found, ended = [], 0
    with Consumer(settings) as consumer:
        partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        while ended < len(partitions):
            message = consumer.poll(20)
            assert message is not None
            error = message.error()
            ended += error is not None and error.code() == KafkaError._PARTITION_EOF
            if error is None:
                event = decode(message.value() or b"", SchemaStore())
                assert isinstance(event, LineageEvent)
                found.append(event)
    return found


def produce(servers: str, topic: str, *values: bytes | None, partition: int = 0, transaction: str = "") -> None:
    def arrived(error: KafkaError | None, _message: Message) -> None:
        assert error is None

    own = {"transactional.id": transaction} if transaction else {}
    producer = Producer({"bootstrap.servers": servers, "message.timeout.ms": 30_000, **own})
    if transaction:
        producer.init_transactions(20)
        producer.begin_transaction()
    for value in values:
        producer.produce(topic, value, key=b"k", partition=partition, on_delivery=arrived)
    if transaction:
        producer.commit_transaction(20)
    assert producer.flush(20) == 0
    if transaction:
        wait_for_committed(servers, topic, partition)


def wait_for_committed(servers: str, topic: str, partition: int) -> None:
    """Until readers of what is committed see a record: the coordinator answers once its own log holds
    PREPARE_COMMIT, and only then sends the markers to the partitions (Kafka's `TransactionCoordinator.endTransaction`)."""
    settings = {"bootstrap.servers": servers, "group.id": "check", "isolation.level": "read_committed"}
    with Consumer(settings) as consumer:
        consumer.assign([TopicPartition(topic, partition, 0)])
        message = consumer.poll(20)
        assert message is not None
        assert message.error() is None


@pytest.fixture
def cdc(
    kafka: KafkaService, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Cdc:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    found = Cdc(kafka, kafka.unique("cdc") + ".", capsys)
    kafka.create_topic(catalogue(found.prefix)["events"].name, 2)
    return found


def test_the_last_records_say_which_table_goes_to_which_topic_and_how_fresh_it_is(cdc: Cdc) -> None:
    servers = cdc.kafka.bootstrap_servers
    orders, users = cdc.topic("public.orders", 2), cdc.topic("public.users")
    changes = [as_bytes(envelope(name=f"{cdc.prefix}shop", key=key, ts_ms=TS_MS + key)) for key in range(50)]
    produce(servers, orders, *changes)
    produce(servers, orders, as_bytes(envelope(name=f"{cdc.prefix}shop", ts_ms=TS_MS + 999)), partition=1)
    produce(servers, users, as_bytes({**snapshot(), "source": {**snapshot()["source"], "table": "users"}}))
    found = cdc.once()
    assert (found["topics"], found["partitions_moved"], found["refused"]) == (2, 3, {})
    events = cdc.events()
    # The job for each topic, and the table that was written; a snapshot proves no write of its table.
    assert len(events) == 3
    (of_orders,) = [event for event in events if event.outputs[0].name == orders]
    assert [use.name for use in of_orders.inputs] == ["store.public.orders"]
    assert [(m.partition, m.last_offset) for m in of_orders.outputs[0].measures] == [(0, 49), (1, 0)]
    assert max(m.data_through_us for m in of_orders.outputs[0].measures) == (TS_MS + 999) * 1000
    (written,) = [event for event in events if event.event_type is EventType.OTHER]
    assert str(written.outputs[0].namespace) == "postgres://db:5432"
    assert written.event_time_us == (TS_MS + 999) * 1000


def test_a_topic_has_the_id_of_its_cluster_as_an_alias_and_hosts_the_mark_of_the_environment(cdc: Cdc) -> None:
    orders = cdc.topic("public.orders")
    produce(cdc.kafka.bootstrap_servers, orders, as_bytes(envelope(name=f"{cdc.prefix}shop")))
    cdc.once("--set", "doors.environment=staging")
    (of_orders,) = [event for event in cdc.events() if event.job.name]
    (topic,), (table,) = of_orders.outputs, of_orders.inputs
    (alias,) = topic.aliases
    assert (alias.namespace.partition("://")[0], alias.name) == ("kafka-cluster", orders)
    assert topic.namespace.startswith("kafka://staging+")
    assert (table.namespace, table.aliases) == ("postgres://staging+db:5432", ())
    assert of_orders.job.namespace == f"staging+{cdc.prefix}shop"
    assert of_orders.emitter == f"cdc:staging+{cdc.prefix}shop"


def test_a_probe_that_begins_anew_says_the_same_events(cdc: Cdc) -> None:
    orders = cdc.topic("public.orders")
    produce(cdc.kafka.bootstrap_servers, orders, as_bytes(envelope(name=f"{cdc.prefix}shop")))
    cdc.once()
    cdc.once()
    ids = [event.event_id for event in cdc.events()]
    assert len(ids) == 4
    assert len(set(ids)) == 2


def test_tombstones_and_the_markers_of_transactions_hide_no_change(cdc: Cdc) -> None:
    servers = cdc.kafka.bootstrap_servers
    change = as_bytes(envelope(name=f"{cdc.prefix}shop", op="d"))
    deleted, committed = cdc.topic("public.deleted"), cdc.topic("public.committed")
    produce(servers, deleted, change, None)
    produce(servers, committed, change, transaction=uuid.uuid4().hex)
    found = cdc.once()
    assert {row["topic"] for row in found["found"] if row["table"]} == {deleted, committed}
    offsets = {
        event.outputs[0].name: event.outputs[0].measures[0].last_offset for event in cdc.events() if event.job.name
    }
    assert offsets == {deleted: 0, committed: 0}


def test_bad_records_are_counted_with_their_reason_and_the_others_are_said(cdc: Cdc) -> None:
    servers = cdc.kafka.bootstrap_servers
    for name, value in {
        "bad.json": b"{",
        "bad.avro": b"\0\0\0\0\x07x",
        "bad.op": as_bytes({"op": "?", "source": {}}),
    }.items():
        produce(servers, cdc.topic(name), value)
    produce(servers, cdc.topic("public.good"), as_bytes(envelope(name=f"{cdc.prefix}shop")))
    found = cdc.once()
    assert found["refused"] == {"no_json": 1, "no_registry": 1, "operation": 1}
    assert found["events"] == 2


def test_a_heartbeat_keeps_a_silent_topic_idle(cdc: Cdc) -> None:
    servers = cdc.kafka.bootstrap_servers
    produce(servers, cdc.topic("public.orders"), as_bytes(envelope(name=f"{cdc.prefix}shop")))
    alive = cdc.kafka.create_topic(f"__debezium-heartbeat.{cdc.prefix}shop")
    later_ms = 4_000_000_000_000  # after the record above, whenever this runs
    produce(servers, alive, as_bytes({"ts_ms": later_ms}))
    cdc.once()
    (idle,) = [event for event in cdc.events() if event.event_time_us == later_ms * 1000]
    assert [(use.name, use.measures[0].lag) for use in idle.inputs] == [("store.public.orders", 0)]


def test_a_dry_run_sends_nothing(cdc: Cdc) -> None:
    produce(cdc.kafka.bootstrap_servers, cdc.topic("public.orders"), as_bytes(envelope(name=f"{cdc.prefix}shop")))
    assert run(cdc.arguments("--once", "--dry-run", "--topic", f"{cdc.prefix}shop.*")) == 0
    lines = [json.loads(line) for line in cdc.capsys.readouterr().out.splitlines()]
    assert [line["event_type"] for line in lines] == ["RUNNING", "OTHER"]
    assert cdc.events() == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "nothing to watch"),
        (["--source", "shop=db:5432"], 2, "names no server"),
        (["--topic", "x", "--once", "--kafka", "127.0.0.1:1"], 3, "cannot be reached"),
    ],
)
def test_wrong_usage_names_the_thing_and_the_remedy(
    cdc: Cdc, arguments: list[str], code: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headwater.cdc.probing._TIMEOUT_S", 1.0)
    assert run(cdc.arguments(*arguments)) == code
    err = cdc.capsys.readouterr().err
    assert said in err
    assert "try: " in err


def test_an_outage_loses_nothing_and_the_command_goes_on(tmp_path: Path) -> None:
    with KafkaServer(BACK_SOON) as server:
        service = KafkaService(server.bootstrap_servers, "own", server=server)
        events, orders = service.create_topic("lineage.events"), service.create_topic("shop.public.orders")
        whole = service.create_topic("full.public.orders")
        for topic in (orders, whole):
            produce(server.bootstrap_servers, topic, as_bytes(envelope()))

        def newest() -> list[int]:
            return [_newest(server, events, topic) for topic in (orders, whole)]

        told = ["--kafka", server.bootstrap_servers, "--topic", "shop.*", "--full", whole, "--interval", "0.2"]
        port = free_port()
        told += ["--set", "kafka.reconnect.backoff.max.ms=200", "--set", f"metrics.port={port}"]
        command = subprocess.Popen(
            [sys.executable, "-m", "headwater.cli", "cdc", *told], cwd=tmp_path, stderr=subprocess.DEVNULL
        )
        try:
            wait_until(lambda: newest() == [0, 0], within_s=30, what="the first events")
            wait_until(lambda: _status(port, "/readyz") == 200, within_s=30, what="it is ready")
            server.kill()
            wait_until(lambda: _status(port, "/readyz") == 503, within_s=60, what="it says that Kafka is away")
            assert _status(port, "/healthz") == 200  # a restart would not help
            server.start()
            for topic in (orders, whole):
                produce(server.bootstrap_servers, topic, as_bytes(envelope(ts_ms=TS_MS + 5)))
            wait_until(lambda: newest() == [1, 1], within_s=60, what="the events after the outage")
            wait_until(lambda: _status(port, "/readyz") == 200, within_s=30, what="it is ready again")
            command.send_signal(signal.SIGTERM)
            assert command.wait(30) == 0
        finally:
            command.kill()
            command.wait()


def _status(port: int, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def _newest(server: KafkaServer, events: str, topic: str) -> int:
    """The last offset of the topic of changes that an event told; -1 for none."""
    outputs = [event.outputs[0] for event in read_events(server.bootstrap_servers, events)]
    return max((m.last_offset for output in outputs if output.name == topic for m in output.measures), default=-1)


def test_full_mode_counts_every_record_and_begins_again_where_it_was(cdc: Cdc) -> None:
    servers, name = cdc.kafka.bootstrap_servers, f"{cdc.prefix}shop"
    orders = cdc.topic("public.orders", 2)
    produce(servers, orders, *(as_bytes(envelope(op=op, name=name, txId=at)) for at, op in enumerate("ccu")))
    produce(servers, orders, as_bytes(envelope(op="d", name=name)), None, b"{", partition=1)
    given = ["--full", orders, "--set", f"processor.group={cdc.prefix}group"]
    assert cdc.once(*given)["topics"] == 0  # the probe leaves it to the reader
    first = {event.event_id: event for event in cdc.events()}
    rows = {
        (m.partition, m.rows, m.last_offset)
        for event in first.values()
        if event.job.name
        for m in event.outputs[0].measures
    }
    assert rows == {(0, 3, 2), (1, 1, 0)}
    assert {table for event in first.values() if not event.job.name for table in [event.outputs[0].name]} == {
        "store.public.orders"
    }
    # Something new: the window is said whole again, or is a new one; nothing is said that was not there.
    produce(servers, orders, as_bytes(envelope(op="u", name=name)))
    cdc.once(*given)
    newest = [m.last_offset for event in cdc.events() for m in event.outputs[0].measures if m.partition == 0]
    assert max(newest) == 3
