"""One benchmark from beginning to end: the modes of the plan, each with figures of its own in one document."""

from __future__ import annotations

import os
import platform
from contextlib import ExitStack
from typing import Final

import redis
from confluent_kafka import KafkaException

from headwater import __version__
from headwater.runtime import kafka
from headwater.runtime.redis import connect, translate
from headwater_processor.local.bench.bench import Bench
from headwater_processor.local.bench.compare import compare
from headwater_processor.local.bench.during import Rebalance, Sweep
from headwater_processor.local.bench.figures import Figures, memory_figures, throughput_figures, with_ceiling
from headwater_processor.local.bench.fill import Filled, fill, publish_policies, workload
from headwater_processor.local.bench.goals import against_goals
from headwater_processor.local.bench.latency import measure_latency
from headwater_processor.local.bench.machine import is_compiled, machine_facts, service_facts
from headwater_processor.local.bench.memory import measure_memory
from headwater_processor.local.bench.place import Place, place
from headwater_processor.local.bench.raw import raw_loop
from headwater_processor.local.bench.rebuild import measure_rebuild
from headwater_processor.local.bench.redis_calls import timed_calls
from headwater_processor.local.bench.sdk import measure_sdk
from headwater_processor.local.bench.takeover import measure_takeover
from headwater_processor.local.bench.throughput import (
    WARM_QUIET_S,
    check_sum,
    counts,
    seen_bytes,
    used_memory_bytes,
    watch,
)
from headwater_processor.local.bench.worker import BenchWorker, await_ownership, worker

_LATENCY: Final = {"HEADWATER_PROCESSOR__FRESHNESS_INTERVAL_MS": "0"}
"""Every proof of a write is published at once, so that each can be timed."""
_WARM: Final = 50_000
"""Events before a latency, as fast as they go: the worker has met each job, and the graph is known."""
_ON_A_TOPIC: Final = ("throughput", "rebuild", "latency")


def run_bench(bench: Bench) -> Figures:
    """Measure everything the plan asks for.

    Raises:
        HeadwaterError: a service cannot be used, or the worker did not do its work.
        InterruptedBenchError: somebody wants to stop.
    """
    document = _head(bench)
    modes = bench.plan.modes
    try:
        if set(modes) & set(_ON_A_TOPIC):
            _on_topics(bench, document)
        for mode, measure in (("memory", measure_memory), ("takeover", measure_takeover), ("sdk", measure_sdk)):
            if mode in modes:
                document[mode] = measure(bench)
        with connect(bench.settings.redis, bench.settings.domain) as client:
            document["machine_facts"].update(service_facts(bench.settings, client))
    except redis.RedisError as error:
        raise translate(error, bench.settings.redis.url) from error
    except KafkaException as error:
        raise kafka.translate(error, bench.settings.kafka.bootstrap_servers) from error
    if not is_compiled():
        bench.say("The hot path runs as plain Python: make compile doubles its speed.")
    document["goals"] = against_goals(document)
    return document


def _head(bench: Bench) -> Figures:
    plan, processor = bench.plan, bench.settings.processor
    return {
        "headwater": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "compiled": is_compiled(),
        "machine_facts": machine_facts(),
        "settings": {
            "modes": list(plan.modes), "events": plan.events, "partitions": plan.partitions, "datasets": plan.datasets,
            "seed": plan.seed, "workers": plan.workers, "batch_records": processor.batch_records,
            "freshness_interval_ms": processor.freshness_interval_ms,
        },
        "workloads": {},
    }  # fmt: skip


def _on_topics(bench: Bench, document: Figures) -> None:
    """What reads a full topic. Only throughput is measured with every workload, unless the latency is to be, too."""
    plan = bench.plan
    each = "throughput" in plan.modes or ("latency" in plan.modes and plan.every_latency)
    for number, name in enumerate(plan.workloads if each else plan.workloads[:1]):
        _on_topic(bench, document, name, first=number == 0)


def _on_topic(bench: Bench, document: Figures, name: str, *, first: bool) -> None:
    plan = bench.plan
    full = "throughput" in plan.modes or (first and "rebuild" in plan.modes)
    with place(bench.settings, plan.partitions) as here:
        bench.say(f"{name}: filling {here.topic('events')}")
        publish_policies(here)
        filled = fill(bench, here, workload(bench, name), plan.events if full else min(_WARM, plan.events))
        if "throughput" in plan.modes:
            figures = _throughput(bench, here, name, filled)
            document["workloads"][name] = figures
            if first and plan.compare:
                figures["compare"] = compare(bench, here, filled, figures["events_per_cpu_second_with_redis"])
        if "rebuild" in plan.modes and first:
            document["rebuild"] = measure_rebuild(bench, here, name, filled)
        if "latency" in plan.modes and plan.latency_s > 0 and (first or plan.every_latency):
            found = _latency(bench, here, name, filled)
            document.setdefault("latency", []).extend(found)
            if name in document["workloads"]:
                document["workloads"][name]["latency"] = found[0]


def _throughput(bench: Bench, here: Place, name: str, filled: Filled) -> Figures:
    bench.say(f"{name}: the raw consume loop")
    raw = raw_loop(bench, here, filled.events)
    before = used_memory_bytes(here)
    with ExitStack() as stack:
        with timed_calls(here) as calls:
            running = [stack.enter_context(worker(bench, here, {})) for _ in range(bench.plan.workers)]
            for each in running:
                bench.say(f"{name}: the worker runs, process {each.pid}")
            watched = watch(bench, here, running, filled.events)
        outcome = counts(here)
        memory = memory_figures(outcome, seen_bytes(here), before, used_memory_bytes(here))
        reports = [each.stop() for each in running]
    check_sum(outcome, filled.events)
    figures = with_ceiling(throughput_figures(filled, watched, reports), raw)
    return {**figures, "redis": memory, "redis_calls": calls.figures, "counts": outcome}


def _latency(bench: Bench, here: Place, name: str, filled: Filled) -> list[Figures]:
    """On a graph that is known, with a worker that has met its jobs, as on any day but the first."""
    plan, source = bench.plan, filled.source
    found: list[Figures] = []
    with worker(bench, here, _LATENCY) as running:
        await_ownership(bench, here, running)
        warm = min(_WARM, plan.events)
        fill(bench, here, source, warm)
        watch(bench, here, [running], filled.events + warm, WARM_QUIET_S)
        for rate in plan.rates:
            bench.say(f"{name}: {rate:,} events a second for {plan.latency_s:g} s, process {running.pid}")
            found.append({"workload": name, **measure_latency(bench, here, running, source, rate)})
        for what in plan.during:
            found.append(_disturbed(bench, here, running, filled, what) | {"workload": name, "during": what})
        running.stop()
    return found


def _disturbed(bench: Bench, here: Place, running: BenchWorker, filled: Filled, what: str) -> Figures:
    rate = bench.plan.rates[0]
    bench.say(f"{rate:,} events a second for {bench.plan.latency_s:g} s during a {what}")
    if what == "rebalance":
        return measure_latency(bench, here, running, filled.source, rate, Rebalance(bench, here, _LATENCY))
    sweep = Sweep(bench, here)
    sweep.make(running)
    return measure_latency(bench, here, running, filled.source, rate, sweep)
