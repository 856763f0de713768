"""`headwater graph` as a command, on state that was written by hand to a real Redis."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import redis
from tests.support.shell import completed
from tests.support.state_writer import StateWriter

from headwater.cli.root import run
from headwater_processor.state.layout import DatasetRecord, JudgedRecord
from headwater_schemas.events import Name
from headwater_schemas.ids import dataset_key

T = 1_700_000_000_000_000
MINUTE = 60_000_000
RAW, ORDERS, MART = (
    Name("postgres://db:5432", "raw"),
    Name("kafka://b:9092", "orders"),
    Name("s3://lake", "marts/orders"),
)
OTHER, GONE, ALIAS = Name("s3://lake", "other"), Name("s3://lake", "gone"), Name("s3://old", "marts/orders")
INGEST, LOADER, LONELY = Name("k8s", "ingest"), Name("k8s", "loader"), Name("airflow", "lonely")


@pytest.fixture
def state(redis_client: redis.Redis, redis_db: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> StateWriter:
    """raw -> ingest -> orders -> loader -> marts/orders = old marts/orders; other and lonely apart; gone was dropped."""
    monkeypatch.setenv("HEADWATER_REDIS__URL", redis_db)
    monkeypatch.setenv("HEADWATER_DOMAIN", "test")
    monkeypatch.chdir(tmp_path)
    writer = StateWriter(redis_client, "test")
    for partition in (0, 1):
        writer.partition(partition, as_of_us=T, applied="10")
    for name in (RAW, ORDERS, OTHER, ALIAS):
        writer.dataset(name, asserted_us=T, record=DatasetRecord(T))
    writer.dataset(MART, asserted_us=T, record=DatasetRecord(T), judged=JudgedRecord("STALE", owner="team-lake"))
    writer.dataset(GONE, asserted_us=T, record=DatasetRecord(T, retracted_us=T + 1))
    for job in (INGEST, LOADER, LONELY):
        writer.job(job, asserted_us=T)
    writer.reads(RAW, INGEST, asserted_us=T)
    writer.writes(INGEST, ORDERS, asserted_us=T)
    writer.reads(ORDERS, LOADER, asserted_us=T)
    writer.reads(GONE, LOADER, asserted_us=T)
    writer.writes(LOADER, MART, asserted_us=T)
    writer.alias(MART, ALIAS, asserted_us=T)
    return writer


def exported(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[set[str], set[str]]:
    """The nodes and edges of an export to standard output, as text."""
    capsys.readouterr()
    assert run(["graph", "export", *arguments]) == 0
    lines: list[dict[str, Any]] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    nodes = {f"{line['namespace']}/{line['name']}" for line in lines if line["type"] in ("dataset", "job")}
    edges = {f"{e['source']['name']} {e['kind']} {e['target']['name']}" for e in lines if e["type"] == "edge"}
    assert lines[-1]["edges"] == len(edges)
    return nodes, edges


@pytest.mark.usefixtures("state")
def test_all_that_is_there_is_exported_and_what_was_dropped_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    nodes, edges = exported(capsys)
    assert nodes == {str(name) for name in (RAW, ORDERS, MART, OTHER, ALIAS, INGEST, LOADER, LONELY)}
    assert edges == {
        "raw READS ingest", "ingest WRITES orders", "orders READS loader", "loader WRITES marts/orders",
        "marts/orders SAME_AS marts/orders",
    }  # fmt: skip


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize(
    ("arguments", "nodes"),
    [
        (("--dataset", "orders", "--depth", "1"), {RAW, INGEST, ORDERS, LOADER, MART, ALIAS}),
        (("--dataset", "orders", "--direction", "upstream"), {RAW, INGEST, ORDERS}),
        (("--job", "loader", "--depth", "1"), {ORDERS, LOADER, MART, ALIAS}),
        (("--job", "k8s/loader", "--depth", "2"), {RAW, INGEST, ORDERS, LOADER, MART, ALIAS}),
        (("--dataset", "other"), {OTHER}),
        (("--namespace", "kafka://b:9092"), {ORDERS, INGEST, LOADER}),
        (("--namespace", "s3://lake", "--namespace", "airflow"), {MART, OTHER, LOADER, LONELY}),
    ],
)
def test_a_part_is_what_is_around_or_in_a_namespace(
    arguments: tuple[str, ...], nodes: set[Name], capsys: pytest.CaptureFixture[str]
) -> None:
    assert exported(capsys, *arguments)[0] == {str(name) for name in nodes}


@pytest.mark.usefixtures("state")
def test_a_file_is_written_in_the_format_of_its_ending(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["graph", "export", "--to", "graph.graphml", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "file": "graph.graphml", "format": "graphml", "datasets": 5, "jobs": 3, "edges": 5,
    }  # fmt: skip
    assert ElementTree.parse("graph.graphml")  # noqa: S314 - we wrote it
    assert run(["graph", "export", "--to", "graph.png"]) == 2
    assert "--format" in capsys.readouterr().err


@pytest.mark.usefixtures("state")
def test_two_exports_of_one_graph_are_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    run(["graph", "export"])
    first = capsys.readouterr().out
    run(["graph", "export"])
    assert capsys.readouterr().out == first


def test_a_diff_says_what_changed_since_and_fails_when_asked(
    state: StateWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["graph", "export", "--to", "before.jsonl"]) == 0
    assert run(["graph", "diff", "before.jsonl", "live", "--fail"]) == 0
    assert "no difference" in capsys.readouterr().err
    state.writes(LOADER, OTHER, asserted_us=T + MINUTE)
    state.dataset(MART, asserted_us=T, judged=JudgedRecord("FRESH", owner="team-mart"))
    assert run(["graph", "diff", "before.jsonl", "live"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "~ dataset s3://lake/marts/orders  owner: team-lake → team-mart",
        "+ edge WRITES k8s/loader → s3://lake/other",
    ]
    assert run(["graph", "diff", "live", "before.jsonl", "--fail", "--with-state", "-o", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["equal"]
    assert len(found["removed"]["edges"]) == 1
    assert found["changed"][0]["facts"]["state"] == {"before": "FRESH", "after": "STALE"}


def test_live_is_cut_to_the_part_that_the_file_holds(state: StateWriter, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["graph", "export", "--dataset", "orders", "--depth", "1", "--to", "part.jsonl"]) == 0
    state.job(Name("k8s", "elsewhere"), asserted_us=T)
    assert run(["graph", "diff", "part.jsonl", "live", "--fail"]) == 0
    assert "no difference" in capsys.readouterr().err


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("graph export --dataset ordres", 4, "orders"),
        ("graph export --job laoder", 4, "k8s/loader"),
        ("graph export --job loader --dataset orders", 2, "not both"),
        ("graph export --to no/such/folder/x.dot", 2, "cannot write"),
        ("graph diff live live", 2, "file"),
        ("graph diff none.jsonl live", 2, "none.jsonl"),
    ],
)
def test_what_is_wrong_is_named(line: str, code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(line.split()) == code
    found = capsys.readouterr().err
    assert said in found
    assert "Traceback" not in found


def test_bash_completes_names_from_redis_colons_and_all(state: StateWriter, redis_db: str, tmp_path: Path) -> None:
    assert state
    told = {"HEADWATER_REDIS__URL": redis_db, "HEADWATER_DOMAIN": "test"}
    assert completed("headwater trace ord", tmp_path, told) == ["orders"]
    # What bash has of the word already, up to the last colon, is not offered again.
    assert completed("headwater trace kafka://b:90", tmp_path, told) == ["9092/orders"]
    assert completed("headwater graph export --namespace s3", tmp_path, told) == ["s3://lake", "s3://old"]


def test_what_producers_say_is_exported_and_a_changed_owner_is_a_difference(
    state: StateWriter, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    node = dataset_key(ORDERS)
    state.said(node, {"O": "team:a", "D": "Orders", "V": "7"})
    assert run(["graph", "export", "--to", "before.jsonl"]) == 0
    lines = [json.loads(line) for line in (tmp_path / "before.jsonl").read_text().splitlines()]
    (found,) = (line for line in lines if line.get("name") == ORDERS.name)
    assert (found["owner"], found["description"], found["version"]) == ("team:a", "Orders", "7")
    state.said(node, {"O": "team:b", "V": "8"})  # a version alone is no difference: it changes with every write
    capsys.readouterr()
    assert run(["graph", "diff", "before.jsonl", "live"]) == 0
    assert f"~ dataset {ORDERS}  owner: team:a → team:b" in capsys.readouterr().out.splitlines()
