"""A worker as Prometheus sees it, and the catalogue as a page.

`WorkerCollector` reads the worker when it is asked (no clock of its own, no globals); the registry is always passed in.
What a metric means stands in `metrics_catalogue`.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

from prometheus_client import ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from headwater.runtime.metrics import Histogram, Spec, as_page
from headwater_processor.core import plan
from headwater_processor.core.unlinked import DATASET_KINDS, JOB_KINDS, KINDS
from headwater_processor.engine.census import EDGE_KINDS, STATES, TIERS
from headwater_processor.metrics_catalogue import (
    BY_NAME,
    CATALOGUE,
    INGEST,
    OTHER,
    OUTCOMES,
    PROCESS,
    SECTIONS,
    SLIS,
)
from headwater_processor.ports import Refusal
from headwater_schemas.codec import REASONS

if TYPE_CHECKING:
    from headwater_processor.engine.owned import Owned
    from headwater_processor.worker import Worker

__all__ = ["CATALOGUE", "WorkerCollector", "page", "sli_page"]

Value = float | Histogram | Mapping[str, str]
Sample = tuple[tuple[str, ...], Value]
Samples = dict[str, Iterable[Sample]]

_OF_A_PARTITION: Final = tuple(spec.name for spec in INGEST if spec.labels == ("partition",))


class WorkerCollector(Collector):
    """A worker's metrics. Register it on a registry of your own."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._process = ProcessCollector(registry=None)

    def collect(self) -> Iterator[Metric]:
        """Families of the catalogue, in its order."""
        values = values_of(self._worker) if self._worker.started else {}
        for spec in CATALOGUE:
            if spec not in PROCESS:
                yield family(spec, values.get(spec.name, ()))
        yield from self._process.collect()


def family(spec: Spec, samples: Iterable[Sample]) -> Metric:
    """What the catalogue declares, with its samples."""
    made, add = _MAKERS[spec.kind](spec)
    for labels, value in samples:
        add(labels, value)
    return made


def values_of(worker: Worker) -> Samples:
    """Name → samples, of a worker that is started. What has nothing to say is left out: no data is not 0."""
    return {
        **_ingest(worker),
        **_by_partition(worker),
        **_work(worker),
        **_publish(worker),
        **_domain(worker),
        "headwater_loop_age_seconds": [((loop,), age) for loop, age in worker.loop_ages().items()],
        "headwater_max_rss_bytes": _one(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT_BYTES),
        "headwater_build": [((), _build())],
    }


# ---- what comes in -------------------------------------------------------------------------------------------------------


def _ingest(worker: Worker) -> Samples:
    stats = worker.stats
    rejections = dict.fromkeys((*REASONS, OTHER), 0)
    for reason, count in tuple(stats.rejections.items()):
        rejections[reason if reason in REASONS else OTHER] += count
    return {
        "headwater_records": _one(stats.records),
        "headwater_rejected": [((reason,), count) for reason, count in rejections.items()],
        "headwater_refused_calls": [((each.value,), stats.refusals[each.value]) for each in Refusal],
        "headwater_seen_ids_limit": _one(worker.config.rules.seen_ids_max),
        "headwater_partitions_owned": _one(len(worker.engine.owned())),
    }


def _by_partition(worker: Worker) -> Samples:
    owned = sorted(worker.engine.owned().items())
    now = time.time()
    events: list[Sample] = []
    gauges: dict[str, list[Sample]] = {name: [] for name in _OF_A_PARTITION}
    stopped = worker.hosting.stopped()
    for partition in sorted(stopped | {partition for partition, _ in owned}):
        gauges["headwater_partition_stopped"].append(((str(partition),), float(partition in stopped)))
    for partition, each in owned:
        counters = each.planner.counters
        events += [((str(partition), name), getattr(counters, name)) for name in OUTCOMES]
        for name, value in _of_partition(worker, partition, each, now):
            gauges[name].append(((str(partition),), value))
    return {"headwater_events": events, **gauges}


def _of_partition(worker: Worker, partition: int, owned: Owned, now: float) -> Iterator[tuple[str, float]]:
    planner, rules = owned.planner, worker.config.rules
    end = worker.prover.ends.get(partition)
    if end is not None:
        yield "headwater_lag_records", max(0, end - owned.applied)
    if planner.mx_us >= 0:
        yield "headwater_watermark_seconds", (planner.mx_us - rules.lateness_us) / 1e6
        horizon_us = planner.mx_us - max(planner.floor, 0) * rules.bucket_us
        yield "headwater_dedupe_horizon_seconds", min(horizon_us, rules.horizon_us) / 1e6
    if owned.as_of_us:
        yield "headwater_as_of_delay_seconds", max(0.0, now - owned.as_of_us / 1e6)
    yield "headwater_seen_ids", planner.seen.total


