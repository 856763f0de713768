"""Commands that talk to Kafka, on a real one: topics create, emit, policy apply, tail."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from tests.support.doors import flood
from tests.support.services import KafkaService

from headwater.cli.root import run
from headwater_schemas.alerts import Alert, AlertState, Severity
from headwater_schemas.codec import decode, decode_policy, encode_alert
from headwater_schemas.deltas import Aspect, Entity, GraphDelta
from headwater_schemas.events import LineageEvent, Name
from headwater_schemas.registry import SchemaStore
from headwater_schemas.topics import catalogue

START = {
    "eventType": "START",
    "eventTime": "2026-01-01T00:00:00Z",
    "run": {"runId": "0190a0e0-0000-7000-8000-000000000001"},
    "job": {"namespace": "airflow", "name": "load"},
    "inputs": [{"namespace": "postgres://db:5432", "name": "shop.public.orders"}],
    "producer": "https://example.org/test",
    "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
}


@dataclass(slots=True)
class Headwater:
    """The command on this test's own topics."""

    kafka: KafkaService
    prefix: str
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> int:
        told = ["--kafka", self.kafka.bootstrap_servers, "--set", f"topic_prefix={self.prefix}"]
        return run([*told, *arguments])

    def said(self) -> tuple[str, str]:
        """Standard output and error since the last time."""
        said = self.capsys.readouterr()
        return said.out, said.err

    def rows(self) -> Any:  # Any: what JSON holds
        return json.loads(self.said()[0])

    def topic(self, role: str) -> str:
        return catalogue(self.prefix)[role].name


