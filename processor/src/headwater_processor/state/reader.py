"""The reader of the state: what Headwater knows of one domain, from Redis alone.

Every answer is a plain value (`state.values`); nothing is cached between calls but the layout check. What is read is
not one instant: the engine goes on writing, and each record is whole but the answer as a whole may straddle a batch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

import redis

from headwater_processor.state.alerts import read_alert
from headwater_processor.state.errors import AmbiguousNameError, LayoutError, NoStateError, UnknownDatasetError
from headwater_processor.state.graph import GraphItem, Selection, everything, reached, read_graph
from headwater_processor.state.layout import (
    EDGE_KINDS,
    KIND_DATASET,
    KIND_JOB,
    LAYOUT_VERSION,
    DatasetRecord,
    EdgeRecord,
    dataset_ends,
    minute_of,
    split_edge_key,
    unpack_name,
)
from headwater_processor.state.loading import Loader
from headwater_processor.state.near import near_names
from headwater_processor.state.partitions import domain_as_of, read_partition
from headwater_processor.state.runs import run_text
from headwater_processor.state.store import StateStore
from headwater_processor.state.values import (
    AlertState,
    DatasetState,
    EdgeState,
    JobState,
    PartitionState,
    Summary,
    Trace,
)
from headwater_processor.state.walk import DOWNSTREAM, UPSTREAM, alias_classes, walk, walk_from_job
from headwater_schemas.events import Name
from headwater_schemas.ids import DERIVES, READS, WRITES, dataset_key, dataset_key_of, emitter_key, job_key
from headwater_schemas.naming import KAFKA_CLUSTER, canonical_dataset

MAX_NEIGHBOURS: Final = 2000
"""Edges of one kind that are followed from one node; a wider node is cut, and the answer says so."""


class StateReader:
    """Reads one domain. `client` must return bytes (`decode_responses=False`).

    `lateness_us` and `run_timeout_us` are the worker's settings: they turn the largest event time into the watermark,
    and open runs that have long been silent into lost ones (0: only those that the worker has called lost).

    Raises (every method):
        NoStateError: the domain has no state here.
        LayoutError: the state was written by another version.
        redis.RedisError: Redis cannot be reached or refuses.
    """

    def __init__(
        self, client: redis.Redis, domain: str, *, lateness_us: int = 300_000_000, run_timeout_us: int = 0
    ) -> None:
        self._store = StateStore(client, domain)
        self._domain = domain
        self._lateness_us = lateness_us
        self._run_timeout_us = run_timeout_us
        self._checked: dict[bytes, bytes] | None = None

    @property
    def domain(self) -> str:
        """The domain that is read."""
        return self._domain

    # --- datasets ---------------------------------------------------------------------------------------------------

    def datasets(
        self,
        *,
        namespace: str | None = None,
        states: Collection[str] | None = None,
        owner: str | None = None,
        unlinked: bool = False,
        present_only: bool = True,
    ) -> Iterator[DatasetState]:
        """Every dataset that passes all filters, in no order. `states` are names such as STALE."""
        loader = self._loader()
        for batch in self._store.members("dz"):
            for _, dataset in loader.datasets([key for key, _ in batch]):
                if (
                    (dataset.present or not present_only)
                    and (namespace is None or dataset.name.namespace == namespace)
                    and (states is None or dataset.state in states)
                    and (owner is None or dataset.owner == owner or owner in dataset.about.owners)
                    and (not unlinked or dataset.unlinked)
                ):
                    yield dataset

    def dataset(self, name: Name | str) -> DatasetState:
        """One dataset, present or not.

        A string is "namespace/name" (the longest namespace that fits wins) or a name that is unique.

        Raises:
            UnknownDatasetError: no event ever named it; with the nearest names.
            AmbiguousNameError: the name exists in several namespaces.
        """
        key = self._dataset_key(name)
        for _, dataset in self._loader().datasets([key]):
            return dataset
        raise UnknownDatasetError(str(name), self._near(str(name)))

    def resolve(self, text: str) -> Name:
        """The canonical name of the dataset that a person means by `text`. Raises as `dataset` does."""
        self._meta()
        splits = [i for i, letter in enumerate(text) if letter == "/"]
        candidates = [canonical_dataset(text[:i], text[i + 1 :]) for i in reversed(splits)]
        candidates.append(canonical_dataset("", text))
        known = self._store.get_many("names", [dataset_key(name) for name in candidates])
        for name in candidates:
            if dataset_key(name) in known:
                return name
        matches = sorted(
            (name for name in self._names(KIND_DATASET) if name.name == text),
            key=str,
        )
        if len(matches) > 1:
            matches = self._one_of_each_class(matches)
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise AmbiguousNameError(text, [str(name) for name in matches])
        raise UnknownDatasetError(text, self._near(text))

    def dataset_names(self) -> Iterator[Name]:
        """The names of all datasets that an event ever named, in no order; one may come twice. Not those that only join others."""
        self._meta()
        return (name for name in self._names(KIND_DATASET) if not name.namespace.startswith(KAFKA_CLUSTER))

    def job_names(self) -> Iterator[Name]:
        """The names of all jobs, in no order; one may come twice."""
        self._meta()
        return self._names(KIND_JOB)

    # --- jobs -------------------------------------------------------------------------------------------------------

    def jobs(self) -> Iterator[JobState]:
        """Every job with its runs, in no order."""
        loader = self._loader()
        for batch in self._store.members("jz"):
            for _, job in loader.jobs([key for key, _ in batch]):
                yield job

    def job(self, name: Name) -> JobState | None:
        """One job with its open runs, its history with runtime facts and offsets, its last success; None if unknown."""
        for _, job in self._loader().jobs([job_key(name)]):
            return job
        return None

    def emitter(self, name: str) -> tuple[int, list[Name]]:
        """When an emitter was last heard (0: never) and the datasets that it writes, at most `MAX_NEIGHBOURS`."""
        self._meta()
        key = emitter_key(name)
        written = self._store.members_after("ex", key, MAX_NEIGHBOURS)
        names = self._loader().names(written)
        return self._store.scores("mz", [key]).get(key, 0), sorted(names.values(), key=str)

    def emitters(self) -> dict[str, int]:
        """When each emitter was last heard, by its name; in no order."""
        self._meta()
        found: dict[str, int] = {}
        for batch in self._store.members("mz"):
            names = self._loader().names(key for key, _ in batch)
            found.update((names[key].name, seen_us) for key, seen_us in batch if key in names)
        return found

    # --- the graph --------------------------------------------------------------------------------------------------

    def edges(self, node: Name, *, of_job: bool = False) -> list[EdgeState]:
        """The edges at a dataset (or at a job), present or not, at most `MAX_NEIGHBOURS` of a kind."""
        self._meta()
        key = job_key(node) if of_job else dataset_key_of(node.namespace, node.name)
        kinds = (READS, WRITES) if of_job else (READS, WRITES, DERIVES)
        found = self._store.neighbours([(key, kind) for kind in kinds], MAX_NEIGHBOURS)
        return self._edge_states([edge for edges in found for edge in edges])

    def upstream(self, name: Name | str, depth: int = 5) -> Trace:
        """What a dataset is made from, `depth` jobs back. Raises as `dataset` does."""
        return self.trace(name, UPSTREAM, depth)

    def downstream(self, name: Name | str, depth: int = 5) -> Trace:
        """What is made from a dataset, `depth` jobs on. Raises as `dataset` does."""
        return self.trace(name, DOWNSTREAM, depth)

    def trace(self, name: Name | str, direction: str, depth: int) -> Trace:
        """The walk in one direction (`upstream` or `downstream`). Raises as `dataset` does."""
        root = self._dataset_key(name)
        classes = alias_classes(self._store.fields("al"))
        found = walk(_Edges(self._store), root, direction, depth, classes)
        loader = self._loader()
        datasets = {
            key: dataset
            for key, dataset in loader.datasets(list(found.datasets))
            if key == root or not _only_joins(dataset)
        }
        if root not in datasets:
            raise UnknownDatasetError(str(name), self._near(str(name)))
        groups = {group for key in datasets if (group := classes.get(key, ()))}
        same = [names for group in sorted(groups) if len(names := [key for key in group if key in datasets]) > 1]
        return Trace(
            root=datasets[root].name,
            direction=direction,
            depth=depth,
            as_of_us=self._as_of_us(),
            datasets=tuple(datasets.values()),
            jobs=tuple(job for _, job in loader.jobs(list(found.jobs))),
            edges=tuple(edge for edge in self._edge_states(list(found.edges)) if edge.present),
            same_as=tuple(tuple(datasets[key].name for key in group) for group in same),
            distance={datasets[key].name: hops for key, hops in found.datasets.items() if key in datasets},
            truncated=found.truncated,
        )

    def everything(self) -> Selection:
        """The keys of the whole graph, for `graph`."""
        self._meta()
        return everything(self._store)

    def around(self, name: Name | str, depth: int, directions: Collection[str] = (UPSTREAM, DOWNSTREAM)) -> Selection:
        """The keys of what a dataset comes from and feeds, `depth` jobs far, for `graph`. Raises as `dataset` does."""
        root, edges = self._dataset_key(name), _Edges(self._store)
        classes = alias_classes(self._store.fields("al"))
        return reached([walk(edges, root, direction, depth, classes) for direction in directions])

    def around_job(self, name: Name, depth: int, directions: Collection[str] = (UPSTREAM, DOWNSTREAM)) -> Selection:
        """The keys of what a job reads and writes, and on from there, `depth` steps far, for `graph`."""
        self._meta()
        root, edges = job_key(name), _Edges(self._store)
        classes = alias_classes(self._store.fields("al"))
        return reached([walk_from_job(edges, root, direction, depth, classes) for direction in directions])

    def graph(self, selection: Selection, namespaces: Collection[str] = ()) -> Iterator[GraphItem]:
        """What is there of a selection: datasets, jobs (without their open runs), then edges, and `SAME_AS` edges between
        names of one dataset; in the order of their keys. Both ends of an edge come before it.

        With `namespaces` only nodes of these, edges with at least one end in them, and what is at their other ends.
        """
        aliases = dict(self._store.fields("al"))
        yield from read_graph(selection, self._loader(), self._edge_pairs, aliases, namespaces)

    def _edge_states(self, edges: Sequence[bytes]) -> list[EdgeState]:
        return [state for _, state in self._edge_pairs(edges)]

    def _edge_pairs(self, edges: Sequence[bytes]) -> list[tuple[bytes, EdgeState]]:
        edges = list(dict.fromkeys(edges))
        ends = {end for edge in edges for end in split_edge_key(edge)[1:]}
        names = self._loader().names(ends)
        records = {edge: EdgeRecord.unpack(value) for edge, value in self._store.get_many("edge", edges).items()}
        asserted = self._store.scores("ez", edges)
        present = _present(self._store, edges, asserted)
        states = []
        for edge in edges:
            kind, source, target = split_edge_key(edge)
            if source in names and target in names:
                record = records.get(edge, EdgeRecord())
                state = EdgeState(
                    kind=EDGE_KINDS[kind],
                    source=names[source],
                    target=names[target],
                    present=edge in present,
                    first_seen_us=record.first_seen_us,
                    last_seen_us=minute_of(asserted.get(edge, 0)),
                    first_run=run_text(record.run_id),
                )
                states.append((edge, state))
        return states

    # --- the domain -------------------------------------------------------------------------------------------------

    def alerts(self) -> list[AlertState]:
        """The alert machines that are not at rest, firing ones first, oldest first."""
        found = [
            alert
            for shard in range(self._shards())
            for fingerprint, value in self._store.fields("am", shard)
            if (alert := read_alert(fingerprint, value)) is not None
        ]
        unique = {alert.fingerprint: alert for alert in found}
        return sorted(unique.values(), key=lambda alert: (alert.state != "FIRING", alert.since_us, alert.fingerprint))

    def partitions(self) -> list[PartitionState]:
        """The fence, the clocks and the counters of every partition of the events topic."""
        as_of = self._store.hash_of("asof")
        return [
            read_partition(number, self._store.hash_of("f", number), as_of, self._lateness_us)
            for number in range(int(self._meta().get(b"partitions", b"0")))
        ]

    def sizes(self) -> tuple[int, int, int]:
        """How many datasets, jobs and edges were ever named and are not forgotten; one call, however many they are."""
        self._meta()
        datasets, jobs, edges = self._store.counts([("ZCARD", "dz"), ("ZCARD", "jz"), ("ZCARD", "ez")])
        return datasets, jobs, edges

    def summary(self) -> Summary:
        """The domain in a few numbers."""
        meta = self._meta()
        datasets, jobs, edges = self.sizes()
        partitions = self.partitions()
        return Summary(
            domain=self._domain,
            born_us=int(float(meta.get(b"born_us", b"0"))),
            partitions=len(partitions),
            shards=self._shards(),
            as_of_us=domain_as_of(partitions),
            datasets=datasets,
            jobs=jobs,
            edges=edges,
            applied=sum(partition.applied for partition in partitions),
            alerts_firing=sum(alert.state in ("FIRING", "CLEARING") for alert in self.alerts()),
        )

    # --- inside -----------------------------------------------------------------------------------------------------

    def _meta(self) -> dict[bytes, bytes]:
        if self._checked is None:
            meta = self._store.meta()
            if not meta:
                raise NoStateError(self._domain)
            layout = meta.get(b"layout", b"").decode(errors="replace")
            if layout != str(LAYOUT_VERSION):
                raise LayoutError(
                    f"the state of domain {self._domain!r} has layout {layout or 'unknown'}, this version of Headwater "
                    f"reads layout {LAYOUT_VERSION}: use the version that the worker runs"
                )
            self._checked = meta
        return self._checked

    def _shards(self) -> int:
        return max(1, int(self._meta().get(b"shards", b"16")))

    def _as_of_us(self) -> int:
        return domain_as_of(self.partitions())

    def _loader(self) -> Loader:
        shards = self._shards()
        as_of_us = self._as_of_us() if self._run_timeout_us else 0
        return Loader(self._store, shards, as_of_us=as_of_us, run_timeout_us=self._run_timeout_us)

    def _dataset_key(self, name: Name | str) -> bytes:
        self._meta()
        found = self.resolve(name) if isinstance(name, str) else canonical_dataset(name.namespace, name.name)
        return dataset_key(found)

    def _names(self, kind: bytes) -> Iterator[Name]:
        for _, value in self._store.fields("names"):
            if value[:1] == kind:
                yield unpack_name(value)[1]

    def _one_of_each_class(self, matches: list[Name]) -> list[Name]:
        """Names of one dataset as one of them: the first that something was said of, by name."""
        classes = alias_classes(self._store.fields("al"))
        keys = {dataset_key(name): name for name in matches}
        asserted = self._store.scores("dz", list(keys))
        chosen: dict[bytes | tuple[bytes, ...], Name] = {}
        for key, name in sorted(keys.items(), key=lambda each: (each[0] not in asserted, str(each[1]))):
            chosen.setdefault(classes.get(key, key), name)
        return sorted(chosen.values(), key=str)

    def _near(self, text: str) -> list[str]:
        known = {str(name) for name in self._names(KIND_DATASET) if not name.namespace.startswith(KAFKA_CLUSTER)}
        return near_names(text, known)

    def near_jobs(self, text: str) -> list[str]:
        """The known jobs whose names are nearest to `text`."""
        self._meta()
        return near_names(text, {str(name) for name in self._names(KIND_JOB)})


def _only_joins(dataset: DatasetState) -> bool:
    """Whether a name is a cluster's, under which nothing is read or written: it says that others are one, and is none itself."""
    return dataset.name.namespace.startswith(KAFKA_CLUSTER) and not dataset.last_seen_us


