"""What one look saw of a cluster, as values. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

Place = tuple[str, int]
"""Topic and partition."""

REBALANCING = frozenset({"PREPARING_REBALANCING", "COMPLETING_REBALANCING", "UNKNOWN"})
"""States in which members may have nothing yet. UNKNOWN: librdkafka (2.16) has no names for those of KIP-848's own."""

UNTOLD = "UNTOLD"
"""Our word for a state and members that nobody told: a broker that lists no groups. Its commits are all that is known of it."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a group: what it calls itself, where it connects from, and what it was given."""

    client_id: str
    host: str
    places: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupSeen:
    """A group as its coordinator tells of it.

    `state` is Kafka's word in capitals (STABLE, EMPTY …) or `UNTOLD`, `protocol` CLASSIC or CONSUMER (KIP-848). `committed` is
    the next offset to read, by partition; a partition without a commit is not in it. `elsewhere`: it also reads, or has
    committed in, topics that are not looked at.
    """

    name: str
    state: str
    protocol: str = "CLASSIC"
    members: tuple[Member, ...] = ()
    committed: Mapping[Place, int] = field(default_factory=dict)
    elsewhere: bool = False

    def assigned(self) -> frozenset[Place]:
        """The partitions that members hold."""
        return frozenset(place for member in self.members for place in member.places)


@dataclass(slots=True)
class ClusterSeen:
    """One look at a cluster; only what is chosen is in it.

    `topics` is the number of partitions by name; `begins` holds the first offset of the partitions that somebody asked about,
    `newest_ms` the largest timestamp of a topic's records. `gone` names groups of which their coordinator said that they are no
    more, `silent` those that it told nothing of; `refused` counts by reason what could not be seen.
    """

    cluster_id: str = ""
    brokers: tuple[str, ...] = ()
    topics: Mapping[str, int] = field(default_factory=dict)
    groups: list[GroupSeen] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    ends: dict[Place, int] = field(default_factory=dict)
    begins: dict[Place, int] = field(default_factory=dict)
    newest_ms: dict[str, int] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)

    def places(self) -> Iterator[Place]:
        """Every partition of every topic."""
        for topic, partitions in self.topics.items():
            for partition in range(partitions):
                yield topic, partition
