"""A real worker on Kafka and Redis is scraped: its figures agree with what was sent, and the SLIs with a graph known by heart."""

from __future__ import annotations

import os
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_text
from tests.support.processes import free_port, wait_until
from tests.support.services import KafkaService
from tests.support.workers import Domain, new_run, now_us, start_worker

from headwater_processor.metrics import CATALOGUE, known
from headwater_schemas.codec import encode_single_object
from headwater_schemas.events import NIL_UUID, DatasetUse, EventType, LineageEvent, Name
from headwater_schemas.policies import Criticality, Policy

RAW, ORDERS, NEVER = (Name("postgres://db:5432", f"shop.public.{name}") for name in ("raw", "orders", "never"))
SETTINGS = {"HEADWATER_PROCESSOR__SWEEP_INTERVAL_MS": "200", "HEADWATER_PROCESSOR__ASOF_INTERVAL_MS": "200",
            "HEADWATER_PROCESSOR__DOMAIN_GRACE_MS": "1", "HEADWATER_PROCESSOR__UNLINKED_GRACE_MS": "1"}  # fmt: skip
SECOND_US = 1_000_000
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(port: int, accept: str = "application/openmetrics-text; version=1.0.0") -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - our own
        return str(answer.read().decode())


def samples(text: str) -> Samples:
    families = open_metrics(text)  # type: ignore[no-untyped-call]  # the client types the plain parser only
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


class Scraped:
    """Workers on ports of their own, asked as Prometheus asks them."""

    def __init__(self) -> None:
        self.ports: list[int] = []
        self.found: list[Samples] = []

    def worker(self, domain: Domain) -> None:
        self.ports.append(free_port())
        port = str(self.ports[-1])
        start_worker(domain.run, METRICS__ENABLED="true", METRICS__PORT=port)

    def sum(self, name: str, **labels: str) -> float | None:
        """Over the workers; None where none of them says anything."""
        told = [found[key] for found in self.found if (key := (name, tuple(sorted(labels.items())))) in found]
        return sum(told) if told else None

    def wait(self, what: str, condition: Callable[[], bool]) -> None:
        def looked() -> bool:
            try:
                self.found = [samples(scrape(port)) for port in self.ports]
            except OSError:
                return False  # not there yet
            return condition()

        wait_until(looked, within_s=30, what=what, pause_s=0.2)


@pytest.fixture
def domain(kafka: KafkaService, redis_db: str, tmp_path: Path) -> Domain:
    domain = Domain(new_run(kafka.bootstrap_servers, redis_db, kafka.unique("metrics"), tmp_path, SETTINGS))
    domain.create_topics()
    return domain


def event(at_us: int, kind: EventType = EventType.COMPLETE, job: str = "load") -> LineageEvent:
    inputs, outputs = (DatasetUse(RAW.namespace, RAW.name),), (DatasetUse(ORDERS.namespace, ORDERS.name),)
    return LineageEvent(os.urandom(16), at_us, kind, os.urandom(16), Name("jobs", job), inputs=inputs, outputs=outputs)


def send(domain: Domain) -> None:
    """Nine records, in order, on one partition."""
    now = now_us()
    first = event(now)
    late, ahead = event(now - 400 * SECOND_US), event(now + 1000 * SECOND_US, EventType.RUNNING)
    old = event(now - 26 * 3600 * SECOND_US)
    reads = (DatasetUse(ORDERS.namespace, ORDERS.name),)
    report = replace(event(now, EventType.START, "report"), run_id=NIL_UUID, inputs=reads, outputs=())
    for each in (first, first, late, ahead, old, report):
        domain.put("events", b"jobs/load", encode_single_object(each), 0)
    for bad in (b"x", None, encode_single_object(first)[:-3]):
        domain.put("events", b"jobs/load", bad, 0)


def declare(domain: Domain) -> None:
    hour_ms = 3_600_000
    domain.policy(Policy("orders", *_of(ORDERS), criticality=Criticality.CRITICAL, max_age_ms=hour_ms))
    domain.policy(Policy("never", *_of(NEVER), criticality=Criticality.HIGH, max_age_ms=hour_ms))


def _of(name: Name) -> tuple[str, str]:
    return name.namespace, name.name


