"""Metrics of a discoverer: each declared once, read when asked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from headwater.discover.service import Look
from headwater.runtime.families import Samples, families, labelled
from headwater.runtime.looks import Looks
from headwater.runtime.metrics import Spec, as_table

MOST_GROUPS: Final = 1_000
"""Groups with a lag of their own in the metrics: those that are furthest behind."""

CATALOGUE: Final[tuple[Spec, ...]] = (
    Spec("headwater_discover_looks", "counter", "Looks at the cluster, by outcome: done, failed.",
         "failed rising: Kafka is away, or forbids what is asked; the log says which.", ("outcome",)),
    Spec("headwater_discover_look_seconds", "gauge", "How long the last look took.",
         "Near discover.interval_ms: choose fewer topics and groups, or look less often."),
    Spec("headwater_discover_loop_age_seconds", "gauge", "Since the last look ended.",
         "Over three intervals and a minute /healthz says no."),
    Spec("headwater_discover_events", "counter", "Events that have arrived.",
         "Near the number of looks times groups: groups that flap."),
    Spec("headwater_discover_refused", "counter", "What could not be seen or said, by reason.",
         "topic_unreadable, commit_unreadable, group_not_described: an ACL is missing, the log names which. groups_not_listed,"
         " commits_not_told, end_not_told: a broker does not answer.", ("reason",)),
    Spec("headwater_discover_topics", "gauge", "Topics that are looked at.", "0: the patterns fit nothing."),
    Spec("headwater_discover_groups", "gauge", "Groups, by their worst status: OK, WARN, STALL, STOP.",
         "STALL: a member holds a partition and nothing moves. STOP: nobody holds it. WARN: it falls behind.", ("status",)),
    Spec("headwater_discover_group_lag_records", "gauge",
         "Unread records of a group that is or was active; the 1,000 that are furthest behind.",
         "Rising without end: the group is too slow; headwater discover --once shows where.", ("group",)),
    Spec("headwater_discover_orphans", "gauge", "Orphans by kind.", "Rising: somebody leaves topics or groups behind.", ("kind",)),
)  # fmt: skip


@dataclass(slots=True)
class Counts(Looks):
    """What a discoverer counts."""

    topics: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    orphans: dict[str, int] = field(default_factory=dict)
    lags: dict[str, int] = field(default_factory=dict)

    def done(self, look: Look, took_s: float) -> None:
        """A look whose events have arrived."""
        self.looked(len(look.events), look.refused, took_s)
        self.topics, self.statuses, self.orphans = len(look.seen.topics), dict(look.statuses), dict(look.orphans)
        furthest = sorted(look.lags.items(), key=lambda item: (-item[1], item[0]))[:MOST_GROUPS]
        self.lags = dict(furthest)


class DiscoverCollector(Collector):
    """Reads the counts when it is scraped."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        """All metrics of the catalogue."""
        counts = self._counts
        samples: dict[str, Samples] = {
            "headwater_discover_looks": labelled(counts.looks),
            "headwater_discover_look_seconds": [((), counts.took_s)],
            "headwater_discover_loop_age_seconds": [((), time.monotonic() - counts.ended_at)],
            "headwater_discover_events": [((), counts.events)],
            "headwater_discover_refused": labelled(counts.refused),
            "headwater_discover_topics": [((), counts.topics)],
            "headwater_discover_groups": labelled(counts.statuses),
            "headwater_discover_group_lag_records": labelled(counts.lags),
            "headwater_discover_orphans": labelled(counts.orphans),
        }
        yield from families(CATALOGUE, samples)


def page() -> str:
    """The catalogue as a table of Markdown: the collector's README holds it, and a test holds them equal."""
    return as_table(CATALOGUE)
