"""What is remembered, in bytes: of Redis and of the worker, for a graph of some size and for ids that were seen.

Each size has a place of its own and a worker of its own, whose memory is read before the events come and when all of
them are applied, judged and published.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from headwater_processor.local.bench import process
from headwater_processor.local.bench.bench import Bench
from headwater_processor.local.bench.fill import produce
from headwater_processor.local.bench.place import Place, place
from headwater_processor.local.bench.synthetic import graph_records, id_records
from headwater_processor.local.bench.throughput import WARM_QUIET_S, table_bytes, used_memory_bytes, watch
from headwater_processor.local.bench.worker import await_ownership, worker
from headwater_processor.local.workload import Record

_EDGE_TABLES: Final = ("edge", "ez", "ax")
_ID_TABLE: Final = "s"
_EDGES_A_DATASET: Final = 2
_WARM: Final = 2_000
_SPAN_US: Final = 60_000_000
"""Events lie so far back at most: within a bucket of seen ids or two, and not late."""

Figures = dict[str, Any]  # Any: what JSON can hold


def measure_memory(bench: Bench) -> Figures:
    """Every size of the plan. Raises RefusedError."""
    plan = bench.plan
    graphs, ids = [], []
    for count in plan.sizes:
        bench.say(f"memory: {count:,} datasets")
        at_us = time.time_ns() // 1000 - _SPAN_US
        graphs.append(graph_figures(count, _filled(bench, graph_records(count, at_us), count)))
    for count in plan.ids:
        bench.say(f"memory: {count:,} seen ids")
        at_us = time.time_ns() // 1000 - _SPAN_US
        ids.append(id_figures(count, _filled(bench, id_records(count, at_us), count)))
    return {"datasets": graphs, "seen_ids": ids}


def graph_figures(datasets: int, seen: Mapping[str, Any]) -> Figures:
    """Bytes by dataset and edge, from the memory of the tables. The edges are those of `graph_records`."""
    tables: Mapping[str, int] = seen["tables"]
    edges = datasets * _EDGES_A_DATASET
    edge_bytes = sum(tables.get(name, 0) for name in _EDGE_TABLES)
    rest = sum(size for name, size in tables.items() if name not in (*_EDGE_TABLES, _ID_TABLE))
    return {
        "datasets": datasets,
        "edges": edges,
        "redis_bytes": seen["redis_bytes"],
        "redis_bytes_per_dataset": round(rest / datasets, 1),
        "redis_bytes_per_edge": round(edge_bytes / edges, 1),
        "redis_bytes_by_table": dict(sorted(tables.items(), key=lambda table: -table[1])),
        **_worker(seen),
    }


def id_figures(ids: int, seen: Mapping[str, Any]) -> Figures:
    """Bytes for each id, in Redis by the memory of its keys and in the worker by what it grew."""
    return {
        "seen_ids": ids,
        "redis_bytes": seen["tables"].get(_ID_TABLE, 0),
        "redis_bytes_per_id": round(seen["tables"].get(_ID_TABLE, 0) / ids, 2),
        "worker_bytes_per_id": round((seen["rss_bytes"] - seen["rss_before_bytes"]) / ids, 2),
        **_worker(seen),
    }


def _worker(seen: Mapping[str, Any]) -> Figures:
    names = ("rss_before_bytes", "rss_bytes", "peak_rss_bytes")
    return {f"worker_{name}": seen[name] for name in names}


def _filled(bench: Bench, records: Iterator[Record], count: int) -> Figures:
    """Have a warm worker take the records, and look at what has grown."""
    with place(bench.settings, bench.plan.partitions) as here:
        before_bytes = used_memory_bytes(here)
        with worker(bench, here, {}) as running:
            await_ownership(bench, here, running)
            _warm(bench, here)
            watch(bench, here, [running], _WARM, WARM_QUIET_S)
            rss_before_bytes = process.rss_bytes(running.pid)
            produce(bench, here, records, count)
            watched = watch(bench, here, [running], _WARM + count)
            return {
                "tables": table_bytes(here),
                "redis_bytes": used_memory_bytes(here) - before_bytes,
                "rss_before_bytes": rss_before_bytes,
                "rss_bytes": process.rss_bytes(running.pid),
                "peak_rss_bytes": watched.peak_rss_bytes,
            }


def _warm(bench: Bench, here: Place) -> None:
    """A few events of the same jobs with other ids: what any first batch costs is not what an id costs."""
    produce(bench, here, id_records(_WARM, time.time_ns() // 1000 - _SPAN_US, seed=2), _WARM)
