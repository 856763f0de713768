"""Every metric of a worker, declared once: its name, what it says, and what whoever is on call does when it moves.

`WorkerCollector` reads the worker when it is asked (no clock of its own, no globals); the registry is always passed in.
Cardinality: labels are partitions, shards, stages and reasons from fixed lists; no label holds a name that people choose.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from headwater.runtime.metrics import Spec, as_table

if TYPE_CHECKING:
    from headwater_processor.worker import Worker


CATALOGUE: Final[tuple[Spec, ...]] = (
    Spec("headwater_records", "counter", "Records taken from the events topic and planned.",
         "Flat while producers are busy: look at headwater_partition_stopped and headwater_lag_records."),
    Spec("headwater_events", "counter", "Events by outcome, as counted in the state (a replay does not count twice).",
         "dup rising: a producer retries or is deployed twice. late rising: a clock or a backlog. bad: see headwater_rejected."
         " undeduped: events older than the horizon; counters may count them twice.", ("partition", "outcome")),
    Spec("headwater_rejected", "counter", "Records sent to the dead letters by this worker, by reason.",
         "`headwater tail deadletter` shows them; the reason names the fault of the producer. unknown_schema: its schema is"
         " not on the schemas topic.", ("reason",)),
    Spec("headwater_refused_calls", "counter", "Fenced calls that changed nothing, by why.",
         "FENCED now and then is a rebalance. Steady FENCED: two groups share a domain. NEXT: somebody wrote the state by hand.",
         ("why",)),
    Spec("headwater_partition_stopped", "gauge", "1 while a partition of this worker is stopped.",
         "Read the alert PartitionStopped: it names the cause and the command to begin with.", ("partition",)),
    Spec("headwater_lag_records", "gauge", "Records between what is applied and the end of the log.",
         "Rising: add workers (up to the number of partitions) or look for a stopped partition.", ("partition",)),
    Spec("headwater_watermark_seconds", "gauge", "Largest event time seen, less the allowed lateness (unix seconds).",
         "Stands still while records flow: all producers of the partition are behind, or their clocks are.", ("partition",)),
    Spec("headwater_as_of_delay_seconds", "gauge", "How far as-of is behind now: nothing younger is judged.",
         "Over a minute: HeadwaterBlind fires. Lag, a stopped partition, or a broker that does not answer.", ("partition",)),
    Spec("headwater_dedupe_horizon_seconds", "gauge", "How far back ids are remembered, by event time.",
         "Below the longest time a producer retries: raise processor.seen_ids_max.", ("partition",)),
    Spec("headwater_seen_ids", "gauge", "Ids remembered by this worker (about 8 bytes each, and as many in Redis).",
         "Near processor.seen_ids_max the oldest are forgotten early.", ("partition",)),
    Spec("headwater_stage_seconds", "counter", "CPU seconds of the engine's thread by stage (letters: waiting, wall time).",
         "Which stage grows tells what to profile.", ("stage",)),
    Spec("headwater_batches", "counter", "Batches of a partition planned.",
         "records / batches is the batch size: small when quiet, thousands when behind."),
    Spec("headwater_planned_operations", "counter", "Writes planned into calls.",
         "operations / records tells how much the events change; near 0 is heartbeats."),
    Spec("headwater_tails_decoded", "counter", "Record tails that had to be decoded because they were new.",
         "Near the record rate: producers put something unique into names or facets; see the processor's README."),
    Spec("headwater_records_checked", "counter", "Records that took the checked road (foreign schemas, odd forms).",
         "A high share costs CPU: let the producer write the current schema."),
    Spec("headwater_dropped_batches", "counter", "Batches read again because something before them was dropped.",
         "Some at each rebalance; steady growth is a fault."),
    Spec("headwater_rebalances", "counter", "Assignments of partitions to this worker.",
         "Steady growth: workers die, or a poll takes longer than max.poll.interval.ms."),
    Spec("headwater_images", "counter", "Images published on the deltas topic.",
         "Follows what changes, not the events. Far more than usual: a removal, or names with dates in them."),
    Spec("headwater_outbox_entries", "gauge", "Longest outbox among the shards of this worker.",
         "Rising: the deltas topic does not take what is published. Over processor.outbox_max the worker waits."),
    Spec("headwater_judged", "counter", "Looks at datasets, jobs and emitters.",
         "Zero while there are datasets: policies are not read to their end, or as-of is unknown."),
    Spec("headwater_shards_owned", "gauge", "Shards this worker publishes and judges.",
         "The sum over workers must be the domain's number (16)."),
    Spec("headwater_loop_age_seconds", "gauge", "Since a loop moved last.",
         "Over 30 s the worker is not healthy and should be restarted; a rebalance or an outage of the broker is not that.",
         ("loop",)),
    Spec("headwater_max_rss_bytes", "gauge", "The most memory that the worker has held at once (resident set; never falls).",
         "Near the limit of its container it will be killed, which loses nothing, and again after each start: raise the limit, or"
         " add workers so that each has fewer partitions, or lower processor.seen_ids_max (see headwater_seen_ids). It steps up"
         " when partitions are taken over and while names are new, then stays; steady growth for days is names with dates in them,"
         " or a fault."),
)  # fmt: skip

_BY_NAME: Final = {spec.name: spec for spec in CATALOGUE}
_OUTCOMES: Final = ("applied", "dup", "late", "future", "undeduped", "bad")

Sample = tuple[tuple[str, ...], float]


class WorkerCollector(Collector):
    """A worker as Prometheus sees it. Register it on a registry of your own."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def collect(self) -> Iterator[Metric]:
        """Families of the catalogue, in its order."""
        values = self._values() if self._worker.started else {}
        for spec in CATALOGUE:
            kind = CounterMetricFamily if spec.kind == "counter" else GaugeMetricFamily
            family = kind(spec.name, spec.help, labels=spec.labels)
            for labels, value in values.get(spec.name, ()):
                family.add_metric(labels, value)
            yield family

    def _values(self) -> dict[str, Iterable[Sample]]:
        worker, stats = self._worker, self._worker.stats
        one = _single
        return {
            "headwater_records": one(stats.records),
            "headwater_rejected": [((reason,), count) for reason, count in sorted(stats.rejections.items())],
            "headwater_refused_calls": [((why,), count) for why, count in sorted(stats.refusals.items())],
            "headwater_stage_seconds": [
                (("consume",), worker.source.consume_s), (("decode",), stats.decode_s), (("plan",), stats.plan_s),
                (("apply",), stats.apply_s), (("letters",), stats.letters_s),
            ],
            "headwater_batches": one(stats.batches),
            "headwater_planned_operations": one(stats.operations),
            "headwater_tails_decoded": one(worker.decoder.tails_decoded),
            "headwater_records_checked": one(worker.decoder.records_checked),
            "headwater_dropped_batches": one(stats.dropped_batches),
            "headwater_rebalances": one(worker.source.rebalances),
            "headwater_images": one(worker.shards.drain.images),
            "headwater_outbox_entries": one(worker.shards.drain.longest),
            "headwater_judged": one(worker.shards.judged()),
            "headwater_shards_owned": one(len(worker.shards.owned())),
            "headwater_loop_age_seconds": [((loop,), age) for loop, age in worker.loop_ages().items()],
            "headwater_max_rss_bytes": one(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024),
            **self._by_partition(),
        }  # fmt: skip

    def _by_partition(self) -> dict[str, Iterable[Sample]]:
        worker = self._worker
        owned = sorted(worker.engine.owned().items())
        rules, now = worker.config.rules, time.time()
        events: list[Sample] = []
        gauges: dict[str, list[Sample]] = {
            name: []
            for name in ("headwater_partition_stopped", "headwater_lag_records", "headwater_watermark_seconds",
                         "headwater_as_of_delay_seconds", "headwater_dedupe_horizon_seconds", "headwater_seen_ids")
        }  # fmt: skip
        stopped = worker.stopped()
        for partition in sorted(stopped | {partition for partition, _ in owned}):
            gauges["headwater_partition_stopped"].append(((str(partition),), 1.0 if partition in stopped else 0.0))
        for partition, each in owned:
            label = (str(partition),)
            planner = each.planner
            events += [((str(partition), name), getattr(planner.counters, name)) for name in _OUTCOMES]
            end = worker.prover.ends.get(partition)
            if end is not None:
                gauges["headwater_lag_records"].append((label, max(0, end - each.applied)))
            if planner.mx_us >= 0:
                gauges["headwater_watermark_seconds"].append((label, (planner.mx_us - rules.lateness_us) / 1e6))
                horizon = planner.mx_us - max(planner.floor, 0) * rules.bucket_us
                gauges["headwater_dedupe_horizon_seconds"].append((label, min(horizon, rules.horizon_us) / 1e6))
            if each.as_of_us:
                gauges["headwater_as_of_delay_seconds"].append((label, max(0.0, now - each.as_of_us / 1e6)))
            gauges["headwater_seen_ids"].append((label, planner.seen.total))
        return {"headwater_events": events, **gauges}


def page() -> str:
    """The catalogue as a table of Markdown: the processor's README holds it, and a test holds them equal."""
    return as_table(CATALOGUE)


def _single(value: float) -> list[Sample]:
    return [((), float(value))]
