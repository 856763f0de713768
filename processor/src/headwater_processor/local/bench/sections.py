"""The document as tables: a title and rows each. What is not in the document has no table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from headwater_processor.local.bench.figures import rows

_MIB: Final = 1024 * 1024
Rows = list[dict[str, Any]]  # Any: what JSON can hold


@dataclass(frozen=True, slots=True)
class Section:
    """One table."""

    title: str
    rows: Rows

    @property
    def columns(self) -> list[str]:
        """Every column that some row has, in the order of their first appearance."""
        return list(dict.fromkeys(name for row in self.rows for name in row))


def sections(document: Mapping[str, Any]) -> Iterator[Section]:
    """Every table that the document has something for."""
    for title, build in _SECTIONS:
        found = build(document)
        if found:
            yield Section(title, found)


def _throughput(document: Mapping[str, Any]) -> Rows:
    workloads = document.get("workloads") or {}
    return list(rows(document)) if workloads else []


def _compared(document: Mapping[str, Any]) -> Rows:
    found: Rows = []
    for workload, figures in (document.get("workloads") or {}).items():
        for name, theirs in (figures.get("compare") or {}).items():
            if isinstance(theirs, Mapping):
                found.append(
                    {
                        "workload": workload,
                        "processor": name,
                        "events per CPU second": theirs.get("events_per_cpu_second"),
                        "ours (with Redis) is times that": theirs.get("ours_to_theirs"),
                        "peak MiB": _mib(theirs.get("peak_rss_bytes")),
                        "note": theirs.get("skipped", ""),
                    }
                )
    return found


def _latency(document: Mapping[str, Any]) -> Rows:
    return [
        {
            "workload": each["workload"],
            "events/s": f"{each['rate_per_second']:,}",
            "during": each.get("during") or "",
            "p50 ms": each["p50_ms"],
            "p99 ms": each["p99_ms"],
            "p99.9 ms": each["p99_9_ms"],
            "worker cores": each["worker_cores"],
            "Redis cores": each["redis_cores"],
            "not seen": each["not_seen"],
            "sender late ms": each["sender_behind_ms_max"],
        }
        for each in document.get("latency") or []
    ]


def _rebuild(document: Mapping[str, Any]) -> Rows:
    found = document.get("rebuild")
    if not found:
        return []
    return [
        {
            "workload": found["workload"],
            "events": f"{found['events']:,}",
            "events per CPU second, worker and Redis": found["events_per_cpu_second_with_redis"],
            "events per worker CPU second": found["events_per_cpu_second"],
            "wall s": found["wall_seconds"],
            "images": found["images"],
        }
    ]


def _graphs(document: Mapping[str, Any]) -> Rows:
    return [
        {
            "datasets": f"{each['datasets']:,}",
            "edges": f"{each['edges']:,}",
            "Redis MiB": _mib(each["redis_bytes"]),
            "bytes per dataset": each["redis_bytes_per_dataset"],
            "bytes per edge": each["redis_bytes_per_edge"],
            "worker MiB": _mib(each["worker_rss_bytes"]),
            "worker peak MiB": _mib(each["worker_peak_rss_bytes"]),
        }
        for each in (document.get("memory") or {}).get("datasets") or []
    ]


def _ids(document: Mapping[str, Any]) -> Rows:
    return [
        {
            "seen ids": f"{each['seen_ids']:,}",
            "Redis bytes per id": each["redis_bytes_per_id"],
            "worker bytes per id": each["worker_bytes_per_id"],
            "Redis MiB": _mib(each["redis_bytes"]),
            "worker MiB": _mib(each["worker_rss_bytes"]),
            "worker peak MiB": _mib(each["worker_peak_rss_bytes"]),
        }
        for each in (document.get("memory") or {}).get("seen_ids") or []
    ]


def _takeover(document: Mapping[str, Any]) -> Rows:
    found = document.get("takeover") or {}
    return [
        {
            "owner": {"leave": "told to leave", "kill": "killed"}[how],
            "live ids": f"{found['live_ids']:,}",
            "first new event after s": found[how]["seconds_to_first_new_event"],
            "of these until taken": found[how]["seconds_until_taken"],
            "and then": found[how]["seconds_from_taken_to_first_new_event"],
            "kept partition's largest gap s": found[how]["kept_largest_gap_seconds"],
        }
        for how in ("leave", "kill")
        if how in found
    ]


def _sdk(document: Mapping[str, Any]) -> Rows:
    found = document.get("sdk") or {}
    emits = [
        {"what": f"emit into {name}", "p50": f"{each['p50_us']} µs", "p99": f"{each['p99_us']} µs",
         "p99.9": f"{each['p99_9_us']} µs"}
        for name, each in (found.get("emit") or {}).items()
    ]  # fmt: skip
    return emits + [
        {"what": f"import {name}", "p50": f"{ms} ms"} for name, ms in (found.get("import_ms") or {}).items()
    ]


def _goals(document: Mapping[str, Any]) -> Rows:
    names = ("figure", "goal", "measured", "how_far")
    return [{name: line[name] for name in names} for line in document.get("goals") or []]


def _mib(size: float | None) -> str | None:
    return None if size is None else f"{size / _MIB:.1f}"


_SECTIONS: Final = (
    ("Throughput", _throughput),
    ("Other processors, a simpler job", _compared),
    ("Latency, creation to delta", _latency),
    ("Rebuild", _rebuild),
    ("Memory by datasets", _graphs),
    ("Memory by seen ids", _ids),
    ("Take-over of a partition", _takeover),
    ("SDK", _sdk),
    ("Goals", _goals),
)
