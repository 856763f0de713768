"""A topic's settings against the catalogue. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from headwater_processor.local.doctor.findings import Finding, Noting
from headwater_schemas.topics import Topic

_AT_LEAST: Final = {
    "retention.ms": "records leave it earlier than the documentation says",
    "min.compaction.lag.ms": "history is compacted away earlier than the documentation says",
    "max.message.bytes": "the largest records do not fit",
}
"""More is as good; -1 is no limit."""

_OPTIONAL: Final = frozenset({"openlineage"})
_MUST: Final = {
    "cleanup.policy": "records that are needed would be deleted, or kept for ever",
    "message.timestamp.type": "as-of and clocks that run ahead cannot be told without the broker's own stamp",
}


@dataclass(frozen=True, slots=True)
class Found:
    """What a broker says of a topic; `config` is None where it does not say."""

    partitions: int
    config: Mapping[str, str] | None
    replicas: int = 0
    hidden: bool = False
    """Whether the broker says that we may not know of it."""


def compare(topic: Topic, found: Found | None, servers: str, horizon_ms: int) -> Iterator[Finding]:
    """How a topic differs from the catalogue; one `ok` if it does not."""
    say = Noting("topics")
    if found is None:
        told = say.warn if topic.role in _OPTIONAL else say.problem
        yield told(f"{topic.name} does not exist", "headwater topics create")
        return
    if found.hidden:
        yield say.problem(f"we may not see {topic.name}", rights_remedy(servers, "Describe", topic.name))
        return
    if found.config is None:
        yield say.warn(
            f"{topic.name}: its settings cannot be read", rights_remedy(servers, "DescribeConfigs", topic.name)
        )
        return
    wrong = list(_differences(say, topic, found.config, servers, horizon_ms))
    yield from wrong
    if not wrong:
        yield say.ok(f"{topic.name} is as it must be ({found.partitions} partitions)")


def production(topic: Topic, found: Found, servers: str) -> Iterator[Finding]:
    """What an installation that must not lose anything needs of a topic as well."""
    say = Noting("replication")
    if found.replicas < 3:
        yield say.problem(
            f"{topic.name} has {found.replicas} replica{'' if found.replicas == 1 else 's'}, at least 3 are needed",
            "kafka-reassign-partitions.sh, or create it anew with headwater topics create --replication 3",
        )
    config = found.config or {}
    in_sync = config.get("min.insync.replicas", "1")
    if in_sync.isdigit() and int(in_sync) < 2:
        yield say.problem(
            f"{topic.name} takes records that only {in_sync} replica has",
            _alter(servers, topic.name, "min.insync.replicas", "2"),
        )
    if config.get("unclean.leader.election.enable") == "true":
        yield say.problem(
            f"{topic.name} may elect a leader that lacks acknowledged records",
            _alter(servers, topic.name, "unclean.leader.election.enable", "false"),
        )


def rights_remedy(servers: str, operation: str, topic: str) -> str:
    """The command that grants a right on a topic; the principal is for the reader to fill in."""
    return (
        f"kafka-acls.sh --bootstrap-server {servers} --add --allow-principal User:NAME "
        f"--operation {operation} --topic {topic}"
    )


def _differences(
    say: Noting, topic: Topic, config: Mapping[str, str], servers: str, horizon_ms: int
) -> Iterator[Finding]:
    for key, wanted in topic.config.items():
        is_ = config.get(key, "")
        remedy = _alter(servers, topic.name, key, wanted)
        if key in _MUST and is_ != wanted:
            yield say.problem(f"{topic.name} has {key}={is_ or '?'} instead of {wanted}: {_MUST[key]}", remedy)
        elif key in _AT_LEAST and _less(is_, wanted):
            # Records that go before the horizon of ids can be neither replayed nor told from new ones.
            short = topic.role == "events" and key == "retention.ms" and _less(is_, str(horizon_ms))
            told = say.problem if short or key == "max.message.bytes" else say.warn
            yield told(f"{topic.name} has {key}={is_ or '?'}, {wanted} is recommended: {_AT_LEAST[key]}", remedy)


def _less(is_: str, wanted: str) -> bool:
    if not is_.lstrip("-").isdigit() or int(is_) < 0:
        return False
    return int(is_) < int(wanted)


def _alter(servers: str, topic: str, key: str, value: str) -> str:
    return (
        f"kafka-configs.sh --bootstrap-server {servers} --alter --entity-type topics --entity-name {topic} "
        f"--add-config {key}={value}"
    )
