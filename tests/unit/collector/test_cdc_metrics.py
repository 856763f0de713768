"""What `headwater cdc` counts while it runs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from headwater.cdc import metrics
from headwater.cdc.connectors import Connector
from headwater.cdc.service import Look
from headwater_schemas.events import Name

README = Path(__file__).resolve().parents[3] / "collector" / "README.md"


def told(counts: metrics.Counts) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in metrics.CdcCollector(counts).collect()
        for sample in family.samples
    }


def connector(name: str, *failures: str) -> Connector:
    job = Name("kafka-connect://connect:8083", name)
    return Connector(name, job, f"connect:{name}", is_source=True, state="RUNNING", tasks=1, failures=failures)


def test_the_readme_has_the_metrics() -> None:
    assert metrics.page() in README.read_text(encoding="utf-8")


def test_metrics_count_looks_records_refusals_and_connectors_by_state() -> None:
    counts = metrics.Counts()
    look = Look(topics=7, refused=Counter(connect_unreachable=2))
    look.said = {("c", "a"): connector("a"), ("c", "b"): connector("b", "task 0: gone"), ("c", "d"): connector("d")}
    counts.done(look, 0.25)
    counts.read(100, 3, Counter(not_json=1))
    found = told(counts)
    assert found["headwater_cdc_looks_total", "done"] == 1
    assert found["headwater_cdc_look_seconds",] == 0.25
    assert found["headwater_cdc_topics",] == 7
    assert found["headwater_cdc_records_total",] == 100
    assert found["headwater_cdc_events_total",] == 3
    assert found["headwater_cdc_connectors", "RUNNING"] == 2
    assert found["headwater_cdc_connectors", "FAILED"] == 1
    assert found["headwater_cdc_refused_total", "connect_unreachable"] == 2
    assert found["headwater_cdc_refused_total", "not_json"] == 1


def test_a_look_that_failed_is_counted_and_told_until_the_next_one_that_did_not() -> None:
    counts = metrics.Counts()
    counts.failed("Kafka at broker:9092 cannot be reached")
    assert told(counts)["headwater_cdc_looks_total", "failed"] == 1
    assert counts.last_error == "Kafka at broker:9092 cannot be reached"
    counts.done(Look(), 0.1)
    assert not counts.last_error
