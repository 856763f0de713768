"""The benchmark's events: the mix of a busy lineage topic, seeded, as Kafka records.

40 % RUNNING of streaming jobs, 30 % START/COMPLETE pairs with run ids of their own, 20 % single-sided CDC events, 10 % other
(FAIL, ABORT, OTHER, heartbeats); 10 % exact duplicates on top; datasets by Zipf. `wide` adds what a Kubernetes consumer
says: pod, image, node, and the offsets of what it read and wrote (about 600 bytes instead of 250). `cdc` is a busy sink of
changes instead: each change of a dataset's state comes as 100 records of one job after another, a row each.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from headwater_schemas.codec import encode_single_object
from headwater_schemas.events import DatasetUse, EventType, LineageEvent, Measure, Name, Processing, Runtime

DUPLICATES: Final = 0.10
CDC_BURST: Final = 100
"""Records for each change of state of a busy CDC sink: the rows of one transaction."""
_RECENT: Final = 20_000
_T0_US: Final = 1_790_000_000_000_000


@dataclass(frozen=True, slots=True)
class Record:
    """One record to produce: the key decides the partition, as for every producer of ours."""

    key: bytes
    value: bytes


@dataclass(slots=True)
class _Job:
    event: LineageEvent
    offset: int = 0
    run: bytes = b""


class Workload:
    """An endless stream of records; equal for equal arguments. `step_us` of event time pass from record to record."""

    def __init__(
        self, *, seed: int = 1, datasets: int = 5000, wide: bool = False, step_us: int = 10, cdc: bool = False
    ) -> None:
        self._random = random.Random(seed)  # noqa: S311 - a seeded benchmark, not a secret
        self._wide = wide
        self._cdc = cdc
        self._sink: _Job | None = None
        self._step_us = step_us
        self._weights = list(itertools.accumulate(1 / (i + 1) for i in range(datasets)))
        self._datasets = datasets
        self._count = 0
        self._jobs: dict[tuple[str, int], _Job] = {}
        self._started: list[_Job] = []
        self._recent: list[Record] = []

    def records(self, count: int) -> Iterator[Record]:
        """The next `count` records."""
        for _ in range(count):
            yield self.next()

    def next(self, now_us: int | None = None) -> Record:
        """The next record, with the given event time or that of the stream."""
        rng = self._random
        if self._recent and rng.random() < DUPLICATES / (1 + DUPLICATES):
            return rng.choice(self._recent)
        self._count += 1
        record = self._event(_T0_US + self._count * self._step_us if now_us is None else now_us)
        if len(self._recent) < _RECENT:
            self._recent.append(record)
        else:
            self._recent[rng.randrange(_RECENT)] = record
        return record

    def _event(self, now_us: int) -> Record:
        if self._cdc:
            return self._row(now_us)
        share = self._random.random()
        if share < 0.40:
            return self._say("stream", EventType.RUNNING, now_us)
        if share < 0.70:
            return self._paired(now_us)
        if share < 0.90:
            return self._say("cdc", EventType.RUNNING, now_us)
        kind = self._random.choice((EventType.FAIL, EventType.ABORT, EventType.OTHER, EventType.RUNNING))
        return self._say("other", kind, now_us, self._id())

    def _row(self, now_us: int) -> Record:
        if self._sink is None or self._count % CDC_BURST == 1:
            self._sink = self._job("cdc", self._pick())
        return self._record(self._sink, EventType.RUNNING, now_us, self._sink.run)

    def _paired(self, now_us: int) -> Record:
        if self._started and self._random.random() < 0.5:
            job = self._started.pop(self._random.randrange(len(self._started)))
            return self._record(job, EventType.COMPLETE, now_us, job.run)
        job = self._job("batch", self._pick())
        started = _Job(job.event, job.offset, self._id())
        self._started.append(started)
        return self._record(started, EventType.START, now_us, started.run)

    def _say(self, kind: str, event_type: EventType, now_us: int, run: bytes | None = None) -> Record:
        job = self._job(kind, self._pick())
        return self._record(job, event_type, now_us, job.run if run is None else run)

    def _record(self, job: _Job, event_type: EventType, now_us: int, run: bytes) -> Record:
        event = replace(job.event, event_id=self._id(), event_time_us=now_us, event_type=event_type, run_id=run)
        if self._wide or (job.event.processing is Processing.STREAMING and event_type is EventType.RUNNING):
            event = self._measured(job, event)
        return Record(str(event.job).encode(), encode_single_object(event))

    def _measured(self, job: _Job, event: LineageEvent) -> LineageEvent:
        rows = self._random.randrange(1, 500)
        first, job.offset = job.offset, job.offset + rows
        if not self._wide:
            outputs = tuple(replace(use, measures=(Measure(rows=rows),)) for use in event.outputs)
            return replace(event, outputs=outputs)
        measure = Measure(3, first, job.offset - 1, rows, rows * 180, 12, event.event_time_us - 1_000_000)
        return replace(
            event,
            inputs=tuple(replace(use, measures=(measure,)) for use in event.inputs),
            outputs=tuple(replace(use, measures=(measure,)) for use in event.outputs),
        )

    def _pick(self) -> int:
        return self._random.choices(range(self._datasets), cum_weights=self._weights)[0]

    def _id(self) -> bytes:
        return self._random.getrandbits(128).to_bytes(16, "big")

    def _job(self, kind: str, number: int) -> _Job:
        job = self._jobs.get((kind, number))
        if job is None:
            job = self._jobs[kind, number] = _Job(self._template(kind, number), run=self._id())
        return job

    def _template(self, kind: str, number: int) -> LineageEvent:
        rng = self._random
        output = DatasetUse("s3://company-lakehouse-prod", f"curated/domain_{number % 37}/table_{number:05d}")
        inputs = tuple(
            DatasetUse("kafka://broker-1.prod:9092", f"orders.domain_{source % 37}.topic_{source:05d}")
            for source in rng.choices(range(self._datasets), cum_weights=self._weights, k=1 if kind == "stream" else 2)
        )
        runtime = None
        if self._wide:
            pod = f"{kind}-consumer-{number:05d}-7d9f8b6c5d-{number % 1000:05d}"
            runtime = Runtime(
                pod, f"8f14e45f-ceea-467f-9575-{number:012d}", "data-platform", f"node-{number % 40}.eu-central-1",
                "consumer", "registry.company.example/data/consumer@sha256:" + "4f2a" * 16,
            )  # fmt: skip
        return LineageEvent(
            event_id=bytes(16),
            event_time_us=0,
            event_type=EventType.OTHER,
            job=Name("k8s://prod-eu-1", f"{kind}.pipeline_{number % 97}.task_{number:05d}"),
            inputs=() if kind == "cdc" else inputs,
            outputs=(output,),
            processing=Processing.STREAMING if kind in ("stream", "cdc") else Processing.BATCH,
            emitter=f"sdk:{kind}-{number % 97}",
            runtime=runtime,
        )
