"""`headwater alerts` on a real Kafka: list, show, ack, silence, unsilence."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from tests.support.services import KafkaService

from headwater.cli.reading import reading
from headwater.cli.root import run
from headwater.runtime.models import KafkaSettings
from headwater_processor.local import incidents
from headwater_schemas.alerts import Alert, AlertState, Severity
from headwater_schemas.codec import encode_alert, encode_decision, encode_policy
from headwater_schemas.decisions import Decision, DecisionKind
from headwater_schemas.policies import Policy

FIRING = Alert(
    "a1", "DatasetStale|dataset|pg://db|orders", "aaaa1111", "DatasetStale", AlertState.FIRING, Severity.PAGE,
    "dataset", "pg://db", "orders", owner="shop", summary="orders is stale.", remedy="Look.", since_us=1_000_000,
)  # fmt: skip
RESOLVED = dataclasses.replace(FIRING, alert_id="b2", incident_id="bbbb2222", state=AlertState.RESOLVED)
WATCHDOG = dataclasses.replace(FIRING, alert_id="w", incident_id="cccc3333", kind="Watchdog", fingerprint="w")


@dataclass(slots=True)
class Desk:
    """The command, and the topics that it works on."""

    kafka: KafkaService
    prefix: str
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> int:
        where = ["--kafka", self.kafka.bootstrap_servers, "--set", f"topic_prefix={self.prefix}"]
        return run([*where, "--redis", "redis://127.0.0.1:1/0", "alerts", *arguments])

    def json(self, *arguments: str) -> Any:
        self.capsys.readouterr()  # what was said before
        assert self(*arguments, "--output", "json") == 0
        return json.loads(self.capsys.readouterr().out)

    def put(self, role: str, records: Mapping[str, bytes | None]) -> None:
        producer = Producer({"bootstrap.servers": self.kafka.bootstrap_servers, "log_level": 0})
        for key, value in records.items():
            producer.produce(f"{self.prefix}{role}", value, key.encode(), 0)
        assert producer.flush(20) == 0

    def keys(self) -> dict[str, bool]:
        """Keys of the policies topic, and whether they are there now."""
        found: dict[str, bool] = {}
        with reading(self.settings(), f"{self.prefix}policies") as reader:
            for message in reader.records(reader.bounds()):
                key: Any = message.key()
                found[key.decode()] = message.value() is not None
        return found

    def settings(self) -> KafkaSettings:
        return KafkaSettings(bootstrap_servers=self.kafka.bootstrap_servers)


@pytest.fixture
def desk(
    kafka: KafkaService, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Desk:
    monkeypatch.chdir(tmp_path)
    prefix = kafka.unique("alerts") + "."
    for role in ("alerts", "policies"):
        kafka.create_topic(f"{prefix}{role}", 1)
    found = Desk(kafka, prefix, capsys)
    copies = {alert.alert_id: encode_alert(alert) for alert in (FIRING, RESOLVED, WATCHDOG)}
    found.put("alerts", {**copies, "again": encode_alert(FIRING), "gone": None, "noise": b"\x00"})
    found.put("policies", {"p": encode_policy(Policy("p", "n", "*"))})
    return found


def test_what_fires_is_listed_once_and_what_was_resolved_if_asked(desk: Desk) -> None:
    assert [one["incident_id"] for one in desk.json("list")["incidents"]] == ["aaaa1111"]
    assert len(desk.json("list", "--all")["incidents"]) == 3
    assert desk("list", "--fail") == 1


def test_an_incident_is_taken_on_and_everybody_sees_by_whom(desk: Desk) -> None:
    assert desk("ack", "aaaa", "--by", "ada", "--note", "on it", "--for", "2h") == 0
    (decision,) = desk.json("list")["incidents"][0]["decisions"]
    assert (decision["kind"], decision["by"], decision["note"]) == ("ACK", "ada", "on it")
    assert desk("list", "--fail") == 0
    assert "taken on by ada" in desk.capsys.readouterr().out


def test_one_incident_is_shown_with_commands_also_if_redis_is_away(desk: Desk) -> None:
    assert desk("show", "aaaa1111") == 0
    said = desk.capsys.readouterr()
    assert "headwater trace pg://db/orders --depth 3" in said.out
    assert "headwater alerts ack aaaa1111" in said.out
    assert "not known: Redis at" in said.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("ack", "bbbb"), 4, "was resolved already"),
        (("ack", "cccc"), 4, "Watchdog"),
        (("show", "ffff"), 4, "headwater alerts list --all"),
        (("show", "a"), 4, "at least 4 digits"),
        (("ack", "aaaa", "--for", "99d"), 2, "longer than 30d"),
        (("silence", "*", "--kind", "Watchdog", "--reason", "x"), 2, "cannot be silenced"),
        (("silence", "*", "--reason", "x", "--for", "soon"), 2, "is no duration"),
        (("unsilence", "*"), 4, "none holds"),
    ],
)
def test_what_cannot_be_decided_is_refused_with_its_reason(
    desk: Desk, arguments: tuple[str, ...], code: int, said: str
) -> None:
    assert desk(*arguments) == code
    assert said in desk.capsys.readouterr().err


def test_a_silence_holds_until_it_is_taken_back(desk: Desk) -> None:
    assert desk("silence", "pg://db/*", "--kind", "DatasetStale", "--by", "ada", "--reason", "upgrade") == 0
    assert "1 of what fires now is covered" in desk.capsys.readouterr().out
    assert desk.json("list")["silences"][0]["subject"] == "pg://db/*"
    assert desk("unsilence", "pg://db/*") == 4
    assert "headwater alerts unsilence 'pg://db/*' --kind DatasetStale" in desk.capsys.readouterr().err
    assert desk("unsilence", "pg://db/*", "--kind", "DatasetStale") == 0
    assert desk.json("list")["silences"] == []


def test_whoever_decides_next_removes_what_has_expired(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    old = Decision("decision:silence:old", DecisionKind.SILENCE, "ada", 1, 2, subject="*")
    desk.put("policies", {old.key: encode_decision(old)})
    assert desk.json("list")["silences"] == []
    assert desk("ack", "aaaa", "--by", "ada") == 0
    assert desk.keys() == {"p": True, old.key: False, "decision:ack:aaaa1111": True}
    monkeypatch.setattr(incidents, "MOST_DECISIONS", 1)
    assert desk("silence", "*", "--by", "ada", "--reason", "x") == 4
    assert "which is the limit" in desk.capsys.readouterr().err
