"""Metrics of a bridge: each declared once, read from the bridge when asked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from headwater.runtime.families import Samples, families, labelled
from headwater.runtime.metrics import Spec, as_table

if TYPE_CHECKING:
    from headwater.bridge.bridging import Bridge

CATALOGUE: Final[tuple[Spec, ...]] = (
    Spec("headwater_bridge_records", "counter",
         "Records by outcome: converted, coalesced, heartbeat, acknowledged, lost_before, or why dead.",
         "not_json, not_openlineage, empty: `headwater tail deadletter` shows them. lost_before: deleted before they were read,"
         " the topic's retention is too short or the bridge was away too long."
         " coalesced: of the converted, those that a connector of Debezium repeats for each record; a heartbeat a minute goes on.",
         ("outcome",)),
    Spec("headwater_bridge_left_out_datasets", "counter", "Datasets of Debezium's events that were left out.",
         "unknown_server: tell cdc.sources or cdc.kafka_namespace where it is. internal_topic: the connector's own.", ("reason",)),
    Spec("headwater_bridge_under_way", "gauge", "Records that Kafka has not acknowledged.",
         "At 20,000 reading stops; it stays there while the broker is away."),
    Spec("headwater_bridge_repeated_documents", "counter", "Documents that say what an earlier one said, but for time and run.",
         "Near the record rate: producers repeat themselves; it is cheap."),
    Spec("headwater_bridge_partitions", "gauge", "Partitions that this bridge reads.", "0: others of its group have them all."),
    Spec("headwater_bridge_loop_age_seconds", "gauge", "Since the loop last moved.", "Over 60 s /healthz says no."),
)  # fmt: skip


class BridgeCollector(Collector):
    """Reads a bridge when it is scraped."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def collect(self) -> Iterator[Metric]:
        """All metrics of the catalogue."""
        bridge = self._bridge
        samples: dict[str, Samples] = {
            "headwater_bridge_records": labelled(bridge.outcomes),
            "headwater_bridge_left_out_datasets": labelled(bridge.converter.left_out),
            "headwater_bridge_under_way": [((), bridge.under_way)],
            "headwater_bridge_repeated_documents": [((), bridge.converter.repeated)],
            "headwater_bridge_partitions": [((), len(bridge.assigned))],
            "headwater_bridge_loop_age_seconds": [((), time.monotonic() - bridge.moved_at)],
        }
        yield from families(CATALOGUE, samples)


def page() -> str:
    """The catalogue as a table of Markdown: the collector's README holds it, and a test holds them equal."""
    return as_table(CATALOGUE)
