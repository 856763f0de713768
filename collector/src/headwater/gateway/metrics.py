"""Metrics of a gateway: each declared once, read from the gateway when asked."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from headwater.runtime.families import Samples, families, labelled
from headwater.runtime.metrics import Spec, as_table

if TYPE_CHECKING:
    from headwater.gateway.application import Gateway

CATALOGUE: Final[tuple[Spec, ...]] = (
    Spec("headwater_gateway_requests", "counter", "Requests by path, status and reason.",
         "5xx: see the reason: stalled or kafka is Kafka, busy is more than this gateway may hold. 4xx: a client; its log has"
         " the path in the document.", ("path", "status", "reason")),
    Spec("headwater_gateway_events", "counter",
         "Events by outcome: acknowledged, spooled, coalesced, heartbeat, rejected, forbidden, failed.",
         "rejected rising: a producer writes what is no OpenLineage event. failed: Kafka did not take them, clients retry."
         " coalesced: a connector of Debezium says the same for each record; a heartbeat a minute goes on.",
         ("outcome",)),
    Spec("headwater_gateway_answer_seconds", "histogram", "From the whole request to the answer, for posts.",
         "Rising with Kafka's latency: look at the brokers. Rising alone: one gateway has too much, add one."),
    Spec("headwater_gateway_pending_records", "gauge", "Records under way to Kafka.", "Rising without end: Kafka is slow."),
    Spec("headwater_gateway_pending_bytes", "gauge", "Their size.", "At gateway.pending_bytes clients get 503."),
    Spec("headwater_gateway_held_bytes", "gauge", "Bodies in memory.", "At gateway.pending_bytes clients get 503."),
    Spec("headwater_gateway_repeated_documents", "counter", "Documents that say what an earlier one said, but for time and run.",
         "Near the event rate: producers repeat themselves; it is cheap."),
    Spec("headwater_gateway_left_out_datasets", "counter", "Datasets of Debezium's events that were left out.",
         "unknown_server: tell cdc.sources or cdc.kafka_namespace where it is. internal_topic: the connector's own.", ("reason",)),
    Spec("headwater_gateway_producer_renewals", "counter", "Producers replaced after a fatal error.",
         "More than now and then: look at the brokers' log."),
    Spec("headwater_gateway_spool_events", "counter", "Events kept on disk, sent from it, refused by it, set back in it.",
         "kept rising: Kafka is away. refused: the disk or gateway.spool_bytes is full, or too many files are "
         "open; clients get 503. too_large: raise max.message.bytes of the events topic, they are tried again.", ("what",)),
)  # fmt: skip

_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


@dataclass(slots=True)
class Stats:
    """What a gateway counts."""

    requests: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    answers: list[int] = field(default_factory=lambda: [0] * (len(_BUCKETS_S) + 1))
    answers_s: float = 0.0

    def answered(self, seconds: float) -> None:
        """Note how long an answer took."""
        self.answers[bisect.bisect_left(_BUCKETS_S, seconds)] += 1
        self.answers_s += seconds


class GatewayCollector(Collector):
    """Reads a gateway when it is scraped."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def collect(self) -> Iterator[Metric]:
        """All metrics of the catalogue."""
        samples = self._samples()
        for spec in CATALOGUE:
            if spec.kind == "histogram":
                yield self._answers(spec)
                continue
            yield from families([spec], samples)

    def _samples(self) -> dict[str, Samples]:
        gateway = self._gateway
        stats, durable, spool = gateway.stats, gateway.durable, gateway.spool
        spooled = {} if spool is None else {
            "kept": spool.kept, "sent": spool.sent, "refused": spool.refused, "too_large": spool.too_large,
        }  # fmt: skip
        return {
            "headwater_gateway_requests": [
                ((path, str(status), reason), count) for (path, status, reason), count in stats.requests.items()
            ],
            "headwater_gateway_events": labelled(stats.events),
            "headwater_gateway_pending_records": [((), durable.pending)],
            "headwater_gateway_pending_bytes": [((), durable.pending_bytes)],
            "headwater_gateway_held_bytes": [((), gateway.held.bytes)],
            "headwater_gateway_repeated_documents": [((), gateway.converter.repeated)],
            "headwater_gateway_left_out_datasets": labelled(gateway.converter.left_out),
            "headwater_gateway_producer_renewals": [((), durable.producer.renewed)],
            "headwater_gateway_spool_events": labelled(spooled),
        }

    def _answers(self, spec: Spec) -> Metric:
        stats, total, buckets = self._gateway.stats, 0, []
        for bound, count in zip((*map(str, _BUCKETS_S), "+Inf"), stats.answers, strict=True):
            total += count
            buckets.append((bound, float(total)))
        family = HistogramMetricFamily(spec.name, spec.help)
        family.add_metric([], buckets, stats.answers_s)
        return family


def page() -> str:
    """The catalogue as a table of Markdown: the collector's README holds it, and a test holds them equal."""
    return as_table(CATALOGUE)
