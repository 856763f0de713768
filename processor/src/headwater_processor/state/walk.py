"""The walk over the graph: from one dataset up or down, dataset to job to dataset, every node once.

Pure but for the source it is given: `GraphSource` answers in batches, so that a level of the walk costs a fixed number
of calls however wide it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from headwater_processor.state.layout import AliasRecord, split_edge_key
from headwater_schemas.ids import DERIVES, KEY_BYTES, READS, WRITES

UPSTREAM: Final = "upstream"
DOWNSTREAM: Final = "downstream"

# Which kinds of edge lead on, in the direction asked for: first from a dataset, then from a job.
_FROM_DATASET: Final = {UPSTREAM: (DERIVES, WRITES), DOWNSTREAM: (DERIVES, READS)}
_FROM_JOB: Final = {UPSTREAM: READS, DOWNSTREAM: WRITES}


class GraphSource(Protocol):
    """Where the walk gets its edges."""

    def present_edges(self, ranges: Sequence[tuple[bytes, bytes]]) -> tuple[list[list[bytes]], bool]:
        """For each (node key, edge kind) the keys of the edges at that node that are present, and whether some were
        left out because there are too many."""
        ...


@dataclass(slots=True)
class Walk:
    """What the walk found. Keys are 12 bytes; distances count jobs and stated edges from the root."""

    datasets: dict[bytes, int] = field(default_factory=dict)
    jobs: dict[bytes, int] = field(default_factory=dict)
    edges: dict[bytes, None] = field(default_factory=dict)
    truncated: bool = False


def alias_classes(aliases: Iterable[tuple[bytes, bytes]]) -> dict[bytes, tuple[bytes, ...]]:
    """For each dataset key that has a present alias, all keys of its class, itself among them.

    `aliases` are the fields and values of the table `al`.
    """
    return joined((pair[:KEY_BYTES], pair[KEY_BYTES:]) for pair, value in aliases if AliasRecord.unpack(value).present)


def joined(pairs: Iterable[tuple[bytes, bytes]]) -> dict[bytes, tuple[bytes, ...]]:
    """For each key in a pair all keys that pairs join it with, itself among them."""
    parent: dict[bytes, bytes] = {}

    def find(key: bytes) -> bytes:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for one, other in pairs:
        parent[find(one)] = find(other)
    members: dict[bytes, list[bytes]] = {}
    for key in sorted(parent):
        members.setdefault(find(key), []).append(key)
    return {key: tuple(group) for group in members.values() for key in group}


def walk(
    source: GraphSource, root: bytes, direction: str, depth: int, classes: Mapping[bytes, tuple[bytes, ...]]
) -> Walk:
    """Follow the edges from `root`, `depth` jobs far; a cycle is walked once."""
    found = Walk()
    _follow(source, found, _enter(found, [root], 0, classes), direction, range(1, depth + 1), classes)
    return found


def walk_from_job(
    source: GraphSource, job: bytes, direction: str, depth: int, classes: Mapping[bytes, tuple[bytes, ...]]
) -> Walk:
    """Follow the edges from a job; its own inputs or outputs are the first step of `depth`."""
    found = Walk(jobs={job: 0})
    nearest = _far_ends(source, found, [(job, _FROM_JOB[direction])], direction)
    _follow(source, found, _enter(found, nearest, 1, classes), direction, range(2, depth + 1), classes)
    return found


def _follow(
    source: GraphSource,
    found: Walk,
    frontier: list[bytes],
    direction: str,
    distances: Iterable[int],
    classes: Mapping[bytes, tuple[bytes, ...]],
) -> None:
    for distance in distances:
        if not frontier:
            return
        frontier = _step(source, found, frontier, direction, distance, classes)


def _step(
    source: GraphSource,
    found: Walk,
    frontier: list[bytes],
    direction: str,
    distance: int,
    classes: Mapping[bytes, tuple[bytes, ...]],
) -> list[bytes]:
    stated, through = _FROM_DATASET[direction]
    direct = _far_ends(source, found, [(key, stated) for key in frontier], direction)
    jobs = _far_ends(source, found, [(key, through) for key in frontier], direction)
    fresh = [job for job in jobs if job not in found.jobs]
    found.jobs.update(dict.fromkeys(fresh, distance))
    joined = _far_ends(source, found, [(job, _FROM_JOB[direction]) for job in fresh], direction)
    return _enter(found, [*direct, *joined], distance, classes)


def _far_ends(source: GraphSource, found: Walk, ranges: list[tuple[bytes, bytes]], direction: str) -> list[bytes]:
    """The nodes at the other end of the present edges, each once; the edges are remembered."""
    if not ranges:
        return []
    edges_of, truncated = source.present_edges(ranges)
    found.truncated |= truncated
    ends: dict[bytes, None] = {}
    for (node, _), edges in zip(ranges, edges_of, strict=True):
        for edge in edges:
            _, start, end = split_edge_key(edge)
            here, there = (end, start) if direction == UPSTREAM else (start, end)
            if here == node:  # the adjacency of a dataset has its stated edges in both directions
                found.edges[edge] = None
                ends[there] = None
    return list(ends)


def _enter(
    found: Walk, keys: Iterable[bytes], distance: int, classes: Mapping[bytes, tuple[bytes, ...]]
) -> list[bytes]:
    """Add datasets and everything that is the same as them; the new ones are the next frontier."""
    fresh: list[bytes] = []
    for key in keys:
        for member in (key, *classes.get(key, ())):
            if member not in found.datasets:
                found.datasets[member] = distance
                fresh.append(member)
    return fresh
