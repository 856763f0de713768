"""Events of which so many are wanted that they must cost nothing to make: many datasets, or many ids of a few jobs.

Seeded; the time of the events is an argument.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

from headwater_processor.local.workload import Record
from headwater_schemas.codec import encode_single_object
from headwater_schemas.events import DatasetUse, EventType, LineageEvent, Measure, Name, Processing

NAMESPACE: Final = "s3://bench-graph"
DATASETS_A_JOB: Final = 100
_JOBS: Final = 64
_MARK: Final = bytes(range(0xA0, 0xB0))
"""An event id that occurs nowhere else in a record."""


def graph_records(count: int, at_us: int, step_us: int = 1) -> Iterator[Record]:
    """One event for each of `count` datasets: a job writes it, and reads the one before. So there are two edges for each
    dataset, and a job for each hundred."""
    for number in range(count):
        use = DatasetUse(NAMESPACE, f"domain_{number % 97}/table_{number:08d}", measures=(Measure(rows=1),))
        before = DatasetUse(NAMESPACE, f"domain_{(number - 1) % count % 97}/table_{(number - 1) % count:08d}")
        job = Name("k8s://bench", f"writer_{number // DATASETS_A_JOB:06d}")
        event = LineageEvent(
            number.to_bytes(16, "big"), at_us + number * step_us, EventType.RUNNING, job=job, inputs=(before,),
            outputs=(use,), processing=Processing.STREAMING, emitter="sdk:bench",
        )  # fmt: skip
        yield Record(str(job).encode(), encode_single_object(event))


def id_records(count: int, at_us: int, *, seed: int = 1) -> Iterator[Record]:
    """`count` events of a few jobs, which say nothing new but have ids of their own: equal but for these."""
    rng = random.Random(seed)  # noqa: S311 - a seeded benchmark, not a secret
    cut = [_cut(number, at_us) for number in range(_JOBS)]
    for number in range(count):
        key, before, after = cut[number % _JOBS]
        yield Record(key, before + rng.randbytes(16) + after)


def id_record(number: int, at_us: int, event_id: bytes) -> Record:
    """One event of job `number`."""
    job = Name("k8s://bench", f"sink_{number:03d}")
    use = DatasetUse(f"{NAMESPACE}-ids", f"table_{number:03d}")
    event = LineageEvent(
        event_id, at_us, EventType.RUNNING, job=job, outputs=(use,), processing=Processing.STREAMING,
        emitter="sdk:bench",
    )  # fmt: skip
    return Record(str(job).encode(), encode_single_object(event))


def _cut(number: int, at_us: int) -> tuple[bytes, bytes, bytes]:
    """Key, and the value before and after the event id."""
    record = id_record(number, at_us, _MARK)
    before, _, after = record.value.partition(_MARK)
    return record.key, before, after