@pytest.fixture
def headwater(
    kafka: KafkaService, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Headwater:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return Headwater(kafka, kafka.unique("cli") + ".", capsys)


@pytest.fixture
def topics(headwater: Headwater) -> Headwater:
    """The command, with its topics there."""
    assert headwater("topics", "create", "--partitions", "2") == 0
    headwater.said()
    return headwater


def records(kafka: KafkaService, topic: str, wanted: int) -> list[Message]:
    """All records of a topic, in the order of its partitions; fails if there are not as many as wanted."""
    settings = {
        "bootstrap.servers": kafka.bootstrap_servers,
        "group.id": kafka.unique("check"),
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
    }
    found, ended = [], 0
    with Consumer(settings) as consumer:
        partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
        consumer.assign([TopicPartition(topic, partition, 0) for partition in sorted(partitions)])
        while ended < len(partitions):
            message = consumer.poll(20)
            assert message is not None
            error = message.error()
            if error is None:
                found.append(message)
            ended += error is not None and error.code() == KafkaError._PARTITION_EOF
    assert len(found) == wanted
    return found


def produce(
    kafka: KafkaService, topic: str, *values: bytes | None, headers: list[tuple[str, str | bytes | None]] | None = None
) -> None:
    """Put values on a topic, all under the key `k`, and see them arrive."""

    def arrived(error: KafkaError | None, _message: Message) -> None:
        assert error is None

    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for value in values:
        producer.produce(topic, value, key=b"k", headers=headers or [], on_delivery=arrived)
    assert producer.flush(20) == 0


def events_of(headwater: Headwater, wanted: int) -> list[LineageEvent]:
    found = []
    for message in records(headwater.kafka, headwater.topic("events"), wanted):
        event = decode(message.value() or b"", SchemaStore())
        assert isinstance(event, LineageEvent)
        found.append(event)
    return found


def alert(number: int) -> Alert:
    return Alert(
        f"a{number}", f"f{number}", f"i{number}", "DatasetStale", AlertState.FIRING, Severity.PAGE, "dataset",
        "s3://lake", "orders", summary=f"Number {number} is stale.",
    )  # fmt: skip


def test_topics_are_made_once_with_the_settings_of_the_catalogue(headwater: Headwater) -> None:
    assert headwater("topics", "create", "--dry-run", "-o", "json") == 0
    assert {row["result"] for row in headwater.rows()} == {"would be created"}
    assert headwater("topics", "create", "-o", "json") == 0
    assert {row["result"] for row in headwater.rows()} == {"created"}
    assert headwater("topics", "create", "-o", "json", "--fail") == 0
    assert {(row["result"], len(row["differences"])) for row in headwater.rows()} == {("exists", 0)}


def test_a_topic_that_differs_is_left_alone_and_named(headwater: Headwater) -> None:
    headwater.kafka.create_topic(headwater.topic("events"), 5, {"retention.ms": "1000"})
    assert headwater("topics", "create", "-o", "json", "--fail") == 1
    (row,) = [row for row in headwater.rows() if row["result"] == "differs"]
    assert row["topic"] == headwater.topic("events")
    assert "5 partitions" in row["differences"]
    assert "retention.ms=1000 instead of 604800000" in row["differences"]


def test_the_embedded_broker_gets_its_topics_too(capsys: pytest.CaptureFixture[str]) -> None:
    broker = subprocess.Popen(
        [sys.executable, "-m", "headwater_processor.local.broker", "lineage.events:4"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with broker:
        assert broker.stdout is not None
        servers = json.loads(broker.stdout.readline())["bootstrap"]
        assert run(["--kafka", servers, "topics", "create", "-o", "json"]) == 0
        results = {row["topic"]: row["result"] for row in json.loads(capsys.readouterr().out)}
        assert run(["--kafka", servers, "tail", "alerts", "--from", "beginning", "--no-follow"]) == 0
        broker.terminate()
    assert results.pop("lineage.events") == "differs"
    assert set(results.values()) == {"created"}


def test_an_event_by_flags_arrives(topics: Headwater) -> None:
    names = ("--reads", "postgres://db:5432", "orders", "--writes", "s3://lake", "orders")
    assert topics("emit", "--job", "shop/load", *names, "--rows", "90") == 0
    (event,) = events_of(topics, 1)
    assert (event.job, event.inputs[0].name, event.outputs[0].measures[0].rows) == (Name("shop", "load"), "orders", 90)


def test_documents_that_are_no_events_are_named_and_the_others_arrive(topics: Headwater, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    lines = [json.dumps(START), "{not json", json.dumps({**START, "eventTime": "soon"})]
    file.write_text("\n".join([*lines, json.dumps({**START, "eventType": "COMPLETE"})]))
    assert topics("emit", "--openlineage", str(file), "-o", "json") == 4
    out, err = topics.said()
    told = json.loads(out)
    assert (told["documents"], told["sent"], told["rejected"]) == (4, 2, 2)
    assert "events.jsonl, line 2: not JSON" in err
    assert "events.jsonl, line 3: eventTime" in err
    assert {event.event_type.value for event in events_of(topics, 2)} == {"START", "COMPLETE"}


def test_a_file_of_a_flood_is_one_event_and_its_newest_under_the_names_that_are_kept(
    topics: Headwater, tmp_path: Path
) -> None:
    file = tmp_path / "flood.jsonl"
    folded = {**START, "outputs": [{"namespace": "s3://lake", "name": "orders/dt=2026-11-26"}]}
    file.write_text("\n".join(json.dumps(each) for each in (*flood(500), folded)))
    assert topics("emit", "--openlineage", str(file), "-o", "json") == 0
    told = json.loads(topics.said()[0])
    assert (told["documents"], told["sent"], told["coalesced"]) == (501, 3, 499)
    events = events_of(topics, 3)
    assert [use.name for event in events for use in event.outputs] == ["orders"]
    (first, last) = [event for event in events if event.job.namespace == "shop"]
    assert {use.namespace for use in first.inputs} == {f"kafka://{topics.kafka.bootstrap_servers}"}
    assert last.inputs == first.inputs


def test_emitting_before_the_topics_exist_says_how_to_make_them(headwater: Headwater) -> None:
    assert headwater("emit", "--job", "a/b", "--writes", "s3://l", "x") == 3
    assert "try: headwater topics create" in headwater.said()[1]


def test_applied_policies_are_on_their_topic_under_their_subjects(topics: Headwater, tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("- {subject: lake, dataset: s3://lake *, max_age: 1h}\n- {dataset: a b, owner: me}\n")
    assert topics("policy", "apply", str(file)) == 0
    assert "2 policies are in force." in topics.said()[1]
    found = {m.key(): decode_policy(m.value() or b"") for m in records(topics.kafka, topics.topic("policies"), 2)}
    assert found[b"lake"].max_age_ms == 3_600_000
    assert found[b"dataset:a/b"].owner == "me"


def test_policies_in_force_are_shown_and_explained_before_and_after_they_are_applied(
    topics: Headwater, tmp_path: Path
) -> None:
    file, stricter = tmp_path / "p.yaml", tmp_path / "q.yaml"
    file.write_text(
        "- {subject: lake, dataset: s3://lake *, max_age: 1h, owner: me, tags: [hot]}\n- {job: a b, owner: me}\n"
    )
    stricter.write_text("- {subject: orders, dataset: s3://lake orders, max_age: 5m}\n")
    assert topics("policy", "test", "s3://lake/orders", "--file", str(file), "-o", "json") == 0
    assert topics.rows()["changes"]["max_age_ms"] == {"before": 0, "after": 3_600_000}
    assert topics("policy", "apply", str(file)) == 0
    topics.said()
    assert topics("policy", "show", "-o", "json") == 0
    assert [(row["subject"], row["version"]) for row in topics.rows()] == [("job:a/b", 1), ("lake", 0)]
    produce(topics.kafka, topics.topic("policies"), b"not a policy")
    assert topics("policy", "test", "s3://lake orders", "--file", str(stricter), "--fail", "-o", "json") == 1
    out, err = topics.said()
    found = json.loads(out)
    assert "at offset 2 is left out" in err
    assert found["names"][0]["fields"]["max_age_ms"]["set_by"] == ["orders"]
    assert found["names"][0]["fields"]["max_age_ms"]["lost"] == [{"subject": "lake", "value": 3_600_000}]
    assert found["changes"] == {"max_age_ms": {"before": 3_600_000, "after": 300_000}}
    assert topics("policy", "test", "--job", "a/b") == 0
    assert "job:a/b" in topics.said()[0]


def test_policies_can_be_tested_without_kafka(headwater: Headwater, tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("- {subject: lake, dataset: s3://lake *, max_age: 1h}\n")
    nowhere = ("--kafka", "127.0.0.1:1")
    assert headwater(*nowhere, "policy", "test", "s3://lake/orders", "--file", str(file), "--offline") == 0
    assert "lake" in headwater.said()[0]
    assert headwater("policy", "test", "s3://lake/orders", "--offline") == 2
    assert headwater("policy", "test") == 2
    assert headwater("policy", "show") == 4
    assert "try: headwater topics create" in headwater.said()[1]


def test_of_a_wrong_file_nothing_is_applied(topics: Headwater, tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("- {dataset: a b, owner: me}\n- {dataset: a c, max_age: soon}\n")
    assert topics("policy", "apply", str(file)) == 4
    assert "p.yaml, policy 2: max_age" in topics.said()[1]
    records(topics.kafka, topics.topic("policies"), 0)


def test_alerts_are_printed_as_lines_and_as_json(topics: Headwater) -> None:
    produce(topics.kafka, topics.topic("alerts"), *(encode_alert(alert(number)) for number in range(3)))
    assert topics("tail", "alerts", "--from", "beginning", "--no-follow") == 0
    assert "FIRING    PAGE    DatasetStale  s3://lake/orders  Number 0 is stale." in topics.said()[0]
    assert topics("tail", "alerts", "--from", "-2", "--no-follow", "-o", "json") == 0
    lines = [json.loads(line) for line in topics.said()[0].splitlines()]
    assert [line["alert_id"] for line in lines] == ["a1", "a2"]
    assert lines[0]["state"] == "FIRING"


def test_max_ends_a_tail_that_follows(topics: Headwater) -> None:
    produce(topics.kafka, topics.topic("alerts"), *(encode_alert(alert(number)) for number in range(3)))
    assert topics("tail", "alerts", "--from", "beginning", "--max", "2", "-o", "json") == 0
    assert len(topics.said()[0].splitlines()) == 2


def test_bytes_that_no_one_understands_are_printed_too(topics: Headwater) -> None:
    produce(topics.kafka, topics.topic("deltas"), b"\xff\x00", None)
    assert topics("tail", "deltas", "--from", "beginning", "--no-follow") == 0
    out = topics.said()[0]
    assert "k  cannot be decoded" in out
    assert "k  taken back" in out


def test_a_dead_letter_shows_where_it_came_from_and_why(topics: Headwater) -> None:
    headers: list[tuple[str, str | bytes | None]] = [
        ("__connect.errors.topic", b"lineage.events"),
        ("__connect.errors.partition", b"3"),
        ("__connect.errors.offset", b"17"),
        ("__connect.errors.exception.message", b"not Avro"),
        ("headwater.dlq.reason", b"framing"),
    ]
    produce(topics.kafka, topics.topic("deadletter"), b"\xff\x01", headers=headers)
    assert topics("tail", "deadletter", "--from", "beginning", "--no-follow") == 0
    assert "framing  from lineage.events 3@17  not Avro  ff01" in topics.said()[0]
    assert topics("tail", "deadletter", "--from", "beginning", "--no-follow", "-o", "json") == 0
    assert json.loads(topics.said()[0])["value_base64"] == "/wE="


def test_late_events_are_decoded(topics: Headwater) -> None:
    assert (
        topics("--set", f"topic_prefix={topics.prefix}", "emit", "--job", "shop/load", "--writes", "s3://l", "x") == 0
    )
    (message,) = records(topics.kafka, topics.topic("events"), 1)
    produce(topics.kafka, topics.topic("late"), message.value())
    topics.said()
    assert topics("tail", "late", "--from", "beginning", "--no-follow", "-o", "json") == 0
    assert json.loads(topics.said()[0])["event"]["job"] == {"namespace": "shop", "name": "load"}
    assert topics("tail", "late", "--from", "beginning", "--no-follow") == 0
    assert "COMPLETE  shop/load  of 20" in topics.said()[0]


def test_a_topic_that_does_not_exist_is_named_with_the_remedy(headwater: Headwater) -> None:
    assert headwater("tail", "alerts", "--no-follow") == 4
    assert "try: headwater topics create" in headwater.said()[1]


@pytest.mark.parametrize(
    "line", ["topics create", "tail alerts --no-follow", "emit --job a/b --writes n d", "policy apply p.yaml"]
)
def test_a_kafka_that_is_away_ends_with_3(
    line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("headwater.cli.topics._TIMEOUT_S", 2.0)
    monkeypatch.setattr("headwater.cli.tail._TIMEOUT_S", 2.0)
    monkeypatch.setattr("headwater.cli.producing._REACH_S", 2.0)
    (tmp_path / "p.yaml").write_text("- {dataset: a b, owner: me}")
    assert run(["--kafka", "127.0.0.1:1", *line.split()]) == 3
    assert "127.0.0.1:1 cannot be reached" in capsys.readouterr().err


def test_deltas_are_printed_as_lines(topics: Headwater) -> None:
    from headwater_schemas.codec import encode_delta

    delta = GraphDelta("d:x", 1, Entity.DATASET, Aspect.CORE, True, 0, namespace="s3://lake", name="orders")
    produce(topics.kafka, topics.topic("deltas"), encode_delta(delta))
    assert topics("tail", "deltas", "--from", "beginning", "--no-follow") == 0
    assert "dataset core  s3://lake/orders" in topics.said()[0]
