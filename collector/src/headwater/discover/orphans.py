"""Rows for people: every group and topic of a look, and what makes it an orphan. Pure.

| a group is an orphan because | |
|---|---|
| `empty` | it has no members; it has committed, and nothing moves |
| `no offsets` | it has neither members nor commits |
| `topic gone` | all that it has committed is of topics that are there no more |

Of a group of which only commits are told (`UNTOLD`) nobody knows whether it has members: it is none.

| a topic is an orphan because | |
|---|---|
| `unread` | no group has committed an offset of it, and no member holds it |
| `empty` | it holds no records |
| `still` | its ends have not moved for a window of looks (a single look cannot tell: `written` says when it last did) |

A topic that was written is `written by` somebody `unknown`: Kafka tells its producers (DescribeProducers), but librdkafka (2.16)
has no call for that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from headwater.discover.following import GONE
from headwater.discover.observed import UNTOLD, ClusterSeen, GroupSeen, Place
from headwater.discover.statements import Observation

EMPTY: Final = "empty"
NO_OFFSETS: Final = "no offsets"
TOPIC_GONE: Final = "topic gone"
UNREAD: Final = "unread"
STILL: Final = "still"


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A group as it is shown. `topics` are those that it has committed in or that its members hold."""

    group: str
    state: str
    protocol: str
    members: int
    topics: tuple[str, ...]
    lag: int
    trend: str
    status: str
    behind: int
    orphan: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TopicRow:
    """A topic as it is shown. `records` is what it holds by its offsets, -1 where nobody asked; `written_ms` 0: not known."""

    topic: str
    partitions: int
    records: int
    written_ms: int
    groups: tuple[str, ...]
    written_by: str
    orphan: tuple[str, ...]


def group_row(seen: GroupSeen, observation: Observation, topics: Collection[str]) -> GroupRow:
    """A group. Before there were looks enough, trend and status are not known, and empty."""
    own = {topic for topic, _ in seen.assigned()} | {topic for topic, _ in seen.committed}
    return GroupRow(
        group=seen.name,
        state=seen.state,
        protocol=seen.protocol,
        members=len(seen.members),
        topics=tuple(sorted(own)),
        lag=observation.lag,
        trend=observation.trend if observation.judged else "",
        status=observation.status.name if observation.judged else "",
        behind=len(observation.behind),
        orphan=_why_group(seen, topics, active=bool(observation.reads)),
    )


def _why_group(seen: GroupSeen, topics: Collection[str], *, active: bool) -> tuple[str, ...]:
    if seen.members or active or seen.state in (GONE, UNTOLD):
        return ()
    if not seen.committed:
        return () if seen.elsewhere else (NO_OFFSETS,)
    gone = not seen.elsewhere and all(topic not in topics for topic, _ in seen.committed)
    return (EMPTY, TOPIC_GONE) if gone else (EMPTY,)


def topic_rows(cluster: ClusterSeen, groups: Iterable[GroupSeen], still: Collection[str] = ()) -> list[TopicRow]:
    """Every topic of the look, by name. `still`: those whose ends have not moved for a window."""
    readers: dict[str, set[str]] = {}
    for seen in groups:
        for topic, _ in {*seen.committed, *seen.assigned()}:
            readers.setdefault(topic, set()).add(seen.name)
    held = _records(cluster)
    return [
        _topic_row(cluster, topic, tuple(sorted(readers.get(topic, ()))), held.get(topic, -1), topic in still)
        for topic in sorted(cluster.topics)
    ]


def _records(cluster: ClusterSeen) -> dict[str, int]:
    """Records by topic, of topics of which all partitions told both ends."""
    found: dict[str, int] = {}
    told: Counter[str] = Counter()
    for place, end in cluster.ends.items():
        begin = cluster.begins.get(place, 0 if not end else -1)
        if begin >= 0:
            found[place[0]] = found.get(place[0], 0) + max(0, end - begin)
            told[place[0]] += 1
    return {topic: records for topic, records in found.items() if told[topic] >= cluster.topics.get(topic, 0)}


def _topic_row(cluster: ClusterSeen, topic: str, groups: tuple[str, ...], records: int, still: bool) -> TopicRow:
    ever = any(cluster.ends.get((topic, partition), 0) > 0 for partition in range(cluster.topics[topic]))
    why = [word for word, so in ((UNREAD, not groups), (EMPTY, records == 0), (STILL, still)) if so]
    return TopicRow(
        topic=topic,
        partitions=cluster.topics[topic],
        records=records,
        written_ms=cluster.newest_ms.get(topic, 0),
        groups=groups,
        written_by="unknown" if ever else "",
        orphan=tuple(why),
    )


class Stillness:
    """Since how many looks the ends of each topic have not moved. Used by one thread; bounded by the topics that there are."""

    def __init__(self) -> None:
        self._sums: dict[str, int] = {}
        self._looks: dict[str, int] = {}

    def look(self, ends: Mapping[Place, int], topics: Collection[str]) -> None:
        """One look at all ends."""
        sums: dict[str, int] = {}
        for (topic, _), end in ends.items():
            sums[topic] = sums.get(topic, 0) + end
        for topic, total in sums.items():
            same = self._sums.get(topic) == total
            self._looks[topic] = self._looks.get(topic, 0) + 1 if same else 1
            self._sums[topic] = total
        for topic in self._sums.keys() - set(topics):
            del self._sums[topic], self._looks[topic]

    def still(self, window: int) -> set[str]:
        """The topics whose ends were the same for so many looks."""
        return {topic for topic, looks in self._looks.items() if looks >= window}
