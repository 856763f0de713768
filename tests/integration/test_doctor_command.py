"""`headwater doctor` on a real Kafka and Redis, with settings that are wrong on purpose."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import redis
from confluent_kafka import Producer
from tests.support.services import KafkaService

from headwater.cli.root import run
from headwater_processor.core import stops
from headwater_schemas.topics import catalogue

Findings = list[dict[str, Any]]


class Patient:
    """An installation, and the doctor's findings of it."""

    def __init__(self, kafka: KafkaService, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.kafka = kafka
        self.prefix = kafka.unique("doctor") + "."
        self.where = ["--kafka", kafka.bootstrap_servers, "--redis", url, "--set", f"topic_prefix={self.prefix}"]
        self.where += ["--set", f"processor.group={self.prefix}"]
        self._capsys = capsys

    def __call__(self, *arguments: str, code: int = 0) -> Findings:
        assert run([*self.where, "doctor", *arguments, "--output", "json"]) == code
        found: Findings = json.loads(self._capsys.readouterr().out)["findings"]
        return found

    def create(self) -> None:
        """Its topics, as `headwater topics create` makes them."""
        assert run([*self.where, "topics", "create", "--partitions", "2"]) == 0
        self._capsys.readouterr()

    def topic(self, role: str) -> str:
        return catalogue(self.prefix)[role].name


@pytest.fixture
def patient(
    kafka: KafkaService, redis_db: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Patient:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    return Patient(kafka, redis_db, capsys)


def problems(found: Findings) -> dict[str, list[str]]:
    by_check: dict[str, list[str]] = {}
    for one in found:
        if one["level"] == "problem":
            by_check.setdefault(one["check"], []).append(one["text"])
    return by_check


def test_without_topics_each_is_named_with_the_command_that_makes_them(patient: Patient) -> None:
    found = patient("--fail", code=1)
    missing = [one for one in found if one["check"] == "topics"]
    assert len(missing) == len(catalogue())
    assert {one["remedy"] for one in missing} == {"headwater topics create"}


def test_an_installation_without_workers_lacks_only_workers_and_production_lacks_more(patient: Patient) -> None:
    patient.create()
    found = patient()
    assert problems(found) == {"group": [f"no worker is in the consumer group {patient.prefix}"]}
    assert {"kafka", "topics", "rights", "schemas", "redis", "memory", "clock", "kafka clock", "state"} <= {
        one["check"] for one in found
    }
    more = problems(patient("--production", "--fail", code=1))
    assert any("at least 3 are needed" in text for text in more["replication"])
    assert any("not encrypted" in text for text in more["kafka"])
    assert any("no AUTH" in text for text in more["redis"])


def test_what_was_set_wrong_on_purpose_is_found(patient: Patient, redis_client: redis.Redis) -> None:
    kafka = patient.kafka
    kafka.create_topic(patient.topic("events"), 2, {"message.timestamp.type": "CreateTime", "retention.ms": "60000"})
    kafka.create_topic(patient.topic("deltas"), 1, {"cleanup.policy": "delete"})
    kafka.create_topic(patient.topic("schemas"))
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    producer.produce(patient.topic("schemas"), b'{"type": "record"}', b"0011223344556677")
    producer.produce(patient.topic("events"), b"of later", timestamp=int((time.time() + 1800) * 1000))
    assert producer.flush(20) == 0
    fence = {"next": "1", "mx": "1", "stopped": stops.bad_records(1, 3, 0.05)}
    redis_client.hset("{hw:default}:meta", mapping={"layout": "1", "shards": "4", "partitions": "2", "born_us": "1"})
    redis_client.hset("{hw:default}:f:1", mapping=fence)  # type: ignore[arg-type]  # redis-py's mapping is invariant
    redis_client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        found = patient()
    finally:
        redis_client.config_set("maxmemory-policy", "noeviction")
    told = problems(found)
    assert any("message.timestamp.type=CreateTime" in text for text in told["topics"])
    assert any("retention.ms=60000" in text for text in told["topics"])
    assert any("deltas has cleanup.policy=delete" in text for text in told["topics"])
    assert any("maxmemory-policy allkeys-lru" in text for text in told["redis"])
    assert any("4 shards and the settings say 16" in text for text in told["state"])
    assert any("partition 1 is stopped" in text for text in told["as-of"])
    assert any("ahead of this machine" in text for text in told["kafka clock"])
    assert any(one["level"] == "warn" and "0011223344556677" in one["text"] for one in found)
    remedies = {one["remedy"] for one in found if one["check"] == "as-of"}
    assert any("headwater worker resume 1" in remedy for remedy in remedies)


def test_another_layout_is_named(patient: Patient, redis_client: redis.Redis) -> None:
    redis_client.hset("{hw:default}:meta", mapping={"layout": "99"})
    assert any("has layout 99" in text for text in problems(patient())["state"])


def test_of_a_half_broken_installation_the_rest_is_reported(patient: Patient) -> None:
    patient.where += ["--redis", "redis://127.0.0.1:1/0", "--set", "registry.url=http://127.0.0.1:1"]
    found = patient("--timeout", "6", code=3)
    assert any("cannot be used now" in text for text in problems(found)["redis"])
    assert any("does not answer" in text for text in problems(found)["registry"])
    assert [one["text"] for one in found if one["check"] == "state"] == ["not looked at: redis cannot be reached"]
    assert any(one["check"] == "kafka" and one["level"] == "ok" for one in found)
    patient.where += ["--kafka", "127.0.0.1:1"]
    assert {"kafka", "redis", "registry"} <= problems(patient("--timeout", "1", code=3)).keys()
