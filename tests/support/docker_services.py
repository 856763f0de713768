"""The same two services from Docker through testcontainers, on machines where a daemon answers."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from collections.abc import Callable

from tests.support.processes import free_port, wait_until

KAFKA_IMAGE = "apache/kafka:4.2.0"
REDIS_IMAGE = "redis:7.4-alpine"


def docker_answers() -> bool:
    """True if there is a docker command and its daemon answers within ten seconds."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    try:
        return subprocess.run([docker, "info"], capture_output=True, timeout=10, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def start_redis() -> tuple[str, Callable[[], None]]:
    """(url, close) of a fresh Redis."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from testcontainers.core.container import DockerContainer

    port = free_port()
    command = "redis-server --save '' --appendonly no --maxmemory-policy noeviction"
    container = DockerContainer(REDIS_IMAGE).with_command(command).with_bind_ports(6379, port)
    container.start()
    url = f"redis://{container.get_container_host_ip()}:{port}/0"
    _wait(lambda: _redis_answers(url), container.stop, "Redis in Docker")
    return url, container.stop


def start_kafka(settings: dict[str, str]) -> tuple[str, Callable[[], None]]:
    """(bootstrap servers, close) of a fresh one-node Kafka with these server settings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from testcontainers.core.container import DockerContainer

    port = free_port()
    container = DockerContainer(KAFKA_IMAGE).with_bind_ports(9092, port)
    address = f"{container.get_container_host_ip()}:{port}"
    listeners = {
        "controller.quorum.voters": "1@localhost:9093",
        "listeners": "PLAINTEXT://0.0.0.0:9092,CONTROLLER://localhost:9093",
        "advertised.listeners": f"PLAINTEXT://{address}",
    }
    # The image turns KAFKA_A_B into a.b; giving one such variable replaces the whole default file, so all are given.
    for key, value in (settings | listeners).items():
        container.with_env("KAFKA_" + key.upper().replace(".", "_"), value)
    container.start()
    _wait(lambda: _kafka_answers(address), container.stop, "Kafka in Docker")
    return address, container.stop


def _wait(condition: Callable[[], bool], close: Callable[[], None], what: str) -> None:
    try:
        wait_until(condition, within_s=90, what=what, pause_s=0.25)
    except TimeoutError:
        close()
        raise


def _redis_answers(url: str) -> bool:
    import redis

    client = redis.Redis.from_url(url)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def _kafka_answers(address: str) -> bool:
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    try:
        return bool(AdminClient({"bootstrap.servers": address, "log_level": 0}).list_topics(timeout=5).brokers)
    except KafkaException:
        return False
