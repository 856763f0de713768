"""Which event is the one that is waited for, and what is said of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.connect.doors import DOORS, door_of
from headwater.connect.hearing import SUBJECTS, Received, as_document, is_awaited, remarks
from headwater.openlineage import Rejected, convert
from headwater_schemas.events import DatasetUse, EventType, LineageEvent, Measure, Name, Runtime

ORDERS = DatasetUse("kafka://b:9092", "orders", measures=(Measure(partition=0, first_offset=1, last_offset=9),))
NOW_US = 1_790_000_000_000_000


def event(emitter: str, producer: str = "", **members: object) -> LineageEvent:
    made = LineageEvent(
        bytes(15) + b"\1", NOW_US, EventType.RUNNING, job=Name("shop", "load"), emitter=emitter, producer=producer
    )
    return replace(made, **members)  # type: ignore[arg-type]  # whatever a test wants to be different


def from_openlineage(producer: str) -> LineageEvent:
    found = convert({
        "eventTime": "2026-11-26T12:00:00Z", "eventType": "START", "producer": producer,
        "run": {"runId": "0195511c-3c00-7000-8000-000000000001"}, "job": {"namespace": "airflow-dbt", "name": "j"},
    })  # fmt: skip
    assert not isinstance(found, Rejected)
    return found


OL = "https://github.com/OpenLineage/OpenLineage/tree/1.40.0"
HEARD = [
    (from_openlineage("https://github.com/debezium/debezium/tree/v3.5.0.Final/debezium-openlineage"), {"debezium"}),
    (event("cdc:shop"), {"debezium", "connect"}),
    (from_openlineage(f"{OL}/client/python"), {"openlineage"}),
    (from_openlineage("https://github.com/apache/airflow/tree/providers-openlineage/2.18.1"), {"openlineage", "airflow"}),
    (from_openlineage(f"{OL}/integration/spark"), {"openlineage", "spark"}),
    (from_openlineage(f"{OL}/integration/dbt"), {"openlineage", "dbt"}),
    (event("sdk:shop/load"), {"job", "emit-run"}),
    (event("sdk:shop/load", inputs=(ORDERS,)), {"job", "emit-run", "kafka-client"}),
    (event("sdk:function/f", runtime=Runtime(function="f")), {"function"}),
    (event("sdk:shop/load", runtime=Runtime(function="f")), {"function"}),
    (from_openlineage("https://github.com/headwater-lineage/headwater/tree/0.1.0/collector"), {"job", "emit-run"}),
    (event("cli"), set()),
    (event("k8s-watch"), set()),
    (event("debezium"), set()),
]  # fmt: skip


@pytest.mark.parametrize(("came", "subjects"), HEARD)
def test_an_event_is_of_whom_it_is(came: LineageEvent, subjects: set[str]) -> None:
    assert {subject for subject in SUBJECTS if is_awaited(subject, came)} == subjects


def test_with_a_job_only_its_events_count() -> None:
    assert is_awaited("job", event("sdk:shop/load"), Name("shop", "load"))
    assert not is_awaited("job", event("sdk:shop/load"), Name("shop", "other"))


@given(st.text())
def test_every_emitter_has_one_door(emitter: str) -> None:
    assert door_of(emitter) in DOORS


def test_what_an_event_says_is_told() -> None:
    came = event("sdk:shop/load", inputs=(ORDERS,), runtime=Runtime(pod="load-7f", k8s_namespace="shop"))
    told = as_document(Received(came, 2, 40, NOW_US), NOW_US + 1_500_000)
    assert (told["job"], told["event_type"], told["inputs"]) == ("shop/load", "RUNNING", ["kafka://b:9092/orders"])
    assert (told["where"], told["event_age_ms"], told["remarks"]) == ("pod shop/load-7f", 1_500, [])
    assert told["run_id"] is None


@pytest.mark.parametrize(
    ("came", "stamped_us", "said"),
    [
        (event("sdk:x", inputs=(ORDERS,)), NOW_US + 7_200_000_000, "7200 s behind Kafka's clock"),
        (event("sdk:x", inputs=(ORDERS,)), NOW_US - 7_200_000_000, "7200 s ahead of Kafka's clock"),
        (event("sdk:x", inputs=(ORDERS,), error="no such table\nat line 3"), 0, "the run failed: no such table"),
        (event("sdk:x"), NOW_US, "names no dataset yet"),
    ],
)
def test_what_is_odd_about_it_is_said(came: LineageEvent, stamped_us: int, said: str) -> None:
    (remark,) = remarks(Received(came, 0, 0, stamped_us))
    assert said in remark
