"""What there is in a domain, counted by whoever owns it: the figures behind the SLIs (METRICS.md).

Each shard's owner counts the datasets and jobs of that shard and the edges that live in it, so the sum over all workers is the
domain, and no figure is told twice. A count walks in small steps, one with each sweep: at most so many datasets and edges, in
one read-only call. The figures of a shard are replaced when it was walked to its end; before that there are none. What is
known of a dataset comes from its status as it was last judged; what the judge has not looked at yet is not counted.

Aliases of one dataset count once, under the name that sorts first among those that are present.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from headwater.runtime.metrics import Histogram
from headwater_processor.adapters.shard_store import ShardStore
from headwater_processor.core.alerts import State
from headwater_processor.core.policies import PolicySet
from headwater_processor.engine.facts import FactReader
from headwater_processor.engine.waking import ShardJudge
from headwater_processor.state.layout import unpack_name
from headwater_schemas.alerts import Severity
from headwater_schemas.deltas import FreshnessState
from headwater_schemas.events import Name
from headwater_schemas.ids import DERIVES, KEY_BYTES, READS, WRITES, dataset_key, shard_of
from headwater_schemas.policies import Criticality

DATASETS_A_STEP: Final = 200
DATASETS_A_CALL: Final = 50
EDGES_A_STEP: Final = 1000
STEP_S: Final = 0.02
"""Bounds a call to a millisecond or two of Redis, and a step to a few of ours; many patterns in policies make it dearer, and then
the clock ends it."""
ALIAS_EDGES_MAX: Final = 1000
"""Edges of one name that are compared with those of its aliases."""
AGES: Final = (60.0, 300.0, 900.0, 3600.0, 21_600.0, 86_400.0, 604_800.0, 2_592_000.0)
"""Of the last write of a dataset: a minute to thirty days."""

TIERS: Final = tuple(criticality.value.lower() for criticality in Criticality)
STATES: Final = tuple(state.value.lower() for state in FreshnessState)
_TIER: Final = dict(zip(Criticality, TIERS, strict=True))
_STATE: Final = dict(zip(FreshnessState, STATES, strict=True))
SEVERITIES: Final = tuple(severity.value.lower() for severity in Severity)
EDGE_KINDS: Final = ("reads", "writes", "derives")
INVENTORIES: Final = ("declared", "observed")
TABLES: Final = {"dataset": ("ZCARD", "dz"), "job": ("ZCARD", "jz"), "emitter": ("ZCARD", "mz"), "edge": ("ZCARD", "ez"),
                 "alias": ("HLEN", "al"), "run": ("HLEN", "run"), "name": ("HLEN", "names"),
                 "fact": ("HLEN", "about")}  # fmt: skip
"""What the owner of shard 0 counts for the whole domain, and how."""


@dataclass(slots=True)
class Figures:
    """What was counted. Keys are tiers, states, kinds: never names."""

    inventory: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(declared or observed, tier) → datasets."""
    covered: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Of these, those with an edge that is present."""
    states: Counter[str] = field(default_factory=Counter)
    slo: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(tier, state) → datasets that people gave a freshness target."""
    ages: dict[str, Histogram] = field(default_factory=dict)
    """Tier → seconds of as-of since the last proven write."""
    edges: Counter[str] = field(default_factory=Counter)
    without_run: int = 0
    duplicates: int = 0
    judged: Counter[str] = field(default_factory=Counter)
    """dataset or job → nodes that were judged."""
    unlinked: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(dataset or job, kind) → nodes."""
    kinds: Counter[str] = field(default_factory=Counter)
    """source or leaf → datasets."""

    def add(self, other: Figures) -> None:
        """Count what was counted elsewhere."""
        for name in ("inventory", "covered", "states", "slo", "edges", "judged", "unlinked", "kinds"):
            getattr(self, name).update(getattr(other, name))
        self.without_run += other.without_run
        self.duplicates += other.duplicates
        for tier, ages in other.ages.items():
            self.ages.setdefault(tier, Histogram(AGES)).add(ages)


@dataclass(frozen=True, slots=True)
class Seen:
    """A dataset as census.lua found it."""

    present: bool
    last_write_us: int
    linked: bool


@dataclass(slots=True)
class Walk:
    """A shard on its way: what is left of it, and what was counted so far."""

    judge: ShardJudge
    declared: dict[bytes, Name]
    left: list[bytes] | None = None
    """None: not begun yet."""
    figures: Figures = field(default_factory=Figures)
    after: bytes = b""
    """The edge at which the first dataset goes on; what was found of it before."""
    linked: bool = False


class Census:
    """Used by the shards' thread. What others read (`figures`, `sizes`, `firing`, `shards`, `counted_at`) is replaced whole."""

    def __init__(
        self,
        store: ShardStore,
        reader: FactReader,
        *,
        shards: int,
        every_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._reader = reader
        self._shards = shards
        self._every_s = every_s
        self._clock = clock
        self._walks: list[Walk] = []
        self._by_shard: dict[int, tuple[ShardJudge, float, Figures]] = {}
        self._begun_at = self._glanced_at = self._next_at = -1e9
        self.figures = Figures()
        self.sizes: dict[str, int] = {}
        self.firing: dict[str, int] = {}
        self.shards: tuple[int, ...] = ()
        self.counted_at = 0.0

    def step(self, judges: Mapping[int, ShardJudge], policies: PolicySet, as_of_us: int) -> None:
        """Go on with the count, or begin anew if it is time. Figures of shards that went go with them."""
        known = {n: told for n, told in self._by_shard.items() if judges.get(n) is told[0]}
        went = len(known) != len(self._by_shard)
        self._by_shard = known
        self._walks = [walk for walk in self._walks if judges.get(walk.judge.shard.number) is walk.judge]
        if self._clock() - self._glanced_at >= self._every_s:
            self._glance(judges)
        if not self._walks and (self._clock() >= self._next_at or self._new(judges)):
            self._begin(judges, policies)
        datasets, edges, finished, began = DATASETS_A_STEP, EDGES_A_STEP, False, self._clock()
        while self._walks and datasets > 0 and edges > 0 and self._clock() - began < STEP_S:
            walk = self._walks[0]
            if walk.left is None:
                self._begin_shard(walk)
            looked_at, of_edges = self._walk(walk, min(datasets, DATASETS_A_CALL), edges, policies, as_of_us)
            datasets, edges = datasets - looked_at, edges - of_edges
            if not walk.left:
                finished = True
                self._walks.pop(0)
                self._by_shard[walk.judge.shard.number] = (walk.judge, self._clock(), walk.figures)
        if finished and not self._walks:  # a long walk rests as long as it took
            self._next_at = max(self._begun_at + self._every_s, 2 * self._clock() - self._begun_at)
        if finished or went:
            self._tell()

    def _new(self, judges: Mapping[int, ShardJudge]) -> bool:
        return any(number not in self._by_shard for number in judges)

    def _begin(self, judges: Mapping[int, ShardJudge], policies: PolicySet) -> None:
        self._begun_at = self._clock()
        declared: dict[int, dict[bytes, Name]] = {}
        for name in policies.declared_datasets():
            key = dataset_key(name)
            declared.setdefault(shard_of(key, self._shards), {})[key] = name
        for number, judge in judges.items():
            self._walks.append(Walk(judge, declared.get(number, {})))

    def _glance(self, judges: Mapping[int, ShardJudge]) -> None:
        """What needs no walk: alerts that fire, and sizes of tables."""
        self._glanced_at = self._clock()
        firing = Counter(
            machine.severity.value.lower()
            for judge in judges.values()
            for machine in judge.machines.values()
            if machine.state in (State.FIRING, State.CLEARING)
        )
        self.firing = {severity: firing[severity] for severity in SEVERITIES}
        sizes: dict[str, int] = {}
        if 0 in judges:
            answers = self._store.many([(command, self._store.keys(key)) for command, key in TABLES.values()])
            sizes = dict(zip(TABLES, map(int, answers), strict=True))
        self.sizes = sizes

    @staticmethod
    def _begin_shard(walk: Walk) -> None:
        figures, keys = walk.figures, dict.fromkeys(walk.declared)
        for member, status in walk.judge.statuses.items():
            node = "job"
            if member[:1] == b"d":
                node = "dataset"
                keys[member[1:]] = None
            figures.judged[node] += 1
            if status.unlinked:
                figures.unlinked[node, status.unlinked] += 1
            elif status.kind:
                figures.kinds[status.kind] += 1
        walk.left = list(keys)

    def _tell(self) -> None:
        total = Figures()
        for _, _, figures in self._by_shard.values():
            total.add(figures)
        self.shards = tuple(sorted(self._by_shard))
        self.counted_at = min((at for _, at, _ in self._by_shard.values()), default=0.0)
        self.figures = total

    # ---- one step --------------------------------------------------------------------------------------------------

    def _walk(self, walk: Walk, datasets: int, edges: int, policies: PolicySet, as_of_us: int) -> tuple[int, int]:
        """A portion of a shard; how many datasets and edges were counted."""
        if not walk.left:
            return 0, 0
        portion, before = walk.left[:datasets], walk.figures.edges.total()
        answer = self._store.census(portion, walk.after, edges)
        done, walk.after = int(answer[0]), bytes(answer[1])
        found = self._read(walk, portion, answer[2:], done)
        self._count(walk, found, policies, as_of_us)
        walk.left = walk.left[done:]
        return max(1, done), walk.figures.edges.total() - before

    def _read(self, walk: Walk, portion: Sequence[bytes], numbers: Sequence[int], done: int) -> dict[bytes, Seen]:
        """The datasets that were looked at to their end; edges are counted as they come."""
        found: dict[bytes, Seen] = {}
        for key, (present, write_us, reads, writes, derives, without, linked) in zip(
            portion, _sevens(numbers), strict=False
        ):
            edges = walk.figures.edges
            edges["reads"] += reads
            edges["writes"] += writes
            edges["derives"] += derives
            walk.figures.without_run += without
            is_linked, walk.linked = bool(linked) or walk.linked, False
            if len(found) < done:
                found[key] = Seen(bool(present), write_us, is_linked)
            else:
                walk.linked = is_linked
        return found

    def _count(self, walk: Walk, found: Mapping[bytes, Seen], policies: PolicySet, as_of_us: int) -> None:
        classes = {key: self._reader.members_of(key, policies) for key in found}
        names = self._names_of({each for group in classes.values() for each in group})
        others = self._look_at({each for group in classes.values() if len(group) > 1 for each in group} - found.keys())
        seen = {**others, **found} if others else found
        for key, group in classes.items():
            linked = seen[key].linked or (len(group) > 1 and any(seen[each].linked for each in group if each in seen))
            if key in walk.declared:
                tier = _TIER[policies.for_dataset(walk.declared[key]).criticality]
                walk.figures.inventory["declared", tier] += 1
                walk.figures.covered["declared", tier] += linked
            present = [(str(names[each]), each) for each in group if each in names and _there(seen, each)]
            if present and min(present)[1] == key:
                self._count_one(walk, [key for _, key in present], names, seen, linked, policies, as_of_us)

    def _count_one(
        self,
        walk: Walk,
        present: list[bytes],
        names: Mapping[bytes, Name],
        seen: Mapping[bytes, Seen],
        linked: bool,
        policies: PolicySet,
        as_of_us: int,
    ) -> None:
        """A dataset under all its names that are present; the first of them speaks."""
        figures, single = walk.figures, len(present) == 1
        key = present[0] if single else min(present, key=lambda each: str(names[each]))
        policy = policies.for_dataset(names[key]) if single else policies.for_class([names[each] for each in present])
        tier = _TIER[policy.criticality]
        figures.inventory["observed", tier] += 1
        figures.covered["observed", tier] += linked
        status = walk.judge.statuses.get(b"d" + key)
        state = _STATE[status.state] if status is not None else "unknown"
        figures.states[state] += 1
        if policy.explicit:
            figures.slo[tier, state] += 1
        write_us = max([seen[each].last_write_us for each in present])
        if write_us and as_of_us:
            ages = figures.ages.get(tier)
            if ages is None:
                ages = figures.ages[tier] = Histogram(AGES)
            ages.observe(max(0.0, (as_of_us - write_us) / 1e6))
        if not single:
            figures.duplicates += self._duplicates(present, policies)

    def _names_of(self, keys: Iterable[bytes]) -> dict[bytes, Name]:
        """Asked for each time: kept, they would fill the memory of a worker in which nothing happens."""
        ordered = list(keys)
        if not ordered:
            return {}
        (values,) = self._store.many([("HMGET", self._store.keys("names"), *ordered)])
        return {key: unpack_name(value)[1] for key, value in zip(ordered, values, strict=True) if value is not None}

    def _look_at(self, keys: Iterable[bytes]) -> dict[bytes, Seen]:
        """Aliases that live elsewhere."""
        left, found = sorted(keys), {}
        while left:
            looked_at = list(_sevens(self._store.census(left, b"", ALIAS_EDGES_MAX)[2:]))
            for key, (present, write_us, _r, _w, _d, _no, linked) in zip(left, looked_at, strict=False):
                found[key] = Seen(bool(present), write_us, bool(linked))
            left = left[len(looked_at) :]
        return found

    def _duplicates(self, group: Sequence[bytes], policies: PolicySet) -> int:
        """Edges of the names of one dataset that say what another one says, and those from it to itself."""
        ax = self._store.keys("ax")
        answers = self._store.many(
            [("ZRANGEBYLEX", ax, b"[" + n, b"(" + n + b"\xff" * 26, "LIMIT", 0, ALIAS_EDGES_MAX) for n in group]
        )
        edges = {bytes(member[KEY_BYTES:]) for members in answers for member in members}
        return duplicates(edges, frozenset(group), lambda key: self._reader.members_of(key, policies)[0])


def duplicates(edges: Iterable[bytes], group: frozenset[bytes], first_name: Callable[[bytes], bytes]) -> int:
    """How many of these edges of the names of one dataset say the same as another of them, once every name is replaced by the
    first of its aliases; those between two names of it all are.

    An edge between two datasets that both have several names belongs to its target, so that it is judged once.
    """
    said: set[tuple[bytes, bytes, bytes]] = set()
    repeated = 0
    for edge in edges:
        kind, source, target = edge[:1], edge[1 : 1 + KEY_BYTES], edge[1 + KEY_BYTES :]
        if kind == READS:
            meant = (kind, b"", target)
        elif kind == WRITES:
            meant = (kind, source, b"")
        elif source in group and target in group:
            repeated += source != target
            continue
        elif target in group:
            meant = (DERIVES, first_name(source), b"")
        else:
            meant = (DERIVES, b"", target)
        repeated += meant in said
        said.add(meant)
    return repeated


def _there(seen: Mapping[bytes, Seen], key: bytes) -> bool:
    return key in seen and seen[key].present


def _sevens(numbers: Sequence[int]) -> Iterator[tuple[int, int, int, int, int, int, int]]:
    at: Any  # the answer of a script: as many integers as census.lua says
    for at in range(0, len(numbers), 7):
        present, write, reads, writes, derives, without, linked = numbers[at : at + 7]
        yield present, write, reads, writes, derives, without, linked
