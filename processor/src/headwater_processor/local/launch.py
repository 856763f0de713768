"""How the local stack starts its workers and tells other commands where it is."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import redis
import yaml
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from headwater_processor.local.services import ServiceError
from headwater_processor.local.stack import Addresses
from headwater_schemas.codec import encode_policy
from headwater_schemas.policies import Criticality, Policy, PolicyKind
from headwater_schemas.topics import PARTITIONER, catalogue

LOCAL_PARTITIONS: Final = {"events": 4, "deltas": 4, "openlineage": 4}
"""Fewer than the catalogue's: one machine has few cores, and every partition costs a little."""

_ADMIN_TIMEOUT_S: Final = 15.0


def local_topics(prefix: str = "lineage.") -> dict[str, int]:
    """The topics of the embedded broker, name to partitions."""
    return {
        topic.name: min(topic.partitions, LOCAL_PARTITIONS.get(role, topic.partitions))
        for role, topic in catalogue(prefix).items()
    }


def worker_launcher(
    domain: str, settings: Mapping[str, str]
) -> Callable[[Addresses, int], tuple[Sequence[str], Mapping[str, str]]]:
    """How `local.stack` starts a worker of this domain; `settings` are environment variables on top."""

    def launch(addresses: Addresses, _number: int) -> tuple[Sequence[str], Mapping[str, str]]:
        return [sys.executable, "-m", "headwater.cli", "worker"], {
            **os.environ,
            "HEADWATER_DOMAIN": domain,
            "HEADWATER_KAFKA__BOOTSTRAP_SERVERS": addresses.kafka,
            "HEADWATER_REDIS__URL": addresses.redis_url,
            **settings,
        }

    return launch


def check_redis(url: str) -> None:
    """Make sure that a Redis somebody named is there.

    Raises:
        ServiceError: the URL is none, or nobody answers there.
    """
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=5.0) as client:
            client.execute_command("PING")
    except (redis.RedisError, ValueError) as error:
        said = str(error).rstrip(".")
        raise ServiceError(f"Redis cannot be used: {said}; is the address right (--redis URL)?") from error


def create_topics(bootstrap: str, prefix: str = "lineage.") -> None:
    """Create the topics of a real Kafka that do not exist yet, with the catalogue's settings.

    Raises:
        ServiceError: Kafka cannot be reached or refuses.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    try:
        existing = admin.list_topics(timeout=_ADMIN_TIMEOUT_S).topics
        missing = [
            NewTopic(topic.name, num_partitions=topic.partitions, config=dict(topic.config))
            for topic in catalogue(prefix).values()
            if topic.name not in existing
        ]
        for future in admin.create_topics(missing).values() if missing else ():
            future.result(_ADMIN_TIMEOUT_S)
    except KafkaException as error:
        said = error.args[0].str()
        raise ServiceError(
            f"topics cannot be created on Kafka at {bootstrap}: {said}; is the address right?"
        ) from error


def publish_policies(bootstrap: str, file: Path, prefix: str = "lineage.") -> None:
    """Put the policies of a YAML file on the policies topic.

    Raises:
        ServiceError: Kafka does not take them.
    """
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": PARTITIONER, "log_level": 0})
    topic = catalogue(prefix)["policies"].name
    for policy in read_policies(file.read_text(encoding="utf-8")):
        producer.produce(topic, key=policy.subject.encode(), value=encode_policy(policy))
    if producer.flush(_ADMIN_TIMEOUT_S):
        raise ServiceError(f"Kafka at {bootstrap} does not take the policies of the demo")


def read_policies(text: str) -> list[Policy]:
    """The policies in a YAML document, in the fields of `Policy`."""
    entries = yaml.safe_load(text)["policies"]
    return [
        Policy(
            **{
                **entry,
                "kind": PolicyKind(entry.get("kind", "DATASET")),
                "criticality": Criticality(entry.get("criticality", "NONE")),
                "tags": tuple(entry.get("tags", ())),
            }
        )
        for entry in entries
    ]
