"""What the figures were measured on: a figure without its machine says nothing."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import confluent_kafka
import redis
from confluent_kafka.admin import AdminClient

from headwater import __version__
from headwater.runtime.kafka import client_config
from headwater.runtime.models import Settings
from headwater_processor.core import batch

_TIMEOUT_S: Final = 10.0


def is_compiled() -> bool:
    """Whether the hot path is compiled (processor/decisions/0008): the worker runs the same files as we do."""
    return not str(batch.__file__).endswith(".py")


def machine_facts() -> dict[str, Any]:
    """Machine, system and libraries: what can be said without a service."""
    load = os.getloadavg()
    return {
        "cpu": cpu_model(_read("/proc/cpuinfo")) or platform.processor() or platform.machine(),
        "cpus": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "load_before": [round(each, 2) for each in load],
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "headwater": __version__,
        "compiled": is_compiled(),
        "librdkafka": confluent_kafka.libversion()[0],
        "confluent-kafka": confluent_kafka.version(),
        "redis-py": redis.__version__,
    }


def service_facts(settings: Settings, client: redis.Redis) -> dict[str, Any]:
    """What Redis and Kafka say of themselves. Raises RedisError."""
    return {"redis": redis_version(client.info("server")), "kafka": _kafka(settings)}


def redis_version(said: Mapping[str, Any]) -> str:
    """Name and version out of `INFO server`: Valkey calls itself Redis 7.2 for the sake of old clients."""
    if "valkey_version" in said:
        return f"Valkey {said['valkey_version']}"
    return f"Redis {said.get('redis_version', 'of unknown version')}"


def cpu_model(cpuinfo: str) -> str:
    """The name of the first processor; empty where it has none (ARM)."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return ""


def _kafka(settings: Settings) -> str:
    """Brokers tell clients which requests they know, and not their version."""
    brokers = len(AdminClient(client_config(settings.kafka)).list_topics(timeout=_TIMEOUT_S).brokers)
    return f"{brokers} broker{'' if brokers == 1 else 's'} (Kafka does not tell clients its version)"


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
