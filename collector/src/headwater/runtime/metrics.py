"""A catalogue of metrics is a tuple of `Spec`: each declared once, with what the on-call does when it moves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Spec:
    """One metric. `when_it_moves` is a sentence for whoever is on call; counters end in `_total` when exposed."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    when_it_moves: str
    labels: tuple[str, ...] = ()


def as_table(specs: Iterable[Spec]) -> str:
    """The catalogue as a Markdown table, for a README."""
    lines = ["| metric | kind | labels | what it is | when it moves |", "|---|---|---|---|---|"]
    for spec in specs:
        name = f"{spec.name}_total" if spec.kind == "counter" else spec.name
        lines.append(f"| `{name}` | {spec.kind} | {', '.join(spec.labels)} | {spec.help} | {spec.when_it_moves} |")
    return "\n".join(lines) + "\n"
