"""How long an event takes to be seen: from the moment it was meant to be sent to its dataset's image on the deltas.

Open loop: events leave at fixed moments whatever happened to those before, and their event time is the intended
moment, so a stall counts against every event that it delays. An event is seen when an image says that its dataset was
written at its time or later (under load an image may stand for several events; each of them counts).
"""

from __future__ import annotations

import bisect
import contextlib
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from confluent_kafka import Consumer, Producer, TopicPartition

from headwater.runtime.kafka import client_config, producer_config
from headwater_processor.local.bench.bench import Bench
from headwater_processor.local.bench.percentiles import percentile
from headwater_processor.local.bench.place import Place
from headwater_processor.local.bench.process import cpu_s
from headwater_processor.local.bench.throughput import redis_cpu_s
from headwater_processor.local.bench.worker import BenchWorker
from headwater_processor.local.workload import Record, Workload
from headwater_schemas.codec import Rejected, decode, decode_delta
from headwater_schemas.events import EventType, LineageEvent, Name
from headwater_schemas.naming import canonical_dataset
from headwater_schemas.registry import SchemaStore

LEFT_OUT_S: Final = 3.0
"""Of the beginning: caches fill, connections open."""
_AFTER_S: Final = 30.0
"""How long images may come after the last event: who is far behind is slow, and only what never comes is not seen."""
_TICK_S: Final = 0.001
_PREPARE_S: Final = 2.0
_PREFIX: Final = b"DATASET|FRESHNESS|"
_PROVING: Final = (EventType.RUNNING, EventType.OTHER)


@dataclass(slots=True)
class Schedule:
    """What is sent when. `writes` holds, by dataset, the times at which it is written, rising."""

    times_us: list[int] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    writes: dict[Name, deque[int]] = field(default_factory=dict)


@dataclass(slots=True)
class Seen:
    """What the consumer saw: latencies in microseconds of events after `from_us`.

    One thread tells it of images; another may ask meanwhile how many are not seen.
    """

    from_us: int
    waiting: dict[Name, deque[int]]
    latencies_us: list[int] = field(default_factory=list)
    _awaited: int = field(init=False)

    def __post_init__(self) -> None:
        self._awaited = sum(time_us >= self.from_us for times in self.waiting.values() for time_us in times)

    def image(self, dataset: Name, last_write_us: int, now_us: int) -> None:
        """A dataset's freshness was published."""
        times = self.waiting.get(dataset)
        while times and times[0] <= last_write_us:
            sent_us = times.popleft()
            if sent_us >= self.from_us:
                self.latencies_us.append(now_us - sent_us)

    def not_seen(self) -> int:
        """Events that no image has answered. Not counted in `waiting`, which images change meanwhile."""
        return self._awaited - len(self.latencies_us)


def prepare(source: Workload, start_us: int, count: int, step_us: int) -> Schedule:
    """The next `count` events of a workload, one every `step_us` from `start_us`."""
    schedule, store = Schedule(), SchemaStore()
    for number in range(count):
        time_us = start_us + number * step_us
        record = source.next(time_us)
        schedule.times_us.append(time_us)
        schedule.records.append(record)
        event = decode(record.value, store)
        if not isinstance(event, Rejected) and event.event_time_us == time_us:  # a duplicate carries its first time
            for dataset in written_by(event):
                schedule.writes.setdefault(dataset, deque()).append(time_us)
    return schedule


def written_by(event: LineageEvent) -> list[Name]:
    """The datasets that this event proves to be written."""
    if event.event_type is EventType.COMPLETE:
        uses = event.outputs
    elif event.event_type in _PROVING:
        uses = tuple(use for use in event.outputs if any(measure.rows > 0 for measure in use.measures))
    else:
        uses = ()
    return list(dict.fromkeys(canonical_dataset(use.namespace, use.name) for use in uses))


