"""`headwater deadletter` on a real Kafka: list, show, replay; interrupted and again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from tests.support.services import KafkaService

from headwater.cli import replaying
from headwater.cli.root import run
from headwater_schemas.codec import encode_single_object, own_schema
from headwater_schemas.events import EventType, LineageEvent, Name

EVENT = LineageEvent(
    event_id=bytes(range(16)), event_time_us=1_790_000_000_000_000, event_type=EventType.COMPLETE, run_id=bytes(16),
    job=Name("airflow", "load"),
)  # fmt: skip
GOOD = encode_single_object(EVENT)


@dataclass(slots=True)
class Desk:
    """The command, and the topics that it works on."""

    kafka: KafkaService
    prefix: str
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> int:
        where = ["--kafka", self.kafka.bootstrap_servers, "--set", f"topic_prefix={self.prefix}"]
        return run([*where, "deadletter", *arguments])

    def json(self, *arguments: str) -> Any:
        self.capsys.readouterr()  # what was said before
        assert self(*arguments, "--output", "json") == 0
        return json.loads(self.capsys.readouterr().out)

    def write(self, source_offset: int, value: bytes | None, *, reason: str = "unknown_schema") -> None:
        """A letter, as the worker writes it; its record came with a header of Kafka Connect already."""
        headers: list[tuple[str, str | bytes | None]] = [
            ("trace", b"\x00\xff"),
            ("__connect.errors.topic", "of-somebody-else"),
            ("__connect.errors.topic", f"{self.prefix}events"),
            ("__connect.errors.partition", "1"),
            ("__connect.errors.offset", str(source_offset)),
            ("__connect.errors.connector.name", "headwater"),
            ("__connect.errors.exception.message", "why\x1b[31m"),
            ("headwater.dlq.reason", reason),
        ]
        producer = Producer({"bootstrap.servers": self.kafka.bootstrap_servers, "log_level": 0})
        producer.produce(f"{self.prefix}deadletter", value, b"the key", 0, headers=headers)
        assert producer.flush(20) == 0

    def events(self) -> list[Message]:
        """What is on the events topic."""
        topic = f"{self.prefix}events"
        where = {"bootstrap.servers": self.kafka.bootstrap_servers, "group.id": "looking", "log_level": 0}
        consumer = Consumer({**where, "auto.offset.reset": "earliest"})
        found: list[Message] = []
        for number in (0, 1):
            end = consumer.get_watermark_offsets(TopicPartition(topic, number), 10)[1]
            consumer.assign([TopicPartition(topic, number, 0)])
            mine: list[Message] = []
            while len(mine) < end:
                mine += consumer.consume(100, 1.0)
            found += mine
        consumer.close()
        return found


@pytest.fixture
def desk(
    kafka: KafkaService, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Desk:
    monkeypatch.chdir(tmp_path)
    prefix = kafka.unique("dead") + "."
    for role, partitions in (("events", 2), ("deadletter", 1), ("schemas", 1)):
        kafka.create_topic(f"{prefix}{role}", partitions)
    return Desk(kafka, prefix, capsys)


def test_letters_are_counted_by_reason_and_the_filters_choose(desk: Desk) -> None:
    assert desk.json("list")["letters"] == 0
    desk.write(5, GOOD)
    desk.write(6, None, reason="empty")
    found = desk.json("list")
    assert (found["letters"], found["by_reason"]) == (2, {"unknown_schema": 1, "empty": 1})
    assert [row["letter"] for row in found["newest"]] == ["0:0", "0:1"]
    assert desk.json("list", "--reason", "empty")["newest"][0]["source"] == f"{desk.prefix}events/1:6"
    assert desk.json("list", "--offsets", "1-9")["letters"] == 1
    assert desk.json("list", "--source-partition", "0")["letters"] == 0
    assert desk.json("list", "--until", "1h")["letters"] == 0


def test_a_letter_is_shown_without_its_control_characters(desk: Desk) -> None:
    desk.write(5, GOOD[:-40])
    assert desk("show", "0:0") == 0
    said = desk.capsys.readouterr().out
    assert "\x1b" not in said
    assert f"{desk.prefix}events/1:5" in said
    assert "why\\x1b[31m" in said
    assert "truncated" in said
    assert "field run_id" in said
    assert own_schema().fingerprint.hex() in said
    assert desk("show", "0:7") == 4
    assert "it holds offsets 0 to 0" in desk.capsys.readouterr().err


def test_a_replay_sends_the_record_as_it_was_once(desk: Desk) -> None:
    desk.write(5, GOOD)
    desk.write(5, GOOD)  # as a crash leaves it
    desk.write(6, b"noise")
    dry = desk.json("replay", "--dry-run")
    assert (dry["would_be_sent"], dry["left"]["twice"], dry["left"]["unreadable"]) == (1, 1, 1)
    assert desk.events() == []
    assert desk.json("replay", "--yes")["sent"] == 1
    (event,) = desk.events()
    assert (event.key(), event.value(), event.partition()) == (b"the key", GOOD, 1)
    headers: Any = event.headers()
    assert headers[:2] == [("trace", b"\x00\xff"), ("__connect.errors.topic", b"of-somebody-else")]
    assert dict(headers[2:])["headwater.replayed.letter"] == f"{desk.prefix}deadletter/0/0".encode()
    assert len(headers) == 5
    second = desk.json("replay", "--yes")
    assert (second["would_be_sent"], second["left"]["replayed"]) == (0, 2)
    assert desk.json("list")["replayed"] == 2
    assert desk.json("list")["letters"] == 3  # the receipt is none
    assert desk.json("replay", "--yes", "--again")["sent"] == 1
    assert run(["--kafka", desk.kafka.bootstrap_servers, "--set", f"topic_prefix={desk.prefix}",
                "tail", "deadletter", "--from", "beginning", "--no-follow"]) == 0  # fmt: skip
    assert "letters 0-1 of this partition were replayed" in desk.capsys.readouterr().out


def test_an_interrupted_replay_goes_on_with_the_rest(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for offset in range(4):
        desk.write(offset, GOOD)
    send = replaying.Replay.send
    sent: list[Any] = []

    def interrupted(self: replaying.Replay, letter: Any) -> None:
        if len(sent) == 2:
            raise KeyboardInterrupt
        sent.append(letter)
        send(self, letter)

    monkeypatch.setattr(replaying.Replay, "send", interrupted)
    assert desk("replay", "--yes") == 130
    said = desk.capsys.readouterr()
    assert "2 letters sent" in said.out
    assert "the same command again" in said.err
    monkeypatch.undo()
    assert desk.json("replay", "--yes")["sent"] == 2
    assert len(desk.events()) == 4


def test_nobody_is_asked_where_nobody_is(desk: Desk) -> None:
    desk.write(5, GOOD)
    assert desk("replay") == 2
    assert "add --yes" in desk.capsys.readouterr().err
    assert desk.events() == []
