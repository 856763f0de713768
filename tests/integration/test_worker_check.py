"""What a worker looks at before its start, on a real Kafka and Redis; the same for one, for several, and under plain Faust."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
import redis
from tests.support.services import KafkaService

HEADWATER: Final = (sys.executable, "-m", "headwater.cli")
WAYS: Final = {
    "check": (*HEADWATER, "worker", "--check"),
    "one": (*HEADWATER, "worker"),
    "several": (*HEADWATER, "worker", "--processes", "2"),
    "faust": (sys.executable, "-m", "faust", "-A", "headwater_processor.adapters.faust_app", "worker"),
}


@pytest.fixture
def where(kafka: KafkaService, redis_db: str, tmp_path: Path) -> dict[str, str]:
    """The environment of a worker that has a Kafka and a Redis, and no topics yet."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_")}
    for name in ("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "HOME"):
        bare[name] = str(tmp_path)
    return bare | {
        "HEADWATER_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "HEADWATER_REDIS__URL": redis_db,
        "HEADWATER_TOPIC_PREFIX": kafka.unique("check") + ".",
    }


def done(way: str, where: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """What becomes of a worker."""
    return subprocess.run(WAYS[way], env=where, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("way", WAYS)
def test_without_topics_no_worker_starts_and_one_error_names_the_command_that_makes_them(
    way: str, where: dict[str, str], tmp_path: Path
) -> None:
    found = done(way, where, tmp_path)
    assert found.returncode == 4, found.stderr
    assert found.stderr.count("error: ") == 1
    assert "headwater topics create" in found.stderr


@pytest.mark.parametrize("way", WAYS)
def test_a_redis_that_may_forget_is_refused_with_one_error(
    way: str, where: dict[str, str], redis_client: redis.Redis, tmp_path: Path
) -> None:
    redis_client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        found = done(way, where, tmp_path)
    finally:
        redis_client.config_set("maxmemory-policy", "noeviction")
    assert found.returncode == 4, found.stderr
    assert found.stderr.count("error: ") == 1
    assert "noeviction" in found.stderr


def test_where_all_is_well_the_check_says_so_and_ends(
    kafka: KafkaService, where: dict[str, str], tmp_path: Path
) -> None:
    kafka.create_topic(f"{where['HEADWATER_TOPIC_PREFIX']}events", 2)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    found = done("check", where | {"TMPDIR": str(temporary)}, tmp_path)
    assert (found.returncode, found.stderr) == (0, "")
    assert list(temporary.iterdir()) == []
    assert "as they must be" in found.stdout
    other = done("several", where | {"HEADWATER_PROCESSOR__SHARDS": "4"}, tmp_path)
    assert other.returncode == 4
    assert other.stderr.count("error: ") == 1
    assert "16 shards" in other.stderr
