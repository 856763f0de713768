"""Two graphs compared: which nodes and edges one has and the other has not, and which facts of a node differ. Pure, but for
`read_export`.

Times are no difference, nor is how fresh a dataset is unless that is asked for: both change by themselves.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from headwater.cli.printing import printable
from headwater.runtime.errors import RefusedError, UsageError
from headwater_processor.local.graph_values import FORMAT, VERSION, Edge, End, Fact, Head, Node, Scope, end_object

COMPARED: Final = ("owner", "unlinked", "kind", "schema_version", "renamed_to", "streaming", "emitter")
STATE: Final = "state"

Link = tuple[str, End, End]
"""An edge without its times."""


@dataclass(slots=True)
class Graph:
    """A graph in memory, with the facts that are compared."""

    head: Head
    nodes: dict[End, dict[str, Fact]] = field(default_factory=dict)
    edges: set[Link] = field(default_factory=set)

    def add(self, item: Node | Edge) -> None:
        """One more node or edge."""
        if isinstance(item, Edge):
            self.edges.add((item.kind, item.source, item.target))
        else:
            self.nodes[item.end] = {key: item.facts.get(key) for key in (*COMPARED, STATE)}


@dataclass(frozen=True, slots=True)
class Change:
    """A node that both have, with the facts that differ: before and after."""

    end: End
    facts: Mapping[str, tuple[Fact, Fact]]


@dataclass(frozen=True, slots=True)
class Difference:
    """What the second graph has and the first has not, the reverse, and what changed; sorted by name."""

    added_nodes: tuple[End, ...] = ()
    removed_nodes: tuple[End, ...] = ()
    changed: tuple[Change, ...] = ()
    added_edges: tuple[Link, ...] = ()
    removed_edges: tuple[Link, ...] = ()

    def __bool__(self) -> bool:
        return any((self.added_nodes, self.removed_nodes, self.changed, self.added_edges, self.removed_edges))


def compare(before: Graph, after: Graph, *, with_state: bool = False) -> Difference:
    """What changed from one graph to the other."""
    facts = (*COMPARED, STATE) if with_state else COMPARED
    both = before.nodes.keys() & after.nodes.keys()
    changed = ((end, _changed(before.nodes[end], after.nodes[end], facts)) for end in both)
    return Difference(
        added_nodes=tuple(sorted(after.nodes.keys() - both, key=_by_name)),
        removed_nodes=tuple(sorted(before.nodes.keys() - both, key=_by_name)),
        changed=tuple(sorted((Change(end, found) for end, found in changed if found), key=lambda c: _by_name(c.end))),
        added_edges=tuple(sorted(after.edges - before.edges, key=_by_ends)),
        removed_edges=tuple(sorted(before.edges - after.edges, key=_by_ends)),
    )


def difference_object(found: Difference) -> dict[str, Any]:
    """For JSON."""
    return {
        "equal": not found,
        "added": {
            "nodes": [end_object(end) for end in found.added_nodes],
            "edges": [_link_object(link) for link in found.added_edges],
        },
        "removed": {
            "nodes": [end_object(end) for end in found.removed_nodes],
            "edges": [_link_object(link) for link in found.removed_edges],
        },
        "changed": [
            {
                **end_object(change.end),
                "facts": {key: {"before": a, "after": b} for key, (a, b) in change.facts.items()},
            }
            for change in found.changed
        ],
    }


def difference_lines(found: Difference) -> list[str]:
    """One line a difference: `+`, `-` or `~`, what, and its name."""
    lines = (
        *(f"- {end.kind} {end.label}" for end in found.removed_nodes),
        *(f"+ {end.kind} {end.label}" for end in found.added_nodes),
        *(f"~ {change.end.kind} {change.end.label}  {_facts_text(change.facts)}" for change in found.changed),
        *(f"- edge {_link_text(link)}" for link in found.removed_edges),
        *(f"+ edge {_link_text(link)}" for link in found.added_edges),
    )
    return [printable(line) for line in lines]


def read_export(path: Path, on_line: Callable[[], None] = lambda: None) -> Graph:
    """A graph that `headwater graph export` wrote as JSON Lines; `on_line` is called for each.

    Raises:
        UsageError: the file cannot be read.
        RefusedError: it is no such export, or not a whole one; the message names the line.
    """
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            return parse_export(_told(file, on_line), str(path))
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"cannot read the graph in {path}: {said}", remedy="name a readable file, or live") from error


def _told(lines: Iterable[str], on_line: Callable[[], None]) -> Iterator[str]:
    for line in lines:
        on_line()
        yield line


def parse_export(lines: Iterable[str], origin: str) -> Graph:
    """The graph in the lines of an export. Raises RefusedError as `read_export`."""
    graph: Graph | None = None
    ended = False
    for at, line in enumerate(lines, 1):
        try:
            document = json.loads(line)
            kind = document["type"]
            if graph is None:
                graph = Graph(_head(document))
            elif kind == "end":
                ended = _counted(graph, document)
            elif not ended:
                graph.add(_edge(document) if kind == "edge" else _node(document))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RefusedError(f"{origin}, line {at}: this is no line of an exported graph", remedy=_REMEDY) from error
    if graph is None or not ended:
        raise RefusedError(f"{origin} is not a whole export: its last line is missing", remedy=_REMEDY)
    return graph


_REMEDY: Final = "headwater graph export --to FILE.jsonl  # writes one"


def _head(document: Mapping[str, Any]) -> Head:
    if document["type"] != "graph" or document["format"] != FORMAT or document["version"] != VERSION:
        raise ValueError("not our format")
    told = document.get("scope", {})
    scope = Scope(
        dataset=told.get("dataset", ""),
        job=told.get("job", ""),
        depth=told.get("depth", 0),
        directions=tuple(told.get("directions", ())),
        namespaces=tuple(told.get("namespaces", ())),
    )
    return Head(str(document["domain"]), str(document["as_of"]), scope)


def _counted(graph: Graph, document: Mapping[str, Any]) -> bool:
    if document["datasets"] + document["jobs"] != len(graph.nodes) or document["edges"] != len(graph.edges):
        raise ValueError("lines are missing")
    return True


def _node(document: Mapping[str, Any]) -> Node:
    return Node(_end(document), document)


def _edge(document: Mapping[str, Any]) -> Edge:
    return Edge(str(document["kind"]), _end(document["source"]), _end(document["target"]))


def _end(document: Mapping[str, Any]) -> End:
    if document["type"] not in ("dataset", "job"):
        raise ValueError("neither dataset nor job")
    return End(document["type"], str(document["namespace"]), str(document["name"]))


def _changed(
    before: Mapping[str, Fact], after: Mapping[str, Fact], facts: Iterable[str]
) -> dict[str, tuple[Fact, Fact]]:
    # What an export leaves out and what it calls empty are the same.
    return {
        key: (before.get(key), after.get(key)) for key in facts if (before.get(key) or "") != (after.get(key) or "")
    }


def _by_name(end: End) -> tuple[str, str, str]:
    return end.kind, end.namespace, end.name


def _by_ends(link: Link) -> tuple[object, ...]:
    kind, source, target = link
    return _by_name(source), _by_name(target), kind


def _link_object(link: Link) -> dict[str, Any]:
    kind, source, target = link
    return {"kind": kind, "source": end_object(source), "target": end_object(target)}


def _link_text(link: Link) -> str:
    kind, source, target = link
    return f"{kind} {source.label} → {target.label}"


def _facts_text(facts: Mapping[str, tuple[Fact, Fact]]) -> str:
    return ", ".join(f"{key}: {_fact(before)} → {_fact(after)}" for key, (before, after) in facts.items())


def _fact(value: Fact) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value or "–"