def measure_latency(
    bench: Bench, here: Place, running: BenchWorker, source: Workload, rate: int, disturbed: Disturbed | None = None
) -> dict[str, Any]:
    """Send at a rate and watch the deltas; the figures of the latency.

    Args:
        bench: the plan: how long.
        here: a place whose worker is warm.
        running: the worker; its CPU and that of Redis are counted while events count.
        source: of the events.
        rate: events a second.
        disturbed: something that goes on meanwhile.

    Raises:
        RefusedError: what is to go on meanwhile has begun before the events were ready.
    """
    plan = bench.plan
    step_us, count = 1_000_000 // rate, int(plan.latency_s * rate)
    # How long preparing takes decides when the first event can leave: a tenth is prepared to find out, and thrown away.
    began = time.monotonic()
    prepare(source, time.time_ns() // 1000, max(1, count // 10), step_us)
    lead_us = int((time.monotonic() - began) * 15e6 + _PREPARE_S * 1e6)
    earliest_us = time.time_ns() // 1000 + lead_us
    start_us = earliest_us if disturbed is None else disturbed.start_us(earliest_us, plan.latency_s)
    schedule = prepare(source, start_us, count, step_us)
    left_out_s = min(LEFT_OUT_S, plan.latency_s / 2)
    sending = _Sending(schedule, Seen(start_us + int(left_out_s * 1e6), schedule.writes), running)
    with contextlib.nullcontext() if disturbed is None else disturbed.during(start_us, plan.latency_s):
        _run(bench, here, sending)
    return {
        **summary(sending.seen.latencies_us),
        "rate_per_second": rate,
        "seconds": plan.latency_s,
        "left_out_seconds": left_out_s,
        "not_seen": sending.seen.not_seen(),
        "sender_behind_ms_max": round(sending.behind_us / 1000, 3),
        **sending.cores(),
    }


class Disturbed(Protocol):
    """What goes on while a latency is measured."""

    def start_us(self, earliest_us: int, seconds: float) -> int:
        """When the first event is to be sent. Raises RefusedError when it is too late for that."""

    def during(self, start_us: int, seconds: float) -> AbstractContextManager[None]:
        """Goes on while the block runs; its end waits for it."""


@dataclass(slots=True)
class _Sending:
    """One measurement while it goes on. Looks at CPU are (wall, worker, Redis), seconds."""

    schedule: Schedule
    seen: Seen
    running: BenchWorker
    behind_us: int = 0
    looks: list[tuple[float, float, float]] = field(default_factory=list)

    def look(self, here: Place) -> None:
        """What worker and Redis have used by now."""
        self.looks.append((time.monotonic(), cpu_s(self.running.pid), redis_cpu_s(here)))

    def cores(self) -> dict[str, float]:
        """Cores in use between the first look and the last."""
        (from_s, worker_s, redis_s), (to_s, worker_end_s, redis_end_s) = self.looks[0], self.looks[-1]
        wall_s = max(1e-9, to_s - from_s)
        return {
            "worker_cores": round((worker_end_s - worker_s) / wall_s, 3),
            "redis_cores": round((redis_end_s - redis_s) / wall_s, 3),
            "worker_cpu_seconds": round(worker_end_s - worker_s, 2),
        }


def _run(bench: Bench, here: Place, sending: _Sending) -> None:
    consumer = _consumer(here)
    ended = threading.Event()
    watching = threading.Thread(target=_watch, args=(consumer, sending.seen, ended), name="bench-deltas", daemon=True)
    watching.start()
    try:
        _send(bench, here, sending)
        deadline = time.monotonic() + _AFTER_S
        while sending.seen.not_seen() and time.monotonic() < deadline:
            bench.pause(0.05)
    finally:
        ended.set()
        watching.join(10.0)
        consumer.close()


def _consumer(here: Place) -> Consumer:
    consumer = Consumer(
        {
            **client_config(here.settings.kafka),
            "group.id": f"{here.name}-reader",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 100,
        }
    )
    ends = [TopicPartition(here.topic("deltas"), number) for number in range(here.partitions)]
    for each in ends:
        each.offset = consumer.get_watermark_offsets(each, 10.0, cached=False)[1]
    consumer.assign(ends)
    return consumer


def _watch(consumer: Consumer, seen: Seen, ended: threading.Event) -> None:
    while not ended.is_set():
        message = consumer.poll(0.1)
        if message is None or message.error() is not None:
            continue
        now_us = time.time_ns() // 1000
        value = message.value()
        if value and (message.key() or b"").startswith(_PREFIX):
            delta = decode_delta(value)
            if delta.freshness is not None:
                seen.image(Name(delta.namespace, delta.name), delta.freshness.last_write_us, now_us)


def _send(bench: Bench, here: Place, sending: _Sending) -> None:
    """Send everything at its time, and note by how much the sender was late at most."""
    producer = Producer({**producer_config(here.settings.kafka), "linger.ms": 0})
    topic, schedule = here.topic("events"), sending.schedule
    producer.list_topics(topic, 10.0)
    counts_from = bisect.bisect_left(schedule.times_us, sending.seen.from_us)
    # To sleep for each event of many costs the cores that are measured; a thousandth late is in the figures.
    least_s = _TICK_S if len(schedule.times_us) > 1 and schedule.times_us[1] - schedule.times_us[0] < 500 else 0.0
    for number, (time_us, record) in enumerate(zip(schedule.times_us, schedule.records, strict=True)):
        if number == counts_from:
            sending.look(here)
        wait_us = time_us - time.time_ns() // 1000
        if wait_us > 0:
            bench.pause(max(least_s, wait_us / 1e6))
        else:
            sending.behind_us = max(sending.behind_us, -wait_us)
        producer.produce(topic, record.value, record.key)
        producer.poll(0)
        if number % 1000 == 0:
            sending.running.check()
            bench.check()
    producer.flush(10.0)
    sending.look(here)


def summary(latencies_us: Sequence[int]) -> dict[str, Any]:
    """Percentiles in milliseconds by nearest rank; None without samples."""
    ordered = sorted(latencies_us)

    def rank(share: float) -> float | None:
        found = percentile(ordered, share)
        return None if found is None else round(found / 1000, 3)

    return {
        "samples": len(ordered),
        "p50_ms": rank(0.5),
        "p99_ms": rank(0.99),
        "p99_9_ms": rank(0.999),
        "max_ms": rank(1.0),
    }
