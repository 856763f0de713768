"""From what is observed of a consumer group to lineage events. Pure.

* The job is the group, `kafka://brokers` `group/NAME`; its inputs are the topics that its members hold, or whose commits move.
* The event is of no run (`OTHER`): it credits no write and leaves no run open. It has no outputs: what a group writes, and who
  writes a topic, Kafka does not tell, and nothing is invented.
* The facet `headwater_observed` of the job says that this was seen from outside: state, members, lag, its trend and status.

An event's id is made of the group, the time slot and what is said (state, members, topics, partitions that are behind); offsets,
which move all the time, are not in it. So two discoverers, or one that begins anew, say the same event, and it counts
once, with the offsets of whoever was first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from headwater import __version__
from headwater.discover.lag import Status
from headwater.discover.observed import REBALANCING, Member
from headwater.masking import bounded, mask
from headwater_schemas.events import Completeness, DatasetUse, EventType, LineageEvent, Measure, Name
from headwater_schemas.ids import derived_event_id
from headwater_schemas.naming import canonical_dataset

PRODUCER: Final = f"https://github.com/headwater-lineage/headwater/tree/{__version__}/collector/discover"
MOST_INPUTS: Final = 900
MOST_MEASURES: Final = 10_000
"""Topics and partitions of one event; of a group that reads more there are several."""
MOST_SHOWN: Final = 100
"""Members and partitions that a facet lists; all are counted."""
_LONGEST_CLIENT_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class Behind:
    """A partition that is not OK."""

    topic: str
    partition: int
    status: Status
    committed: int
    lag: int


@dataclass(frozen=True, slots=True)
class Observation:
    """A group at one look, as it is told.

    `reads` are the topics of an active group; `measures` what is known of their partitions. `trend` is growing, shrinking or
    steady; `judged`: whether there were looks enough for a status of every partition.
    """

    group: str
    state: str
    protocol: str = ""
    members: tuple[Member, ...] = ()
    reads: tuple[str, ...] = ()
    measures: Mapping[str, tuple[Measure, ...]] = field(default_factory=dict)
    behind: tuple[Behind, ...] = ()
    lag: int = 0
    trend: str = "steady"
    judged: bool = False

    @property
    def status(self) -> Status:
        """The worst of its partitions'."""
        return max((one.status for one in self.behind), default=Status.OK)


def group_job(namespace: str, group: str) -> Name:
    """A consumer group as a job."""
    return Name(namespace, f"group/{group}")


def topic_use(namespace: str, topic: str, measures: tuple[Measure, ...] = ()) -> DatasetUse:
    """A topic as a dataset: the one place where a discovered topic gets its name, and its aliases if it has some."""
    name = canonical_dataset(namespace, topic)
    return DatasetUse(name.namespace, name.name, measures=measures)


def emitter(namespace: str) -> str:
    """Who speaks: this door, for one cluster."""
    return f"discover:{namespace}"


def identity(seen: Observation) -> bytes:
    """What is said of the group but for offsets, as bytes: the same again is no news."""
    state = "REBALANCING" if seen.state in REBALANCING else seen.state
    clients = sorted([member.client_id, member.host] for member in seen.members)
    behind = [[one.topic, one.partition, one.status.name] for one in seen.behind]
    return orjson.dumps([state, clients, seen.reads, behind])


def group_events(
    namespace: str, seen: Observation, *, slot: int, at_ms: int, again: bool = False, cluster_id: str = ""
) -> list[LineageEvent]:
    """What is said of a group at `at_ms`: one event, or some if it reads more than an event holds.

    Args:
        slot: number of the stretch of time within which the same again is the same event.
        again: the group has come back, within the slot, to what was said in it before: that is another event.
    """
    job, said = group_job(namespace, seen.group), identity(seen)
    facets = _facets(seen, cluster_id)
    events = []
    for part, topics in enumerate(_parts(seen)):
        made_of = [job.namespace, job.name, slot, at_ms if again else 0, part]
        events.append(
            LineageEvent(
                event_id=derived_event_id(b"headwater.discover\0" + orjson.dumps(made_of) + said),
                event_time_us=at_ms * 1000,
                event_type=EventType.OTHER,
                job=job,
                inputs=tuple(topic_use(namespace, topic, measures) for topic, measures in topics),
                completeness=Completeness.PARTIAL,
                emitter=emitter(namespace),
                producer=PRODUCER,
                facets=facets,
            )
        )
    return events


_Topics = list[tuple[str, tuple[Measure, ...]]]


def _parts(seen: Observation) -> Sequence[_Topics]:
    parts: list[_Topics] = [[]]
    measures = 0
    for topic in seen.reads:
        own = seen.measures.get(topic, ())[:MOST_MEASURES]
        if parts[-1] and (len(parts[-1]) >= MOST_INPUTS or measures + len(own) > MOST_MEASURES):
            parts.append([])
            measures = 0
        parts[-1].append((topic, own))
        measures += len(own)
    return parts


def _facets(seen: Observation, cluster_id: str) -> bytes:
    told: dict[str, Any] = {  # Any: what JSON holds
        "observed": True,
        "cluster_id": cluster_id,
        "state": seen.state,
        "protocol": seen.protocol,
        "members": len(seen.members),
        "clients": [
            {"client_id": _shown(one.client_id), "host": _shown(one.host), "partitions": len(one.places)}
            for one in seen.members[:MOST_SHOWN]
        ],
        "lag": {
            "records": seen.lag,
            "trend": seen.trend,
            "status": seen.status.name,
            "judged": seen.judged,
            "partitions_behind": len(seen.behind),
            "behind": [
                {
                    "topic": one.topic,
                    "partition": one.partition,
                    "status": one.status.name,
                    "committed": one.committed,
                    "records": one.lag,
                }
                for one in seen.behind[:MOST_SHOWN]
            ],
        },
    }
    return orjson.dumps({"job": {"headwater_observed": told}}, option=orjson.OPT_SORT_KEYS)


def _shown(text: str) -> str:
    return mask(bounded(text, _LONGEST_CLIENT_CHARS))
