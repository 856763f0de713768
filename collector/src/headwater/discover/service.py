"""One look after the other: what was seen becomes events, and rows for people.

Every look is followed; what was *said* is remembered only when it has arrived (`confirm`). So what does not arrive is said
again, and an outage of the broker piles up nothing: memory is bounded by the groups and partitions that there are.
"""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol

from headwater.discover.choosing import KAFKAS_OWN, OWN_GROUPS, Chosen
from headwater.discover.following import Following, Saying
from headwater.discover.lag import LOOKS
from headwater.discover.observed import ClusterSeen
from headwater.discover.orphans import GroupRow, Stillness, TopicRow, group_row, topic_rows
from headwater.runtime.models import Settings
from headwater_schemas.events import LineageEvent
from headwater_schemas.naming import kafka_topic
from headwater_schemas.topics import catalogue


class Looking(Protocol):
    """Who looks at the cluster."""

    def look(self, *, known: Collection[str] = ..., whole: bool = False) -> ClusterSeen: ...


@dataclass(slots=True)
class Look:
    """What one look came to. `lags`: unread records of each group that is or was active."""

    seen: ClusterSeen
    sayings: list[Saying] = field(default_factory=list)
    events: list[LineageEvent] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    active: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    orphans: Counter[str] = field(default_factory=Counter)
    lags: dict[str, int] = field(default_factory=dict)


class Discoverer:
    """Looks at the consumer groups and topics of one Kafka, again and again. Used by one thread.

    Args:
        namespace: the cluster as a dataset's namespace, canonical (`kafka://broker:9092`).
        interval_ms: how often it looks; times that are said are multiples of it.
        repeat_ms: what does not change is said once in so much time.
        window: looks that a status is judged by.
    """

    def __init__(
        self,
        asking: Looking,
        *,
        namespace: str,
        interval_ms: int = 30_000,
        repeat_ms: int = 300_000,
        window: int = LOOKS,
    ) -> None:
        self.namespace = namespace
        self._asking = asking
        self._interval_ms = interval_ms
        self._repeat_ms = repeat_ms
        self._window = window
        self._groups: dict[str, Following] = {}
        self._stillness = Stillness()

    def look(self, now_ms: int, *, whole: bool = False) -> Look:
        """Look at everything. `whole`: also where partitions begin and when they were written last, for rows.

        Raises:
            DeliveryError: Kafka cannot be reached.
            UsageError: it cannot list consumer groups, and no name of one is written out.
        """
        known = [name for name, following in self._groups.items() if not following.is_gone]
        seen = self._asking.look(known=known, whole=whole)
        look = Look(seen, refused=seen.refused)
        for group in seen.groups:
            self._groups.setdefault(group.name, Following(group.name, self._window)).look(group, seen)
        self._forget(seen, now_ms)
        self._stillness.look(seen.ends, seen.topics)
        self._say(look, now_ms)
        self._count(look)
        return look

    def confirm(self, look: Look) -> None:
        """The look's events have arrived."""
        for saying in look.sayings:
            self._groups[saying.observation.group].confirm(saying)

    def groups(self, look: Look) -> list[GroupRow]:
        """The groups of the last look, by name; not those that have to do with none of the chosen topics."""
        return [
            group_row(group, self._groups[group.name].observation, look.seen.topics)
            for group in sorted(look.seen.groups, key=lambda group: group.name)
            if group.committed or group.assigned() or not group.elsewhere
        ]

    def topics(self, look: Look) -> list[TopicRow]:
        """The topics of the last look, by name."""
        return topic_rows(look.seen, look.seen.groups, self._stillness.still(self._window))

    def _forget(self, seen: ClusterSeen, now_ms: int) -> None:
        for name in seen.gone & self._groups.keys():
            self._groups[name].gone()
        for name in [name for name, following in self._groups.items() if following.forgotten(now_ms, self._repeat_ms)]:
            del self._groups[name]

    def _say(self, look: Look, now_ms: int) -> None:
        at_ms = now_ms - now_ms % self._interval_ms
        for name, following in self._groups.items():
            if name in look.seen.silent:
                continue  # as it was: what was not seen has not changed
            saying = following.due(
                self.namespace, look.seen.cluster_id, now_ms=now_ms, at_ms=at_ms, repeat_ms=self._repeat_ms
            )
            if saying is not None:
                look.sayings.append(saying)
                look.events += saying.events

    def _count(self, look: Look) -> None:
        for following in self._groups.values():
            look.active += following.active
            look.statuses[following.observation.status.name] += 1
            if following.active or following.spoken_of:
                look.lags[following.name] = following.observation.lag
        for group in self.groups(look):
            look.orphans.update(f"group {why}" for why in group.orphan)
        for topic in self.topics(look):
            look.orphans.update(f"topic {why}" for why in topic.orphan)


def topics_of(settings: Settings) -> Chosen:
    """The topics that are looked at."""
    own = [glob.escape(topic.name) for topic in catalogue(settings.topic_prefix).values()]
    return Chosen(settings.discover.topics, settings.discover.exclude_topics, [KAFKAS_OWN, *own])


def groups_of(settings: Settings) -> Chosen:
    """The groups that are looked at."""
    own = [glob.escape(name) for name in (settings.consumer_group, settings.bridge.group)]
    return Chosen(settings.discover.groups, settings.discover.exclude_groups, [*OWN_GROUPS, *own])


def namespace_of(servers: str, given: str) -> str:
    """What the cluster is called: as it was given, else by its servers; canonical.

    Two lists of servers of one cluster are two names here; that they are one is said by aliases (`statements.topic_use`).
    """
    return kafka_topic(given.removeprefix("kafka://") or servers, "any").namespace
