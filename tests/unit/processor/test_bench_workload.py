"""The benchmark's events are the mix that the figures speak of."""

from __future__ import annotations

from collections import Counter

import pytest

from headwater_processor.local.workload import Workload
from headwater_schemas.codec import decode
from headwater_schemas.events import EventType, LineageEvent, Processing
from headwater_schemas.registry import SchemaStore

EVENTS = 20_000


@pytest.fixture(scope="module")
def events() -> list[LineageEvent]:
    store = SchemaStore()
    found = [decode(record.value, store) for record in Workload().records(EVENTS)]
    return [event for event in found if isinstance(event, LineageEvent)]


def test_every_event_can_be_read_and_a_tenth_comes_twice(events: list[LineageEvent]) -> None:
    assert len(events) == EVENTS
    unique = len({event.event_id for event in events})
    assert (EVENTS - unique) / unique == pytest.approx(0.10, abs=0.01)


def test_the_kinds_of_events_have_their_shares(events: list[LineageEvent]) -> None:
    unique = {event.event_id: event for event in events}.values()
    kinds = Counter(event.job.name.partition(".")[0] for event in unique)
    shares = {kind: count / len(unique) for kind, count in kinds.items()}
    assert shares == pytest.approx({"stream": 0.40, "batch": 0.30, "cdc": 0.20, "other": 0.10}, abs=0.015)
    assert all(not event.inputs for event in unique if event.job.name.startswith("cdc."))


def test_starts_and_completions_come_in_pairs_with_runs_of_their_own(events: list[LineageEvent]) -> None:
    paired = [event for event in {e.event_id: e for e in events}.values() if event.job.name.startswith("batch.")]
    starts = {event.run_id for event in paired if event.event_type is EventType.START}
    completes = {event.run_id for event in paired if event.event_type is EventType.COMPLETE}
    assert completes <= starts
    assert len(completes) > 0.9 * len(starts)
    assert all(event.processing is Processing.BATCH for event in paired)


@pytest.mark.parametrize(("wide", "least", "most"), [(False, 230, 290), (True, 520, 700)])
def test_an_event_is_as_long_as_the_figures_say(*, wide: bool, least: int, most: int) -> None:
    values = [len(record.value) for record in Workload(wide=wide).records(2000)]
    assert least < sum(values) / len(values) < most


def test_equal_seeds_give_equal_events() -> None:
    assert list(Workload(seed=5).records(500)) == list(Workload(seed=5).records(500))
    assert list(Workload(seed=5).records(500)) != list(Workload(seed=6).records(500))