class _Edges:
    """The edges of the state as the walk asks for them."""

    def __init__(self, store: StateStore) -> None:
        self._store = store

    def present_edges(self, ranges: Sequence[tuple[bytes, bytes]]) -> tuple[list[list[bytes]], bool]:
        found = self._store.neighbours(ranges, MAX_NEIGHBOURS + 1)
        truncated = any(len(edges) > MAX_NEIGHBOURS for edges in found)
        cut = [edges[:MAX_NEIGHBOURS] for edges in found]
        every = [edge for edges in cut for edge in edges]
        present = _present(self._store, every, self._store.scores("ez", every))
        return [[edge for edge in edges if edge in present] for edges in cut], truncated


def _present(store: StateStore, edges: Sequence[bytes], asserted: dict[bytes, int]) -> set[bytes]:
    """Those edges that were asserted after the last removal of every dataset end, which is there (SEMANTICS.md, section 3)."""
    ends = sorted({end for edge in edges for end in dataset_ends(edge)})
    retracted = {key: DatasetRecord.unpack(value).retracted_us for key, value in store.get_many("ds", ends).items()}
    there = {key for key, at_us in store.scores("dz", ends).items() if at_us > retracted.get(key, 0)}
    return {
        edge
        for edge in edges
        if all(end in there and asserted.get(edge, 0) > retracted.get(end, 0) for end in dataset_ends(edge))
    }
