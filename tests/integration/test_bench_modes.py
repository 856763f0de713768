"""The modes of `headwater bench` on real services, tiny: each ends with figures that can be true, and a report."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from tests.support.services import KafkaService

EVENTS = 2_000


@pytest.fixture(scope="module")
def report(kafka: KafkaService, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """Rebuild and SDK of one run: the document, and the report's text."""
    path = tmp_path_factory.mktemp("bench") / "report.md"
    address = ["--kafka", kafka.bootstrap_servers, "--redis", redis_url]
    small = ["--events", str(EVENTS), "--partitions", "2", "--datasets", "50", "--emits", "200", "--workload", "cdc"]
    benchmark = [sys.executable, "-m", "tests.support.run_bench"]  # as `make bench` does
    command = [*benchmark, "rebuild", "sdk", *address, *small]
    ended = subprocess.run([*command, "--report", str(path)], capture_output=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    assert b"Rebuild" in ended.stdout
    return json.loads(path.with_suffix(".json").read_text(encoding="utf-8")), path.read_text(encoding="utf-8")


def test_a_state_is_built_again_from_the_whole_topic(report: tuple[dict[str, Any], str]) -> None:
    rebuilt = report[0]["rebuild"]
    assert rebuilt["counts"]["applied"] + rebuilt["counts"]["dup"] == EVENTS
    assert rebuilt["events_per_cpu_second_with_redis"] <= rebuilt["events_per_cpu_second"]


def test_the_sdk_is_timed_into_memory_and_into_kafka(report: tuple[dict[str, Any], str]) -> None:
    sdk = report[0]["sdk"]
    assert set(sdk["emit"]) == {"memory", "kafka", "kafka, 1000/s"}
    assert all(0 < each["p50_us"] <= each["p99_us"] <= each["max_us"] for each in sdk["emit"].values())
    assert sdk["dropped"] == 0
    assert 0 < sdk["import_ms"]["headwater"] < sdk["import_ms"]["headwater.emitter"]


def test_the_report_names_the_machine_and_holds_goals_against_figures(report: tuple[dict[str, Any], str]) -> None:
    document, text = report
    assert document["machine_facts"]["redis"].startswith(("Redis", "Valkey"))
    assert [line["figure"] for line in document["goals"]] == ["rebuild, events per CPU second, worker and Redis"]
    assert all(f"## {title}" in text for title in ("Machine", "Run", "Rebuild", "SDK", "Goals"))
