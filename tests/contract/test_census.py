"""What there is in a small domain that is known by heart, counted on a real Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import redis
from redis.exceptions import ResponseError
from tests.support.processes import wait_until
from tests.support.state_writer import SHARDS, StateWriter

from headwater_processor.adapters.shard_store import ShardStore
from headwater_processor.core.alerts import Machine, State
from headwater_processor.core.judge_settings import JudgeSettings
from headwater_processor.core.policies import compile_policies
from headwater_processor.engine import census as census_module
from headwater_processor.engine.census import Census, Figures
from headwater_processor.engine.facts import FactReader
from headwater_processor.engine.names import NameBook
from headwater_processor.engine.publishing import Shard
from headwater_processor.engine.shards import Shards, ShardSettings
from headwater_processor.engine.waking import ShardJudge
from headwater_processor.state.layout import DatasetRecord, EdgeRecord, FreshnessRecord, JudgedRecord
from headwater_schemas.alerts import Severity
from headwater_schemas.deltas import Status
from headwater_schemas.events import Name
from headwater_schemas.ids import READS, dataset_key, edge_key, job_key, shard_of
from headwater_schemas.policies import Criticality, Policy

DOMAIN = "counted"
NOW_US = 1_740_787_200_000_000
HOUR_US = 3_600_000_000
PG = "postgres://db:5432"
ORDERS, RAW, LOST, GONE = (Name(PG, f"shop.public.{name}") for name in ("orders", "raw", "lost", "gone"))
MIRROR = Name("kafka://broker:9092", "orders")
LOAD, READ = Name("jobs", "load"), Name("jobs", "read")


class World:
    """A state, and somebody who owns all of it."""

    def __init__(self, client: redis.Redis, url: str) -> None:
        self.client = client
        self.write = StateWriter(client, DOMAIN)
        self.store = ShardStore(redis.Redis.from_url(url), DOMAIN, SHARDS)
        self.now_s = 0.0
        self.machines: dict[str, Machine] = {}
        self.census = self.new_census()

    def new_census(self) -> Census:
        names = NameBook(lambda keys: self.store.many([("HMGET", self.store.keys("names"), *keys)])[0])
        reader = FactReader(self.store, names)
        return Census(self.store, reader, shards=SHARDS, every_s=10.0, clock=lambda: self.now_s)

    def dataset(
        self, name: Name, *, state: str = "UNKNOWN", unlinked: str = "", written_us: int = 0, retracted_us: int = 0
    ) -> None:
        """A dataset as it was seen and judged."""
        self.write.dataset(
            name,
            asserted_us=NOW_US - HOUR_US,
            record=DatasetRecord(first_seen_us=NOW_US - HOUR_US, retracted_us=retracted_us),
            fresh=FreshnessRecord(last_write_us=written_us) if written_us else None,
            judged=JudgedRecord(state, "because", unlinked=unlinked),
        )

    def owned(self) -> dict[int, ShardJudge]:
        """Every shard, as its owner loads it."""
        judges = {}
        for number in range(SHARDS):
            fence = self.store.acquire(number)
            statuses = self.client.hgetall(f"{{hw:{DOMAIN}}}:st:{number}")
            judges[number] = ShardJudge(Shard(fence, fence.version), statuses, {})  # type: ignore[arg-type]  # redis-py: a union
        judges[0].machines = self.machines
        return judges

    def count(self, *policies: Policy, steps: int = 1) -> Figures:
        """The figures after so many steps."""
        judges, compiled = self.owned(), compile_policies(policies, 1)
        for _ in range(steps):
            self.census.step(judges, compiled, NOW_US)
        return self.census.figures


@pytest.fixture
def world(redis_client: redis.Redis, redis_db: str) -> Iterator[World]:
    world = World(redis_client, redis_db)
    yield world
    world.store.close()


def test_without_datasets_there_is_no_inventory(world: World) -> None:
    figures = world.count()
    assert world.census.shards == tuple(range(SHARDS))
    assert figures.inventory == {}
    assert figures.ages == {}


def test_a_dataset_is_covered_by_an_edge_that_is_present(world: World) -> None:
    for name in (ORDERS, RAW, LOST):
        world.dataset(name)
    world.dataset(GONE, retracted_us=NOW_US)
    world.write.reads(RAW, LOAD, asserted_us=NOW_US)
    world.write.writes(LOAD, ORDERS, asserted_us=NOW_US)
    world.write.writes(LOAD, GONE, asserted_us=NOW_US - 1)
    world.write.derives(GONE, LOST, asserted_us=NOW_US - 1)  # with its other end it is gone too
    figures = world.count(Policy("critical", PG, "*.orders", criticality=Criticality.CRITICAL))
    assert figures.inventory == {("observed", "critical"): 1, ("observed", "none"): 2}
    assert figures.covered == {("observed", "critical"): 1, ("observed", "none"): 1}
    assert figures.edges == {"reads": 1, "writes": 2, "derives": 1}


def test_what_a_policy_names_exactly_is_declared_though_nobody_told_of_it(world: World) -> None:
    world.dataset(ORDERS)
    world.write.writes(LOAD, ORDERS, asserted_us=NOW_US)
    figures = world.count(
        Policy("one", PG, ORDERS.name, criticality=Criticality.HIGH), Policy("two", PG, "shop.public.never"),
        Policy("pattern", PG, "shop.*"),
    )  # fmt: skip
    assert figures.inventory["declared", "high"] == 1
    assert figures.covered["declared", "high"] == 1
    assert figures.inventory["declared", "none"] == 1
    assert figures.covered["declared", "none"] == 0
    assert figures.inventory["observed", "high"] == 1


def test_compliance_is_by_tier_and_only_where_people_gave_a_target(world: World) -> None:
    world.dataset(ORDERS, state="FRESH", written_us=NOW_US - 30_000_000)
    world.dataset(RAW, state="STALE", written_us=NOW_US - 2 * HOUR_US)
    world.dataset(LOST, state="UNKNOWN", unlinked="read-never-written")
    figures = world.count(
        Policy("orders", PG, ORDERS.name, criticality=Criticality.CRITICAL, max_age_ms=60_000),
        Policy("raw", PG, RAW.name, criticality=Criticality.CRITICAL, max_age_ms=60_000),
    )
    assert figures.slo == {("critical", "fresh"): 1, ("critical", "stale"): 1}
    assert figures.states == {"fresh": 1, "stale": 1, "unknown": 1}
    assert figures.ages["critical"].counts[:5] == [1, 0, 0, 0, 1]
    assert "none" not in figures.ages
    assert figures.judged == {"dataset": 3}
    assert figures.unlinked == {("dataset", "read-never-written"): 1}


def test_an_edge_whose_first_event_named_no_run_has_no_provenance(world: World) -> None:
    world.dataset(RAW)
    world.write.reads(RAW, LOAD, asserted_us=NOW_US)
    world.write.reads(RAW, READ, asserted_us=NOW_US)
    edge = edge_key(READS, dataset_key(RAW), job_key(READ))
    world.client.hset(f"{{hw:{DOMAIN}}}:edge", edge, EdgeRecord(NOW_US, bytes(16), b"r" * 16).pack())
    figures = world.count()
    assert (figures.edges["reads"], figures.without_run) == (2, 1)


def test_aliases_are_one_dataset_and_what_both_say_is_said_twice(world: World) -> None:
    world.dataset(ORDERS, state="FRESH")
    world.dataset(MIRROR, state="FRESH")
    world.dataset(RAW)
    world.write.alias(ORDERS, MIRROR, asserted_us=NOW_US)
    world.write.writes(LOAD, ORDERS, asserted_us=NOW_US)
    world.write.writes(LOAD, MIRROR, asserted_us=NOW_US)  # the same
    world.write.reads(MIRROR, READ, asserted_us=NOW_US)
    world.write.derives(RAW, ORDERS, asserted_us=NOW_US)
    world.write.derives(RAW, MIRROR, asserted_us=NOW_US)  # the same
    world.write.derives(MIRROR, ORDERS, asserted_us=NOW_US)  # says nothing
    figures = world.count()
    assert figures.duplicates == 3
    assert figures.inventory == {("observed", "none"): 2}
    assert figures.covered == {("observed", "none"): 2}
    assert figures.states == {"fresh": 1, "unknown": 1}


def test_a_count_goes_on_where_its_step_ended(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(census_module, "EDGES_A_STEP", 3)
    world.dataset(RAW)
    world.dataset(ORDERS)
    for number in range(10):
        world.write.reads(RAW, Name("jobs", str(number)), asserted_us=NOW_US)
    world.write.writes(LOAD, ORDERS, asserted_us=NOW_US)
    assert world.count().edges == {}, "not counted to the end yet"
    world.census = world.new_census()
    figures = world.count(steps=12)
    assert figures.edges == {"reads": 10, "writes": 1, "derives": 0}
    assert figures.covered == {("observed", "none"): 2}


def test_the_figures_of_a_shard_go_with_it(world: World) -> None:
    world.dataset(ORDERS)
    world.dataset(RAW)
    judges, none = world.owned(), compile_policies((), 1)
    world.census.step(judges, none, NOW_US)
    assert world.census.figures.inventory["observed", "none"] == 2
    del judges[shard_of(dataset_key(ORDERS), SHARDS)]
    world.census.step(judges, none, NOW_US)
    assert len(world.census.shards) == SHARDS - 1
    assert world.census.figures.inventory["observed", "none"] == 1


def test_a_count_begins_anew_after_its_interval(world: World) -> None:
    judges, none = world.owned(), compile_policies((), 1)
    world.census.step(judges, none, NOW_US)
    world.dataset(ORDERS)
    judges[shard_of(dataset_key(ORDERS), SHARDS)].statuses[b"d" + dataset_key(ORDERS)] = Status()
    world.now_s = 9.0
    world.census.step(judges, none, NOW_US)
    assert world.census.figures.inventory == {}
    world.now_s = 11.0
    world.census.step(judges, none, NOW_US)
    assert world.census.figures.inventory == {("observed", "none"): 1}


def test_a_long_count_rests_as_long_as_it_took(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(census_module, "DATASETS_A_STEP", 1)
    world.dataset(ORDERS)
    world.dataset(RAW)
    judges, none = world.owned(), compile_policies((), 1)
    world.census.step(judges, none, NOW_US)
    world.now_s = 30.0
    world.census.step(judges, none, NOW_US)
    world.census.step(judges, none, NOW_US)
    assert len(world.census.shards) == SHARDS
    judges[shard_of(dataset_key(RAW), SHARDS)].statuses.clear()
    for now_s, found in ((59.0, 2), (61.0, 1)):
        world.now_s = now_s
        for _ in range(3):
            world.census.step(judges, none, NOW_US)
        assert world.census.figures.inventory["observed", "none"] == found


def test_only_the_owner_of_shard_0_tells_the_sizes_of_the_domain(world: World) -> None:
    world.dataset(ORDERS)
    world.write.writes(LOAD, ORDERS, asserted_us=NOW_US)
    world.machines["f"] = Machine(State.FIRING, severity=Severity.PAGE)
    world.machines["g"] = Machine(State.CLEARING, severity=Severity.TICKET)
    world.machines["h"] = Machine(State.QUIET)
    judges, none = world.owned(), compile_policies((), 1)
    world.census.step(judges, none, NOW_US)
    assert world.census.sizes == {
        "dataset": 1,
        "job": 0,
        "emitter": 0,
        "edge": 1,
        "alias": 0,
        "run": 0,
        "name": 1,
        "fact": 0,
    }
    assert world.census.firing == {"page": 1, "ticket": 1, "info": 0}
    del judges[0]
    world.now_s = 11.0
    world.census.step(judges, none, NOW_US)
    assert world.census.sizes == {}
    assert world.census.firing == {"page": 0, "ticket": 0, "info": 0}


class Nowhere:
    """A publisher to nobody."""

    def begin(self, ours: Callable[[], bool]) -> None:
        pass

    def delta(self, key: str, value: bytes) -> None:
        pass

    alert = delta

    def flush(self, deadline_s: float) -> bool:
        return True


class Refusing(ShardStore):
    """A Redis that takes everything but the count."""

    refused = 0

    def census(self, datasets: Sequence[bytes], after: bytes, edges_max: int) -> list[Any]:
        self.refused += 1
        raise ResponseError("NOPERM this user has no permissions to run the 'zrangebylex' command")


def test_what_redis_refuses_to_count_keeps_no_shard_from_its_work(world: World, redis_db: str) -> None:
    world.dataset(ORDERS)
    store = Refusing(redis.Redis.from_url(redis_db), DOMAIN, SHARDS)
    settings = ShardSettings(SHARDS, DOMAIN, "events", 0.05, 0.05, 30.0, 1.0, 1000, JudgeSettings())
    shards = Shards(store, Nowhere(), settings, on_crowded=lambda _crowded: None)
    shards.use_policies(compile_policies((), 1))
    shards.assign({0}, 1)
    shards.start()
    try:
        wait_until(lambda: store.refused >= 3, within_s=10, what="the count is refused, and tried again")
        assert shards.owned() == list(range(SHARDS))
        assert store.calls.took["shard_acquire"].count == SHARDS, "no shard was given up for it"
        assert shards.census.shards != tuple(range(SHARDS))
    finally:
        shards.close()
    assert shards.failed is None
