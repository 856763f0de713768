"""A place to measure in: topics, domain and group that nobody else uses, gone when the block ends."""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import redis
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from headwater.runtime.errors import RefusedError
from headwater.runtime.kafka import Config, client_config, list_topics, translate
from headwater.runtime.models import Settings
from headwater.runtime.redis import connect
from headwater_schemas.topics import catalogue

log = logging.getLogger(__name__)

_TIMEOUT_S: Final = 30.0
_EMBEDDED_CLUSTER: Final = "mockCluster"
_BROKERS_CHOICE: Final = -1
_SCALED: Final = ("events", "deltas")


@dataclass(frozen=True, slots=True)
class Place:
    """Topics, state and group of one measurement."""

    name: str
    partitions: int
    settings: Settings
    redis: redis.Redis

    @property
    def prefix(self) -> str:
        """Of its topics."""
        return f"{self.name}."

    def topic(self, role: str) -> str:
        """The name of the topic with this role."""
        return catalogue(self.prefix)[role].name

    def key(self, rest: str) -> str:
        """A key of its state in Redis."""
        return f"{{hw:{self.name}}}:{rest}"

    def environment(self) -> dict[str, str]:
        """What makes a worker work here."""
        return {
            "HEADWATER_KAFKA__BOOTSTRAP_SERVERS": self.settings.kafka.bootstrap_servers,
            "HEADWATER_REDIS__URL": self.settings.redis.url,
            "HEADWATER_DOMAIN": self.name,
            "HEADWATER_TOPIC_PREFIX": self.prefix,
            "HEADWATER_PROCESSOR__GROUP": self.name,
            "HEADWATER_METRICS__PORT": "0",
        }


@contextmanager
def place(settings: Settings, partitions: int) -> Iterator[Place]:
    """Make a place; remove it when the block ends, however it ends.

    Raises:
        RefusedError: the broker is the embedded one, which holds too little.
        HeadwaterError: Kafka or Redis cannot be used.
    """
    name = f"hw-bench-{secrets.token_hex(4)}"
    client = connect(settings.redis, name)
    here = Place(name, partitions, settings, client)
    config = client_config(settings.kafka)
    admin = AdminClient(config)
    client.ping()
    try:
        _refuse_embedded(admin, config)
        _create_topics(admin, here)
    except KafkaException as error:
        client.close()
        raise translate(error, settings.kafka.bootstrap_servers) from error
    try:
        yield here
    finally:
        _remove(admin, here)
        client.close()


def _refuse_embedded(admin: AdminClient, config: Config) -> None:
    cluster = list_topics(admin, config, timeout_s=_TIMEOUT_S / 2).cluster_id or ""
    if cluster.startswith(_EMBEDDED_CLUSTER):
        servers = config["bootstrap.servers"]
        raise RefusedError(
            f"the broker at {servers} is the embedded one: it keeps 5 MiB of a partition and would lose most events",
            remedy="name a real one: docker run -d -p 9092:9092 apache/kafka:4.1.0, then --kafka localhost:9092",
        )


def _create_topics(admin: AdminClient, here: Place) -> None:
    wanted = [
        NewTopic(
            topic.name,
            num_partitions=here.partitions if role in _SCALED else topic.partitions,
            replication_factor=_BROKERS_CHOICE,
            config=dict(topic.config),
        )
        for role, topic in catalogue(here.prefix).items()
    ]
    for future in admin.create_topics(wanted, operation_timeout=_TIMEOUT_S).values():
        future.result(_TIMEOUT_S)


def _remove(admin: AdminClient, here: Place) -> None:
    """What cannot be removed is said, and nothing else happens: the figures are there. Jobs that were compared have
    made topics of their own, whose names hold ours."""
    names = [name for name in admin.list_topics(timeout=_TIMEOUT_S).topics if here.name in name]
    removals: dict[str, Any] = admin.delete_topics(names, operation_timeout=_TIMEOUT_S)
    for name, future in removals.items():
        try:
            future.result(_TIMEOUT_S)
        except KafkaException as error:
            log.warning("topic %s is not removed: %s", name, error)
    with contextlib.suppress(KafkaException):  # the follower's never commits, so it may not exist
        groups = [f"{here.name}{of}" for of in ("", "-follow", "-faust", "-quix")]
        for future in admin.delete_consumer_groups(groups).values():
            with contextlib.suppress(KafkaException):
                future.result(_TIMEOUT_S)
    try:
        forget(here)
    except redis.RedisError as error:
        log.warning("keys %s* are not removed: %s", here.key(""), error)


def forget(here: Place) -> None:
    """Delete the whole state."""
    found: list[bytes] = []
    for key in here.redis.scan_iter(match=here.key("*").replace("[", "\\["), count=1000):
        found.append(key)
        if len(found) == 500:
            here.redis.unlink(*found)
            found.clear()
    if found:
        here.redis.unlink(*found)
