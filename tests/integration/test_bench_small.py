"""`headwater bench` on real services, small: the figures are there and can be true. No speed is asked for."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import pytest
import redis
from tests.support.processes import wait_until
from tests.support.services import KafkaService

EVENTS = 5_000


def command(kafka: KafkaService, redis_url: str, *arguments: str) -> list[str]:
    address = ["--kafka", kafka.bootstrap_servers, "--redis", redis_url]
    return [
        sys.executable,
        "-m",
        "headwater.cli",
        "bench",
        *address,
        "--output",
        "json",
        "--partitions",
        "4",
        *arguments,
    ]


def leftovers(kafka: KafkaService, client: redis.Redis, places: Iterable[str]) -> list[Any]:
    names = tuple(f"{place}." for place in places)
    keys = [key for place in places for key in client.scan_iter(match=f"{{hw:{place}}}:*", count=1000)]
    return keys + [name for name in kafka.admin.list_topics(timeout=10).topics if name.startswith(names)]


def places_in(said: str) -> list[str]:
    return re.findall(r"filling (\S+)\.events", said)


@pytest.fixture(scope="module")
def figures(kafka: KafkaService, redis_url: str) -> dict[str, Any]:
    asked = command(kafka, redis_url, "--events", str(EVENTS), "--workload", "both", "--latency-seconds", "4")
    ended = subprocess.run(asked, capture_output=True, timeout=240, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    return {**json.loads(ended.stdout), "said": ended.stderr.decode()}


@pytest.mark.parametrize("workload", ["narrow", "wide"])
def test_every_record_is_counted_once(figures: dict[str, Any], workload: str) -> None:
    counts = figures["workloads"][workload]["counts"]
    assert counts["applied"] + counts["dup"] == EVENTS
    assert counts["dup"] == pytest.approx(EVENTS / 11, rel=0.2)
    assert counts["bad"] == counts["late"] == counts["future"] == counts["undeduped"] == 0


@pytest.mark.parametrize("workload", ["narrow", "wide"])
def test_the_seconds_can_be_true(figures: dict[str, Any], workload: str) -> None:
    found = figures["workloads"][workload]
    assert 0 < found["worker_cpu_seconds_to_applied"] <= found["worker_cpu_seconds"]
    assert found["worker_cpu_seconds"] < found["wall_seconds"] * figures["cpus"]
    assert 0 < found["wall_seconds_to_applied"] <= found["wall_seconds"]
    assert found["redis_cpu_seconds"] > 0
    assert found["events_per_cpu_second"] == pytest.approx(EVENTS / found["worker_cpu_seconds"], rel=0.05)
    assert {"consume", "decode", "plan", "apply", "publish", "judge", "letters_wait"} == set(found["stage_seconds"])
    assert {"hw-engine", "hw-shards"} <= set(found["thread_cpu_seconds"])


@pytest.mark.parametrize(("workload", "least", "most"), [("narrow", 200, 300), ("wide", 500, 700)])
def test_the_sizes_can_be_true(figures: dict[str, Any], workload: str, least: int, most: int) -> None:
    found = figures["workloads"][workload]
    assert least < found["event_bytes"] < most
    assert found["peak_rss_bytes"] > 30_000_000
    assert found["redis"]["seen_ids"] == found["counts"]["applied"]
    assert 8 <= found["redis"]["bytes_per_seen_id"] < 64
    assert found["redis"]["used_memory_bytes"] > found["redis"]["seen_bytes"]


@pytest.mark.parametrize("workload", ["narrow", "wide"])
def test_every_proof_of_a_write_is_seen_on_the_deltas(figures: dict[str, Any], workload: str) -> None:
    latency = figures["workloads"][workload]["latency"]
    assert latency["not_seen"] == 0
    assert latency["samples"] > 500
    assert 0 < latency["p50_ms"] <= latency["p99_ms"] <= latency["p99_9_ms"] <= latency["max_ms"]


def test_nothing_is_left_behind(figures: dict[str, Any], kafka: KafkaService, redis_url: str) -> None:
    places = places_in(figures["said"])
    assert len(places) == 2
    with redis.Redis.from_url(redis_url) as client:
        wait_until(lambda: not leftovers(kafka, client, places), within_s=20, what="topics and keys are gone")


def test_an_interrupted_benchmark_cleans_up_and_says_130(kafka: KafkaService, redis_url: str) -> None:
    asked = command(kafka, redis_url, "--events", "200000", "--workload", "narrow")
    with (
        subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running,
        redis.Redis.from_url(redis_url) as client,
    ):
        try:
            assert running.stderr is not None
            places = places_in(running.stderr.readline().decode())
            assert leftovers(kafka, client, places)
            running.send_signal(signal.SIGINT)
            stdout, stderr = running.communicate(timeout=60)
        finally:
            running.kill()
        assert running.returncode == 130, stderr.decode()
        assert stdout == b""
        wait_until(lambda: not leftovers(kafka, client, places), within_s=20, what="topics and keys are gone")
