"""The graph as a stream: every dataset, job and edge that is there, or those around one of them.

Only keys are held (12 bytes a node, 25 an edge), to put everything in the order of the keys: two exports of one graph are
the same, line by line. The rest is read, given away and forgotten a batch at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from headwater_processor.state.layout import AliasRecord, split_edge_key
from headwater_processor.state.loading import Loader
from headwater_processor.state.store import StateStore, batches
from headwater_processor.state.values import DatasetState, EdgeState, JobState
from headwater_processor.state.walk import Walk, joined
from headwater_schemas.events import Name
from headwater_schemas.ids import DERIVES, KEY_BYTES, READS, WRITES

SAME_AS: Final = "SAME_AS"
"""The kind of an edge between two names of one dataset; it has no direction."""

GraphItem = DatasetState | JobState | EdgeState
EdgeStates = Callable[[Sequence[bytes]], list[tuple[bytes, EdgeState]]]
"""The edges with these keys that have names, with their keys."""


@dataclass(slots=True)
class Selection:
    """The keys of what is wanted, in order."""

    datasets: list[bytes] = field(default_factory=list)
    jobs: list[bytes] = field(default_factory=list)
    edges: list[bytes] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.datasets) + len(self.jobs) + len(self.edges)


def everything(store: StateStore) -> Selection:
    """All that was ever asserted; what was removed since is left out when it is read."""

    def keys(table: str) -> list[bytes]:
        return sorted(key for batch in store.members(table) for key, _ in batch)

    return Selection(keys("dz"), keys("jz"), keys("ez"))


def reached(walks: Sequence[Walk]) -> Selection:
    """What some walks found, each once."""
    return Selection(
        sorted({key for walk in walks for key in walk.datasets}),
        sorted({key for walk in walks for key in walk.jobs}),
        sorted({key for walk in walks for key in walk.edges}),
    )


def read_graph(
    selection: Selection,
    loader: Loader,
    edge_states: EdgeStates,
    aliases: Mapping[bytes, bytes],
    namespaces: Collection[str] = (),
) -> Iterator[GraphItem]:
    """The nodes, then the edges; both ends of an edge come before it.

    With `namespaces` only nodes of these, edges with at least one end in them, and what is at their other ends.
    """
    yield from _Reading(loader, edge_states, frozenset(namespaces)).items(selection, aliases)


class _Reading:
    def __init__(self, loader: Loader, edge_states: EdgeStates, namespaces: frozenset[str]) -> None:
        self._loader = loader
        self._edge_states = edge_states
        self._namespaces = namespaces
        self._datasets: set[bytes] = set()
        self._jobs: set[bytes] = set()

    def items(self, selection: Selection, aliases: Mapping[bytes, bytes]) -> Iterator[GraphItem]:
        yield from self._of_datasets(selection.datasets, self._wanted)
        yield from self._of_jobs(selection.jobs, self._wanted)
        for batch in batches(selection.edges):
            found = [
                (edge, state)
                for edge, state in self._edge_states(batch)
                if state.present and (self._wanted(state.source) or self._wanted(state.target))
            ]
            yield from self._ends_of([edge for edge, _ in found])
            yield from (state for _, state in found)
        yield from self._same_as(selection, aliases)

    def _wanted(self, name: Name) -> bool:
        return not self._namespaces or name.namespace in self._namespaces

    def _of_datasets(self, keys: Sequence[bytes], wanted: Callable[[Name], bool]) -> Iterator[DatasetState]:
        for key, dataset in self._loader.datasets(keys):
            if dataset.present and wanted(dataset.name):
                self._datasets.add(key)
                yield dataset

    def _of_jobs(self, keys: Sequence[bytes], wanted: Callable[[Name], bool]) -> Iterator[JobState]:
        for key, job in self._loader.jobs(keys, with_open_runs=False):
            if wanted(job.name):
                self._jobs.add(key)
                yield job

    def _ends_of(self, edges: Sequence[bytes]) -> Iterator[GraphItem]:
        """The nodes at these edges that were not given yet: in other namespaces, or new since we began to read."""
        datasets, jobs = dict[bytes, None](), dict[bytes, None]()
        for edge in edges:
            kind, source, target = split_edge_key(edge)
            if kind in (READS, DERIVES):
                datasets[source] = None
            if kind in (WRITES, DERIVES):
                datasets[target] = None
            if kind != DERIVES:
                jobs[target if kind == READS else source] = None
        yield from self._of_datasets([key for key in datasets if key not in self._datasets], _any)
        yield from self._of_jobs([key for key in jobs if key not in self._jobs], _any)

    def _same_as(self, selection: Selection, aliases: Mapping[bytes, bytes]) -> Iterator[EdgeState]:
        """Pairs as they were stated; and of names that are one through a name that is not here, each with the first of them."""
        pairs = [
            (pair[:KEY_BYTES], pair[KEY_BYTES:])
            for pair, value in sorted(aliases.items())
            if AliasRecord.unpack(value).present
        ]
        inside = [(one, other) for one, other in pairs if one in self._datasets and other in self._datasets]
        inside = sorted({*inside, *_missing(joined(pairs), joined(inside), self._datasets)})
        names = self._loader.names(key for pair in inside for key in pair)
        for one, other in inside:
            yield EdgeState(SAME_AS, names[one], names[other], present=True)


def _missing(
    classes: Mapping[bytes, tuple[bytes, ...]], stated: Mapping[bytes, tuple[bytes, ...]], here: set[bytes]
) -> Iterator[tuple[bytes, bytes]]:
    """The pairs that it takes beside the stated ones to join those members of each class that are here."""
    for group in set(classes.values()):
        members = [key for key in group if key in here]
        reached = set(stated.get(members[0], members[:1])) if members else set()
        for key in members[1:]:
            if key not in reached:
                yield members[0], key
                reached.update(stated.get(key, (key,)))


def _any(_name: Name) -> bool:
    return True