def test_what_a_worker_tells_agrees_with_what_was_sent(domain: Domain) -> None:
    declare(domain)
    scraped = Scraped()
    scraped.worker(domain)
    try:
        send(domain)
        scraped.wait(  # a page is no snapshot: what is counted first may be there before what is timed
            "everything is applied, and timed",
            lambda: (
                scraped.sum("headwater_records_total") == 9
                and scraped.sum("headwater_event_to_state_seconds_count") == 9
                and scraped.sum("headwater_batch_records_sum") == 9
            ),
        )
        told = {o: scraped.sum("headwater_events_total", partition="0", outcome=o) for o in
                ("applied", "dup", "late", "future", "undeduped", "bad")}  # fmt: skip
        assert told == {"applied": 5, "dup": 1, "late": 2, "future": 1, "undeduped": 1, "bad": 3}
        reasons = Counter({
            dict(labels)["reason"]: int(value)
            for (name, labels), value in scraped.found[0].items() if name == "headwater_rejected_total"
        })  # fmt: skip
        assert +reasons == {"framing": 1, "empty": 1, "truncated": 1}
        assert scraped.sum("headwater_seen_ids", partition="0") == 4
        assert scraped.sum("headwater_partition_stopped", partition="0") == 0
        scraped.wait(
            "the SLIs are counted",
            lambda: (
                scraped.sum("headwater_kind_datasets", kind="source") == 1
                and scraped.sum("headwater_unlinked_nodes", node="dataset", kind="read-never-written") == 0
                and scraped.sum("headwater_unlinked_nodes", node="job", kind="job-without-outputs") == 1
                and scraped.sum("headwater_slo_datasets", tier="critical", state="fresh") == 1
                and scraped.sum("headwater_state_entries", kind="edge") == 3
                and scraped.sum("headwater_lag_records", partition="0") == 0
                and (scraped.sum("headwater_event_to_delta_seconds_count") or 0) > 0
            ),
        )
        assert scraped.sum("headwater_census_shards") == 16
        _agrees_with_the_graph(scraped)
        text = scrape(scraped.ports[0], accept="text/plain")
        assert {known(family.name) for family in plain_text(text)} == set(CATALOGUE)
        assert {known(name) for name, _ in scraped.found[0]} == set(CATALOGUE)
        assert ORDERS.name not in text
    finally:
        for worker in domain.run.workers:
            worker.stop()


def _agrees_with_the_graph(scraped: Scraped) -> None:
    """raw → load → orders → report, where report named no run; orders and another one are declared."""
    told = {
        (inventory, tier): (
            scraped.sum("headwater_covered_datasets", inventory=inventory, tier=tier),
            scraped.sum("headwater_inventory_datasets", inventory=inventory, tier=tier),
        )
        for inventory in ("declared", "observed")
        for tier in ("none", "low", "high", "critical")
    }
    assert told == {
        ("declared", "none"): (None, None), ("declared", "low"): (None, None), ("declared", "high"): (0, 1),
        ("declared", "critical"): (1, 1), ("observed", "none"): (1, 1), ("observed", "low"): (None, None),
        ("observed", "high"): (None, None), ("observed", "critical"): (1, 1),
    }  # fmt: skip
    assert {kind: scraped.sum("headwater_edges", kind=kind) for kind in ("reads", "writes", "derives")} == {
        "reads": 2, "writes": 1, "derives": 0,
    }  # fmt: skip
    assert scraped.sum("headwater_edges_without_run") == 1
    assert scraped.sum("headwater_duplicate_edges") == 0
    assert scraped.sum("headwater_dataset_age_seconds_gcount", tier="critical") == 1
    assert scraped.sum("headwater_dataset_age_seconds_bucket", tier="critical", le="60.0") == 1
    assert scraped.sum("headwater_slo_datasets", tier="critical", state="stale") == 0
    assert scraped.sum("headwater_slo_datasets", tier="high", state="fresh") is None, "nobody ever told of it"


def test_two_workers_together_tell_of_the_domain_once(domain: Domain) -> None:
    declare(domain)
    scraped = Scraped()
    try:
        for _ in range(2):
            scraped.worker(domain)
        send(domain)
        scraped.wait(
            "both have counted their shards",
            lambda: (
                all(found.get(("headwater_census_shards", ())) == 8 for found in scraped.found)
                and scraped.sum("headwater_state_entries", kind="edge") == 3
                and scraped.sum("headwater_slo_datasets", tier="critical", state="fresh") == 1
            ),
        )
        _agrees_with_the_graph(scraped)
        assert scraped.sum("headwater_partitions_owned") == 2
        assert sum(("headwater_state_entries", (("kind", "edge"),)) in found for found in scraped.found) == 1
    finally:
        for worker in domain.run.workers:
            worker.stop()
