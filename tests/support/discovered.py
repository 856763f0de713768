"""A cluster as `headwater discover` sees it, changed by hand: what stands behind its port in unit tests."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from headwater.discover.observed import ClusterSeen, GroupSeen, Member, Place

NAMESPACE = "kafka://broker:9092"
NOW_MS = 1_800_000_000_000
INTERVAL_MS = 30_000
REPEAT_MS = 300_000


def group(
    name: str = "loader",
    *,
    members: int = 1,
    reads: Iterable[Place] = (("orders", 0),),
    state: str = "",
    **commits: int,
) -> GroupSeen:
    """A group whose first member holds `reads`; commits as `orders_0=5`."""
    held = tuple(reads) if members else ()
    own = tuple(Member(f"client-{at}", f"10.0.0.{at}", held if at == 0 else ()) for at in range(members))
    committed = {_place(key): offset for key, offset in commits.items()}
    return GroupSeen(name, state or ("STABLE" if members else "EMPTY"), "CLASSIC", own, committed)


def _place(key: str) -> Place:
    topic, _, partition = key.rpartition("_")
    return topic, int(partition)


@dataclass(slots=True)
class Cluster:
    """What the next look sees. `ends` as `orders_0=10`."""

    topics: dict[str, int] = field(default_factory=lambda: {"orders": 1})
    groups: list[GroupSeen] = field(default_factory=list)
    ends: dict[Place, int] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    known: list[str] = field(default_factory=list)

    def end(self, **ends: int) -> None:
        """Where partitions end now."""
        self.ends.update({_place(key): offset for key, offset in ends.items()})

    def look(self, *, known: Collection[str] = (), whole: bool = False) -> ClusterSeen:
        """As the adapter's."""
        self.known = sorted(known)
        begins = dict.fromkeys(self.ends, 0) if whole else {}
        return ClusterSeen(
            cluster_id="cluster-1",
            brokers=("broker:9092",),
            topics=dict(self.topics),
            groups=list(self.groups),
            gone=set(self.gone),
            silent=set(self.silent),
            ends=dict(self.ends),
            begins=begins,
        )
