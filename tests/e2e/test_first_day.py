"""Scenario test 3: an existing Debezium and two consumer jobs are pointed at an empty Headwater, and nobody writes a policy.

Seven days in virtual time: tables that rest at night and hardly move at the weekend, a schema change, a restart of each
consumer (one of them is killed), two lists of bootstrap servers of one cluster, groups that are only observed. Then the connector
dies, and comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

import pytest
from tests.support.days.domain import Domain
from tests.support.days.shop import (
    CONNECTOR,
    HOUR_US,
    INSIDE,
    MINUTE_US,
    OUTSIDE,
    TABLES,
    TICK_US,
    ConsumerJob,
    Debezium,
    Kafka,
    Shop,
    topic,
)

from headwater.cdc.service import Watcher
from headwater_schemas.alerts import Alert, AlertState, Severity
from headwater_schemas.deltas import FreshnessState
from headwater_schemas.events import Name

BEGIN_US: Final = int(datetime(2026, 6, 1, 9, tzinfo=UTC).timestamp()) * 1_000_000
"""A Monday morning."""
DAY_US: Final = 24 * HOUR_US
ENRICHED: Final = Name("s3://lake", "orders/enriched")
LEDGER: Final = Name("postgres://dwh:5432", "dwh.finance.ledger")
TICKETS_MAX: Final = 5


class Week:
    """The shop, the domain that hears of it, and what is done to them at what time."""

    def __init__(self, *, heartbeats: bool) -> None:
        kafka = Kafka()
        self.debezium = Debezium(kafka, TABLES, heartbeats=heartbeats)
        topics = {name: f"shop.public.{name}" for name in TABLES}
        self.enricher = ConsumerJob(kafka, "order-enricher", INSIDE, [topics["orders"], topics["customers"]], ENRICHED)
        self.ledger = ConsumerJob(kafka, "ledger", OUTSIDE, [topics["payments"]], LEDGER)
        groups = {"search-indexer": [topics["products"]], "order-enricher": [topics["orders"], topics["customers"]]}
        watcher = Watcher(kafka, kafka_namespace=f"kafka://{INSIDE}")  # type: ignore[arg-type]  # as much of a Probe as it asks for
        self.shop = Shop(kafka, self.debezium, [self.enricher, self.ledger], groups, watcher)
        self.domain = Domain(BEGIN_US)
        self.now_us = BEGIN_US
        self.events = 0
        for job in self.shop.jobs:
            job.start(BEGIN_US)

    def live(self, until_us: int, acts: dict[int, Callable[[], None]] | None = None) -> list[Alert]:
        """Let time pass; the alerts that came."""
        said: list[Alert] = []
        while self.now_us < until_us:
            self.now_us += TICK_US
            if acts and self.now_us in acts:
                acts[self.now_us]()
            events = list(self.shop.tick(self.now_us))
            self.events += len(events)
            self.domain.say(events)
            said += self.domain.until(self.now_us + MINUTE_US)
        return said

    def restart(self, job: ConsumerJob, at_us: int, *, killed: bool) -> dict[int, Callable[[], None]]:
        """A pod ends at this time, and another begins two looks later."""
        end = job.kill if killed else lambda: job.stop(self.now_us)
        return {at_us: end, at_us + 2 * TICK_US: lambda: job.start(self.now_us)}

    def close(self) -> None:
        for job in self.shop.jobs:
            job.kill()


@pytest.fixture(params=[True, False], ids=["with Debezium's heartbeats", "without"])
def week(request: pytest.FixtureRequest) -> Iterator[Week]:
    week = Week(heartbeats=request.param)
    yield week
    week.close()


def test_a_week_without_a_policy_is_quiet_and_a_dead_connector_is_one_finding_that_names_it(week: Week) -> None:
    domain = week.domain
    acts = week.restart(week.enricher, BEGIN_US + 30 * HOUR_US, killed=False)
    acts |= week.restart(week.ledger, BEGIN_US + 85 * HOUR_US, killed=True)  # at ten at night
    acts[BEGIN_US + 50 * HOUR_US] = lambda: week.debezium.change_schema("orders", week.now_us)

    healthy = week.live(BEGIN_US + 7 * DAY_US, acts)

    tickets = [alert for alert in healthy if alert.state is AlertState.FIRING and alert.severity is Severity.TICKET]
    assert [alert for alert in healthy if alert.severity is Severity.PAGE] == []
    assert len(tickets) <= TICKETS_MAX, [alert.summary for alert in tickets]
    assert domain.firing() == [], [alert.summary for alert in domain.firing()]
    assert week.events > 5_000, "the shop was busy"
    for table in TABLES:
        name = Name("postgres://db:5432", f"store.public.{table}")
        assert (domain.status(name).kind, domain.status(name).unlinked) == ("source", ""), name
        assert (domain.status(topic(table)).kind, domain.status(topic(table)).unlinked) == ("", ""), table
    assert domain.status(topic("payments", OUTSIDE)).state is domain.status(topic("payments")).state
    assert (domain.status(ENRICHED).kind, domain.status(LEDGER).kind) == ("leaf", "leaf")

    dies_us = week.now_us + 2 * HOUR_US
    assert week.live(dies_us) == []
    week.debezium.dead = True

    # What a day rests at night is learned as: three nights of silence are allowed. One finding, and nothing else for a day.
    said = week.live(dies_us + 2 * DAY_US)
    assert [(alert.kind, alert.name, alert.severity, alert.state) for alert in said] == [
        ("EmitterSilent", "cdc:shop", Severity.TICKET, AlertState.FIRING)
    ]
    (finding,) = said
    assert dies_us + DAY_US <= finding.as_of_us <= dies_us + 26 * HOUR_US
    assert finding.summary.startswith("cdc:shop has said nothing for 1 d")
    assert finding.summary.endswith("2 more are made of it.")
    assert {domain.status(topic(table)).state for table in ("orders", "customers", "payments")} == {
        FreshnessState.NO_DATA
    }
    # The consumers are caught up, and say so: nothing was there to be written.
    assert {domain.status(name).state for name in (ENRICHED, LEDGER)} == {FreshnessState.IDLE}
    assert CONNECTOR in {job.name for job in domain.reader().jobs()}

    week.debezium.dead = False
    back = week.live(week.now_us + 8 * HOUR_US)
    assert [(alert.kind, alert.state) for alert in back] == [("EmitterSilent", AlertState.RESOLVED)]
    assert domain.firing() == []