# ---- how the worker works, and what goes out -----------------------------------------------------------------------------


def _work(worker: Worker) -> Samples:
    stats, shards, calls = worker.stats, worker.shards, worker.redis_calls
    cpu = {"consume": worker.source.consume_s, "decode": stats.decode_s, "plan": stats.plan_s, "apply": stats.apply_s,
           "letters": stats.letters_s, "publish": shards.publish_s, "judge": shards.judge_s}  # fmt: skip
    took = {"decode": stats.decode, "plan": stats.plan, "letters": stats.letters, "call": stats.call,
            "drain": shards.drain_took, "judge": shards.judge_took}  # fmt: skip
    return {
        "headwater_batch_records": [((), stats.batch_records)],
        "headwater_stage_duration_seconds": [((stage,), histogram) for stage, histogram in took.items()],
        "headwater_stage_seconds": [((stage,), seconds) for stage, seconds in cpu.items()],
        "headwater_batches": _one(stats.batches),
        "headwater_planned_operations": _one(stats.operations),
        "headwater_tails_decoded": _one(worker.decoder.tails_decoded),
        "headwater_records_checked": _one(worker.decoder.records_checked),
        "headwater_dropped_batches": _one(stats.dropped_batches),
        "headwater_rebalances": _one(worker.source.rebalances),
        "headwater_redis_call_seconds": [((kind,), histogram) for kind, histogram in calls.took.items()],
        "headwater_redis_retries": [((kind,), count) for kind, count in calls.failed.items()],
    }


def _publish(worker: Worker) -> Samples:
    shards, now = worker.shards, time.monotonic()
    outboxes = shards.outboxes
    return {
        "headwater_event_to_state_seconds": [((), worker.stats.to_state)],
        "headwater_event_to_delta_seconds": [((), shards.drain.travel.to_delta)],
        "headwater_images": _one(shards.drain.images),
        "headwater_outbox_entries": _one(shards.drain.longest),
        "headwater_shard_outbox_entries": [((str(shard),), length) for shard, length, _ in outboxes],
        "headwater_shard_outbox_age_seconds": [
            ((str(shard),), max(0.0, now - since) if since else 0.0) for shard, _, since in outboxes
        ],
        "headwater_judged": _one(shards.judged()),
        "headwater_alerts_published": _one(shards.alerts),
        "headwater_alerts_firing": [((severity,), count) for severity, count in shards.census.firing.items()],
        "headwater_shards_owned": _one(len(shards.owned())),
    }


# ---- figures of the domain -----------------------------------------------------------------------------------------------


def _domain(worker: Worker) -> Samples:
    census = worker.shards.census
    counted, figures = census.shards, census.figures
    growth = worker.shards.growth
    sizes: Samples = {
        "headwater_state_entries": [((kind,), count) for kind, count in census.sizes.items()],
        "headwater_new_names": [((node,), growth.new.get(node, 0)) for node in ("dataset", "job") if growth.counted],
        "headwater_growth_left_out": _one(growth.left_out) if growth.counted else [],
    }
    if not counted:
        return {"headwater_census_shards": _one(0), **sizes}
    inventories = sorted(
        figures.inventory
    )  # a tier without datasets has no coverage, and an empty inventory none at all
    targets = sorted({tier for tier, _ in figures.slo}, key=TIERS.index)
    kinds = [("dataset", row.kind) for row in DATASET_KINDS] + [("job", row.kind) for row in JOB_KINDS]
    return {
        "headwater_census_shards": _one(len(counted)),
        "headwater_census_age_seconds": _one(max(0.0, time.monotonic() - census.counted_at)),
        "headwater_inventory_datasets": [(key, figures.inventory[key]) for key in inventories],
        "headwater_covered_datasets": [(key, figures.covered[key]) for key in inventories],
        "headwater_dataset_states": [((state,), figures.states[state]) for state in STATES],
        "headwater_slo_datasets": [((tier, state), figures.slo[tier, state]) for tier in targets for state in STATES],
        "headwater_dataset_age_seconds": [((tier,), figures.ages[tier]) for tier in TIERS if tier in figures.ages],
        "headwater_edges": [((kind,), figures.edges[kind]) for kind in EDGE_KINDS],
        "headwater_edges_without_run": _one(figures.without_run),
        "headwater_duplicate_edges": _one(figures.duplicates),
        "headwater_judged_nodes": [((node,), figures.judged[node]) for node in ("dataset", "job")],
        "headwater_unlinked_nodes": [(key, figures.unlinked[key]) for key in kinds],
        "headwater_kind_datasets": [((kind,), figures.kinds[kind]) for kind in KINDS],
        **sizes,
    }


