"""The graph as text in four formats, piece by piece, so that it may be larger than memory. Pure.

Names may hold anything: quotes, line breaks, `|`, any alphabet. Each format escapes by its own rules, and ids are the hashes
of names that the state uses: the same in every export. A character that XML cannot hold (most control characters) is written as
`\\x01` in every format that is drawn; JSON Lines holds everything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Protocol
from xml.sax.saxutils import escape, quoteattr

from headwater_processor.local.graph_values import Edge, End, Head, Node, end_object
from headwater_processor.state.about import About

MERMAID_EDGES_MAX: Final = 500
"""What Mermaid draws if nobody raises its `maxEdges`."""


@dataclass(slots=True)
class Counts:
    """How much was written."""

    datasets: int = 0
    jobs: int = 0
    edges: int = 0

    def count(self, item: Node | Edge) -> None:
        """One more."""
        if isinstance(item, Edge):
            self.edges += 1
        elif item.end.kind == "job":
            self.jobs += 1
        else:
            self.datasets += 1

    def as_object(self) -> dict[str, int]:
        """For JSON."""
        return {"datasets": self.datasets, "jobs": self.jobs, "edges": self.edges}


class Format(Protocol):
    """One way to write a graph. Nodes come before the edges at them."""

    def head(self, head: Head) -> str:
        """What stands before everything."""
        ...

    def node(self, node: Node) -> str:
        """A dataset or a job."""
        ...

    def edge(self, edge: Edge) -> str:
        """What connects two of them."""
        ...

    def foot(self, counts: Counts) -> str:
        """What ends it."""
        ...


def rendered(form: Format, head: Head, items: Iterable[Node | Edge], counts: Counts) -> Iterator[str]:
    """The text, in pieces; `counts` grows with them."""
    yield form.head(head)
    for item in items:
        counts.count(item)
        yield form.edge(item) if isinstance(item, Edge) else form.node(item)
    yield form.foot(counts)


class JsonLines:
    """One JSON object a line: a head, nodes, edges, and an end that counts them, so that a cut file is seen to be one."""

    def head(self, head: Head) -> str:
        return _json_line({"type": "graph", **head.as_object()})

    def node(self, node: Node) -> str:
        return _json_line({"type": node.end.kind, "id": node.end.id, **_named(node.end), **node.facts})

    def edge(self, edge: Edge) -> str:
        ends = {"source": end_object(edge.source), "target": end_object(edge.target)}
        return _json_line({"type": "edge", "kind": edge.kind, **ends, **edge.facts})

    def foot(self, counts: Counts) -> str:
        return _json_line({"type": "end", **counts.as_object()})


class Dot:
    """Graphviz: boxes are jobs, the others datasets; the colour of a dataset is its state."""

    def head(self, head: Head) -> str:
        return (
            f"digraph {_dot(head.domain)} {{\n"
            f"  label={_dot(f'{head.domain}, {head.as_of}')};\n"
            "  rankdir=LR;\n"
            '  node [fontname="sans-serif", fontsize=10, style=filled, fillcolor=white];\n'
        )

    def node(self, node: Node) -> str:
        shape = "box" if node.end.kind == "job" else "ellipse"
        state, tip = str(node.facts.get("state") or ""), _tip(node)
        look = f", fillcolor={_FILLS[state]}" if state in _FILLS else ""
        return f"  {node.end.id} [label={_dot(node.end.label)}, shape={shape}{look}, tooltip={_dot(tip)}];\n"

    def edge(self, edge: Edge) -> str:
        look = _DOT_EDGES.get(edge.kind, "")
        return f"  {edge.source.id} -> {edge.target.id} [tooltip={_dot(edge.kind)}{look}];\n"

    def foot(self, counts: Counts) -> str:
        return "}\n"


class Mermaid:
    """A Mermaid flow chart, as GitHub, GitLab and many wikis draw it."""

    def head(self, head: Head) -> str:
        return "flowchart LR\n"

    def node(self, node: Node) -> str:
        label = f'"{_mermaid(node.end.label)}"'
        shape = f"[{label}]" if node.end.kind == "job" else f"([{label}])"
        state = str(node.facts.get("state") or "")
        return f"  {node.end.id}{shape}{':::' + state if state in _FILLS else ''}\n"

    def edge(self, edge: Edge) -> str:
        return f"  {edge.source.id} {_MERMAID_EDGES.get(edge.kind, '-->')} {edge.target.id}\n"

    def foot(self, counts: Counts) -> str:
        return "".join(f"  classDef {state} fill:{colour}\n" for state, colour in _FILLS.items())


class GraphMl:
    """GraphML, for Gephi, yEd, networkx and others; every fact is an attribute with its type."""

    def head(self, head: Head) -> str:
        keys = "".join(
            f'  <key id="{domain[0]}_{name}" for="{domain}" attr.name="{name}" attr.type="{kind}"/>\n'
            for domain, names in (("node", _NODE_KEYS), ("edge", _EDGE_KEYS))
            for name, kind in names.items()
        )
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">\n'
            f'{keys}  <graph id={_xml_attribute(head.domain)} edgedefault="directed">\n'
        )

    def node(self, node: Node) -> str:
        facts = {"type": node.end.kind, **_named(node.end), "label": node.end.label, **node.facts}
        return f'    <node id="{node.end.id}">{_data("n", facts, _NODE_KEYS)}</node>\n'

    def edge(self, edge: Edge) -> str:
        facts = {"kind": edge.kind, **edge.facts}
        ends = f'source="{edge.source.id}" target="{edge.target.id}"'
        return f"    <edge {ends}>{_data('e', facts, _EDGE_KEYS)}</edge>\n"

    def foot(self, counts: Counts) -> str:
        return "  </graph>\n</graphml>\n"


@dataclass(frozen=True, slots=True)
class Kind:
    """A format by name, and the endings of files that are taken to be it."""

    form: type[JsonLines] | type[Dot] | type[Mermaid] | type[GraphMl]
    endings: tuple[str, ...] = field(default=())


FORMATS: Final[Mapping[str, Kind]] = {
    "jsonl": Kind(JsonLines, (".jsonl", ".ndjson", ".json")),
    "dot": Kind(Dot, (".dot", ".gv")),
    "mermaid": Kind(Mermaid, (".mmd", ".mermaid")),
    "graphml": Kind(GraphMl, (".graphml", ".xml")),
}

_FILLS: Final = {
    "FRESH": "palegreen",
    "RECOVERED": "palegreen",
    "IDLE": "lightcyan",
    "LATE": "khaki",
    "STALE": "salmon",
    "NO_DATA": "salmon",
}
_DOT_EDGES: Final = {"DERIVES": ", style=dashed", "SAME_AS": ", style=dotted, dir=none, constraint=false"}
_MERMAID_EDGES: Final = {"DERIVES": "-.->", "SAME_AS": "-.-"}
_NODE_KEYS: Final = {
    "type": "string", "namespace": "string", "name": "string", "label": "string", "state": "string", "owner": "string",
    "unlinked": "string", "kind": "string", "schema_version": "string", "renamed_to": "string", "streaming": "boolean",
    "emitter": "string", "first_seen": "string", "last_seen": "string", "last_write": "string",
    **{field.name: "string" for field in fields(About) if field.name != "owners"},
}  # fmt: skip
_EDGE_KEYS: Final = {"kind": "string", "first_seen": "string", "last_seen": "string"}


def _named(end: End) -> dict[str, str]:
    return {"namespace": end.namespace, "name": end.name}


def _tip(node: Node) -> str:
    told = (
        f"{key}: {value}"
        for key, value in node.facts.items()
        if key in ("state", "owner", "unlinked", "kind", "description") and value
    )
    return "; ".join((node.end.kind, *told))


def _json_line(document: Mapping[str, Any]) -> str:  # Any: what JSON can hold
    return json.dumps(document, ensure_ascii=False) + "\n"


# --- escaping -------------------------------------------------------------------------------------------------------

_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NO_MERMAID: Final = re.compile(r"[^\w ./,()=@+-]|_{2,}", re.UNICODE)


def _visible(text: str) -> str:
    """Without characters that no text format for people can hold."""
    return _NO_XML.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _dot(text: str) -> str:
    """A quoted string of DOT. Besides quotes, Graphviz reads backslashes and HTML entities in labels."""
    text = _visible(text).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
    return '"' + text.replace("\r", "\\\\x0d").replace("\n", "\\n") + '"'


def _mermaid(text: str) -> str:
    """What may stand in a quoted label: everything but plain characters goes as Mermaid's own `#code;`.

    Colons go too: Mermaid takes a line with `style…:…#…;` in it, wherever it stands, for one of its own commands.
    """
    return _NO_MERMAID.sub(lambda found: "".join(f"#{ord(letter)};" for letter in found[0]), _visible(text))


def _xml_attribute(text: str) -> str:
    return quoteattr(_visible(text), {"\r": "&#13;", "\n": "&#10;", "\t": "&#9;"})


def _xml(value: str | bool) -> str:
    text = str(value).lower() if isinstance(value, bool) else _visible(value)
    return escape(text, {"\r": "&#13;"})


def _data(prefix: str, facts: Mapping[str, Any], known: Mapping[str, str]) -> str:  # Any: text, boolean or None
    return "".join(
        f'<data key="{prefix}_{name}">{_xml(facts[name])}</data>' for name in known if facts.get(name) not in (None, "")
    )
