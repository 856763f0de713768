"""Metrics of a watcher of change data capture: each declared once, read when asked."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from headwater.cdc.service import Look
from headwater.runtime.families import families, labelled
from headwater.runtime.looks import Looks
from headwater.runtime.metrics import Spec, as_table

CATALOGUE: Final[tuple[Spec, ...]] = (
    Spec("headwater_cdc_looks", "counter", "Looks at the topics' ends and at Kafka Connect, by outcome: done, failed.",
         "failed rising: Kafka is away, or forbids what is asked; the log says which.", ("outcome",)),
    Spec("headwater_cdc_look_seconds", "gauge", "How long the last look took.",
         "Near cdc.interval_ms: watch fewer topics, or look less often."),
    Spec("headwater_cdc_loop_age_seconds", "gauge", "Since a look or a read of whole topics last ended.",
         "Over three intervals and a minute /healthz says no."),
    Spec("headwater_cdc_events", "counter", "Events that have arrived.",
         "Still, though tables are written: see headwater_cdc_topics and headwater_cdc_refused."),
    Spec("headwater_cdc_records", "counter", "Records of topics that are read whole (--full).",
         "Slower than the topics grow: the consumer group headwater-cdc falls behind; read fewer of them whole."),
    Spec("headwater_cdc_refused", "counter", "What could not be read or said, by reason.",
         "connect_unreachable: Kafka Connect does not answer. registry_unavailable: that of schemas. Others are records:"
         " `headwater cdc --once` shows of which topic.", ("reason",)),
    Spec("headwater_cdc_topics", "gauge", "Topics whose ends are looked at.", "0: the patterns fit nothing."),
    Spec("headwater_cdc_connectors", "gauge", "Connectors that Kafka Connect knows, by state.",
         "FAILED: the connector's job says why (`headwater trace`); restart it.", ("state",)),
)  # fmt: skip


@dataclass(slots=True)
class Counts(Looks):
    """What a watcher counts."""

    records: int = 0
    topics: int = 0
    connectors: Counter[str] = field(default_factory=Counter)

    def done(self, look: Look, took_s: float) -> None:
        """A look whose events have arrived."""
        self.looked(len(look.events), look.refused, took_s)
        self.topics = look.topics
        self.connectors = Counter("FAILED" if one.failures else one.state for one in look.said.values())

    def read(self, records: int, events: int, refused: Counter[str]) -> None:
        """Records that were read whole, and what they said, when that has arrived."""
        self.records += records
        self.events += events
        self.refused.update(refused)
        self.ended_at = time.monotonic()


class CdcCollector(Collector):
    """Reads the counts when it is scraped."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        """All metrics of the catalogue."""
        counts = self._counts
        yield from families(
            CATALOGUE,
            {
                "headwater_cdc_looks": labelled(counts.looks),
                "headwater_cdc_look_seconds": [((), counts.took_s)],
                "headwater_cdc_loop_age_seconds": [((), time.monotonic() - counts.ended_at)],
                "headwater_cdc_events": [((), counts.events)],
                "headwater_cdc_records": [((), counts.records)],
                "headwater_cdc_refused": labelled(counts.refused),
                "headwater_cdc_topics": [((), counts.topics)],
                "headwater_cdc_connectors": labelled(counts.connectors),
            },
        )


def page() -> str:
    """The catalogue as a table of Markdown: the collector's README holds it, and a test holds them equal."""
    return as_table(CATALOGUE)
