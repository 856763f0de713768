"""How long a partition stands still when its owner goes, while it has many live ids; and whether the others go on.

Two workers own a partition each, and events keep coming to both. One of the partitions holds all the ids, so its next
owner has to read them before it may apply anything. Its owner goes twice: told to leave (SIGTERM), and killed (-9), where
the group waits for the session timeout before it gives the partition away.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from headwater.runtime.errors import RefusedError
from headwater.runtime.kafka import client_config, producer_config
from headwater_processor.local.bench.bench import Bench
from headwater_processor.local.bench.place import Place, place
from headwater_processor.local.bench.synthetic import id_record, id_records
from headwater_processor.local.bench.worker import BenchWorker, worker

_PARTITIONS: Final = 2
_STREAM_A_SECOND: Final = 200
"""Events to each partition."""
_LOOK_S: Final = 0.002
_SETTLE_S: Final = 60.0
_AFTER_S: Final = 2.0
_LIMIT_S: Final = 120.0
_IN_FLIGHT: Final = 50_000

Figures = dict[str, Any]  # Any: what JSON can hold


@dataclass(frozen=True, slots=True)
class Sight:
    """Fences of both partitions at one moment: (epoch, next offset) each. Each owner has an epoch of its own."""

    at_s: float
    fences: tuple[tuple[str, int], ...]


def takeover_figures(sights: Sequence[Sight], gone_s: float, lost: int) -> Figures:
    """From fences that were looked at again and again: how long a partition stood still, and the others' largest gap.

    Args:
        sights: rising in time, from before the loss to after the first new event.
        gone_s: when the owner was told to leave or was killed.
        lost: its partition.

    Raises:
        RefusedError: nobody took it over while we looked.
    """
    before = next(sight for sight in reversed(sights) if sight.at_s <= gone_s)
    taken = next((each for each in sights if each.fences[lost][0] != before.fences[lost][0]), None)
    first = taken and next(
        (each for each in sights if each.at_s > taken.at_s and each.fences[lost][1] > taken.fences[lost][1]), None
    )
    if taken is None or first is None:
        raise RefusedError("the partition was not taken over while we looked")
    kept = [number for number in range(len(before.fences)) if number != lost]
    return {
        "seconds_to_first_new_event": round(first.at_s - gone_s, 3),
        "seconds_until_taken": round(taken.at_s - gone_s, 3),
        "seconds_from_taken_to_first_new_event": round(first.at_s - taken.at_s, 3),
        "kept_largest_gap_seconds": round(max(largest_gap_s(sights, number, gone_s) for number in kept), 3),
        "kept_largest_gap_before_seconds": round(
            max(largest_gap_s([each for each in sights if each.at_s <= gone_s], number, 0.0) for number in kept), 3
        ),
    }


def largest_gap_s(sights: Sequence[Sight], partition: int, from_s: float) -> float:
    """The longest time in which the fence of a partition did not move, counted from `from_s`."""
    moved_s, largest, at = None, 0.0, -1
    for sight in sights:
        if sight.fences[partition][1] != at:
            at = sight.fences[partition][1]
            if moved_s is not None and sight.at_s > from_s:
                largest = max(largest, sight.at_s - max(moved_s, from_s))
            moved_s = sight.at_s
    return max(largest, sights[-1].at_s - max(moved_s or from_s, from_s)) if sights else 0.0


def measure_takeover(bench: Bench) -> Figures:
    """Both ways to go, with the plan's live ids. Raises RefusedError."""
    small = replace(bench, plan=replace(bench.plan, partitions=_PARTITIONS))
    ids = bench.plan.takeover_ids
    with ExitStack() as stack:
        here = stack.enter_context(place(small.settings, _PARTITIONS))
        workers = [stack.enter_context(worker(small, here, {})) for _ in range(_PARTITIONS)]
        owners = _settled(small, here, workers)
        full = 0
        bench.say(f"takeover: {ids:,} ids for partition {full}")
        _fill(small, here, full, ids)
        stack.enter_context(_streaming(here))
        left = _lose(small, here, owners[full], full, signal.SIGTERM)
        bench.say(f"takeover: after SIGTERM {left['seconds_to_first_new_event']} s; the same after kill -9")
        workers = [each for each in workers if each is not owners[full]]
        workers.append(stack.enter_context(worker(small, here, {})))
        owners = _settled(small, here, workers)
        killed = _lose(small, here, owners[full], full, signal.SIGKILL)
    return {
        "live_ids": ids,
        "session_timeout_seconds": bench.settings.processor.session_timeout_ms / 1000,
        "events_per_second_and_partition": _STREAM_A_SECOND,
        "leave": left,
        "kill": killed,
    }


