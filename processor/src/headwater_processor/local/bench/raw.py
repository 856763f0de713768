"""The raw consume loop: the same topic read with confluent-kafka in batches, and nothing done but counting.

It is the ceiling of every consumer in Python. What a worker costs is told as a share of it, since that share says the
same on a slow and on a fast machine.
"""

from __future__ import annotations

import time
from typing import Any, Final

from confluent_kafka import Consumer, TopicPartition

from headwater.runtime.errors import RefusedError
from headwater.runtime.kafka import client_config
from headwater_processor.local.bench.bench import Bench
from headwater_processor.local.bench.place import Place

_BATCH: Final = 10_000
_WAIT_S: Final = 0.1
_STUCK_S: Final = 30.0
_OFFSETS_S: Final = 10.0


def raw_loop(bench: Bench, here: Place, events: int) -> dict[str, Any]:
    """Read `events` records from the beginning. Raises RefusedError when no more come.

    The CPU is that of this process with librdkafka's threads, from the first batch to the last; it does nothing else.
    """
    consumer = Consumer(
        {
            **client_config(here.settings.kafka),
            "group.id": f"{here.name}-raw",
            "enable.auto.commit": False,
            "queued.min.messages": 30_000,
            "queued.max.messages.kbytes": 32_768,
        }
    )
    consumer.assign([TopicPartition(here.topic("events"), number, 0) for number in range(here.partitions)])
    try:
        return _read(bench, consumer, events)
    finally:
        consumer.close()


def _read(bench: Bench, consumer: Consumer, events: int) -> dict[str, Any]:
    began_s = began_cpu_s = 0.0
    read = 0
    moved = time.monotonic()
    while read < events:
        bench.check()
        found = consumer.consume(_BATCH, _WAIT_S)
        now = time.monotonic()
        if not found:
            if now - moved > _STUCK_S:
                raise RefusedError(f"Kafka hands out no more records after {read:,} of {events:,}")
            continue
        if not read:
            began_s, began_cpu_s = now, time.process_time()
            read_first = len(found)
        read, moved = read + len(found), now
    wall_s, cpu_s = time.monotonic() - began_s, time.process_time() - began_cpu_s
    counted = read - read_first  # those of the first batch came before the clock began
    return {
        "events": counted,
        "wall_seconds": round(wall_s, 3),
        "cpu_seconds": round(cpu_s, 3),
        "events_per_cpu_second": round(counted / cpu_s) if counted and cpu_s > 0 else None,
        "events_per_second": round(counted / wall_s) if counted and wall_s > 0 else None,
    }
