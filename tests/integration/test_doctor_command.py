"""`headwater doctor` on a real Kafka and Redis, with settings that are wrong on purpose."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import redis
from confluent_kafka import Producer
from tests.support.doors import Door
from tests.support.processes import wait_until
from tests.support.services import KafkaService
from tests.support.state_writer import StateWriter

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


def of(found: Findings, check: str) -> list[str]:
    return [f"{one['level']}: {one['text']}" for one in found if one["check"] == check]


def test_doors_that_are_not_used_are_lines_and_no_warnings(patient: Patient) -> None:
    patient.create()
    patient.where += ["--set", f"bridge.group={patient.prefix}bridge"]
    found = patient()
    for check in ("emitters", "discover", "k8s-watch", "bridge", "cdc"):
        (line,) = of(found, check)
        assert line.startswith("ok: not used")
    assert not [line for line in of(found, "gateway") if not line.startswith("ok:")]


def test_each_door_that_is_used_is_looked_at(patient: Patient, redis_client: redis.Redis, tmp_path: Path) -> None:
    patient.create()
    group = f"{patient.prefix}bridge"
    own = [*patient.where, "--set", "metrics.port=0", "--set", f"bridge.group={group}"]
    now_us = time.time_ns() // 1_000
    heard = {
        "cdc:shop": 7_200,
        "discover:kafka://b:9092": 7_200,
        "sdk:shop/load": 2,
        "sdk:function/f": 2,
        "k8s-watch": 2,
    }
    writer = StateWriter(redis_client, "default")
    for name, age_s in heard.items():
        redis_client.zadd("{hw:default}:mz", {writer.emitter(name): now_us - age_s * 1_000_000})
    producer = Producer({"bootstrap.servers": patient.kafka.bootstrap_servers, "log_level": 0})
    producer.produce(patient.topic("openlineage"), b"{}")
    assert producer.flush(20) == 0
    with Door(tmp_path, "gateway", *patient.where, "--port", "0") as door:
        wait_until(lambda: door.ask("GET", "/readyz").status == 200, within_s=10, what="a gateway that is ready")
        assert door.post(b"no json").status == 400
        patient.where += ["--set", f"gateway.url={door.url}", "--set", f"bridge.group={group}"]
        found = patient()
        assert of(found, "gateway")[0].startswith(f"ok: the gateway at {door.url} is ready, version ")
        assert any("refused 1 request since it began: 400" in line for line in of(found, "gateway"))
    assert of(found, "bridge") == [
        f"problem: 1 document unread on {patient.topic('openlineage')}, and no bridge is in the group {group}"
    ]
    assert of(found, "cdc")[0].startswith("ok: last heard: cdc:shop 2 h ago")
    assert of(found, "discover")[0].startswith("warn: kafka://b:9092 was looked at 2 h")
    assert of(found, "sdk")[0].startswith("ok: jobs and Kafka clients with the SDK: 1 emitter, last heard")
    assert of(found, "function")[0].startswith("ok: functions: 1 emitter")
    assert of(found, "k8s-watch")[0].startswith("ok: a pod's end was last told")
    with Door(tmp_path, "bridge", *own):
        wait_until(
            lambda: "1 bridge in the group" in of(patient(), "bridge")[0], within_s=20, what="a bridge in its group"
        )
    patient.where += ["--set", "cdc.connect=http://127.0.0.1:1"]
    found = patient()
    assert of(found, "gateway")[0].startswith("problem: the gateway does not answer")
    assert of(found, "bridge")[0].startswith("warn: no bridge is in the group")
    assert of(found, "cdc")[0].startswith(
        "problem: Kafka Connect does not answer: http://127.0.0.1:1 cannot be reached"
    )


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