def _lose(bench: Bench, here: Place, owner: BenchWorker, lost: int, how: signal.Signals) -> Figures:
    sights: list[Sight] = []
    _look_until(bench, here, sights, time.time() + _AFTER_S)
    gone_s = time.time()
    os.kill(owner.pid, how)
    limit_s = gone_s + _LIMIT_S
    epoch, applied = sights[-1].fences[lost][0], -1
    while time.time() < limit_s:
        _look_until(bench, here, sights, time.time() + 0.1)
        now_epoch, now_next = sights[-1].fences[lost]
        if now_epoch != epoch and applied < 0:
            applied = now_next
        if 0 <= applied < now_next:
            break
    _look_until(bench, here, sights, time.time() + _AFTER_S)
    return takeover_figures(sights, gone_s, lost)


def _look_until(bench: Bench, here: Place, sights: list[Sight], end_s: float) -> None:
    while time.time() < end_s:
        sights.append(Sight(time.time(), fences(here)))
        bench.pause(_LOOK_S)


def fences(here: Place) -> tuple[tuple[str, int], ...]:
    """(epoch, next offset) of each partition; empty and zero where there is none."""
    pipe = here.redis.pipeline(transaction=False)
    for partition in range(here.partitions):
        pipe.hmget(here.key(f"f:{partition}"), ["epoch", "next"])
    return tuple(((epoch or b"").decode(), int(following or 0)) for epoch, following in pipe.execute())


def _fill(bench: Bench, here: Place, partition: int, count: int) -> None:
    """All ids to one partition, whatever the key; waits until they are applied."""
    producer = Producer({**producer_config(here.settings.kafka), "linger.ms": 20, "batch.num.messages": 10_000})
    topic = here.topic("events")
    for number, record in enumerate(id_records(count, time.time_ns() // 1000 - 60_000_000)):
        while len(producer) >= _IN_FLIGHT:
            bench.check()
            producer.poll(0.1)
        producer.produce(topic, record.value, record.key, partition)
        if number % 1000 == 0:
            bench.check()
            producer.poll(0)
    left = producer.flush(_SETTLE_S)
    deadline = time.monotonic() + _LIMIT_S + count / 10_000
    while fences(here)[partition][1] < count:
        if left or time.monotonic() > deadline:
            raise RefusedError(f"{fences(here)[partition][1]:,} of {count:,} ids are applied, and no more come")
        bench.pause(0.1)


@contextmanager
def _streaming(here: Place) -> Iterator[None]:
    """Events of now to every partition, at a fixed rate, while the block runs."""
    ended = threading.Event()

    def stream() -> None:
        producer = Producer({**producer_config(here.settings.kafka), "linger.ms": 0})
        topic, due_s = here.topic("events"), time.monotonic()
        while not ended.wait(max(0.0, due_s - time.monotonic())):
            for partition in range(here.partitions):
                record = id_record(partition, time.time_ns() // 1000, os.urandom(16))
                producer.produce(topic, record.value, record.key, partition)
            producer.poll(0)
            due_s += 1 / _STREAM_A_SECOND
        producer.flush(10.0)

    thread = threading.Thread(target=stream, name="bench-stream", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(15.0)


def _settled(bench: Bench, here: Place, workers: Sequence[BenchWorker]) -> dict[int, BenchWorker]:
    """Who owns what, once each worker owns a partition. Raises RefusedError when that does not come to be."""
    admin = AdminClient(client_config(here.settings.kafka))
    deadline = time.monotonic() + _SETTLE_S
    while time.monotonic() < deadline:
        owners = _owners(admin, here, workers)
        if len(owners) == here.partitions == len({each.pid for each in owners.values()}):
            return owners
        for each in workers:
            each.check()
        bench.pause(0.2)
    raise RefusedError(f"the workers do not own a partition each after {_SETTLE_S:.0f} s")


def _owners(admin: AdminClient, here: Place, workers: Sequence[BenchWorker]) -> dict[int, BenchWorker]:
    """By partition, as the group says; a worker's client id ends with its process id."""
    by_client = {f"headwater-{each.pid}": each for each in workers}
    described = cast("Any", admin.describe_consumer_groups([here.name])[here.name].result(10.0))
    return {
        each.partition: by_client[member.client_id]
        for member in described.members
        if member.client_id in by_client and member.assignment is not None
        for each in member.assignment.topic_partitions
    }
