"""A catalogue of metrics is a tuple of `Spec`: each declared once, with what the on-call does when it moves.

`Histogram` counts for those who must not pay for a lock and a label look-up: plain numbers, read when somebody scrapes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram", "gaugehistogram", "info"]


@dataclass(frozen=True, slots=True)
class Spec:
    """One metric. `when_it_moves` is a sentence for whoever is on call; counters end in `_total` when exposed.

    `unit` is the end of the name, as OpenMetrics wants it ("" for plain numbers); `series` says how many there are at most;
    `buckets` are the upper bounds of a histogram, without infinity.
    """

    name: str
    kind: Kind
    help: str
    when_it_moves: str
    labels: tuple[str, ...] = ()
    unit: str = ""
    series: str = "1"
    buckets: tuple[float, ...] = ()

    @property
    def exposed(self) -> str:
        """The name as it is queried, without the endings of a histogram."""
        return {"counter": f"{self.name}_total", "info": f"{self.name}_info"}.get(self.kind, self.name)


class Histogram:
    """How often a value lay up to each bound. Written by one thread, read by any; a reader may see the last value half counted."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value, so many times."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times

    def add(self, other: Histogram) -> None:
        """Count what another one with the same bounds counted."""
        self.counts = [mine + its for mine, its in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum

    @property
    def count(self) -> int:
        """Values in all."""
        return sum(self.counts)

    def buckets(self) -> list[tuple[str, float]]:
        """As Prometheus wants them: (`le`, how many up to there), the last one `+Inf`."""
        total, out = 0, []
        for bound, count in zip((*self.bounds, float("inf")), tuple(self.counts), strict=True):
            total += count
            out.append(("+Inf" if bound == float("inf") else str(float(bound)), float(total)))
        return out


def as_table(specs: Iterable[Spec]) -> str:
    """The catalogue as a Markdown table, for a README."""
    lines = ["| metric | kind | labels | what it is | when it moves |", "|---|---|---|---|---|"]
    for spec in specs:
        name = f"{spec.name}_total" if spec.kind == "counter" else spec.name
        lines.append(f"| `{name}` | {spec.kind} | {', '.join(spec.labels)} | {spec.help} | {spec.when_it_moves} |")
    return "\n".join(lines) + "\n"


def as_page(specs: Iterable[Spec]) -> str:
    """The same with how many series each has at most."""
    lines = ["| metric | kind | labels | series | what it is | when it moves |", "|---|---|---|---|---|---|"]
    for spec in specs:
        labels = ", ".join(spec.labels)
        lines.append(
            f"| `{spec.exposed}` | {spec.kind} | {labels} | {spec.series} | {spec.help} | {spec.when_it_moves} |"
        )
    return "\n".join(lines) + "\n"
