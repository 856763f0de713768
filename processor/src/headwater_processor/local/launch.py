"""How the local stack starts its workers and tells other commands where it is."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from headwater.cli.producing import Producing
from headwater.runtime.http import OFFSET as METRICS_OFFSET
from headwater.runtime.kafka import client_config, list_topics, translate
from headwater.runtime.models import KafkaSettings, RedisSettings
from headwater.runtime.policy_files import read_policies
from headwater.runtime.redis import check_policy, connect
from headwater_processor.local.stack import Addresses
from headwater_schemas.codec import encode_policy
from headwater_schemas.topics import catalogue

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
    domain: str, arguments: Sequence[str], settings: Mapping[str, str]
) -> Callable[[Addresses, int], tuple[Sequence[str], Mapping[str, str]]]:
    """How `local.stack` starts a worker of this domain.

    Args:
        domain: the domain.
        arguments: the global options that this command was given: a worker is told the same.
        settings: dotted keys of settings to values, for what the worker is told by nobody else.
    """
    command = [sys.executable, "-m", "headwater.cli", *arguments, "worker"]

    def launch(addresses: Addresses, number: int) -> tuple[Sequence[str], Mapping[str, str]]:
        return command, {
            **os.environ,
            **{variable(key): value for key, value in settings.items()},
            "HEADWATER_DOMAIN": domain,
            "HEADWATER_KAFKA__BOOTSTRAP_SERVERS": addresses.kafka,
            "HEADWATER_REDIS__URL": addresses.redis_url,
            METRICS_OFFSET: str(number),
        }

    return launch


def variable(key: str) -> str:
    """The environment variable of a setting: `processor.shards` is `HEADWATER_PROCESSOR__SHARDS`."""
    return f"HEADWATER_{key.upper().replace('.', '__')}"


def check_redis(settings: RedisSettings, domain: str) -> None:
    """Make sure that a Redis somebody named is there, takes us, and keeps what it is given.

    Raises:
        UsageError: the URL is none.
        RedisUnavailable: nobody answers there, or not us.
        RefusedError: it may evict keys.
    """
    with connect(settings, domain) as client:
        check_policy(client, settings.url)


def create_topics(kafka: KafkaSettings, prefix: str = "lineage.", more: Mapping[str, int] | None = None) -> None:
    """Create the topics of a real Kafka that do not exist yet, with the catalogue's settings; and `more`, name to partitions.

    Raises:
        UsageError: its client refuses the settings.
        DeliveryError: Kafka cannot be reached or refuses.
    """
    try:
        config = client_config(kafka)
        admin = AdminClient(config)
        existing = list_topics(admin, config, timeout_s=_ADMIN_TIMEOUT_S).topics
        wanted = [
            NewTopic(topic.name, num_partitions=topic.partitions, config=dict(topic.config))
            for topic in catalogue(prefix).values()
        ]
        wanted += [NewTopic(name, num_partitions=partitions) for name, partitions in (more or {}).items()]
        missing = [topic for topic in wanted if topic.topic not in existing]
        for future in admin.create_topics(missing).values() if missing else ():
            future.result(_ADMIN_TIMEOUT_S)
    except KafkaException as error:
        raise translate(error, kafka.bootstrap_servers) from error


def publish_policies(kafka: KafkaSettings, file: Path, prefix: str = "lineage.") -> None:
    """Put the policies of a YAML file on the policies topic.

    Raises:
        UsageError, RefusedError: the file, as `headwater.runtime.policy_files.read_policies` says.
        DeliveryError: Kafka does not take them.
    """
    with Producing(kafka, catalogue(prefix)["policies"].name) as producing:
        for policy in read_policies([file]):
            producing.send(policy.subject.encode(), encode_policy(policy), policy.subject)
    producing.raise_first_failure()
