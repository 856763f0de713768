"""The feed of the living view on a real Redis and the embedded broker: it follows, says what is away, and comes back."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from tests.support.processes import freeze, wait_until
from tests.support.redis_server import RedisServer
from tests.support.state_writer import StateWriter

from headwater.runtime.models import KafkaSettings, RedisSettings
from headwater.runtime.redis import connect
from headwater_processor.local.services import Broker, start_broker
from headwater_processor.local.top.feed import Feed
from headwater_processor.local.top.model import Model, key_of
from headwater_processor.state import StateReader
from headwater_processor.state.layout import DatasetRecord, JudgedRecord
from headwater_schemas.alerts import Alert, AlertState, Severity
from headwater_schemas.codec import encode_alert, encode_delta
from headwater_schemas.deltas import Aspect, Entity, Freshness, GraphDelta, Status
from headwater_schemas.events import Name

T = 1_790_000_000_000_000
ORDERS, SALES = Name("kafka://b", "orders"), Name("s3://lake", "sales")
DEADLINE_S = 30.0


@pytest.fixture
def broker() -> Iterator[Broker]:
    broker = start_broker({"lineage.events": 2, "lineage.deltas": 2, "lineage.alerts": 1})
    yield broker
    os.kill(broker.process.pid, signal.SIGCONT)
    broker.process.stop()


@pytest.fixture
def server() -> Iterator[RedisServer]:
    server = RedisServer()
    server.start()
    yield server
    server.close()


@pytest.fixture
def feed(broker: Broker, server: RedisServer) -> Iterator[Feed]:
    client = connect(RedisSettings(url=server.url), timeout_s=1.0, connect_timeout_s=1.0)
    topics = ("lineage.events", "lineage.deltas", "lineage.alerts")
    feed = Feed(KafkaSettings(bootstrap_servers=broker.bootstrap), topics, lambda: StateReader(client, "default"))
    fill(server, ORDERS)
    feed.start()
    yield feed
    feed.stop()
    client.close()


def fill(server: RedisServer, *names: Name) -> None:
    with server.client() as client:
        writer = StateWriter(client, "default")
        for partition in (0, 1):
            writer.partition(partition, as_of_us=T, next="5", applied="5")
        for name in names:
            writer.dataset(name, asserted_us=T, record=DatasetRecord(first_seen_us=T), judged=JudgedRecord("FRESH"))


def say(broker: Broker, topic: str, key: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "log_level": 0})
    producer.produce(topic, value, key)
    assert producer.flush(10) == 0


def wrote(name: Name, at_us: int) -> GraphDelta:
    key = f"DATASET|FRESHNESS|{name.namespace}|{name.name}"
    return GraphDelta(
        key, at_us, Entity.DATASET, Aspect.FRESHNESS, True, T, None, None, name.namespace, name.name,
        freshness=Freshness(last_write_us=at_us),
    )  # fmt: skip


def sees(feed: Feed, model: Model, what: str, condition: Callable[[], bool]) -> None:
    """Wait until the model, fed with what came, shows it."""

    def fed() -> bool:
        assert feed.failure is None
        model.take(feed.mailbox.empty())
        return condition()

    wait_until(fed, within_s=DEADLINE_S, what=what)


def ready(feed: Feed, model: Model) -> None:
    """Both services answer and a snapshot has come."""
    sees(feed, model, "snapshot and lag", lambda: model.loaded and model.figures is not None and model.figures.lag == 0)


def test_it_begins_with_the_state_and_follows_what_is_said(feed: Feed, broker: Broker) -> None:
    model = Model()
    ready(feed, model)
    assert set(model.rows) == {key_of(ORDERS)}
    assert model.figures is not None
    assert (model.figures.datasets, model.figures.events, model.figures.as_of_us) == (1, 10, T)
    delta = wrote(ORDERS, T + 5)
    say(broker, "lineage.deltas", delta.key, encode_delta(delta))
    status = GraphDelta(
        "DATASET|STATUS|s3://lake|sales", 1, Entity.DATASET, Aspect.STATUS, True, T, None, None, *(SALES.namespace, SALES.name),
        status=Status(unlinked="read-never-written", candidates=("s3://lake/sale",)),
    )  # fmt: skip
    say(broker, "lineage.deltas", status.key, encode_delta(status))
    alert = Alert(
        "a", "f", "i", "DatasetStale", AlertState.FIRING, Severity.PAGE, "dataset", *(SALES.namespace, SALES.name)
    )
    say(broker, "lineage.alerts", "f", encode_alert(alert))
    sees(feed, model, "the write", lambda: model.rows[key_of(ORDERS)].last_write_us == T + 5)
    sees(feed, model, "the loose end", lambda: [one.name for one in model.loose()] == [str(SALES)])
    sees(feed, model, "the alert", lambda: len(model.alerts_firing()) == 1)


def test_a_record_that_is_none_of_ours_is_passed_over(feed: Feed, broker: Broker) -> None:
    model = Model()
    ready(feed, model)
    for key in ("DATASET|FRESHNESS|x|y", "DATASET|STATUS|x|y", "?"):
        say(broker, "lineage.deltas", key, b"\xc3\x01 and more")
    say(broker, "lineage.alerts", "f", b"")
    delta = wrote(ORDERS, T + 7)
    say(broker, "lineage.deltas", delta.key, encode_delta(delta))
    sees(feed, model, "the write", lambda: model.rows[key_of(ORDERS)].last_write_us == T + 7)


def test_a_redis_that_was_away_is_read_again(feed: Feed, server: RedisServer) -> None:
    model = Model()
    ready(feed, model)
    server.kill()
    sees(feed, model, "Redis is away", lambda: "Redis" in model.away)
    assert model.away["Redis"].since_us <= time.time_ns() // 1000
    assert set(model.rows) == {key_of(ORDERS)}, "what was known stays in sight"
    server.start()
    fill(server, ORDERS, SALES)  # it kept nothing on disk
    sees(feed, model, "both datasets", lambda: not model.away and set(model.rows) == {key_of(ORDERS), key_of(SALES)})


def test_an_empty_redis_takes_away_what_is_not_true_any_more(feed: Feed, server: RedisServer) -> None:
    model = Model()
    ready(feed, model)
    with server.client() as client:
        client.flushall()
    sees(feed, model, "no state", lambda: not model.rows and "no state of domain" in model.away["Redis"].why)


def test_a_broker_that_was_away_is_followed_again_and_the_state_read_meanwhile(
    feed: Feed, broker: Broker, server: RedisServer
) -> None:
    model = Model()
    ready(feed, model)
    freeze(broker.process.pid)
    sees(feed, model, "Kafka is away", lambda: "Kafka" in model.away)
    fill(server, ORDERS, SALES)
    sees(feed, model, "the figures go on", lambda: model.figures is not None and model.figures.datasets == 2)
    os.kill(broker.process.pid, signal.SIGCONT)
    sees(feed, model, "Kafka is back", lambda: not model.away and set(model.rows) == {key_of(ORDERS), key_of(SALES)})
    delta = wrote(SALES, T + 9)
    say(broker, "lineage.deltas", delta.key, encode_delta(delta))
    sees(feed, model, "the write", lambda: model.rows[key_of(SALES)].last_write_us == T + 9)


@pytest.mark.parametrize("leave", ["q", "SIGTERM"])
def test_the_command_shows_it_on_a_terminal_and_gives_the_terminal_back(
    leave: str, broker: Broker, server: RedisServer, tmp_path: Path
) -> None:
    fill(server, ORDERS)
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    before = termios.tcgetattr(its)
    process = subprocess.Popen(
        [sys.executable, "-m", "headwater.cli", "--kafka", broker.bootstrap, "--redis", server.url, "top"],
        stdin=its, stdout=its, stderr=its, cwd=tmp_path, env={**os.environ, "TERM": "xterm-256color"},
    )  # fmt: skip
    os.set_blocking(ours, False)
    seen = bytearray()

    def shows(text: bytes) -> bool:
        with contextlib.suppress(BlockingIOError, OSError):
            seen.extend(os.read(ours, 65_536))
        return text in seen

    try:
        wait_until(lambda: shows(str(ORDERS).encode()), within_s=DEADLINE_S, what="the dataset on the screen")
        if leave == "q":
            os.write(ours, b"q")
        else:
            process.terminate()
        wait_until(lambda: shows(b"\x1b[?1049l") and process.poll() is not None, within_s=DEADLINE_S, what="the end")
        assert process.returncode == 0
        assert termios.tcgetattr(its) == before
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(its)
