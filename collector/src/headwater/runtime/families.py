"""A catalogue and its samples as Prometheus wants them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from headwater.runtime.metrics import Spec

Samples = list[tuple[tuple[str, ...], float]]
"""The labels' values in the order of the spec, and the value."""


def families(specs: Iterable[Spec], samples: Mapping[str, Samples]) -> Iterator[Metric]:
    """Each counter and gauge of the catalogue with its samples. KeyError: a metric is declared, and nobody reads it."""
    for spec in specs:
        family = (CounterMetricFamily if spec.kind == "counter" else GaugeMetricFamily)(
            spec.name, spec.help, labels=spec.labels
        )
        for labels, value in samples[spec.name]:
            family.add_metric(labels, value)
        yield family


def labelled(counts: Mapping[str, float]) -> Samples:
    """Counts by their one label, in its order."""
    return [((label,), count) for label, count in sorted(counts.items())]
