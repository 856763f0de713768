"""`headwater topics create`: the topics of the catalogue, on a Kafka that may have some of them already."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

import click
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.cimpl import NewTopic

from headwater.cli.context import invocation
from headwater.cli.output import emit_rows, note
from headwater.errors import DeliveryError
from headwater.runtime.errors import EXIT_FINDING
from headwater.runtime.kafka import client_config, list_topics, translate
from headwater.transports.kafka import Needs
from headwater_schemas.topics import Topic, catalogue

_TIMEOUT_S: Final = 15.0
_FORBIDDEN: Final = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED})
_LEFT: Final = (
    "What differs was left as it is: change it with kafka-configs.sh (partitions: kafka-topics.sh --alter, only upwards), "
    "or keep it if it is meant so."
)
_EMBEDDED: Final = (
    "This is the embedded broker of headwater up or demo: it has fewer partitions, and that is as it should be."
)
_BROKERS_CHOICE: Final = -1
_PAUSE_S: Final = 0.05


@click.group(
    epilog="""\b
Examples:
  headwater topics create --dry-run
"""
)
def topics() -> None:
    """Create the topics of Headwater."""


@topics.command(
    epilog="""\b
Examples:
  headwater topics create --kafka broker:9092
  headwater topics create --dry-run
  headwater topics create --partitions 24 --replication 3

\b
Exit codes: 0 all topics exist now, 1 with --fail and one differs from the catalogue, 2 wrong usage or settings,
3 Kafka cannot be reached or refuses.
"""
)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--partitions", type=click.IntRange(1, 1024), help="Partitions of events, openlineage and deltas.")
@click.option("--replication", type=click.IntRange(1, 9), help="Copies of each partition; unset: the broker's default.")
@click.option("--fail", is_flag=True, help="Exit with 1 if an existing topic differs from the catalogue.")
@click.pass_context
def create(context: click.Context, dry_run: bool, partitions: int | None, replication: int | None, fail: bool) -> None:
    """Create the topics that do not exist yet. What exists is compared and left as it is."""
    settings = invocation(context).settings()
    wanted = _wanted(settings.topic_prefix, partitions)
    config = client_config(settings.kafka)
    admin = AdminClient(config)
    try:
        list_topics(admin, config, timeout_s=_TIMEOUT_S)  # says at once why nobody would take us
        existing, embedded = _existing(admin), _is_embedded(admin)
        missing = [topic for topic in wanted if topic.name not in existing]
        if not dry_run:
            create_ = _ask_for if embedded else _create
            created = create_(admin, missing, replication or _BROKERS_CHOICE)
            missing = [topic for topic in missing if topic.name in created]
            existing = _when_visible(admin, {topic.name for topic in wanted})
        new = {topic.name for topic in missing}
        old = [topic for topic in wanted if topic.name not in new]
        differing = _differences(old, existing, {} if embedded else _configs(admin, old))
    except KafkaException as error:
        raise translate(error, settings.kafka.bootstrap_servers, _needs(settings.topic_prefix)) from error
    done = "would be created" if dry_run else "created"
    rows = [_row(topic, topic.name not in new, differing.get(topic.name, []), done) for topic in wanted]
    emit_rows(context, rows, ["topic", "partitions", "result", "differences"])
    if any(differing.values()):
        note(context, _EMBEDDED if embedded else _LEFT)
        if fail:
            context.exit(EXIT_FINDING)


def _needs(prefix: str) -> Needs:
    """What creating and comparing takes, for all topics at once."""
    operations = ("Create", "Describe", "DescribeConfigs")
    return Needs("topic", f"{prefix} --resource-pattern-type prefixed" if prefix else "'*'", operations)


def _wanted(prefix: str, partitions: int | None) -> list[Topic]:
    found = list(catalogue(prefix).values())
    most = max(topic.partitions for topic in found)
    if partitions is None:
        return found
    return [replace(topic, partitions=partitions) if topic.partitions == most else topic for topic in found]


def _row(topic: Topic, exists: bool, differences: list[str], done: str) -> dict[str, object]:
    result = ("differs" if differences else "exists") if exists else done
    return {"topic": topic.name, "partitions": topic.partitions, "result": result, "differences": differences}


def _existing(admin: AdminClient) -> dict[str, int]:
    """The topics that the broker names, and how many partitions each has."""
    return {name: len(topic.partitions) for name, topic in admin.list_topics(timeout=_TIMEOUT_S).topics.items()}


def _when_visible(admin: AdminClient, names: set[str]) -> dict[str, int]:
    """As `_existing`, once all these are among them: the brokers hear of a new topic a little after its creation."""
    give_up_s = time.monotonic() + _TIMEOUT_S
    while not names <= (existing := _existing(admin)).keys():
        if time.monotonic() > give_up_s:
            unseen = ", ".join(sorted(names - existing.keys()))
            raise DeliveryError(f"topics were created and cannot be seen: {unseen}", remedy="look at ACLs and brokers")
        time.sleep(_PAUSE_S)
    return existing


def _create(admin: AdminClient, missing: Iterable[Topic], replication: int) -> set[str]:
    """Create them; returns the names of those that nobody else created in the meantime."""
    new = [
        NewTopic(topic.name, num_partitions=topic.partitions, replication_factor=replication, config=dict(topic.config))
        for topic in missing
    ]
    created = set()
    for name, future in (
        admin.create_topics(new, operation_timeout=_TIMEOUT_S, request_timeout=_TIMEOUT_S) if new else {}
    ).items():
        try:
            future.result(2 * _TIMEOUT_S)
            created.add(name)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
    return created


def _is_embedded(admin: AdminClient) -> bool:
    """Whether it is librdkafka's in-process broker, as `headwater up` runs it: it answers no admin calls at all."""
    return str(admin.list_topics(timeout=_TIMEOUT_S).cluster_id).startswith("mockCluster")


def _ask_for(admin: AdminClient, missing: Iterable[Topic], _replication: int) -> set[str]:
    """The embedded broker makes a topic, with its own number of partitions, when somebody asks for it."""
    return {topic.name for topic in missing if admin.list_topics(topic.name, timeout=_TIMEOUT_S)}


def _differences(
    topics_: list[Topic], partitions: Mapping[str, int], configs: Mapping[str, Mapping[str, str]]
) -> dict[str, list[str]]:
    """By topic, how it differs from the catalogue, in words."""
    return {
        topic.name: [
            *([f"{partitions[topic.name]} partitions"] if partitions[topic.name] != topic.partitions else []),
            *(
                f"{key}={configs[topic.name].get(key)} instead of {value}"
                for key, value in topic.config.items()
                if topic.name in configs and configs[topic.name].get(key) != value
            ),
        ]
        for topic in topics_
    }


def _configs(admin: AdminClient, topics_: list[Topic]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ConfigResource.Type.TOPIC, topic.name) for topic in topics_]
    found = {}
    for resource, future in (
        admin.describe_configs(resources, request_timeout=_TIMEOUT_S) if resources else {}
    ).items():
        try:
            found[resource.name] = {key: entry.value for key, entry in future.result(2 * _TIMEOUT_S).items()}
        except KafkaException as error:
            if error.args[0].code() not in _FORBIDDEN:  # who may not look has nothing to compare
                raise
    return found
