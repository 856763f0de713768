"""The demo tells each thing once, and in words."""

from __future__ import annotations

from headwater_processor.local.narrator import Narrator, opening
from headwater_processor.local.scenario import STALE_AFTER_US, shop
from headwater_processor.local.stack import Addresses
from headwater_schemas.alerts import Alert, AlertState, Severity
from headwater_schemas.deltas import Aspect, Entity, GraphDelta

START = 1_700_000_000_000_000


def core(name: str, entity: Entity = Entity.DATASET) -> GraphDelta:
    return GraphDelta(f"k|{name}", 1, entity, Aspect.CORE, True, START, namespace="n", name=name)


def alert(state: AlertState, kind: str = "DatasetStale") -> Alert:
    return Alert(
        "a", "f", "i", kind, state, Severity.PAGE, "dataset", owner="me", summary="x is stale.", remedy="Look."
    )


def test_new_nodes_are_told_once_and_many_in_one_line() -> None:
    narrator = Narrator(START)
    told = [line.plain for line in narrator.headwater([core(f"d{i}") for i in range(6)])]
    assert told == ["graph   6 new datasets: d0, d1, d2, d3 and 2 more"]
    assert not list(narrator.headwater([core("d0")]))
    assert narrator.nodes == 6


def test_an_alert_says_whom_it_wakes_and_what_to_do() -> None:
    told = [line.plain for line in Narrator(START).headwater([alert(AlertState.FIRING)])]
    assert told == ["alert   PAGE DatasetStale [me]: x is stale.", "        Look."]
    told = [line.plain for line in Narrator(START).headwater([alert(AlertState.RESOLVED)])]
    assert told == ["alert   RESOLVED DatasetStale: x is stale."]


def test_the_watchdog_is_not_told() -> None:
    assert not list(Narrator(START).headwater([alert(AlertState.FIRING, "Watchdog")]))


def test_a_crash_and_the_new_pod_are_told() -> None:
    world, narrator, told = shop(START), Narrator(START), list[str]()
    for tick in range(200):
        now_us = START + tick * 100_000
        told += [line.plain for line in narrator.world(world.advance(now_us), now_us)]
    assert sum("crashed: OutOfMemoryError" in line for line in told) == 1
    assert sum("goes on in pod order-enricher-" in line for line in told) == 1
    assert sum("has stopped, and told nobody" in line for line in told) == (STALE_AFTER_US < 20_000_000)


def test_the_opening_says_where_everything_is_and_what_to_try() -> None:
    said = "\n".join(line.plain for line in opening(shop(START), Addresses("k:1", "redis://r")))
    for part in ("35 datasets", "24 jobs", "k:1", "redis://r", "headwater status", "headwater trace", "Ctrl-C"):
        assert part in said
