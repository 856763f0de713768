"""One benchmark from beginning to end: for each workload the full topic, then the latency."""

from __future__ import annotations

import os
import platform

import redis

from headwater import __version__
from headwater.runtime.errors import RefusedError
from headwater.runtime.redis import translate
from headwater_processor.core import batch
from headwater_processor.local.bench.bench import Bench
from headwater_processor.local.bench.figures import Figures, memory_figures, throughput_figures
from headwater_processor.local.bench.fill import Filled, fill, publish_policies
from headwater_processor.local.bench.latency import measure_latency
from headwater_processor.local.bench.place import Place, place
from headwater_processor.local.bench.process import cpu_s
from headwater_processor.local.bench.throughput import counts, seen_bytes, used_memory_bytes, watch
from headwater_processor.local.bench.worker import await_ownership, worker
from headwater_processor.local.workload import Workload

_LATENCY = {"HEADWATER_PROCESSOR__FRESHNESS_INTERVAL_MS": "0"}
"""Every proof of a write is published at once, so that each can be timed."""


def run_bench(bench: Bench) -> Figures:
    """Measure everything the plan asks for.

    Raises:
        HeadwaterError: a service cannot be used, or the worker did not do its work.
        InterruptedBenchError: somebody wants to stop.
    """
    plan = bench.plan
    try:
        workloads = {name: _workload(bench, name) for name in plan.workloads}
    except redis.RedisError as error:
        raise translate(error, bench.settings.redis.url) from error
    if not is_compiled():
        bench.say("The hot path runs as plain Python: make compile doubles its speed.")
    processor = bench.settings.processor
    return {
        "headwater": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "compiled": is_compiled(),
        "settings": {
            "events": plan.events, "partitions": plan.partitions, "datasets": plan.datasets, "seed": plan.seed,
            "batch_records": processor.batch_records, "freshness_interval_ms": processor.freshness_interval_ms,
        },
        "workloads": workloads,
    }  # fmt: skip


def is_compiled() -> bool:
    """Whether the hot path is compiled (processor/decisions/0008): the worker runs the same files as we do."""
    return not str(batch.__file__).endswith(".py")


def _workload(bench: Bench, name: str) -> Figures:
    with place(bench.settings, bench.plan.partitions) as here:
        bench.say(f"{name}: filling {here.topic('events')}")
        publish_policies(here)
        filled = fill(bench, here, wide=name == "wide")
        figures = _throughput(bench, here, name, filled)
        if bench.plan.latency_s > 0:
            figures["latency"] = _latency(bench, here, name, filled.source)
    return figures


def _throughput(bench: Bench, here: Place, name: str, filled: Filled) -> Figures:
    before = used_memory_bytes(here)
    with worker(bench, here, {}) as running:
        bench.say(f"{name}: the worker runs, process {running.pid}")
        watched = watch(bench, here, running, filled)
        outcome = counts(here)
        memory = memory_figures(outcome, seen_bytes(here), before, used_memory_bytes(here))
        report = running.stop()
    _check_sum(outcome, filled.events)
    return {**throughput_figures(filled, watched, report), "redis": memory, "counts": outcome}


def _latency(bench: Bench, here: Place, name: str, source: Workload) -> Figures:
    """On the state that the full topic left: the graph is known, as it is on any day but the first."""
    with worker(bench, here, _LATENCY) as running:
        await_ownership(bench, here, running)
        bench.say(f"{name}: {bench.plan.rate:,} events a second for {bench.plan.latency_s:g} s, process {running.pid}")
        before_s = cpu_s(running.pid)
        found = measure_latency(bench, here, running, source)
        used_s = cpu_s(running.pid) - before_s
        running.stop()
    return {**found, "worker_cpu_seconds": round(used_s, 2)}


def _check_sum(outcome: dict[str, int], events: int) -> None:
    accounted = outcome["applied"] + outcome["dup"] + outcome["bad"]
    if accounted != events or outcome["bad"]:
        raise RefusedError(f"the counters do not add up: {outcome} of {events} events; the figures would mean nothing")
