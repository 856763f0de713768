"""Metrics, declared once: a name, its kind, what it counts, and what the on-call does when it moves.

A catalogue is a tuple of `Spec`; `Metrics` makes them on a registry that is handed in, so that two workers in one
process (or two tests) do not share counters. `as_table` turns a catalogue into the table of a README.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import prometheus_client
from prometheus_client import CollectorRegistry

PREFIX: Final = "headwater_"


class Kind(enum.Enum):
    """What a metric is."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Spec:
    """One metric. `name` stands without the prefix `headwater_`; a counter's ends in `_total`.

    `when_it_moves` says what the on-call does: a sentence, in the imperative. `buckets` are for histograms.
    """

    name: str
    kind: Kind
    help: str
    when_it_moves: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


class Metrics:
    """The metrics of a catalogue on one registry.

    Raises:
        ValueError: two specs share a name, or a name does not follow the rules above.
    """

    def __init__(self, registry: CollectorRegistry, specs: Iterable[Spec]) -> None:
        self.registry = registry
        self._counters: dict[str, prometheus_client.Counter] = {}
        self._gauges: dict[str, prometheus_client.Gauge] = {}
        self._histograms: dict[str, prometheus_client.Histogram] = {}
        for spec in specs:
            self._add(spec)

    def counter(self, name: str, *labels: str) -> prometheus_client.Counter:
        """The counter, for these label values in the order of its spec. KeyError if the catalogue has none such."""
        metric = self._counters[name]
        return metric.labels(*labels) if labels else metric

    def gauge(self, name: str, *labels: str) -> prometheus_client.Gauge:
        """The gauge, as `counter`."""
        metric = self._gauges[name]
        return metric.labels(*labels) if labels else metric

    def histogram(self, name: str, *labels: str) -> prometheus_client.Histogram:
        """The histogram, as `counter`."""
        metric = self._histograms[name]
        return metric.labels(*labels) if labels else metric

    def _add(self, spec: Spec) -> None:
        name = PREFIX + spec.name
        if (spec.kind is Kind.COUNTER) != spec.name.endswith("_total"):
            raise ValueError(f"metric {spec.name}: counters, and only they, end in _total")
        if spec.kind is Kind.COUNTER:
            self._counters[spec.name] = prometheus_client.Counter(name, spec.help, spec.labels, registry=self.registry)
        elif spec.kind is Kind.GAUGE:
            self._gauges[spec.name] = prometheus_client.Gauge(name, spec.help, spec.labels, registry=self.registry)
        else:
            buckets = spec.buckets or prometheus_client.Histogram.DEFAULT_BUCKETS
            self._histograms[spec.name] = prometheus_client.Histogram(
                name, spec.help, spec.labels, registry=self.registry, buckets=buckets
            )


def as_table(specs: Iterable[Spec]) -> str:
    """The catalogue as a Markdown table."""
    lines = ["| metric | kind | labels | what it is | when it moves |", "|---|---|---|---|---|"]
    lines += [
        f"| `{PREFIX}{spec.name}` | {spec.kind.value} | {', '.join(spec.labels)} | {spec.help} | {spec.when_it_moves} |"
        for spec in specs
    ]
    return "\n".join(lines) + "\n"
