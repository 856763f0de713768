"""The graph in each format: what real parsers read from it is what was put in, however hostile the names are."""

from __future__ import annotations

import html
import json
import re
import tracemalloc
from collections.abc import Callable
from xml.etree import ElementTree

import pydot
import pytest

from headwater_processor.local.graph_diff import parse_export
from headwater_processor.local.graph_formats import FORMATS, Counts, rendered
from headwater_processor.local.graph_values import Edge, End, Head, Node, Scope, graph_values
from headwater_processor.state.values import DatasetState, EdgeState, JobState
from headwater_schemas.events import Name

# pydot 4.0 calls its parser by names that pyparsing is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore::pyparsing.warnings.PyparsingDeprecationWarning")

HOSTILE = (
    'say "hello"',
    "two\nlines\r\nand a tab\t.",
    "a|b||c{d}<e>[f](g)",
    "größe/ñandú/数据/🌊",
    "back\\slash \\n \\N \\",
    "&amp; &lt; & #35; #quot; ;",
    "--> -.-> end %% subgraph style x fill: y#z; classDef: #1;",
    "]]> <!-- --> <?xml ?>",
    "`ticks` and 'quotes' and $dollars",
    "end",
    " spaces around ",
    "\u2028 line separator \u0085",
)
CONTROL = "bell \x07 and \x1b[31m"
S3 = "s3://lake"
JOB = Name("k8s", "a job")


def text_of(form: str, names: tuple[str, ...] = HOSTILE) -> str:
    items: list[DatasetState | JobState | EdgeState] = [JobState(JOB, streaming=True, emitter='the "pod"')]
    items += [DatasetState(Name(S3, name), True, state="STALE", owner=name) for name in names]
    items += [EdgeState("READS", Name(S3, name), JOB, True, 1_700_000_000_000_000) for name in names[::2]]
    items += [EdgeState("WRITES", JOB, Name(S3, name), True) for name in names[1::2]]
    items += [EdgeState("SAME_AS", Name(S3, names[0]), Name(S3, names[-1]), True)]
    head = Head('do"main', "2026-01-01T00:00:00Z", Scope(namespaces=(S3,)))
    return "".join(rendered(FORMATS[form].form(), head, graph_values(items), Counts()))


def shown(name: str) -> str:
    return f"{S3}/{name}"


def id_of(name: str) -> str:
    return End("dataset", S3, name).id


def test_json_lines_are_read_back_as_they_were() -> None:
    text = text_of("jsonl", (*HOSTILE, CONTROL))
    lines = [json.loads(line) for line in text.split("\n")[:-1]]
    assert {line["name"] for line in lines if line["type"] == "dataset"} == {*HOSTILE, CONTROL}
    assert lines[0]["scope"] == {"namespaces": [S3]}
    assert lines[-1] == {"type": "end", "datasets": len(HOSTILE) + 1, "jobs": 1, "edges": len(HOSTILE) + 2}
    graph = parse_export(text.split("\n")[:-1], "it")
    assert len(graph.nodes) == len(HOSTILE) + 2


def test_graphml_is_xml_that_holds_every_name() -> None:
    space = "{http://graphml.graphdrawing.org/xmlns}"
    tree = ElementTree.fromstring(text_of("graphml"))  # noqa: S314 - we wrote it
    nodes = {node.get("id"): node for node in tree.iter(f"{space}node")}
    for name in HOSTILE:
        facts = {data.get("key"): data.text for data in nodes[id_of(name)]}
        assert (facts["n_name"], facts["n_owner"], facts["n_label"]) == (name, name, shown(name))
    ends = {(edge.get("source"), edge.get("target")) for edge in tree.iter(f"{space}edge")}
    assert (id_of(HOSTILE[0]), End("job", "k8s", "a job").id) in ends
    assert {end for pair in ends for end in pair} <= nodes.keys()
    declared = {(key.get("id"), key.get("attr.type")) for key in tree.iter(f"{space}key")}
    assert ("n_streaming", "boolean") in declared
    assert {data.get("key") for data in tree.iter(f"{space}data")} <= {name for name, _ in declared}


