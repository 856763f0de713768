"""The bridge on real Kafka: the real client's Kafka transport, bad records, kills in the middle, a broker that goes away."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import (
    DatasetEvent,
    InputDataset,
    Job,
    JobEvent,
    Run,
    RunEvent,
    RunState,
    StaticDataset,
)
from openlineage.client.generated import parent_run
from openlineage.client.transport.kafka import KafkaConfig, KafkaTransport
from tests.support.doors import Door, events_of, flood, records_of, run_event
from tests.support.openlineage_client import PRODUCER
from tests.support.processes import wait_until
from tests.support.services import KafkaService

from headwater.cli.root import run
from headwater.openlineage import convert
from headwater_schemas.events import LineageEvent

pytestmark = pytest.mark.timeout(120)


class Bridged:
    """The topics of one test, and a bridge on them."""

    def __init__(self, kafka: KafkaService, folder: Path) -> None:
        self.servers = kafka.bootstrap_servers
        self.prefix = kafka.unique("br") + "."
        for role in ("openlineage", "events", "deadletter"):
            kafka.create_topic(f"{self.prefix}{role}", partitions=2)
        told = ["--kafka", self.servers, "--set", f"topic_prefix={self.prefix}", "--set", "metrics.port=0"]
        self.door = Door(folder, "bridge", *told, "--group", f"{self.prefix}group")

    def topic(self, role: str) -> str:
        return f"{self.prefix}{role}"

    def put(self, values: Sequence[bytes | None], key: bytes = b"k") -> None:
        """Produce to the topic of documents, and see them arrive."""
        producer = Producer({"bootstrap.servers": self.servers})

        def arrived(error: KafkaError | None, _message: Message) -> None:
            assert error is None

        for value in values:
            producer.produce(self.topic("openlineage"), value, key, headers=[("from", b"test")], on_delivery=arrived)
        assert producer.flush(20) == 0

    def count(self, role: str) -> int:
        return len(records_of(self.servers, self.topic(role)))

    def events(self) -> list[LineageEvent]:
        return events_of(self.servers, self.topic("events"))


@pytest.fixture
def bridged(kafka: KafkaService, tmp_path: Path) -> Bridged:
    return Bridged(kafka, tmp_path)


def documents(count: int) -> list[bytes]:
    return [
        json.dumps(
            run_event(run={"runId": str(uuid.UUID(int=n + 1))}, job={"namespace": "etl", "name": f"j{n % 7}"})
        ).encode()
        for n in range(count)
    ]


def test_what_the_real_clients_kafka_transport_writes_becomes_events_under_their_own_jobs_keys(
    bridged: Bridged,
) -> None:
    config = {"config": {"bootstrap.servers": bridged.servers}, "topic": bridged.topic("openlineage"), "flush": True}
    client = OpenLineageClient(transport=KafkaTransport(KafkaConfig.from_dict(config)))
    at, job = "2026-03-01T12:00:00Z", Job(namespace="shop", name="load")
    parent = parent_run.ParentRunFacet(
        run=parent_run.Run(runId=str(uuid.uuid4())), job=parent_run.Job(namespace="airflow", name="dag")
    )
    told: list[Any] = [
        RunEvent(
            eventType=RunState.COMPLETE, eventTime=at, job=job, producer=PRODUCER, inputs=[InputDataset("n", "in")], outputs=[],
            run=Run(runId=str(uuid.uuid4()), facets={"parent": parent}),
        ),
        JobEvent(eventTime=at, job=job, producer=PRODUCER),
        DatasetEvent(eventTime=at, dataset=StaticDataset(namespace="s3://lake", name="d"), producer=PRODUCER),
    ]  # fmt: skip
    for event in told:
        client.emit(event)
    client.close()
    with bridged.door:
        wait_until(lambda: bridged.count("events") == 3, within_s=30, what="three events")
    assert {message.key() for message in records_of(bridged.servers, bridged.topic("events"))} == {
        b"shop/load",
        b"s3://lake/d",
    }
    assert {event.parent_job is not None for event in bridged.events()} == {True, False}


def test_what_is_no_event_goes_to_the_dead_letters_byte_for_byte_with_its_reason(bridged: Bridged) -> None:
    bad: dict[bytes | None, str] = {
        b"\x00\xff nonsense": "not_json",
        b"[1, 2]": "not_openlineage",
        b'{"eventTime": "2026-01-01T00:00:00Z", "job": {"name": "x"}}': "not_openlineage",
        json.dumps(run_event(job={"namespace": "n", "name": "x" * 5_000})).encode(): "not_openlineage",
        None: "empty",
    }
    bridged.put([*bad, *documents(2)])
    with bridged.door:
        wait_until(lambda: bridged.count("deadletter") == len(bad), within_s=30, what="dead letters")
        wait_until(lambda: bridged.count("events") == 2, within_s=30, what="events")
    letters = records_of(bridged.servers, bridged.topic("deadletter"))
    assert {letter.value() for letter in letters} == set(bad)
    for letter in letters:
        headers = dict(letter.headers() or [])
        assert letter.key() == b"k"
        assert headers["headwater.dlq.reason"] == bad[letter.value()].encode()
        assert headers["__connect.errors.topic"] == bridged.topic("openlineage").encode()
        assert headers["from"] == b"test"
    said = {dict(letter.headers() or [])["__connect.errors.exception.message"] for letter in letters}
    assert b"job.namespace: is missing or empty" in said


def test_a_bridge_that_is_killed_in_the_middle_goes_on_and_makes_no_event_twice(bridged: Bridged) -> None:
    given = documents(4_000)
    bridged.put(given[:2_000])
    bridged.door.begin()
    wait_until(lambda: bridged.count("events") > 0, within_s=30, what="the first events")
    bridged.door.kill()
    bridged.put(given[2_000:])
    # The group hears of the death when its session has run out; a new member waits for that.
    with bridged.door:
        wanted = {event.event_id for each in given if isinstance(event := convert(json.loads(each)), LineageEvent)}
        assert len(wanted) == 4_000
        wait_until(
            lambda: {event.event_id for event in bridged.events()} == wanted,
            within_s=40,
            what="all events",
            pause_s=0.3,
        )
    before = bridged.count("events")
    with bridged.door:  # stopped well, it has committed: nothing is read again
        bridged.put([b"end"])
        wait_until(lambda: bridged.count("deadletter") == 1, within_s=30, what="the record after the others")
    assert bridged.count("events") == before


def test_a_topic_that_is_not_there_is_said_at_the_start(
    kafka: KafkaService, capsys: pytest.CaptureFixture[str]
) -> None:
    told = ["--kafka", kafka.bootstrap_servers, "--set", f"topic_prefix={kafka.unique('none')}."]
    assert run([*told, "bridge"]) == 3
    said = capsys.readouterr().err
    assert "no such topic" in said
    assert "headwater topics create" in said


def test_debeziums_flood_is_one_event_and_a_heartbeat_and_everything_is_committed(bridged: Bridged) -> None:
    bridged.put([json.dumps(each).encode() for each in flood(20_000)])
    with bridged.door:
        wait_until(lambda: bridged.count("events") == 1, within_s=30, what="the first of them")
        wait_until(lambda: committed(bridged) == 20_000, within_s=30, what="the last offset")
    first, heartbeat = sorted(bridged.events(), key=lambda event: event.event_time_us)
    assert [f"{use.namespace}/{use.name}" for use in first.inputs] == [f"kafka://{bridged.servers}/orders"]
    assert heartbeat.inputs == first.inputs
    assert heartbeat.event_time_us > first.event_time_us


def committed(bridged: Bridged) -> int:
    """How many records the group has behind it."""
    settings = {"bootstrap.servers": bridged.servers, "group.id": f"{bridged.prefix}group"}
    with Consumer(settings) as consumer:
        places = [TopicPartition(bridged.topic("openlineage"), partition) for partition in range(2)]
        return sum(max(0, place.offset) for place in consumer.committed(places, timeout=20))


def test_names_fold_and_other_producers_equal_events_are_all_sent(bridged: Bridged) -> None:
    outputs = [{"namespace": "s3://lake", "name": "orders/dt=2026-11-26"}]
    bridged.put([json.dumps(run_event(eventType="RUNNING", outputs=outputs)).encode()] * 3)
    with bridged.door:
        wait_until(lambda: bridged.count("events") == 3, within_s=30, what="three events")
    assert {use.name for event in bridged.events() for use in event.outputs} == {"orders"}
