"""A consumer group, look by look: how it does in each partition, and what is to be said of it. Pure.

| the group | is said |
|---|---|
| is *active*: members hold topics, or commits move | at once when something but offsets changed, else once in a slot |
| is active no more, or gone, and was spoken of | once, without topics (they are not to look read); again when a status changes |
| was not active since we look | never: rows for people have it |

A slot is a stretch of `repeat_ms`, shifted for each group, so that thousands do not speak in the same second. What is said
counts as said only when it has arrived (`confirm`); until then each look says it again, under the same ids while the slot
lasts.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, replace

from headwater.discover.lag import Status, Trail
from headwater.discover.observed import REBALANCING, UNTOLD, ClusterSeen, GroupSeen, Place
from headwater.discover.statements import Behind, Observation, group_events, identity
from headwater_schemas.events import LineageEvent, Measure

GONE = "DEAD"


@dataclass(frozen=True, slots=True)
class Saying:
    """What is to be said of a group, and under what it is remembered. `before`: its status when it was spoken of last."""

    observation: Observation
    slot: int
    said: bytes
    events: tuple[LineageEvent, ...]
    before: Status


class Following:
    """What is remembered of one group. Used by one thread. `window`: looks that a status is judged by."""

    def __init__(self, name: str, window: int) -> None:
        self.name = name
        self.observation = Observation(name, "UNKNOWN")
        self._window = window
        self._assigned: frozenset[Place] = frozenset()
        self._untold = False
        self._trails: dict[Place, Trail] = {}
        self._lags: deque[int] = deque(maxlen=window)
        self._slot = -1
        self._told: set[bytes] = set()
        self._last: bytes | None = None
        self._last_status = Status.OK

    @property
    def active(self) -> bool:
        """Whether the group reads something now."""
        return bool(self.observation.reads)

    @property
    def spoken_of(self) -> bool:
        """Whether anything was said of it."""
        return self._last is not None

    @property
    def is_gone(self) -> bool:
        """Whether the group is no more."""
        return self.observation.state == GONE

    def forgotten(self, now_ms: int, repeat_ms: int) -> bool:
        """Whether a group that is gone needs no remembering: all is said, and the slot over in which it might come back."""
        if not self.is_gone or not self.spoken_of:
            return self.is_gone
        return self._last == identity(self.observation) and self._slot != self._slot_at(now_ms, repeat_ms)

    def look(self, seen: GroupSeen, cluster: ClusterSeen) -> None:
        """One look at the group, in a look at its cluster."""
        assigned = seen.assigned()
        if assigned or not (seen.members and seen.state in REBALANCING):
            self._assigned = assigned
        self._untold = seen.state == UNTOLD
        self._follow(seen, cluster)
        self.observation = self._observed(seen)

    def gone(self) -> None:
        """The group is no more."""
        self._trails.clear()
        self._assigned = frozenset()
        self.observation = Observation(self.name, GONE)

    def due(self, namespace: str, cluster_id: str, *, now_ms: int, at_ms: int, repeat_ms: int) -> Saying | None:
        """What is to be said now; None for nothing. `at_ms`: the time that is said."""
        said = identity(self.observation)
        slot = self._slot_at(now_ms, repeat_ms)
        news = said != self._last and (self.active or self.spoken_of)
        if not (news or (self.active and slot != self._slot)):
            return None
        seen = replace(self.observation, measures=self._measures())
        again = slot == self._slot and said in self._told
        events = group_events(namespace, seen, slot=slot, at_ms=at_ms, again=again, cluster_id=cluster_id)
        return Saying(self.observation, slot, said, tuple(events), self._last_status)

    def confirm(self, saying: Saying) -> None:
        """It has arrived."""
        if saying.slot != self._slot:
            self._slot, self._told = saying.slot, set()
        self._told.add(saying.said)
        self._last, self._last_status = saying.said, saying.observation.status
        for trail in self._trails.values():
            trail.told_to = trail.committed

    def statuses(self) -> dict[Place, Status]:
        """How it does in each partition that is looked at."""
        return {place: self._status(place, trail) for place, trail in self._trails.items()}

    def _slot_at(self, now_ms: int, repeat_ms: int) -> int:
        return (now_ms + zlib.crc32(self.name.encode()) % repeat_ms) // repeat_ms

    def _follow(self, seen: GroupSeen, cluster: ClusterSeen) -> None:
        there: Collection[str] = cluster.topics
        if seen.members:  # what was committed once, and the members read no more, is nobody's lag
            there = cluster.topics.keys() & {topic for topic, _ in self._assigned}
        for place in [place for place in self._trails if place[0] not in there or place not in seen.committed]:
            del self._trails[place]
        for place, committed in seen.committed.items():
            if place[0] not in there or place not in cluster.ends:  # an end that was not told is no look
                continue
            trail = self._trails.get(place)
            if trail is None:
                trail = self._trails[place] = Trail()
            trail.look(committed, cluster.begins.get(place, 0), cluster.ends[place])
        self._lags.append(sum(trail.lag for trail in self._trails.values()))

    def _observed(self, seen: GroupSeen) -> Observation:
        reads = {topic for topic, _ in self._assigned}
        reads |= {place[0] for place, trail in self._trails.items() if trail.moved_lately(self._window)}
        behind = [
            Behind(*place, status, self._trails[place].committed, self._trails[place].lag)
            for place, status in self.statuses().items()
            if status is not Status.OK
        ]
        return Observation(
            group=self.name,
            state=seen.state,
            protocol=seen.protocol,
            members=tuple(sorted(seen.members, key=lambda one: (one.client_id, one.host))),
            reads=tuple(sorted(reads)),
            behind=tuple(sorted(behind, key=lambda one: (one.topic, one.partition))),
            lag=self._lags[-1],
            trend=_trend(self._lags),
            judged=bool(self._trails) and all(trail.judged(self._window) for trail in self._trails.values()),
        )

    def _status(self, place: Place, trail: Trail) -> Status:
        # That nobody holds it is said only where that is known.
        return trail.status(held=self._untold or place in self._assigned, window=self._window)

    def _measures(self) -> dict[str, tuple[Measure, ...]]:
        found: dict[str, list[Measure]] = {}
        for (topic, partition), trail in sorted(self._trails.items()):
            read_on = 0 <= trail.told_to < trail.committed
            measure = Measure(
                partition=partition,
                first_offset=trail.told_to if read_on else -1,
                last_offset=trail.committed - 1,
                lag=trail.lag,
            )
            found.setdefault(topic, []).append(measure)
        return {topic: tuple(measures) for topic, measures in found.items()}


def _trend(lags: deque[int]) -> str:
    """Of all that is unread, over the window."""
    if lags[0] == lags[-1]:
        return "steady"
    return "growing" if lags[-1] > lags[0] else "shrinking"
