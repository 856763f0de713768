"""From a committed row to `headwater status`: PostgreSQL, Debezium in Kafka Connect, `headwater cdc`, a worker; all real."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Consumer, TopicPartition
from tests.integration.test_cdc_probe import read_events
from tests.support.connect_server import ConnectWorker, PostgresServer
from tests.support.doors import Door
from tests.support.processes import wait_until
from tests.support.services import KafkaService
from tests.support.workers import HEADWATER, WorkerProcess

from headwater.cdc.normalising import Rules, normalise
from headwater.connect.guides import Wanted, guide
from headwater.connect.guides.capture import CONFIG_FILE, connector_settings
from headwater.connect.listening import listening
from headwater.connect.looking import connect_facts
from headwater.connect.places import Installation, installation_of
from headwater.openlineage import Rejected, convert
from headwater.runtime.models import Settings
from headwater.runtime.settings import load
from headwater_schemas.events import EventType, LineageEvent, Name

_WITHIN_S = 60.0


@dataclass(slots=True)
class Capture:
    """Everything between a row and its lineage."""

    kafka: KafkaService
    postgres: PostgresServer
    connect: ConnectWorker
    prefix: str
    environment: dict[str, str]
    folder: Path
    seen: list[LineageEvent] = field(default_factory=list)

    def config(self, name: str, **more: str) -> dict[str, str]:
        return {
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "plugin.name": "pgoutput",
            "database.hostname": "127.0.0.1",
            "database.port": str(self.postgres.port),
            "database.user": "postgres",
            "database.password": "hunter2",
            "database.dbname": "store",
            "table.include.list": "public.orders",
            "topic.prefix": f"{self.prefix}{name}",
            "slot.name": name,
            "publication.name": name,
            "heartbeat.interval.ms": "300",
            "topic.creation.default.replication.factor": "1",
            "topic.creation.default.partitions": "1",
            **more,
        }

    def headwater(self, *arguments: str) -> Any:  # Any: what JSON holds
        command = [
            "/usr/bin/env",
            *(f"{key}={value}" for key, value in self.environment.items()),
            HEADWATER,
            *arguments,
        ]
        done = subprocess.run(
            [*command, "--output", "json"], capture_output=True, text=True, check=False, cwd=self.folder
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @property
    def settings(self) -> Settings:
        return load(environ=self.environment, cwd=self.folder, discover=False).settings

    def place(self, gateway: str = "") -> Installation:
        """The installation as `headwater connect` knows it."""
        return installation_of(self.settings, gateway=gateway)

    def look(self) -> Any:  # Any: as above
        return self.headwater("cdc", "--connect", self.connect.url, "--once")

    def new_events(self) -> list[LineageEvent]:
        """The events since the last time that this was asked."""
        found = read_events(self.kafka.bootstrap_servers, f"{self.prefix}events")
        known = {event.event_id for event in self.seen}
        self.seen = found
        return [event for event in found if event.event_id not in known]

    def end_of(self, topic: str) -> int:
        with Consumer({"bootstrap.servers": self.kafka.bootstrap_servers, "group.id": "ends"}) as consumer:
            if topic not in consumer.list_topics(timeout=10).topics:
                return 0
            return int(consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)[1])

    def await_end(self, topic: str, end: int) -> None:
        wait_until(lambda: self.end_of(topic) >= end, within_s=_WITHIN_S, what=f"{end} records of {topic}", pause_s=0.1)

    def freshness(self, name: str) -> dict[str, Any]:
        found = [one for one in self.headwater("status")["datasets"] if one["name"] == name]
        return found[0] if found else {}


@pytest.fixture(scope="module")
def servers(request: pytest.FixtureRequest, kafka: KafkaService) -> Iterator[tuple[PostgresServer, ConnectWorker]]:
    """PostgreSQL and Kafka Connect, which take longest to start."""
    try:
        postgres, connect = PostgresServer(), ConnectWorker(kafka.bootstrap_servers)
    except RuntimeError as error:
        if request.config.getoption("--require-services"):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
    with postgres, connect:
        yield postgres, connect


@pytest.fixture
def capture(
    servers: tuple[PostgresServer, ConnectWorker], kafka: KafkaService, redis_db: str, tmp_path: Path
) -> Iterator[Capture]:
    prefix = kafka.unique("dbz") + "."
    environment = {
        "HEADWATER_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "HEADWATER_REDIS__URL": redis_db,
        "HEADWATER_DOMAIN": prefix.rstrip("."),
        "HEADWATER_TOPIC_PREFIX": prefix,
        "HEADWATER_METRICS__ENABLED": "false",
        "XDG_CONFIG_HOME": str(tmp_path),
    }
    found = Capture(kafka, *servers, prefix, environment, tmp_path)
    yield found
    for name in found.connect.names():
        found.connect.delete(name)


@pytest.fixture
def worker(capture: Capture) -> Iterator[WorkerProcess]:
    capture.headwater("topics", "create", "--partitions", "1")
    given = [f"{key}={value}" for key, value in capture.environment.items()]
    process = WorkerProcess(["/usr/bin/env", *given, HEADWATER, "worker"], capture.folder / "worker.log")
    process.start(lambda: True, within_s=5)
    yield process
    process.kill()


@pytest.mark.usefixtures("worker")
def test_from_a_committed_row_to_its_freshness(capture: Capture) -> None:
    store = capture.postgres
    store.sql(
        "CREATE TABLE orders (id int PRIMARY KEY, status text)", "INSERT INTO orders VALUES (1, 'new'), (2, 'new')"
    )
    topic = f"{capture.prefix}shop.public.orders"
    table = f"postgres://127.0.0.1:{store.port}/store.public.orders"
    capture.connect.put("shop", capture.config("shop"))

    # A snapshot proves that the topic was written, not that the table was.
    capture.await_end(topic, 2)
    found = capture.look()
    assert [row["phase"] for row in found["found"]] == ["snapshot"]
    events = capture.new_events()
    assert not [event for event in events if event.event_type is EventType.OTHER]
    assert {str(edge.source) for event in events for edge in event.edges} == {table}
    first_version = _version(events)

    # Insert, update, delete (and its tombstone), and another schema.
    store.sql(
        "INSERT INTO orders VALUES (3, 'new')",
        "UPDATE orders SET status = 'paid' WHERE id = 1",
        "DELETE FROM orders WHERE id = 2",
        "ALTER TABLE orders ADD note text",
        "INSERT INTO orders VALUES (4, 'new', 'by night')",
    )
    committed_us = int(store.sql("SELECT (extract(epoch FROM now()) * 1000000)::bigint"))
    capture.await_end(topic, 7)
    capture.look()
    events = capture.new_events()
    (written,) = [event for event in events if event.event_type is EventType.OTHER]
    assert written.outputs[0].name == "store.public.orders"
    assert 0 <= committed_us - written.event_time_us < 60_000_000
    assert _version(events) not in {"", first_version}

    def proven() -> bool:
        return bool(capture.freshness("store.public.orders").get("last_write"))

    wait_until(proven, within_s=_WITHIN_S, what="the table's last write in the status", pause_s=0.2)
    assert capture.freshness(topic)["last_write"]

    # A task that fails, and is mended.
    broken = {
        "transforms": "cast",
        "transforms.cast.type": "org.apache.kafka.connect.transforms.Cast$Value",
        "transforms.cast.spec": "op:int32",
    }
    capture.connect.put("shop", capture.config("shop", **broken))
    store.sql("INSERT INTO orders VALUES (5, 'new', null)")
    _await_states(capture, lambda states: "FAILED" in states)
    (told,) = capture.look()["connectors"]
    assert told["state"] == "FAILED"
    (failed,) = [event for event in capture.new_events() if event.event_type is EventType.FAIL]
    assert (failed.error or "").startswith("task 0 failed: ")
    assert failed.job == Name(f"{capture.prefix}shop", f"{capture.prefix}shop.0")
    capture.connect.put("shop", capture.config("shop"))
    capture.await_end(topic, 8)
    _await_states(capture, lambda states: states == {"RUNNING"})
    (told,) = capture.look()["connectors"]
    assert told["state"] == "RUNNING"
    assert not [event for event in capture.seen if b"hunter2" in repr(event).encode()]


def test_what_debezium_says_itself_and_what_the_probe_says_are_one_graph(capture: Capture) -> None:
    capture.headwater("topics", "create", "--partitions", "1")
    settings = capture.folder / "openlineage.yml"
    place = capture.place()
    # What `headwater connect debezium` prints, and nothing else.
    told = guide("debezium", place, Wanted(ways=("kafka",)))
    (file,) = (one.text for one in told.snippets if one.form == "yaml")
    settings.write_text(file)
    capture.postgres.sql("CREATE TABLE users (id int PRIMARY KEY)", "INSERT INTO users VALUES (1)")
    speaking = {"table.include.list": "public.users", **connector_settings(place), CONFIG_FILE: str(settings)}
    capture.connect.put("loud", capture.config("loud", **speaking))
    capture.await_end(f"{capture.prefix}loud.public.users", 1)
    (connector,) = connect_facts(capture.connect.url).connectors
    assert (connector.name, connector.version, connector.speaks, connector.lacks) == ("loud", "3.5.0.Final", True, ())
    capture.look()
    wait_until(
        lambda: bool(_spoken(capture, "outputs")), within_s=_WITHIN_S, what="Debezium's word of its topic", pause_s=0.2
    )
    (probed,) = [event for event in capture.new_events() if event.edges and event.outputs[0].measures]
    spoken = _spoken(capture, "inputs") + _spoken(capture, "outputs")
    assert {event.job for event in spoken} == {probed.job}
    assert {(use.namespace, use.name) for event in spoken for use in event.inputs} == {
        (use.namespace, use.name) for use in probed.inputs
    }
    assert {(use.namespace, use.name) for event in spoken for use in event.outputs} == {
        (use.namespace, use.name) for use in probed.outputs
    }
    assert {edge for event in spoken for edge in event.edges} == set(probed.edges)
    assert b"hunter2" not in b"".join(event.facets or b"" for event in spoken)


def test_debezium_speaks_to_the_gateway_with_the_printed_settings(capture: Capture) -> None:
    capture.headwater("topics", "create", "--partitions", "1")
    capture.postgres.sql("CREATE TABLE baskets (id int PRIMARY KEY)", "INSERT INTO baskets VALUES (1)")
    environment = ["--kafka", capture.kafka.bootstrap_servers, "--set", f"topic_prefix={capture.prefix}", "--port", "0"]
    with Door(capture.folder, "gateway", *environment) as door:
        place = capture.place(door.url)
        told = guide("debezium", place, Wanted(ways=("http",)))
        (file,) = (one.text for one in told.snippets if one.form == "yaml")
        settings = capture.folder / "by-http.yml"
        settings.write_text(file)
        speaking = {"table.include.list": "public.baskets", **connector_settings(place), CONFIG_FILE: str(settings)}
        job = Name(f"{capture.prefix}web", f"{capture.prefix}web.0")
        with listening(capture.settings.kafka, f"{capture.prefix}events", "debezium", job) as listener:
            capture.connect.put("web", capture.config("web", **speaking))
            heard = listener.wait(time.monotonic() + _WITHIN_S)
    assert heard is not None
    assert heard.event.event_type is EventType.START


def _version(events: list[LineageEvent]) -> str:
    """The schema version of the table that the newest event tells."""
    told = [(event.event_time_us, use.schema_version) for event in events for use in event.inputs if use.schema_version]
    return max(told)[1]


def _await_states(capture: Capture, so: Callable[[set[str]], bool]) -> None:
    wait_until(
        lambda: so(capture.connect.states("shop")), within_s=_WITHIN_S, what="the connector's state", pause_s=0.1
    )


def _spoken(capture: Capture, role: str) -> list[LineageEvent]:
    """Debezium's own events that name inputs (or outputs), normalised and converted."""
    topic, found = f"{capture.prefix}openlineage", []
    settings = {
        "bootstrap.servers": capture.kafka.bootstrap_servers,
        "group.id": "spoken",
        "auto.offset.reset": "earliest",
    }
    end = capture.end_of(topic)
    with Consumer(settings) as consumer:
        consumer.assign([TopicPartition(topic, 0, 0)])
        for _ in range(end):
            message = consumer.poll(10)
            assert message is not None
            assert message.error() is None
            event = convert(normalise(orjson.loads(message.value() or b""), Rules()).document)
            assert not isinstance(event, Rejected)
            if getattr(event, role):
                found.append(event)
    return found
