"""Real Kafka and real Redis for tests: where they come from, in which order, and what was used in the end.

Order: an address from the environment, Docker, a local process, else `ServiceMissingError`. As a program,
`python -m tests.support.services kafka|redis` runs one in the foreground and prints its address.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import sys
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import redis
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from tests.support import docker_services
from tests.support.kafka_server import SERVER_SETTINGS, KafkaServer
from tests.support.processes import wait_until
from tests.support.redis_server import RedisServer

__all__ = [
    "KafkaServer",
    "KafkaService",
    "RedisServer",
    "RedisService",
    "ServiceMissingError",
    "find_kafka",
    "find_redis",
]

_serial = itertools.count(1)
_run = uuid.uuid4().hex[:6]


class ServiceMissingError(RuntimeError):
    """A service can be had in none of the ways. The message names what was tried and what to do."""


@dataclass(slots=True)
class KafkaService:
    """A Kafka that tests may use; shared by a session, so topics need names of their own (`unique`)."""

    bootstrap_servers: str
    origin: str
    close: Callable[[], None] = lambda: None
    server: KafkaServer | None = None
    _admin: AdminClient | None = field(default=None, repr=False)

    @property
    def admin(self) -> AdminClient:
        """One admin client for the session."""
        if self._admin is None:
            self._admin = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
        return self._admin

    def unique(self, prefix: str = "t") -> str:
        """A name nobody used before, for topics, groups and domains."""
        return f"{prefix}-{_run}-{next(_serial)}"

    def create_topic(self, name: str, partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        """Create a topic and wait until every partition has a leader. Returns the name."""
        new = NewTopic(name, num_partitions=partitions, replication_factor=1, config=dict(config or {}))
        self.admin.create_topics([new], operation_timeout=30)[name].result(30)
        # The controller has it; the broker that answers clients hears of it a little later.
        wait_until(lambda: self._leaders(name) == partitions, within_s=30, what=f"leaders of {name}")
        return name

    def _leaders(self, name: str) -> int:
        found = self.admin.list_topics(timeout=30).topics.get(name)
        return 0 if found is None else sum(partition.leader >= 0 for partition in found.partitions.values())

    def delete_topic(self, name: str) -> None:
        """Delete a topic."""
        self.admin.delete_topics([name], operation_timeout=30)[name].result(30)


@dataclass(slots=True)
class RedisService:
    """A Redis that tests may use. `flush` empties the database of `url`, and with a server of ours all of it."""

    url: str
    origin: str
    close: Callable[[], None] = lambda: None
    server: RedisServer | None = None

    def flush(self) -> None:
        """Forget everything."""
        with redis.Redis.from_url(self.url) as client:
            client.flushdb() if self.origin == "environment" else client.flushall()


def find_kafka() -> KafkaService:
    """The first Kafka that can be had. ServiceMissingError if none."""
    address = os.environ.get("HEADWATER_TEST_KAFKA")
    if address:
        return KafkaService(address, "environment")
    tried = []
    if docker_services.docker_answers():
        try:
            address, close = docker_services.start_kafka(dict(SERVER_SETTINGS))
        except Exception as error:  # noqa: BLE001 - whatever Docker says, the next way may work
            tried.append(f"Docker: {error}")
        else:
            return KafkaService(address, f"Docker, {docker_services.KAFKA_IMAGE}", close)
    else:
        tried.append("Docker: no daemon answers")
    try:
        server = KafkaServer(long_lived=True)
        server.start()
    except RuntimeError as error:
        tried.append(f"local JVM: {error}")
        raise ServiceMissingError(_advice("Kafka", "HEADWATER_TEST_KAFKA", "java and mvn", tried)) from error
    return KafkaService(server.bootstrap_servers, "Apache Kafka on a local JVM", server.close, server)


def find_redis() -> RedisService:
    """The first Redis that can be had. ServiceMissingError if none, or if the one of the environment is not empty."""
    url = os.environ.get("HEADWATER_TEST_REDIS")
    if url:
        return RedisService(_empty_or_refuse(url), "environment")
    tried = []
    if docker_services.docker_answers():
        try:
            url, close = docker_services.start_redis()
        except Exception as error:  # noqa: BLE001 - whatever Docker says, the next way may work
            tried.append(f"Docker: {error}")
        else:
            return RedisService(url, f"Docker, {docker_services.REDIS_IMAGE}", close)
    else:
        tried.append("Docker: no daemon answers")
    try:
        server = RedisServer()
        server.start()
    except RuntimeError as error:
        tried.append(f"local process: {error}")
        raise ServiceMissingError(_advice("Redis", "HEADWATER_TEST_REDIS", "redis-server", tried)) from error
    return RedisService(server.url, server.binary, server.close, server)


def _empty_or_refuse(url: str) -> str:
    with redis.Redis.from_url(url) as client:
        if client.dbsize():
            raise ServiceMissingError(
                "HEADWATER_TEST_REDIS holds data and the tests would delete them: name an empty database"
            )
    return url


def _advice(service: str, variable: str, tools: str, tried: list[str]) -> str:
    return f"no {service} ({'; '.join(tried)}): set {variable}, start Docker, or put {tools} on PATH"


def main() -> int:
    """Run one service in the foreground until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Run a real Kafka or Redis and print its address.")
    parser.add_argument("service", choices=["kafka", "redis"])
    find: Callable[[], KafkaService | RedisService]
    find = find_kafka if parser.parse_args().service == "kafka" else find_redis
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        found = find()
    except ServiceMissingError as error:
        sys.stderr.write(f"error: {error}\n")
        return 3
    address = found.bootstrap_servers if isinstance(found, KafkaService) else found.url
    sys.stdout.write(f"{address}\n")
    sys.stdout.flush()
    sys.stderr.write(f"{found.origin}; Ctrl-C ends it\n")
    try:
        signal.pause()
    except KeyboardInterrupt:
        found.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
