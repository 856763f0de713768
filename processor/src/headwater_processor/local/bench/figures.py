"""From what was seen to the figures that are shown: pure, and in one place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from headwater_processor.local.bench.fill import Filled
from headwater_processor.local.bench.throughput import Watched

_MIB: Final = 1024 * 1024
_IDLE_THREADS_S: Final = 0.01

Figures = dict[str, Any]  # Any: what JSON can hold


def throughput_figures(filled: Filled, watched: Watched, reports: Sequence[Mapping[str, Any]]) -> Figures:
    """Events, seconds and rates of one run; `reports` are the workers' own. CPU of workers is added up."""
    report = together(reports)
    began_s, began_cpu_s = report["began"]
    start, end, applied = watched.before(began_s), watched.end, watched.applied()
    worker_s = end.worker_s - began_cpu_s
    redis_s = end.redis_s - start.redis_s
    wall_s = end.at_s - began_s
    threads = {name: used - start.threads_s.get(name, 0.0) for name, used in end.threads_s.items()}
    return {
        "events": filled.events,
        "event_bytes": round(filled.value_bytes / max(1, filled.events), 1),
        "wall_seconds": round(wall_s, 3),
        "wall_seconds_to_applied": round(applied.at_s - began_s, 3),
        "events_per_second": _rate(filled.events, wall_s),
        "worker_cpu_seconds": round(worker_s, 3),
        "worker_cpu_seconds_to_applied": round(applied.worker_s - began_cpu_s, 3),
        "redis_cpu_seconds": round(redis_s, 3),
        "events_per_cpu_second": _rate(filled.events, worker_s),
        "events_per_cpu_second_with_redis": _rate(filled.events, worker_s + redis_s),
        "stage_seconds": {name: round(used, 3) for name, used in report["stages_s"].items()},
        "thread_cpu_seconds": {
            name: round(used, 2)
            for name, used in sorted(threads.items(), key=lambda t: -t[1])
            if used > _IDLE_THREADS_S
        },
        "workers": len(reports),
        "batches": report["batches"],
        "operations": report["operations"],
        "images": report["images"],
        "peak_rss_bytes": watched.peak_rss_bytes,
    }


def together(reports: Sequence[Mapping[str, Any]]) -> Figures:
    """The reports of several workers as one: it began when the first of them had a record. What a worker that never had
    one has used is left out."""
    began = [report["began"] for report in reports if report["began"]]
    idle_s = sum(report["cpu_s"] for report in reports if not report["began"])
    names: Mapping[str, float] = next((report["stages_s"] for report in reports if report["stages_s"]), {})
    return {
        "began": [min(at_s for at_s, _ in began), sum(used_s for _, used_s in began) + idle_s],
        "stages_s": {name: sum(report["stages_s"].get(name, 0.0) for report in reports) for name in names},
        **{name: sum(report[name] for report in reports) for name in ("batches", "operations", "images")},
    }


def with_ceiling(figures: Figures, raw: Mapping[str, Any]) -> Figures:
    """The raw consume loop of the same topic beside the worker, and the worker's share of it."""
    ours, ceiling = figures["events_per_cpu_second"], raw["events_per_cpu_second"]
    return {**figures, "raw": dict(raw), "share_of_raw": round(ours / ceiling, 4) if ours and ceiling else None}


def memory_figures(counts: Mapping[str, int], seen_bytes: int, before_bytes: int, after_bytes: int) -> Figures:
    """Memory of Redis. Ids are remembered of what was applied, but for what was too old to have a bucket."""
    ids = counts["applied"] - counts["undeduped"]
    return {
        "used_memory_bytes": after_bytes,
        "state_bytes": after_bytes - before_bytes,
        "seen_ids": ids,
        "seen_bytes": seen_bytes,
        "bytes_per_seen_id": round(seen_bytes / ids, 2) if ids else None,
    }


def rows(document: Mapping[str, Any]) -> Iterator[Figures]:
    """The figures as lines of a table: one figure a line, one column a workload."""
    workloads: Mapping[str, Mapping[str, Any]] = document["workloads"]
    for label, cell in _CELLS:
        line: Figures = {"figure": label}
        line.update({name: _shown(cell, figures) for name, figures in workloads.items()})
        if any(value is not None for name, value in line.items() if name != "figure"):
            yield line
    stages: Mapping[str, float] = next(
        (figures["stage_seconds"] for figures in workloads.values() if "stage_seconds" in figures), {}
    )
    for stage in stages:
        yield {
            "figure": f"stage {stage}, s",
            **{
                name: f"{figures['stage_seconds'][stage]:.2f}"
                for name, figures in workloads.items()
                if "stage_seconds" in figures
            },
        }


def _rate(events: int, seconds: float) -> int | None:
    return round(events / seconds) if seconds > 0 else None


def _shown(cell: Any, figures: Mapping[str, Any]) -> Any:  # Any: a cell of the table below
    try:
        return cell(figures)
    except (KeyError, TypeError):  # was not measured
        return None


def _latency(name: str) -> Any:
    def cell(figures: Mapping[str, Any]) -> str | None:
        value = (figures.get("latency") or {}).get(name)
        return None if value is None else f"{value:.1f}"

    return cell


_CELLS: Final[tuple[tuple[str, Any], ...]] = (
    ("events", lambda f: f"{f['events']:,}"),
    ("bytes an event", lambda f: f"{f['event_bytes']:.0f}"),
    ("events per worker CPU second", lambda f: f"{f['events_per_cpu_second']:,}"),
    ("events per CPU second, worker and Redis", lambda f: f"{f['events_per_cpu_second_with_redis']:,}"),
    ("the raw consume loop, events per CPU second", lambda f: f"{f['raw']['events_per_cpu_second']:,}"),
    ("the worker's share of it", lambda f: f"{f['share_of_raw']:.1%}"),
    ("Redis time of a call p50, ms", lambda f: f["redis_calls"]["p50_ms"]),
    ("Redis time of a call p99, ms", lambda f: f["redis_calls"]["p99_ms"]),
    ("events per second, wall", lambda f: f"{f['events_per_second']:,}"),
    ("worker CPU, s", lambda f: f"{f['worker_cpu_seconds']:.2f}"),
    ("Redis CPU, s", lambda f: f"{f['redis_cpu_seconds']:.2f}"),
    ("wall, s", lambda f: f"{f['wall_seconds']:.2f}"),
    ("peak memory of the worker, MiB", lambda f: f"{f['peak_rss_bytes'] / _MIB:.0f}"),
    ("Redis memory of the state, MiB", lambda f: f"{f['redis']['state_bytes'] / _MIB:.1f}"),
    ("Redis bytes per seen id", lambda f: f["redis"]["bytes_per_seen_id"]),
    ("latency p50, ms", _latency("p50_ms")),
    ("latency p99, ms", _latency("p99_ms")),
    ("latency p99.9, ms", _latency("p99_9_ms")),
)
