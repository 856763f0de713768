"""What a worker says of datasets, jobs, runs and emitters as time passes, over deaths, lags and changed policies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.services import KafkaService
from tests.support.workers import Domain, new_run, now_us, start_worker, until

from headwater_schemas.alerts import AlertState
from headwater_schemas.events import DatasetUse, EventType, LineageEvent, Name
from headwater_schemas.policies import Criticality, Policy

pytestmark = pytest.mark.timeout(180)

S = 1_000_000
AGE_MS = 5_000
FIRES_WITHIN_S = 10.0
RUN_LOST_WITHIN_S = 90.0
"""An open run is written once a minute, so its silence is counted from the end of its minute (SEMANTICS.md, `ro`)."""
SHORT = {
    "HEADWATER_PROCESSOR__DOMAIN_GRACE_MS": "0",
    "HEADWATER_PROCESSOR__UNLINKED_GRACE_MS": "2000",
    "HEADWATER_PROCESSOR__RUN_TIMEOUT_MS": "4000",
    "HEADWATER_PROCESSOR__EMITTER_SILENT_MS": "2000",
}
"""Graces that a test can wait for."""

ORDERS = Name("postgres://db.example:5432", "shop.public.orders")
CUSTOMERS = Name("postgres://db.example:5432", "shop.public.customers")


@pytest.fixture
def domain(kafka: KafkaService, redis_url: str, tmp_path: Path) -> Iterator[Domain]:
    """A domain without events, policies and workers; its workers end with the test."""
    domain = Domain(new_run(kafka.bootstrap_servers, redis_url, kafka.unique("judging"), tmp_path))
    domain.create_topics()
    yield domain
    domain.run.stop_workers()


def target(name: Name = ORDERS, max_age_ms: int = AGE_MS, for_ms: int = 0) -> Policy:
    return Policy(
        name.name, name.namespace, name.name, max_age_ms=max_age_ms, for_ms=for_ms, criticality=Criticality.HIGH
    )


def test_a_dataset_becomes_stale_and_well_again_and_each_is_said_once_though_the_worker_dies_between(
    domain: Domain,
) -> None:
    domain.policy(target(for_ms=2_000))
    worker = start_worker(domain.run)
    written_us = domain.write(ORDERS)
    domain.wait_for_state(ORDERS, "FRESH")
    deadline_us = written_us + AGE_MS * 1_000
    until(deadline_us)
    fired = domain.wait_for_alert("DatasetStale", AlertState.FIRING, FIRES_WITHIN_S)
    assert fired.deadline_us == deadline_us
    domain.wait_for_state(ORDERS, "STALE")
    worker.kill()
    worker = start_worker(domain.run)
    domain.wait_until_judged_after(now_us())
    again_us = domain.write(ORDERS)
    resolved = domain.wait_for_alert("DatasetStale", AlertState.RESOLVED, FIRES_WITHIN_S)
    assert resolved.incident_id == fired.incident_id
    domain.wait_for_state(ORDERS, "FRESH")
    domain.wait_until_judged_after(again_us)
    assert [alert.state for alert in domain.copies()] == [AlertState.FIRING, AlertState.RESOLVED]
    states = [state for state in domain.states(ORDERS) if state != "UNKNOWN"]
    assert states == ["FRESH", "LATE", "STALE", "FRESH"]
    assert worker.leave() == 0


def test_a_lag_of_ours_fires_nothing(domain: Domain) -> None:
    domain.policy(target())
    worker = start_worker(domain.run)
    written_us = domain.write(ORDERS)
    domain.wait_for_state(ORDERS, "FRESH")
    domain.wait_until_judged_after(written_us)
    worker.kill()
    until(now_us() + 2 * AGE_MS * 1_000)
    written_us = domain.write(ORDERS)
    worker = start_worker(domain.run)
    domain.wait_until_judged_after(written_us)
    # A second proof: what was due by then has been looked at.
    domain.write(ORDERS)
    domain.wait_until_judged_after(now_us())
    assert domain.alerts() == []
    assert domain.states(ORDERS) in (["FRESH"], ["UNKNOWN", "FRESH"])
    assert worker.leave() == 0


def test_a_looser_policy_and_a_withdrawn_one_resolve_and_a_tighter_one_fires(domain: Domain) -> None:
    for name in (ORDERS, CUSTOMERS):
        domain.policy(target(name))
    worker = start_worker(domain.run)
    domain.write(ORDERS, "load-orders")
    domain.write(CUSTOMERS, "load-customers")
    domain.wait_for_alert("DatasetStale", AlertState.FIRING, 20, count=2)
    domain.policy(target(ORDERS, max_age_ms=3_600_000))
    assert domain.wait_for_alert("DatasetStale", AlertState.RESOLVED, FIRES_WITHIN_S).name == ORDERS.name
    domain.wait_for_state(ORDERS, "FRESH")
    domain.withdraw(CUSTOMERS.name)
    assert domain.wait_for_alert("DatasetStale", AlertState.RESOLVED, FIRES_WITHIN_S, count=2).name == CUSTOMERS.name
    domain.wait_for_state(CUSTOMERS, "UNKNOWN")
    domain.policy(target(ORDERS, max_age_ms=1_000))
    assert domain.wait_for_alert("DatasetStale", AlertState.FIRING, FIRES_WITHIN_S, count=3).name == ORDERS.name
    domain.wait_for_state(ORDERS, "STALE")
    assert len(domain.copies()) == 5
    assert worker.leave() == 0


def test_what_is_read_and_never_written_is_told_with_the_name_it_may_have_been_meant_to_be(domain: Domain) -> None:
    domain.run.settings.update(SHORT)
    worker = start_worker(domain.run)
    written, misspelt = Name("s3://lake", "marts/orders_daily"), Name("s3://lake", "marts/orders_dayly")
    topic = Name("kafka://broker.example:9092", "reports")
    domain.say(event("export", outputs=(use(written),), inputs=(use(ORDERS),)))
    domain.say(event("report", inputs=(use(misspelt),), outputs=(use(topic),)))
    loose = domain.wait_for_alert("ReadNeverWritten", AlertState.FIRING, 20)
    assert loose.name == misspelt.name
    assert str(written) in loose.candidates
    assert domain.wait_for_alert("WrittenNeverRead", AlertState.FIRING, 20).name == topic.name
    assert [delta.status.unlinked for delta in domain.statuses(misspelt) if delta.status][-1] == "read-never-written"
    kinds = [[delta.status.kind for delta in domain.statuses(name) if delta.status][-1] for name in (ORDERS, written)]
    assert kinds == ["source", "leaf"]
    domain.say(event("repair", outputs=(use(misspelt),), inputs=(use(written), use(topic))))
    domain.wait_for_alert("ReadNeverWritten", AlertState.RESOLVED, FIRES_WITHIN_S)
    domain.wait_for_alert("WrittenNeverRead", AlertState.RESOLVED, FIRES_WITHIN_S)
    assert len(domain.alerts("ReadNeverWritten")) == len(domain.alerts("WrittenNeverRead")) == 2
    assert worker.leave() == 0


def test_a_run_that_never_ends_is_told_once_and_is_over_when_it_ends(domain: Domain) -> None:
    domain.run.settings.update(SHORT)
    worker = start_worker(domain.run)
    run_id = os.urandom(16)
    started = event("nightly", EventType.START, run_id, inputs=(use(ORDERS),), outputs=(use(CUSTOMERS),))
    domain.say(started)
    fired = domain.wait_for_alert("RunNeverEnded", AlertState.FIRING, RUN_LOST_WITHIN_S)
    assert fired.name == "nightly"
    assert fired.deadline_us == started.event_time_us + 4 * S
    domain.say(event("nightly", EventType.COMPLETE, run_id))
    assert domain.wait_for_alert("RunNeverEnded", AlertState.RESOLVED, FIRES_WITHIN_S).incident_id == fired.incident_id
    domain.wait_until_judged_after(now_us())
    assert len(domain.alerts("RunNeverEnded")) == 2
    assert worker.leave() == 0


def test_a_run_that_ended_while_nobody_judged_is_over_for_the_next_owner(domain: Domain) -> None:
    domain.run.settings.update(SHORT)
    worker = start_worker(domain.run)
    run_id = os.urandom(16)
    domain.say(event("nightly", EventType.START, run_id, inputs=(use(ORDERS),), outputs=(use(CUSTOMERS),)))
    fired = domain.wait_for_alert("RunNeverEnded", AlertState.FIRING, RUN_LOST_WITHIN_S)
    worker.kill()
    domain.say(event("nightly", EventType.COMPLETE, run_id))
    worker = start_worker(domain.run)
    resolved = domain.wait_for_alert("RunNeverEnded", AlertState.RESOLVED, 60)
    assert resolved.incident_id == fired.incident_id
    assert worker.leave() == 0


def test_a_silent_emitter_is_one_alert_and_not_one_for_each_of_its_datasets(domain: Domain) -> None:
    domain.run.settings.update(SHORT)
    for name in (ORDERS, CUSTOMERS):
        domain.policy(target(name))
    worker = start_worker(domain.run)
    for name in (ORDERS, CUSTOMERS):
        domain.write(name, f"load-{name.name}", emitter="sdk:shop")
    fired = domain.wait_for_alert("EmitterSilent", AlertState.FIRING, 20)
    assert fired.name == "sdk:shop"
    for name in (ORDERS, CUSTOMERS):
        domain.wait_for_state(name, "NO_DATA")
    domain.wait_until_judged_after(now_us() + 3 * S)
    assert domain.alerts("DatasetStale") == []
    for name in (ORDERS, CUSTOMERS):
        domain.write(name, f"load-{name.name}", emitter="sdk:shop")
    assert domain.wait_for_alert("EmitterSilent", AlertState.RESOLVED, FIRES_WITHIN_S).incident_id == fired.incident_id
    assert len(domain.alerts("EmitterSilent")) == 2
    assert domain.alerts("DatasetStale") == []
    assert worker.leave() == 0


def use(name: Name) -> DatasetUse:
    return DatasetUse(name.namespace, name.name)


def event(
    job: str,
    event_type: EventType = EventType.COMPLETE,
    run_id: bytes = bytes(16),
    inputs: tuple[DatasetUse, ...] = (),
    outputs: tuple[DatasetUse, ...] = (),
) -> LineageEvent:
    return LineageEvent(os.urandom(16), now_us(), event_type, run_id, Name("jobs", job), inputs, outputs)
