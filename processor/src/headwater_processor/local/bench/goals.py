"""The goals beside the figures: what was asked for, what was measured, and how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

Document = Mapping[str, Any]  # Any: what JSON can hold
_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Goal:
    """One figure that is asked for. `find` takes it out of the document, or None when it was not measured."""

    figure: str
    unit: str
    goal: float
    at_least: bool
    find: Callable[[Document], float | None]

    def against(self, document: Document) -> dict[str, Any] | None:
        """Goal, measured, met, and measured as a share of the goal; None when it was not measured."""
        measured = self.find(document)
        if measured is None:
            return None
        met = measured >= self.goal if self.at_least else measured <= self.goal
        return {
            "figure": self.figure,
            "goal": f"{'≥' if self.at_least else '≤'} {_number(self.goal)} {self.unit}".rstrip(),
            "measured": round(measured, 3),
            "met": met,
            "how_far": "met" if met else _how_far(measured, self.goal, at_least=self.at_least),
        }


def against_goals(document: Document) -> list[dict[str, Any]]:
    """Every goal whose figure was measured."""
    return [line for goal in GOALS if (line := goal.against(document)) is not None]


def _how_far(measured: float, goal: float, *, at_least: bool) -> str:
    if at_least:
        return f"{measured / goal:.0%} of the goal"
    return f"{measured / goal:.2g} times the goal" if goal else "over"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:g}"


def _at(*path: str) -> Callable[[Document], float | None]:
    """A figure by its path in the document."""

    def find(document: Document) -> float | None:
        found: Any = document
        for name in path:
            if not isinstance(found, Mapping):
                return None
            found = found.get(name)
        return None if found is None else float(found)

    return find


def _latency(rate: int, *names: str) -> Callable[[Document], float | None]:
    """The sum of these figures at a rate, with nothing going on meanwhile; narrow events if they were measured."""

    def find(document: Document) -> float | None:
        for each in _latencies(document):
            if each["rate_per_second"] == rate and not each.get("during"):
                values = [each.get(name) for name in names]
                return (
                    None if any(value is None for value in values) else float(sum(v for v in values if v is not None))
                )
        return None

    return find


def _latencies(document: Document) -> Iterator[Mapping[str, Any]]:
    found = document.get("latency") or []
    yield from sorted(found, key=lambda each: each.get("workload") != "narrow")


def _of_largest(kind: str, name: str, least: int) -> Callable[[Document], float | None]:
    """A figure of the memory at the largest size, if that is at least so large."""

    def find(document: Document) -> float | None:
        found = (document.get("memory") or {}).get(kind) or []
        largest = max(found, key=lambda each: each[kind], default=None)
        return None if largest is None or largest[kind] < least else float(largest[name])

    return find


def _ratio(name: str) -> Callable[[Document], float | None]:
    return _at("workloads", "narrow", "compare", name, "ours_to_theirs")


def _takeover(document: Document) -> float | None:
    """Goal and figure are for 10 million ids."""
    found = document.get("takeover") or {}
    if found.get("live_ids", 0) < 10_000_000:
        return None
    return float(found["kill"]["seconds_from_taken_to_first_new_event"])


def _worst_call(document: Document) -> float | None:
    found = [(figures.get("redis_calls") or {}).get("p99_ms") for figures in document.get("workloads", {}).values()]
    return max((float(each) for each in found if each is not None), default=None)


def _worker_mib(document: Document) -> float | None:
    """A graph of 100,000 datasets and 10,000,000 ids: what the worker grew by in both, on top of one that has nothing."""
    memory = document.get("memory") or {}
    graph = next((each for each in memory.get("datasets") or [] if each["datasets"] == 100_000), None)
    ids = next((each for each in memory.get("seen_ids") or [] if each["seen_ids"] == 10_000_000), None)
    if graph is None or ids is None:
        return None
    grown = ids["worker_rss_bytes"] - ids["worker_rss_before_bytes"]
    return float(graph["worker_rss_bytes"] + grown) / _MIB


_WITH_REDIS: Final = "events_per_cpu_second_with_redis"
GOALS: Final = (
    Goal("events per CPU second, worker and Redis, narrow", "", 120_000, True, _at("workloads", "narrow", _WITH_REDIS)),
    Goal("events per CPU second, worker and Redis, cdc", "", 200_000, True, _at("workloads", "cdc", _WITH_REDIS)),
    Goal("rebuild, events per CPU second, worker and Redis", "", 130_000, True, _at("rebuild", _WITH_REDIS)),
    Goal("times stock Faust", "", 20, True, _ratio("faust")),
    Goal("times stock Quix Streams", "", 10, True, _ratio("quix")),
    Goal("latency at 1,000/s, p50", "ms", 10, False, _latency(1_000, "p50_ms")),
    Goal("latency at 1,000/s, p99", "ms", 50, False, _latency(1_000, "p99_ms")),
    Goal("cores at 1,000/s, worker and Redis", "", 0.2, False, _latency(1_000, "worker_cores", "redis_cores")),
    Goal("latency at 10,000/s, p50", "ms", 20, False, _latency(10_000, "p50_ms")),
    Goal("latency at 10,000/s, p99", "ms", 100, False, _latency(10_000, "p99_ms")),
    Goal("cores at 10,000/s, worker and Redis", "", 0.4, False, _latency(10_000, "worker_cores", "redis_cores")),
    Goal("Redis time of one call, p99, of all workloads", "ms", 5, False, _worst_call),
    Goal("bytes per seen id in Redis", "B", 10, False, _of_largest("seen_ids", "redis_bytes_per_id", 1_000_000)),
    Goal("bytes per seen id in the worker", "B", 10, False, _of_largest("seen_ids", "worker_bytes_per_id", 1_000_000)),
    Goal("worker at 100,000 datasets and 10,000,000 ids", "MiB", 400, False, _worker_mib),
    Goal("take-over with 10,000,000 ids, killed owner, once the group gives it", "s", 3, False, _takeover),
)  # fmt: skip
