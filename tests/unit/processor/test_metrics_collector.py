"""The catalogue is what is exported, and what is exported can be read."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
import redis
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition, parser
from prometheus_client.parser import text_string_to_metric_families
from tests.support.checked import KnownSchemas

from headwater.runtime.metrics import Histogram
from headwater_processor.adapters.shard_store import ShardStore
from headwater_processor.core.decode import BatchDecoder
from headwater_processor.core.judge_settings import JudgeSettings
from headwater_processor.core.plan import Counters, Rules
from headwater_processor.engine.census import AGES, TABLES, Figures
from headwater_processor.engine.engine import Engine, Limits
from headwater_processor.engine.shards import Shards, ShardSettings
from headwater_processor.engine.stats import EngineStats, RedisCalls
from headwater_processor.metrics import CATALOGUE, WorkerCollector, known, values_of
from headwater_processor.metrics_catalogue import PROCESS
from headwater_processor.ports import Fence
from headwater_processor.worker import Worker
from headwater_schemas.codec import REASONS

NOW_US = 1_740_787_200_000_000


class Nowhere:
    """A publisher to nobody."""

    def begin(self, ours: Callable[[], bool]) -> None:
        pass

    def delta(self, key: str, value: bytes) -> None:
        pass

    alert = delta

    def flush(self, deadline_s: float) -> bool:
        return True


def worker(partitions: int = 1) -> Worker:
    """A worker's parts as they are, none of them started, with something in all of them that is measured."""
    stats, calls, rules = EngineStats(), RedisCalls(), Rules()
    nobody: Any = None  # what the engine would talk to if it were started
    engine = Engine(
        rules=rules, limits=Limits(), store=nobody, decoder=BatchDecoder(KnownSchemas()), letters=nobody, secret=(1, 2),
        stats=stats, on_reset=lambda _owned, _why: None, on_stopped=lambda _owned, _why: None, on_named=lambda _behind: None,
    )  # fmt: skip
    for partition in range(partitions):
        fence = Fence(partition, "1", "", "0", 10, NOW_US, 0, Counters(applied=7, bad=3), (), "", -1)
        engine.own(fence, 1, lambda _planner: None).as_of_us = NOW_US
    settings = ShardSettings(16, "unit", "events", 1.0, 1.0, 30.0, 1.0, 20_000, JudgeSettings())
    store = ShardStore(redis.Redis(port=1), "unit", 16, calls)
    shards = Shards(store, Nowhere(), settings, on_crowded=lambda _crowded: None)
    shards.outboxes = ((0, 4, time.monotonic() - 5), (1, 0, 0.0))
    _count(shards.census.figures)
    shards.census.shards = (0, 1)
    shards.census.sizes = dict.fromkeys(TABLES, 1)
    shards.census.firing = {"page": 1, "ticket": 0, "info": 2}
    shards.growth.new, shards.growth.counted = {"dataset": 3}, True
    return cast(
        "Worker",
        SimpleNamespace(
            started=True, stats=stats, redis_calls=calls, engine=engine, shards=shards,
            config=SimpleNamespace(rules=rules), hosting=SimpleNamespace(stopped=lambda: {0}),
            loop_ages=lambda: {"engine": 0.1, "poll": 2.0},
            prover=SimpleNamespace(ends={0: 15}), decoder=SimpleNamespace(tails_decoded=3, records_checked=1),
            source=SimpleNamespace(consume_s=0.5, rebalances=2),
        ),
    )  # fmt: skip


def _count(figures: Figures) -> None:
    figures.inventory["observed", "high"] = 4
    figures.covered["observed", "high"] = 3
    figures.slo["high", "fresh"] = 2
    figures.ages["high"] = Histogram(AGES)
    figures.ages["high"].observe(61.0)


def families(of: Worker) -> Iterator[Metric]:
    registry = CollectorRegistry()
    registry.register(WorkerCollector(of))
    return iter(registry.collect())


def value(of: Worker, name: str, **labels: str) -> float | None:
    registry = CollectorRegistry()
    registry.register(WorkerCollector(of))
    return registry.get_sample_value(name, labels)


def test_every_metric_that_is_exported_is_in_the_catalogue_and_the_other_way_round() -> None:
    exported = {family.name: family.type for family in families(worker()) if family.samples}
    declared = {spec.name: spec.kind for spec in CATALOGUE}
    assert {name for name in exported if name not in declared} == set()
    assert {name for name in declared if name not in exported} == set()
    assert exported == declared
    assert set(values_of(worker())) == set(declared) - {spec.name for spec in PROCESS}


def test_labels_are_those_that_are_declared() -> None:
    declared = {spec.name: set(spec.labels) for spec in CATALOGUE}
    for family in families(worker()):
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == declared[family.name], sample


def test_no_metric_has_more_series_than_it_declares() -> None:
    """With one partition; and twelve add a series each to what is by partition, nothing to anything else."""
    one, twelve = _series(worker(1)), _series(worker(12))
    by_partition = {spec.name for spec in CATALOGUE if "partition" in spec.labels}
    grown = {name for name in one if twelve[name] != one[name]}
    assert grown <= by_partition
    for spec in CATALOGUE:
        if spec.series.isdigit():
            assert one[spec.name] <= int(spec.series), spec.name
    assert sum(twelve.values()) < 700


