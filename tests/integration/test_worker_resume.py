"""`headwater worker resume` on a real Redis and a Kafka: it lets go on what can, and refuses what would stop again at once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from confluent_kafka import Producer
from tests.support.services import KafkaService

from headwater.cli.root import run
from headwater_processor.core import stops


@dataclass(slots=True)
class Stopped:
    """Partition 0 of a topic with five records, stopped."""

    arguments: list[str]
    client: redis.Redis
    key: str

    def stop(self, reason: str, following: int | None) -> None:
        """As a worker leaves it."""
        fields = {"stopped": reason, "stopped_at": "1"} | ({} if following is None else {"next": str(following)})
        self.client.hset(self.key, mapping=fields)  # type: ignore[arg-type]  # redis-py's mapping is invariant

    def resume(self, *more: str) -> int:
        """The exit code of the command."""
        return run(["worker", "resume", "0", *self.arguments, *more])

    def fence(self) -> dict[bytes, bytes]:
        """What Redis has."""
        stored: Any = self.client.hgetall(self.key)
        return dict(stored)


@pytest.fixture
def stopped(
    kafka: KafkaService, redis_db: str, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Stopped:
    monkeypatch.chdir(tmp_path)
    prefix = kafka.unique("resume") + "."
    kafka.create_topic(f"{prefix}events")
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    for _ in range(5):
        producer.produce(f"{prefix}events", b"x")
    assert producer.flush(20) == 0
    where = ["--kafka", kafka.bootstrap_servers, "--redis", redis_db, "--set", f"topic_prefix={prefix}"]
    return Stopped(where, redis_client, "{hw:default}:f:0")


def test_bad_records_that_are_there_pass(stopped: Stopped, capsys: pytest.CaptureFixture[str]) -> None:
    stopped.stop("more than 5% of the records of partition 0 before offset 3 cannot be read", 2)
    assert stopped.resume() == 0
    assert stopped.fence() == {b"next": b"2", b"pass_bad_until": b"5"}
    assert "bad records before offset 5" in capsys.readouterr().out


def test_what_was_done_is_told_to_programs(stopped: Stopped, capsys: pytest.CaptureFixture[str]) -> None:
    stopped.stop("bad", 2)
    assert stopped.resume("--output", "json") == 0
    told = {"partition": 0, "was_stopped": "bad", "goes_on_at": 2, "bad_pass_until": 5}
    assert json.loads(capsys.readouterr().out) == told


def test_lost_state_is_not_passed_over_in_silence(stopped: Stopped, capsys: pytest.CaptureFixture[str]) -> None:
    stopped.stop(stops.empty_state(0, 4), None)
    assert stopped.resume() == 4
    assert "headwater worker resume 0 --skip-lost" in capsys.readouterr().err
    assert b"stopped" in stopped.fence()
    assert stopped.resume("--skip-lost") == 0
    assert stopped.fence() == {b"next": b"0", b"pass_bad_until": b"5"}


def test_a_state_that_is_ahead_of_its_log_cannot_go_on(stopped: Stopped, capsys: pytest.CaptureFixture[str]) -> None:
    stopped.stop(stops.state_ahead(9, 5), 9)
    assert stopped.resume("--skip-lost") == 4
    said = capsys.readouterr().err
    assert "the log ends at 5" in said
    assert "processor.on_empty_state=earliest" in said
    assert stopped.fence()[b"next"] == b"9"


def test_what_is_not_stopped_cannot_be_resumed(stopped: Stopped, capsys: pytest.CaptureFixture[str]) -> None:
    assert stopped.resume() == 4
    assert "headwater status  # names those that are" in capsys.readouterr().err


def test_a_partition_that_does_not_exist_is_named(stopped: Stopped, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["worker", "resume", "7", *stopped.arguments]) == 4
    assert "has partitions 0 to 0" in capsys.readouterr().err
