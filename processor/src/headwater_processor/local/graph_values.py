"""Nodes and edges as they are exported and compared: from the values of the reader, with the facts that belong to the graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from headwater_processor.local.texts import iso
from headwater_processor.state.about import About
from headwater_processor.state.graph import SAME_AS, GraphItem
from headwater_processor.state.values import DatasetState, EdgeState, JobState
from headwater_schemas.events import Name
from headwater_schemas.ids import dataset_key_of, job_key

FORMAT: Final = "headwater-graph"
VERSION: Final = 1

Fact = str | bool | None


@dataclass(frozen=True, slots=True)
class End:
    """A node by name: a dataset or a job."""

    kind: str
    namespace: str
    name: str

    @property
    def id(self) -> str:
        """Letters and digits, the same in every export."""
        if self.kind == "job":
            return "j" + job_key(Name(self.namespace, self.name)).hex()
        return "d" + dataset_key_of(self.namespace, self.name).hex()

    @property
    def label(self) -> str:
        """As a person reads it."""
        return str(Name(self.namespace, self.name))


@dataclass(frozen=True, slots=True)
class Node:
    """A dataset or a job, and what is known of it."""

    end: End
    facts: Mapping[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Edge:
    """READS, WRITES, DERIVES or SAME_AS, in the direction of the data."""

    kind: str
    source: End
    target: End
    facts: Mapping[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scope:
    """Which part of the graph: around a dataset or a job, or some namespaces; nothing means all of it."""

    dataset: str = ""
    job: str = ""
    depth: int = 0
    directions: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()

    def as_object(self) -> dict[str, Any]:
        """For the head of an export; what says nothing is left out."""
        pairs = {
            "dataset": self.dataset, "job": self.job, "depth": self.depth, "directions": list(self.directions),
            "namespaces": list(self.namespaces),
        }  # fmt: skip
        return {key: value for key, value in pairs.items() if value}


@dataclass(frozen=True, slots=True)
class Head:
    """What an export is of."""

    domain: str
    as_of: str
    scope: Scope = field(default_factory=Scope)

    def as_object(self) -> dict[str, Any]:
        """For JSON."""
        said = {"format": FORMAT, "version": VERSION, "domain": self.domain, "as_of": self.as_of}
        return {**said, "scope": self.scope.as_object()}


def end_object(end: End) -> dict[str, str]:
    """An end of an edge, for JSON."""
    return {"type": end.kind, "namespace": end.namespace, "name": end.name}


def graph_values(items: Iterable[GraphItem]) -> Iterator[Node | Edge]:
    """The items of the reader as they are exported."""
    for item in items:
        if isinstance(item, DatasetState):
            yield _dataset(item)
        elif isinstance(item, JobState):
            yield _job(item)
        else:
            yield _edge(item)


def _dataset(item: DatasetState) -> Node:
    facts: dict[str, Fact] = {
        "state": item.state,
        "owner": item.owner,
        "unlinked": item.unlinked,
        "kind": item.kind,
        "schema_version": item.schema_version,
        "renamed_to": item.renamed_to,
        "first_seen": iso(item.first_seen_us),
        "last_seen": iso(item.last_seen_us),
        "last_write": iso(item.last_write_us),
        **_about(item.about),
    }
    return Node(End("dataset", item.name.namespace, item.name.name), facts)


def _job(item: JobState) -> Node:
    facts: dict[str, Fact] = {
        "streaming": item.streaming,
        "emitter": item.emitter,
        "owner": item.owner,
        "unlinked": item.unlinked,
        "first_seen": iso(item.first_seen_us),
        "last_seen": iso(item.last_seen_us),
        **_about(item.about),
    }
    return Node(End("job", item.name.namespace, item.name.name), facts)


def _about(about: About) -> dict[str, Fact]:
    """What producers say, texts all; the owners stand in `owner`."""
    said = about.as_object()
    said.pop("owners", None)
    return {name: ", ".join(value) if isinstance(value, list) else value for name, value in said.items()}


_ENDS: Final = {"READS": ("dataset", "job"), "WRITES": ("job", "dataset")}


def _edge(item: EdgeState) -> Edge:
    source, target = _ENDS.get(item.kind, ("dataset", "dataset"))
    facts: dict[str, Fact] = (
        {} if item.kind == SAME_AS else {"first_seen": iso(item.first_seen_us), "last_seen": iso(item.last_seen_us)}
    )
    return Edge(
        item.kind,
        End(source, item.source.namespace, item.source.name),
        End(target, item.target.namespace, item.target.name),
        facts,
    )