def _series(of: Worker) -> dict[str, int]:
    return {family.name: len(family.samples) for family in families(of)}


def test_the_text_can_be_read_by_the_clients_own_parsers() -> None:
    registry = CollectorRegistry()
    registry.register(WorkerCollector(worker()))
    plain = {family.name for family in text_string_to_metric_families(generate_latest(registry).decode())}
    # The strict exposition and its parser have no types of their own.
    text = exposition.generate_latest(registry).decode()  # type: ignore[no-untyped-call]
    strict = list(parser.text_string_to_metric_families(text))  # type: ignore[no-untyped-call]
    assert {spec.name for spec in CATALOGUE} <= {family.name for family in strict}
    assert {known(name) for name in plain} == set(CATALOGUE)
    units = {family.name: family.unit for family in strict}
    assert {spec.name: spec.unit for spec in CATALOGUE if spec not in PROCESS} == {
        spec.name: units[spec.name] for spec in CATALOGUE if spec not in PROCESS
    }


def test_all_reasons_are_there_from_the_beginning_and_one_that_nobody_knows_is_other() -> None:
    of = worker()
    of.stats.rejected("utf8")
    of.stats.rejected("made up yesterday")
    reasons = {sample.labels["reason"] for sample in _samples(of, "headwater_rejected")}
    assert reasons == {*REASONS, "other"}
    assert value(of, "headwater_rejected_total", reason="utf8") == 1
    assert value(of, "headwater_rejected_total", reason="other") == 1
    assert value(of, "headwater_rejected_total", reason="empty") == 0


def test_figures_of_a_partition_are_what_its_owner_knows() -> None:
    of = worker()
    assert value(of, "headwater_lag_records", partition="0") == 5
    assert value(of, "headwater_events_total", partition="0", outcome="bad") == 3
    assert value(of, "headwater_partition_stopped", partition="0") == 1
    assert value(of, "headwater_watermark_seconds", partition="0") == NOW_US / 1e6 - 300


def test_the_oldest_entry_of_an_outbox_ages_while_nobody_looks() -> None:
    of = worker()
    age = value(of, "headwater_shard_outbox_age_seconds", shard="0")
    assert age is not None
    assert 5 <= age < 60
    assert value(of, "headwater_shard_outbox_age_seconds", shard="1") == 0


def test_a_batch_counts_its_records_with_the_delay_of_its_oldest() -> None:
    of = worker()
    of.stats.in_state(int((time.time() - 20) * 1e6), 100)
    of.stats.in_state(0, 5)  # nobody says when
    assert value(of, "headwater_event_to_state_seconds_count") == 100
    assert value(of, "headwater_event_to_state_seconds_bucket", le="10.0") == 0
    assert value(of, "headwater_event_to_state_seconds_bucket", le="30.0") == 100


def test_before_a_count_is_complete_no_figure_of_the_domain_is_told() -> None:
    of = worker()
    of.shards.census.shards = ()
    of.shards.census.sizes = {}
    told = {name for name, samples in values_of(of).items() if list(samples)}
    assert value(of, "headwater_census_shards") == 0
    assert not told & {
        "headwater_inventory_datasets",
        "headwater_edges",
        "headwater_slo_datasets",
        "headwater_state_entries",
    }


def test_an_empty_inventory_is_no_data() -> None:
    of = worker()
    of.shards.census.figures = Figures()
    assert list(_samples(of, "headwater_inventory_datasets")) == []
    assert list(_samples(of, "headwater_covered_datasets")) == []
    assert list(_samples(of, "headwater_slo_datasets")) == []


def test_a_worker_that_has_not_started_declares_everything_and_says_nothing() -> None:
    of = SimpleNamespace(started=False)
    told = {family.name: family.samples for family in families(cast("Worker", of))}
    assert {spec.name for spec in CATALOGUE} == set(told)
    assert {name for name, samples in told.items() if samples} <= {spec.name for spec in PROCESS}


@pytest.mark.parametrize("spec", CATALOGUE, ids=lambda spec: spec.name)
def test_a_metric_says_what_to_do_and_is_named_after_its_unit(spec: Any) -> None:
    assert spec.help.endswith(".")
    assert spec.when_it_moves.endswith(".")
    assert not spec.unit or spec.name.endswith(f"_{spec.unit}")
    assert bool(spec.buckets) == (spec.kind in ("histogram", "gaugehistogram"))


def test_a_histogram_counts_up_to_each_bound() -> None:
    histogram = Histogram((1.0, 5.0))
    for each in (0.5, 1.0, 3.0, 9.0):
        histogram.observe(each)
    histogram.observe(2.0, 10)
    assert histogram.buckets() == [("1.0", 2.0), ("5.0", 13.0), ("+Inf", 14.0)]
    assert math.isclose(histogram.sum, 33.5)


def _samples(of: Worker, name: str) -> Iterable[Any]:
    return next(family.samples for family in families(of) if family.name == name)
