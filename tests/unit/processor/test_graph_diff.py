"""Two exports compared, and what is no export refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headwater.runtime.errors import RefusedError, UsageError
from headwater_processor.local.graph_diff import (
    Graph,
    compare,
    difference_lines,
    difference_object,
    parse_export,
    read_export,
)
from headwater_processor.local.graph_formats import FORMATS, Counts, rendered
from headwater_processor.local.graph_values import Edge, End, Head, Node

A, B, JOB = End("dataset", "s3://lake", "a"), End("dataset", "s3://lake", "b"), End("job", "k8s", "load")


def graph(*items: Node | Edge) -> Graph:
    made = Graph(Head("default", ""))
    for item in items:
        made.add(item)
    return made


def export(*items: Node | Edge) -> list[str]:
    return "".join(rendered(FORMATS["jsonl"].form(), Head("default", ""), items, Counts())).splitlines()


def test_a_graph_does_not_differ_from_its_own_export() -> None:
    items = (Node(A, {"owner": "me", "state": "FRESH"}), Node(JOB, {"streaming": True}), Edge("READS", A, JOB))
    assert not compare(graph(*items), parse_export(export(*items), "it"), with_state=True)


def test_what_was_added_removed_and_changed_is_named() -> None:
    old = graph(Node(A, {"owner": "me"}), Node(JOB, {"streaming": False}), Edge("READS", A, JOB))
    new = graph(Node(B), Node(JOB, {"streaming": True, "emitter": "pod"}), Edge("WRITES", JOB, B))
    assert difference_lines(compare(old, new)) == [
        "- dataset s3://lake/a",
        "+ dataset s3://lake/b",
        "~ job k8s/load  streaming: no → yes, emitter: – → pod",
        "- edge READS s3://lake/a → k8s/load",
        "+ edge WRITES k8s/load → s3://lake/b",
    ]
    told = difference_object(compare(old, new))
    assert not told["equal"]
    assert told["changed"][0]["facts"]["streaming"] == {"before": False, "after": True}
    assert json.dumps(told)


def test_freshness_and_times_are_no_difference_unless_asked_for() -> None:
    old = graph(Node(A, {"state": "FRESH", "last_seen": "2026-01-01"}))
    new = graph(Node(A, {"state": "STALE", "last_seen": "2026-01-02"}))
    assert not compare(old, new)
    assert compare(old, new, with_state=True).changed[0].facts == {"state": ("FRESH", "STALE")}


def test_a_name_cannot_break_a_line_nor_steer_a_terminal() -> None:
    odd = End("dataset", "s3://lake", "a\n+ dataset b\x1b[2J")
    assert difference_lines(compare(graph(), graph(Node(odd)))) == ["+ dataset s3://lake/a\\x0a+ dataset b\\x1b[2J"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "not a whole export"),
        (export(Node(A))[:-1], "not a whole export"),
        ([export(Node(A))[0], export(Node(A))[-1]], "line 2"),
        (["{not json"], "line 1"),
        (["[]"], "line 1"),
        (['{"type": "graph", "format": "headwater-graph", "version": 99, "domain": "d", "as_of": ""}'], "line 1"),
        ([export()[0], '{"type": "cluster", "namespace": "a", "name": "b"}'], "line 2"),
        ([export()[0], '{"type": "edge", "kind": "READS", "source": 1, "target": 2}'], "line 2"),
    ],
)
def test_what_is_no_whole_export_is_refused_by_line(lines: list[str], said: str) -> None:
    with pytest.raises(RefusedError, match=said) as refused:
        parse_export(lines, "it.jsonl")
    assert "graph export" in refused.value.remedy


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.jsonl"):
        read_export(tmp_path / "none.jsonl")
    (tmp_path / "latin.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8"):
        read_export(tmp_path / "latin.jsonl")
