"""What the SDK costs a job: how long `emit` keeps the calling thread, and what the import takes."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median
from typing import Any, Final

from headwater import DatasetUse, Emitter, EventType, LineageEvent, Measure, Name
from headwater.runtime.errors import RefusedError
from headwater.runtime.kafka import client_config
from headwater.testing import MemoryTransport
from headwater.transports.kafka import KafkaTransport
from headwater_processor.local.bench.bench import Bench
from headwater_processor.local.bench.percentiles import percentile
from headwater_processor.local.bench.place import place
from headwater_schemas.events import NIL_UUID

EVENT: Final = LineageEvent(
    NIL_UUID,
    0,
    EventType.RUNNING,
    job=Name("shop", "orders"),
    inputs=(DatasetUse("kafka://b:9092", "orders", measures=(Measure(0, 10, 99, 90, lag=0),)),),
    outputs=(DatasetUse("s3://lake", "orders/daily", measures=(Measure(rows=90),)),),
)
_PACED: Final = 1_000
"""Events a second of a busy job; as fast as it goes is measured too."""
_FLUSH_S: Final = 60.0
_IMPORTS: Final = 5
_TIMED: Final = "import time; b = time.perf_counter(); import {}; print(time.perf_counter() - b)"


def emit_times_us(emitter: Emitter, count: int, *, rate: int = 0, busy: bool = False) -> list[float]:
    """The time that each of `count` calls took, in microseconds, ascending.

    Args:
        emitter: called from this thread.
        count: calls.
        rate: calls a second; 0: as fast as it goes.
        busy: compute between calls instead of sleeping, so that the emitter's thread has to compete.
    """
    took_us = []
    due_s = time.perf_counter()
    for _ in range(count):
        began_ns = time.perf_counter_ns()
        emitter.emit(EVENT)
        took_us.append((time.perf_counter_ns() - began_ns) / 1_000)
        due_s += 1 / rate if rate else 0
        while rate and (left_s := due_s - time.perf_counter()) > 0:
            if busy:
                sum(range(50))
            else:
                time.sleep(left_s)
    return sorted(took_us)


def measure_sdk(bench: Bench) -> dict[str, Any]:
    """`emit` into memory and into Kafka, as fast as it goes and paced; imports in processes of their own."""
    count = bench.plan.emits
    bench.say(f"sdk: {count:,} calls of emit, into memory and into Kafka")
    emits: dict[str, Any] = {}
    with Emitter(MemoryTransport(), job="bench", capacity=count) as emitter:
        emits["memory"] = emit_figures(emit_times_us(emitter, count))
    with place(bench.settings, bench.plan.partitions) as here:
        transport = KafkaTransport(
            here.settings.kafka.bootstrap_servers, topic_prefix=here.prefix, config=_config(bench)
        )
        with Emitter(transport, job="bench", capacity=count) as emitter:
            emits["kafka"] = emit_figures(emit_times_us(emitter, count))
            _flush(emitter)
            bench.check()
            emits[f"kafka, {_PACED}/s"] = emit_figures(emit_times_us(emitter, min(count, 5 * _PACED), rate=_PACED))
            _flush(emitter)
            dropped = sum(emitter.stats().dropped.values())
    return {"emit": emits, "dropped": dropped, "import_ms": import_ms(), "calls": count}


def emit_figures(took_us: list[float]) -> dict[str, float | None]:
    """Percentiles of ascending times, microseconds."""
    shares = {"p50_us": 0.5, "p99_us": 0.99, "p99_9_us": 0.999, "max_us": 1.0}
    found = {name: percentile(took_us, share) for name, share in shares.items()}
    return {name: None if value is None else round(value, 1) for name, value in found.items()}


def import_ms() -> dict[str, float]:
    """Milliseconds of `import headwater`, and with the emitter and what it needs, median of processes of their own."""
    return {
        name: round(median(_import_s(module) for _ in range(_IMPORTS)) * 1000, 2)
        for name, module in {"headwater": "headwater", "headwater.emitter": "headwater.emitter"}.items()
    }


def _import_s(module: str) -> float:
    command = [sys.executable, "-c", _TIMED.format(module)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603 - ourselves
    if done.returncode:
        raise RefusedError(f"{module} cannot be imported: {done.stderr.strip()[-300:]}")
    return float(done.stdout)


def _flush(emitter: Emitter) -> None:
    left = emitter.flush(_FLUSH_S)
    if left:
        raise RefusedError(f"{left} events of the SDK were not confirmed by Kafka within {_FLUSH_S:.0f} s")


def _config(bench: Bench) -> dict[str, Any]:
    return client_config(bench.settings.kafka, client_id="headwater-bench")