# ---- families ------------------------------------------------------------------------------------------------------------

Add = Callable[[tuple[str, ...], Value], None]


def _counter(spec: Spec) -> tuple[Metric, Add]:
    made = CounterMetricFamily(spec.name, spec.help, labels=spec.labels, unit=spec.unit)
    return made, lambda labels, value: made.add_metric(labels, _number(value))


def _gauge(spec: Spec) -> tuple[Metric, Add]:
    made = GaugeMetricFamily(spec.name, spec.help, labels=spec.labels, unit=spec.unit)
    return made, lambda labels, value: made.add_metric(labels, _number(value))


def _histogram(spec: Spec) -> tuple[Metric, Add]:
    made = HistogramMetricFamily(spec.name, spec.help, labels=spec.labels, unit=spec.unit)

    def add(labels: tuple[str, ...], value: Value) -> None:
        assert isinstance(value, Histogram)  # noqa: S101 - the catalogue says so, and a test that every metric can be read
        made.add_metric(labels, value.buckets(), value.sum)

    return made, add


def _gaugehistogram(spec: Spec) -> tuple[Metric, Add]:
    made = GaugeHistogramMetricFamily(spec.name, spec.help, labels=spec.labels, unit=spec.unit)

    def add(labels: tuple[str, ...], value: Value) -> None:
        assert isinstance(value, Histogram)  # noqa: S101 - as above
        made.add_metric(labels, value.buckets(), value.sum)

    return made, add


def _info(spec: Spec) -> tuple[Metric, Add]:
    made = InfoMetricFamily(spec.name, spec.help)

    def add(_labels: tuple[str, ...], value: Value) -> None:
        assert isinstance(value, Mapping)  # noqa: S101 - as above
        made.add_metric([], dict(value))

    return made, add


_MAKERS: Final[Mapping[str, Callable[[Spec], tuple[Metric, Add]]]] = {
    "counter": _counter,
    "gauge": _gauge,
    "histogram": _histogram,
    "gaugehistogram": _gaugehistogram,
    "info": _info,
}


def _number(value: Value) -> float:
    assert isinstance(value, int | float)  # noqa: S101 - as above
    return float(value)


def _one(value: float) -> list[Sample]:
    return [((), float(value))]


_RSS_UNIT_BYTES: Final = 1 if sys.platform == "darwin" else 1024


@cache
def _build() -> Mapping[str, str]:
    try:
        known = version("headwater")
    except PackageNotFoundError:  # run from a folder of sources
        known = "unknown"
    return {"version": known, "compiled": "no" if str(plan.__file__).endswith(".py") else "yes"}


# ---- pages ---------------------------------------------------------------------------------------------------------------


def page() -> str:
    """The catalogue as Markdown: METRICS.md holds it, and a test holds them equal."""
    return "\n".join(f"### {title}\n\n{as_page(specs)}" for title, specs in SECTIONS)


def sli_page() -> str:
    """The SLIs as Markdown, held by METRICS.md in the same way."""
    lines = ["| SLI | what it is, exactly | where to begin |", "|---|---|---|"]
    lines += [f"| **{sli.name}** | {sli.definition} | {sli.objective} |" for sli in SLIS]
    lines += ["", "```promql"]
    for sli in SLIS:
        lines += [f"# {sli.name}", *sli.promql]
    return "\n".join([*lines, "```"]) + "\n"


def known(name: str) -> Spec | None:
    """The metric that a name of the exposition belongs to; None if the catalogue has none."""
    for ending in ("", "_total", "_bucket", "_count", "_sum", "_gcount", "_gsum", "_info"):
        spec = BY_NAME.get(name.removesuffix(ending)) if name.endswith(ending) else None
        if spec is not None:
            return spec
    return None
