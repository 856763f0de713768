"""Events as OpenLineage documents: what goes out means the same when it is read again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.openlineage_client import write_documents

from headwater import (
    Completeness,
    DatasetUse,
    DirectEdge,
    EventType,
    Lifecycle,
    LineageEvent,
    Measure,
    Name,
    Processing,
    Runtime,
)
from headwater.openlineage import Rejected, convert, iter_documents, to_openlineage
from headwater_schemas.events import NIL_UUID

SAMPLES = sorted((Path(__file__).resolve().parents[2] / "support" / "openlineage").glob("*.json"))

ORDERS, DAILY, OTHER = Name("kafka://b:9092", "orders"), Name("s3://lake", "orders/daily"), Name("s3://lake", "other")

FULL = LineageEvent(
    event_id=bytes(range(16)),
    event_time_us=1_767_225_600_123_456,
    event_type=EventType.COMPLETE,
    run_id=bytes([1] * 16),
    job=Name("shop", "orders"),
    inputs=(DatasetUse(ORDERS.namespace, ORDERS.name, measures=(Measure(rows=90, bytes=4096),)),),
    outputs=(
        DatasetUse(
            DAILY.namespace,
            DAILY.name,
            aliases=(Name("hive://m:9083", "lake.daily"),),
            lifecycle=Lifecycle.RENAME,
            previous=Name("s3://lake", "orders/old"),
            measures=(Measure(rows=88),),
        ),
    ),
    edges=(DirectEdge(ORDERS, DAILY),),
    processing=Processing.BATCH,
    parent_run_id=bytes([2] * 16),
    parent_job=Name("airflow", "dag.task"),
    root_run_id=bytes([3] * 16),
    root_job=Name("airflow", "dag"),
    nominal_start_us=1_767_222_000_000_000,
    nominal_end_us=1_767_225_600_000_000,
    error="it broke",
    producer="https://github.com/acme/jobs/tree/1.4.2/etl",
)


def _again(event: LineageEvent) -> LineageEvent:
    read = convert(json.loads(json.dumps(to_openlineage(event))))
    assert isinstance(read, LineageEvent), read
    return read


def _said(event: LineageEvent) -> LineageEvent:
    """Without what the reader makes himself: the id is of the document, the emitter of its producer."""
    return replace(event, event_id=NIL_UUID, emitter="", facets=None)


def test_what_openlineage_has_words_for_comes_back_as_it_was() -> None:
    assert _said(_again(FULL)) == _said(FULL)


@pytest.mark.parametrize("kind", list(EventType))
def test_every_type_of_event_is_one_of_openlineages(kind: EventType) -> None:
    assert _again(replace(FULL, event_type=kind)).event_type is kind


def test_a_job_without_a_run_and_a_dataset_without_a_job_have_documents_of_their_own() -> None:
    job = to_openlineage(replace(FULL, run_id=NIL_UUID))
    assert job["schemaURL"].endswith("#/$defs/JobEvent")
    assert "run" not in job
    assert "eventType" not in job
    alone = LineageEvent(bytes(16), FULL.event_time_us, EventType.OTHER, outputs=FULL.outputs, producer="p:/x")
    document = to_openlineage(alone)
    assert document["schemaURL"].endswith("#/$defs/DatasetEvent")
    assert _again(alone).outputs[0].lifecycle is Lifecycle.RENAME


def test_edges_alone_become_a_dataset_that_says_where_it_comes_from() -> None:
    alone = LineageEvent(bytes(16), FULL.event_time_us, EventType.OTHER, edges=FULL.edges, producer="p:/x")
    assert _again(alone).edges == FULL.edges


def test_an_edge_to_what_is_no_output_is_said_by_the_job() -> None:
    edges = (DirectEdge(ORDERS, DAILY), DirectEdge(ORDERS, OTHER))
    assert set(_again(replace(FULL, edges=edges)).edges) == set(edges)


def test_what_openlineage_has_no_words_for_is_in_a_facet_of_our_own() -> None:
    use = DatasetUse(ORDERS.namespace, ORDERS.name, measures=(Measure(3, 10, 99, 90, lag=0), Measure(4, 0, 9, 10)))
    here = Runtime(pod="orders-1", pod_uid="u")
    event = replace(
        FULL,
        inputs=(use,),
        runtime=here,
        trace_id=bytes([7] * 16),
        span_id=bytes([8] * 8),
        transaction_ids=("t",),
        completeness=Completeness.PARTIAL,
    )
    document = to_openlineage(event)
    facet = document["inputs"][0]["facets"]["headwater"]
    assert facet["measures"][0] == {"partition": 3, "firstOffset": 10, "lastOffset": 99, "rows": 90, "lag": 0}
    assert document["inputs"][0]["inputFacets"]["inputStatistics"]["rowCount"] == 100
    run = document["run"]["facets"]["headwater"]
    assert run["eventId"] == "00010203-0405-0607-0809-0a0b0c0d0e0f"
    assert run["runtime"] == {"pod": "orders-1", "pod_uid": "u"}
    assert (run["traceId"], run["transactionIds"], run["completeness"]) == ("07" * 16, ["t"], "PARTIAL")


def test_every_facet_names_its_producer_and_its_schema() -> None:
    def facets(value: Any) -> list[Any]:
        if isinstance(value, list):
            return [facet for item in value for facet in facets(item)]
        if not isinstance(value, dict):
            return []
        found = [facet for key in value if key.lower().endswith("facets") for facet in value[key].values()]
        return found + [facet for item in value.values() for facet in facets(item)]

    found = facets(to_openlineage(FULL))
    assert len(found) > 8
    assert all(facet["_producer"] == FULL.producer and facet["_schemaURL"].startswith("https://") for facet in found)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_documents_of_other_producers_mean_the_same_after_a_round_trip(sample: Path) -> None:
    _compare(sample)


def test_documents_of_the_real_client_mean_the_same_after_a_round_trip(tmp_path: Path) -> None:
    assert _compare(write_documents(tmp_path / "documents.jsonl")) >= 7


def _compare(path: Path) -> int:
    compared = 0
    for _, document in iter_documents(path):
        assert not isinstance(document, Rejected)
        event = convert(document)
        if isinstance(event, LineageEvent):
            # Debezium's restarts are known by its producer, and come back with it.
            assert _said(_again(event)) == _said(event)
            compared += 1
    assert compared
    return compared


@pytest.mark.parametrize("facets", [b"not json", b"[1]", b'{"run": 5, "inputs": 7, "outputs": [1, null]}', b"\xff"])
def test_facets_that_are_none_do_not_keep_the_event(facets: bytes) -> None:
    assert _said(_again(replace(FULL, facets=facets))) == _said(FULL)
