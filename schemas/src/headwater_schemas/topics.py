"""The topics of Headwater: names, keys, schemas, and the settings that make them mean what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

DAY_MS: Final = 24 * 60 * 60 * 1000
MAX_EVENT_BYTES: Final = 1024 * 1024
"""The largest event: value of one record, framing included, before compression."""

PARTITIONER: Final = "murmur2_random"
"""Every producer of ours partitions as Java's does; librdkafka's own default differs."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic of the catalogue.

    `role` is its name without the prefix, `key` says in words what the record key holds, `schema` names the Avro file
    ("" where the value is no Avro of ours), `config` holds topic settings as Kafka spells them.
    """

    role: str
    name: str
    key: str
    schema: str
    partitions: int
    config: Mapping[str, str]


_COMPACTED_WITH_HISTORY: Final = {"cleanup.policy": "compact", "min.compaction.lag.ms": str(7 * DAY_MS)}
# Room for Kafka's own framing of a record around the largest event.
_EVENT_MESSAGE_BYTES: Final = MAX_EVENT_BYTES + 16 * 1024

_ROLES: Final[tuple[tuple[str, str, str, int, dict[str, str]], ...]] = (
    (
        "events",
        "the event's own job as namespace/name; the dataset where there is no job",
        "lineage_event.v1",
        12,
        {
            "cleanup.policy": "delete",
            "retention.ms": str(7 * DAY_MS),
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": str(_EVENT_MESSAGE_BYTES),
        },
    ),
    ("schemas", "fingerprint of the schema, 16 hex digits", "", 1, {"cleanup.policy": "compact"}),
    (
        "openlineage",
        "as the OpenLineage Kafka transport sends it",
        "",
        12,
        {"cleanup.policy": "delete", "retention.ms": str(7 * DAY_MS), "message.timestamp.type": "LogAppendTime"},
    ),
    ("policies", "subject of the policy", "policy.v1", 1, {"cleanup.policy": "compact"}),
    ("deltas", "entity and aspect", "graph_delta.v1", 12, _COMPACTED_WITH_HISTORY),
    ("alerts", "fingerprint of the alert", "alert.v1", 3, _COMPACTED_WITH_HISTORY),
    (
        "late",
        "as the event",
        "lineage_event.v1",
        3,
        {
            "cleanup.policy": "delete",
            "retention.ms": str(7 * DAY_MS),
            "max.message.bytes": str(_EVENT_MESSAGE_BYTES + 64 * 1024),
        },
    ),
    (
        "deadletter",
        "as received",
        "",
        3,
        {
            "cleanup.policy": "delete",
            "retention.ms": str(14 * DAY_MS),
            # The record as received, and our headers about it.
            "max.message.bytes": str(_EVENT_MESSAGE_BYTES + 64 * 1024),
        },
    ),
)


def catalogue(prefix: str = "lineage.") -> Mapping[str, Topic]:
    """All topics by role (`events`, `schemas`, `openlineage`, `policies`, `deltas`, `alerts`, `late`, `deadletter`)."""
    return MappingProxyType(
        {
            role: Topic(role, f"{prefix}{role}", key, schema, partitions, MappingProxyType(dict(config)))
            for role, key, schema, partitions, config in _ROLES
        }
    )


TOPICS: Final = catalogue()
"""The catalogue under its default names."""