def test_dot_is_read_by_a_parser_of_its_grammar() -> None:
    (graph,) = pydot.graph_from_dot_data(text_of("dot")) or []
    labels = {node.get_name(): node.get("label") for node in graph.get_nodes() if node.get_name() != "node"}
    assert {_drawn_by_graphviz(labels[id_of(name)]) for name in HOSTILE} == {
        shown(name).replace("\r", "\\x0d") for name in HOSTILE
    }
    assert len(graph.get_edges()) == len(HOSTILE) + 1
    assert {end for edge in graph.get_edges() for end in (edge.get_source(), edge.get_destination())} <= labels.keys()


def _drawn_by_graphviz(quoted: str) -> str:
    """What Graphviz shows for a quoted label: escapes, then HTML entities."""
    assert quoted[0] == quoted[-1] == '"'
    plain = re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), quoted[1:-1], flags=re.DOTALL)
    return html.unescape(plain)


def test_mermaid_labels_hold_plain_characters_and_codes_only() -> None:
    first, *lines = text_of("mermaid").splitlines()
    assert first == "flowchart LR"
    labels = {}
    for line in lines:
        assert re.fullmatch(
            r'  (d\w+\(\["[^"]*"\]\):::STALE|j\w+\["[^"]*"\]|[dj]\w+ (-->|-\.-) [dj]\w+|classDef .*)', line
        )
        if '"' in line:
            label = line.split('"')[1]
            assert re.fullmatch(r"(?:[\w ./,()=@+-]|#\d+;)*", label), label
            labels[line.split("(")[0].split("[")[0].strip()] = re.sub(r"#(\d+);", lambda c: chr(int(c[1])), label)
    assert {labels[id_of(name)] for name in HOSTILE} == {shown(name) for name in HOSTILE}


@pytest.mark.parametrize("form", ["dot", "mermaid", "graphml"])
def test_control_characters_are_made_visible_where_a_format_cannot_hold_them(form: str) -> None:
    text = text_of(form, (CONTROL, "other"))
    assert "\x07" not in text
    assert "\x1b" not in text
    readers: dict[str, Callable[[str], object]] = {
        "dot": pydot.graph_from_dot_data,
        "mermaid": str,
        "graphml": ElementTree.fromstring,
    }
    assert readers[form](text)


@pytest.mark.parametrize("form", FORMATS)
def test_an_empty_graph_is_valid_too(form: str) -> None:
    text = "".join(rendered(FORMATS[form].form(), Head("default", ""), [], Counts()))
    assert text
    if form == "graphml":
        assert ElementTree.fromstring(text).tag.endswith("graphml")  # noqa: S314 - we wrote it


def test_ids_do_not_depend_on_what_else_is_exported() -> None:
    one = Node(End("dataset", "postgresql://DB:5432", "t"))
    other = Node(End("dataset", "postgres://db:5432", "t"))
    assert one.end.id == other.end.id
    assert Edge("READS", one.end, End("job", "a", "b")).target.id != one.end.id


def many_edges(form: str) -> int:
    """Write five thousand edges away; returns how many characters they were."""
    edges = (EdgeState("READS", Name(S3, f"table {number}"), JOB, True, first_seen_us=1) for number in range(5_000))
    return sum(map(len, rendered(FORMATS[form].form(), Head("default", ""), graph_values(edges), Counts())))


@pytest.mark.parametrize("form", FORMATS)
def test_a_graph_goes_by_piece_by_piece_and_is_never_held(form: str) -> None:
    many_edges(form)  # the keys of names are cached, up to a bound
    tracemalloc.start()
    try:
        size = many_edges(form)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size > 250_000
    assert peak_bytes < 50_000
