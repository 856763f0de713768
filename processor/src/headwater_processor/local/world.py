"""The pieces that a demo world is made of: topics with offsets, jobs that stream, jobs that run and end. Pure.

A job is asked `step(now_us)` when its time has come, and answers with the events that it says then. Randomness comes
from the generator it is given, so a world with the same seed and the same clock says the same.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from headwater_schemas.events import (
    DatasetUse,
    EventType,
    LineageEvent,
    Measure,
    Name,
    Processing,
    Runtime,
)
from headwater_schemas.ids import uuid7

SECOND_US = 1_000_000
PARTITIONS = 3
"""Of every topic in a demo world."""


@dataclass(slots=True)
class Topics:
    """The end offsets of the topics of the world: the next offset of each (topic, partition)."""

    ends: dict[tuple[Name, int], int] = field(default_factory=dict)

    def append(self, topic: Name, rng: random.Random) -> tuple[Measure, ...]:
        """Some records are produced to each partition; what a producer would say of it."""
        measures = []
        for partition in range(PARTITIONS):
            rows = rng.randint(2, 40)
            first = self.ends.get((topic, partition), 0)
            self.ends[topic, partition] = first + rows
            measures.append(Measure(partition, first, first + rows - 1, rows, rows * 310))
        return tuple(measures)

    def read(self, topic: Name, positions: dict[tuple[Name, int], int]) -> tuple[Measure, ...]:
        """Everything up to the end is consumed; what a consumer would say of it. `positions` are moved."""
        measures = []
        for partition in range(PARTITIONS):
            first, end = positions.get((topic, partition), 0), self.ends.get((topic, partition), 0)
            positions[topic, partition] = end
            if end > first:
                measures.append(Measure(partition, first, end - 1, end - first, (end - first) * 310, lag=0))
        return tuple(measures)


@dataclass(slots=True)
class Job:
    """What all jobs have. `runtime` is where its runs live; `{}` in the pod's name becomes a new suffix at each run."""

    name: Name
    emitter: str
    inputs: tuple[Name, ...]
    outputs: tuple[Name, ...]
    runtime: Runtime
    period_us: int
    next_us: int = 0
    restartable: bool = False
    run_id: bytes = b""
    here: Runtime = field(default_factory=Runtime)
    positions: dict[tuple[Name, int], int] = field(default_factory=dict)

    def begin(self, now_us: int, rng: random.Random) -> None:
        """A new run in a new pod."""
        self.run_id = uuid7(now_us // 1000, rng.randbytes(10))
        suffix = "".join(rng.choices("bcdfghjklmnpqrstvwxz2456789", k=5))
        self.here = replace(self.runtime, pod=self.runtime.pod.replace("{}", suffix), pod_uid=rng.randbytes(8).hex())

    def event(
        self,
        kind: EventType,
        now_us: int,
        rng: random.Random,
        inputs: tuple[DatasetUse, ...] = (),
        outputs: tuple[DatasetUse, ...] = (),
        *,
        processing: Processing = Processing.BATCH,
        error: str | None = None,
    ) -> LineageEvent:
        """An event of the present run."""
        return LineageEvent(
            event_id=uuid7(now_us // 1000, rng.randbytes(10)),
            event_time_us=now_us,
            event_type=kind,
            run_id=self.run_id,
            job=self.name,
            inputs=inputs,
            outputs=outputs,
            processing=processing,
            restartable=self.restartable,
            emitter=self.emitter,
            producer="https://github.com/headwater-lineage/headwater/demo",
            runtime=self.here,
            error=error,
        )

    def step(self, now_us: int, rng: random.Random, topics: Topics) -> Iterator[LineageEvent]:
        """What the job says now."""
        raise NotImplementedError

    def measured(self, rng: random.Random, topics: Topics) -> tuple[tuple[DatasetUse, ...], tuple[DatasetUse, ...]]:
        """Inputs and outputs of what was just done: offsets for topics, rows for everything else."""
        inputs = tuple(
            _use(name, topics.read(name, self.positions) if is_topic(name) else _rows(rng)) for name in self.inputs
        )
        outputs = tuple(_use(name, topics.append(name, rng) if is_topic(name) else _rows(rng)) for name in self.outputs)
        return inputs, outputs


@dataclass(slots=True)
class StreamingJob(Job):
    """Runs for ever and says every period what it read and wrote; crashes at `crash_us` and goes on in a new pod."""

    crash_us: int = 0
    crash_error: str = ""

    def step(self, now_us: int, rng: random.Random, topics: Topics) -> Iterator[LineageEvent]:
        self.next_us = now_us + self.period_us
        streaming = Processing.STREAMING
        if not self.run_id:
            self.begin(now_us, rng)
            yield self.event(
                EventType.START, now_us, rng, _bare(self.inputs), _bare(self.outputs), processing=streaming
            )
        elif self.crash_us and now_us >= self.crash_us:
            self.crash_us = 0
            yield self.event(EventType.FAIL, now_us, rng, processing=streaming, error=self.crash_error)
            self.run_id = b""
            self.next_us = now_us + 2 * SECOND_US
        else:
            yield self.event(EventType.RUNNING, now_us, rng, *self.measured(rng, topics), processing=streaming)


@dataclass(slots=True)
class BatchJob(Job):
    """Starts every period and takes `duration_us`; after `last_us` it never starts again (0: it always does)."""

    duration_us: int = SECOND_US
    last_us: int = 0

    def step(self, now_us: int, rng: random.Random, topics: Topics) -> Iterator[LineageEvent]:
        if self.run_id:
            yield self.event(EventType.COMPLETE, now_us, rng, *self.measured(rng, topics))
            self.run_id = b""
            self.next_us = now_us + self.period_us - self.duration_us
        elif self.last_us and now_us > self.last_us:
            self.next_us = now_us + 3600 * SECOND_US
        else:
            self.begin(now_us, rng)
            yield self.event(EventType.START, now_us, rng, _bare(self.inputs), _bare(self.outputs))
            self.next_us = now_us + self.duration_us


def is_topic(name: Name) -> bool:
    """Whether a dataset is a Kafka topic."""
    return name.namespace.startswith("kafka://")


def _rows(rng: random.Random) -> tuple[Measure, ...]:
    rows = rng.randint(20, 900)
    return (Measure(rows=rows, bytes=rows * 180),)


def _use(name: Name, measures: tuple[Measure, ...]) -> DatasetUse:
    return DatasetUse(name.namespace, name.name, measures=measures)


def _bare(names: tuple[Name, ...]) -> tuple[DatasetUse, ...]:
    return tuple(_use(name, ()) for name in names)
