"""What the doctor says of what it finds, and that one check that fails hides no other."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from headwater.errors import BrokerUnavailable
from headwater.runtime.models import DoorsSettings, RedisSettings, Settings
from headwater_processor.core import stops
from headwater_processor.local.doctor.findings import Check, Finding, Level, Noting, findings
from headwater_processor.local.doctor.of_names import of_names
from headwater_processor.local.doctor.of_redis import of_clock, of_memory, of_server, production, redis_cli
from headwater_processor.local.doctor.of_state import of_partitions
from headwater_processor.local.doctor.topic_settings import Found, compare
from headwater_processor.local.doctor.topic_settings import production as production_of_topic
from headwater_processor.state.values import PartitionState
from headwater_schemas.topics import TOPICS

GOOD: dict[str, Any] = {
    "redis_version": "7.0.1", "role": "master", "maxmemory_policy": "noeviction", "aof_enabled": 1,
    "used_memory": 10, "maxmemory": 100,
}  # fmt: skip
EVENTS = TOPICS["events"]
DAY_MS = 86_400_000


def levels(found: Iterator[Finding] | list[Finding]) -> list[str]:
    return [one.level.value for one in found]


def said(found: Iterator[Finding] | list[Finding]) -> str:
    return "\n".join(f"{one.level.value} {one.text} {one.remedy}" for one in found)


def test_a_check_that_raises_or_hangs_hides_no_other() -> None:
    forever = threading.Event()

    def raises() -> Iterator[Finding]:
        yield Noting("one").ok("first")
        raise ZeroDivisionError("oops")

    def hangs() -> Iterator[Finding]:
        forever.wait()
        yield Noting("two").ok("never")

    checks = [
        Check("one", raises),
        Check("two", hangs),
        Check("three", lambda: [Noting("three").ok("fine")], "one"),
        Check("four", lambda: [Noting("four").ok("never")], "two"),
    ]
    made = list(findings(checks, 0.2, lambda error: error))
    forever.set()
    assert [(one.check, one.level) for one in made] == [
        ("one", Level.OK), ("one", Level.WARN), ("two", Level.PROBLEM), ("three", Level.OK), ("four", Level.WARN),
    ]  # fmt: skip
    assert made[2].unreachable
    assert "two cannot be reached" in made[4].text


def test_what_is_away_is_a_problem_with_its_remedy() -> None:
    def away() -> list[Finding]:
        raise BrokerUnavailable("nobody there", remedy="go and look")

    (made,) = findings([Check("kafka", away)], 1, lambda error: error)
    assert (made.level, made.text, made.remedy, made.unreachable) == (
        Level.PROBLEM, "nobody there", "go and look", True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value", "level"),
    [
        ("cleanup.policy", "compact", "problem"),
        ("message.timestamp.type", "CreateTime", "problem"),
        ("max.message.bytes", "1000", "problem"),
        ("retention.ms", str(2 * DAY_MS), "warn"),
        ("retention.ms", "1000", "problem"),
        ("retention.ms", "-1", "ok"),
        ("retention.ms", str(99 * DAY_MS), "ok"),
        ("segment.bytes", "1", "ok"),
    ],
)
def test_a_setting_that_differs_is_as_bad_as_what_it_costs(key: str, value: str, level: str) -> None:
    found = list(compare(EVENTS, Found(12, {**EVENTS.config, key: value}), "b:9092", DAY_MS))
    assert levels(found) == [level]
    if level != "ok":
        assert found[0].remedy == (
            "kafka-configs.sh --bootstrap-server b:9092 --alter --entity-type topics --entity-name lineage.events "
            f"--add-config {key}={EVENTS.config[key]}"
        )


def test_a_topic_that_is_missing_is_a_problem_but_for_the_one_that_not_everybody_needs() -> None:
    assert "problem lineage.events does not exist headwater topics create" in said(compare(EVENTS, None, "b", DAY_MS))
    assert levels(compare(TOPICS["openlineage"], None, "b", DAY_MS)) == ["warn"]
    hidden = said(compare(EVENTS, Found(0, None, hidden=True), "b", DAY_MS))
    assert "problem we may not see lineage.events kafka-acls.sh" in hidden
    assert "DescribeConfigs --topic lineage.events" in said(compare(EVENTS, Found(1, None), "b", DAY_MS))


def test_production_wants_three_replicas_of_which_two_have_it() -> None:
    assert levels(production_of_topic(EVENTS, Found(12, {"min.insync.replicas": "2"}, 3), "b")) == []
    bad = {"min.insync.replicas": "1", "unclean.leader.election.enable": "true"}
    assert levels(production_of_topic(EVENTS, Found(12, bad, 1), "b")) == ["problem"] * 3


def test_a_redis_that_is_as_it_must_be_is_well() -> None:
    assert levels(of_server(GOOD, "redis://r")) == ["ok"]
    assert levels(of_memory(GOOD, "redis://r")) == ["ok"]
    kept = Settings(redis=RedisSettings(url="rediss://:secret@r:6379/0"))
    assert levels(production(GOOD, kept)) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"redis_version": "5.0.14"}, "problem Redis 5.0.14 at redis://r is older"),
        ({"role": "slave"}, "problem it is a replica"),
        ({"maxmemory_policy": "allkeys-lru"}, "redis-cli -h r -p 6379 CONFIG SET maxmemory-policy noeviction"),
        ({"maxmemory_policy": None}, "warn it does not say"),
        ({"aof_enabled": 0}, "warn neither AOF nor a replica"),
        ({"aof_last_write_status": "err"}, "problem its last write to disk failed"),
    ],
)
def test_what_is_wrong_with_a_redis_is_said(changed: dict[str, Any], words: str) -> None:
    assert words in said(of_server({**GOOD, **changed}, "redis://r"))


def test_production_wants_redis_closed_encrypted_durable_and_bounded() -> None:
    open_ = list(production({**GOOD, "aof_enabled": 0, "maxmemory": 0}, Settings()))
    assert levels(open_) == ["problem", "problem", "problem", "warn"]


@pytest.mark.parametrize(
    ("url", "command"),
    [
        ("redis://h:7000/3", "redis-cli -h h -p 7000"),
        ("rediss://u:hush@h", "redis-cli --tls --askpass -h h -p 6379"),
        ("unix:///run/r.sock", "redis-cli -s /run/r.sock"),
    ],
)
def test_a_remedy_asks_the_same_redis_and_names_no_password(url: str, command: str) -> None:
    assert redis_cli(url) == command


@pytest.mark.parametrize(("used", "level"), [(79, "ok"), (80, "warn"), (95, "problem")])
def test_memory_is_told_before_it_is_full(used: int, level: str) -> None:
    assert levels(of_memory({"used_memory": used, "maxmemory": 100}, "redis://r")) == [level]


def test_memory_without_a_limit_is_held_against_the_machine() -> None:
    assert levels(of_memory({"used_memory": 96, "maxmemory": 0, "total_system_memory": 100}, "redis://r")) == [
        "problem"
    ]
    assert levels(of_memory({"used_memory": 96}, "redis://r")) == ["warn"]


@pytest.mark.parametrize(
    ("redis_us", "level"),
    [(1_500, "ok"), (900_000, "ok"), (3_000_000, "warn"), (-3_000_000, "warn"), (99_000_000, "problem")],
)
def test_clocks_that_differ_are_told_by_how_much(redis_us: int, level: str) -> None:
    assert levels(of_clock(redis_us, 1_000, 2_000)) == [level]


def test_a_stopped_partition_comes_with_the_command_that_fits() -> None:
    good = PartitionState(0, as_of_us=100_000_000, watermark_us=1)
    stopped = dataclasses.replace(good, partition=1, stopped=stops.lost_records(1, 5))
    slow = dataclasses.replace(good, partition=2, as_of_us=1)
    told = said(of_partitions([good, stopped, slow], 100_000_000, 60_000_000))
    assert "headwater worker resume 1 --skip-lost" in told
    assert "as-of of partition 2 is" in told
    assert levels(of_partitions([good], 100_000_000, 60_000_000)) == ["ok"]
    assert levels(of_partitions([good, PartitionState(3)], 100_000_000, 60_000_000)) == ["warn"]


def test_the_rules_for_names_are_told_and_those_that_are_off() -> None:
    usual = list(of_names(DoorsSettings()))
    assert levels(usual) == ["ok", "ok", "ok"]
    assert "fold partition, part_file, date" in said(usual)
    given = DoorsSettings(environment="staging", fold_off=("uuid",), namespaces={"a://b": "c://d"}, join_clusters=False)
    found = list(of_names(given))
    assert levels(found) == ["ok", "warn", "ok", "ok", "warn"]
    told = said(found)
    for words in (
        "do not fold uuid",
        "namespace a://b is c://d",
        "marked staging+",
        "addresses of one Kafka are not joined",
    ):
        assert words in told
