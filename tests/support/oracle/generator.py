"""Raw Kafka records by the hundred thousand, from a seed, with what each of them is.

The stream looks like that of a busy domain: streaming jobs with heartbeats, batch runs with their outputs on START
only, one-sided CDC connectors, restarts, drops and re-creations, and everything that goes wrong on the way: repeated,
late, ancient, far too early, hostile. Times are nominal: record `n` is appended at `start_us + n * step_us`, as
CreateTime.
"""

from __future__ import annotations

import heapq
import itertools
import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from tests.support.oracle import hostile
from tests.support.oracle.contract import NIL, Draft, Measure, encode_datum, encode_tail, frame
from tests.support.oracle.records import Options, Record, S
from tests.support.oracle.world import JobSpec, World, use

MINUTE: Final = 60 * S
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR


class Planned(NamedTuple):
    """An event that a run will send later. Ordered by `at_us`, then by the order of planning."""

    at_us: int
    number: int
    kind: str
    draft: Draft
    job: JobSpec | None
    partition: int | None
    """None: by the job's key."""


ERRORS: Final = ("exit code 137", "Bröken pipe", "no such table")


class Generator:
    """Iterate over `records()`. One generator gives one stream."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.rng = random.Random(options.seed)
        self.world = World(self.rng, options.datasets)
        self._plan: list[Planned] = []
        self._numbers = itertools.count()
        self._now_us = options.start_us
        self._recent: list[Record] = []
        self._temporary = itertools.count()
        self._activities: list[Callable[[], None]] = []
        self._weights: list[float] = []
        for activity, weight in self._catalogue():
            self._activities.append(activity)
            self._weights.append(weight)

    def _catalogue(self) -> list[tuple[Callable[[], None], float]]:
        return [
            (self._batch_run, 22),
            (self._heartbeat, 40),
            (self._cdc, 16),
            (self._restart, 1.0),
            (self._scheduled, 4),
            (self._no_run, 4),
            (self._datasets_only, 4),
            (self._no_job, 0.7),
            (self._direct_edges, 3),
            (self._lifecycle, 1.5),
        ]

    # --- the stream ----------------------------------------------------------------------------------------------

    def records(self) -> Iterator[Record]:
        """`options.events` records, in the order in which they are to be produced."""
        picks: Iterator[Callable[[], None]] = iter(())
        for number in range(self.options.events):
            self._now_us = self.options.start_us + number * self.options.step_us
            if self._recent and self.rng.random() < self.options.duplicates:
                yield self._duplicate()
                continue
            while not (self._plan and self._plan[0].at_us <= self._now_us):
                activity = next(picks, None)
                if activity is None:
                    picks = iter(self.rng.choices(self._activities, self._weights, k=2048))
                    continue
                activity()
            record = self._emit(heapq.heappop(self._plan))
            self._remember(record)
            yield record

    def _duplicate(self) -> Record:
        old = self.rng.choice(self._recent)
        return old._replace(timestamp_ms=self._now_us // 1000, kind="duplicate")

    def _remember(self, record: Record) -> None:
        """What may be repeated: mostly the last two thousand, some much older."""
        if len(self._recent) < 3000:
            self._recent.append(record)
        else:
            self._recent[int(self.rng.random() * 3000)] = record

    def _emit(self, planned: Planned) -> Record:
        kind, draft = self._spoil_time(planned)
        chance = self.rng.random()
        options = self.options
        writer = "ours"
        if chance < options.extra_writer:
            writer = "extra"
        elif chance < options.extra_writer + options.slow_writer:
            writer = "slow"
        confluent = self.rng.random() < options.confluent
        value: bytes | None = frame(encode_datum(draft, writer), writer, confluent)
        if not options.only_good:
            kind, value = self._spoil_bytes(kind, value or b"")
        key = planned.job.key if planned.job else (b"datasets" if planned.number % 2 else None)
        partition = planned.partition
        if partition is None:
            partition = zlib.crc32(key or draft.event_id) % options.partitions
        headers = [("writer", writer.encode())] if planned.number % 10 == 0 else []
        return Record(partition, key, value, self._now_us // 1000, headers, kind)

    def _spoil_time(self, planned: Planned) -> tuple[str, Draft]:
        chance, options, draft = self.rng.random(), self.options, planned.draft
        if chance < options.late:
            back = self.rng.randint(10 * MINUTE, HOUR)
            return "late", replace(draft, event_time_us=self._now_us - back)
        chance -= options.late
        if chance < options.future:
            return "future", replace(draft, event_time_us=self._now_us + self.rng.randint(DAY, 9 * DAY))
        chance -= options.future
        if chance < options.ancient:
            back = self.rng.randint(26 * HOUR, 60 * HOUR)
            return "ancient", replace(draft, event_time_us=self._now_us - back)
        return planned.kind, draft

    def _spoil_bytes(self, kind: str, value: bytes) -> tuple[str, bytes | None]:
        chance = self.rng.random()
        if chance < self.options.hostile:
            way = self.rng.choice(hostile.WAYS)
            return f"hostile:{way.__name__}", way(self.rng, value)
        if chance < self.options.hostile + self.options.unknown_fingerprint:
            return "unknown_fingerprint", hostile.unknown_fingerprint(self.rng, value)
        return kind, value

    # --- planning ------------------------------------------------------------------------------------------------

    def _say(
        self,
        kind: str,
        event_type: str,
        tail: bytes,
        job: JobSpec | None = None,
        *,
        after_us: int = 0,
        said_after_us: int | None = None,
        partition: int | None = None,
        run_id: bytes = NIL,
        measures: list[Measure] | None = None,
        nominal: tuple[int, int] = (0, 0),
    ) -> None:
        """Plans one event that happens `after_us` from now and arrives `said_after_us` from now."""
        number = next(self._numbers)
        jitter = int(self.rng.random() * 2 * S)
        draft = Draft(
            self.rng.randbytes(16),
            self._now_us + after_us - jitter,
            event_type,
            tail,
            run_id=run_id,
            parent_run_id=run_id[::-1] if job is not None and job.number % 3 == 0 and run_id != NIL else None,
            trace_id=run_id if number % 4 == 0 else None,
            measures=measures or [],
            sized_block=number % 50 == 0,
            nominal_start_us=nominal[0],
            nominal_end_us=nominal[1],
        )
        at_us = self._now_us + (after_us if said_after_us is None else said_after_us)
        heapq.heappush(self._plan, Planned(at_us, number, kind, draft, job, partition))

    def _any_partition(self) -> int:
        return self.rng.randrange(self.options.partitions)

    # --- what jobs do --------------------------------------------------------------------------------------------

    def _batch_run(self) -> None:
        """START with inputs and outputs, COMPLETE with neither: events are accumulative."""
        rng, job = self.rng, self.world.pick_job("batch")
        run_id, variant = rng.randbytes(16), rng.randrange(4)
        split = rng.random() < 0.1
        lasts = rng.randint(2 * S, 20 * MINUTE)
        shape, end_shape = ("full", "none") if rng.random() < 0.85 else ("in", "out")
        terminal_first = rng.random() < 0.1
        self._say(
            "start",
            "START",
            self.world.tail(job, shape, variant),
            job,
            said_after_us=lasts + rng.randint(S, MINUTE) if terminal_first else 0,
            run_id=run_id,
            partition=self._any_partition() if split else None,
        )
        chance = rng.random()
        if chance < 0.05:
            return  # never ends
        event_type = "COMPLETE" if chance < 0.9 else "FAIL" if chance < 0.97 else "ABORT"
        self._end(job, run_id, event_type, end_shape, lasts, self._any_partition() if split else None)

    def _end(self, job: JobSpec, run_id: bytes, event_type: str, shape: str, lasts: int, partition: int | None) -> None:
        error = self.rng.choice(ERRORS) if event_type == "FAIL" else None
        self._say(
            event_type.lower(),
            event_type,
            self.world.tail(job, shape, 0, error),
            job,
            after_us=lasts,
            run_id=run_id,
            partition=partition,
        )

    def _scheduled(self) -> None:
        """Runs with a nominal interval; some of them are backfills, by flag or by an old interval."""
        rng, job = self.rng, self.world.pick_job("scheduled")
        run_id = rng.randbytes(16)
        old = rng.random() < 0.3
        end = self._now_us // HOUR * HOUR - (rng.randint(2, 30) * DAY if old else 0)
        tail = self._backfill_tail(job) if rng.random() < 0.1 else self.world.tail(job, "full", 1)
        nominal = (end - HOUR, end)
        self._say("start", "START", tail, job, run_id=run_id, nominal=nominal)
        lasts = rng.randint(S, 5 * MINUTE)
        self._say("complete", "COMPLETE", tail, job, after_us=lasts, run_id=run_id, nominal=nominal)

    def _backfill_tail(self, job: JobSpec) -> bytes:
        return encode_tail(
            job={"namespace": job.namespace, "name": job.name},
            backfill=True,
            outputs=[use(self.world.spelled[number][0]) for number in job.outputs],
        )

    def _heartbeat(self) -> None:
        """RUNNING of a streaming job: read and written by partition, or idle, or alive and nothing else."""
        rng, job = self.rng, self.world.pick_job("stream")
        if not job.started:
            job.started = True
            self._say("start", "START", self.world.tail(job, "full", 0), job, run_id=job.run_id)
        chance = rng.random()
        if chance < 0.1:
            measures: list[Measure] = []
        elif chance < 0.25:
            measures = [(at, 0, -1, -1, 0, -1, 0, 0) for at in range(len(job.inputs))]  # caught up
        else:
            measures = self._progress(job)
        partition = self._any_partition() if rng.random() < 0.02 else None
        tail = self.world.tail(job, "full", 0 if chance < 0.97 else rng.randrange(4))
        self._say("running", "RUNNING", tail, job, run_id=job.run_id, measures=measures, partition=partition)

    def _progress(self, job: JobSpec) -> list[Measure]:
        rng, out = self.rng, []
        total = len(job.inputs) + len(job.outputs)
        for _ in range(rng.randint(1, 3)):
            at, kafka_partition = rng.randrange(total), rng.randrange(3)
            rows = rng.randint(0, 500)
            first = job.offsets.get(kafka_partition, 0)
            job.offsets[kafka_partition] = first + rows
            last = first + rows - 1  # before `first` if nothing was read
            through = self._now_us - rng.randint(0, MINUTE) if rows % 3 == 0 else 0
            lag = rng.choice((0, 0, 7, -1))
            out.append((at, kafka_partition, first, last, rows, rows * 90, lag, through))
        return out

    def _cdc(self) -> None:
        """One side only: a source names what it writes, a sink what it reads and at other times what it writes."""
        rng = self.rng
        job = self.world.pick_job("cdc_source" if rng.random() < 0.6 else "cdc_sink")
        side = "out" if job.kind == "cdc_source" or rng.random() < 0.5 else "in"
        first = job.offsets.get(0, 0)
        job.offsets[0] = first + 1
        measures: list[Measure] = [(0, -1, -1, -1, 1, -1, -1, 0)]
        if side == "in":
            measures = [(0, 0, first, first, 1, 100, rng.choice((0, 3)), 0)]
        partition = self._any_partition() if rng.random() < 0.05 else None
        tail = self.world.tail(job, side, 0)
        self._say("cdc", "RUNNING", tail, job, run_id=job.run_id, measures=measures, partition=partition)

    def _restart(self) -> None:
        """A restartable run fails, goes on, and sometimes completes and is followed by another run."""
        rng, job = self.rng, self.world.pick_job("cdc_source")
        self._say("fail", "FAIL", self.world.tail(job, "none", 0, "lost connection"), job, run_id=job.run_id)
        if rng.random() < 0.7:
            self._say("running", "RUNNING", self.world.tail(job, "out"), job, after_us=20 * S, run_id=job.run_id)
        if rng.random() < 0.3:
            self._say("complete", "COMPLETE", self.world.tail(job, "none"), job, after_us=MINUTE, run_id=job.run_id)
            job.run_id = rng.randbytes(16)

    def _no_run(self) -> None:
        """A job that says it is done, or failed, without a run id."""
        job = self.world.pick_job("batch")
        event_type = self.rng.choice(("COMPLETE", "COMPLETE", "COMPLETE", "FAIL", "ABORT", "OTHER"))
        measures: list[Measure] = []
        if event_type == "OTHER":
            measures = [(len(job.inputs), -1, -1, -1, 5, -1, -1, self._now_us - MINUTE)]
        self._say("no_run", event_type, self.world.tail(job, "full", 2), job, measures=measures)

    def _datasets_only(self) -> None:
        """An event of no job: a dataset was written, or is known."""
        number, rng = self.world.pick_dataset(), self.rng
        output = use(rng.choice(self.world.spelled[number]), schema_version=f"d{rng.randrange(3)}")
        tail = encode_tail(job={"namespace": "", "name": ""}, outputs=[output], emitter="catalog")
        through = rng.choice((0, self._now_us - HOUR, self._now_us + 30 * DAY))
        measures: list[Measure] = [(0, -1, -1, -1, rng.choice((-1, 0, 9)), -1, -1, through)]
        event_type = rng.choice(("COMPLETE", "RUNNING", "OTHER", "FAIL"))
        self._say("datasets_only", event_type, tail, measures=measures, partition=self._any_partition())

    def _no_job(self) -> None:
        """A run id without a job is no run."""
        output = use(self.world.spelled[self.world.pick_dataset()][0])
        tail = encode_tail(job={"namespace": "", "name": ""}, outputs=[output])
        self._say("no_job", "COMPLETE", tail, run_id=self.rng.randbytes(16), partition=self._any_partition())

    def _direct_edges(self) -> None:
        """Stated dataset to dataset, with cycles and self-loops."""
        rng, pick = self.rng, self.world.pick_dataset
        source, target = pick(), pick() if rng.random() < 0.9 else 0
        if rng.random() < 0.05:
            target = source
        ends = (rng.choice(self.world.spelled[source]), rng.choice(self.world.spelled[target]))
        edge = {
            "source_namespace": ends[0][0],
            "source_name": ends[0][1],
            "target_namespace": ends[1][0],
            "target_name": ends[1][1],
        }
        job = self.world.pick_job("batch") if rng.random() < 0.5 else None
        name = {"namespace": job.namespace, "name": job.name} if job else {"namespace": "", "name": ""}
        tail = encode_tail(job=name, edges=[edge], emitter="columns" if rng.random() < 0.5 else "")
        self._say("direct", rng.choice(("OTHER", "COMPLETE")), tail, job, run_id=rng.randbytes(16) if job else NIL)

    def _lifecycle(self) -> None:
        """Drops, re-creations, renames and truncations, close together in time and on any partition."""
        rng = self.rng
        if rng.random() < 0.5:
            target = ("mysql://m.example:3306", f"tmp.t{next(self._temporary)}")
            self._change("create", target, "CREATE")
        else:
            target = rng.choice(self.world.spelled[self.world.pick_dataset()])
        chance = rng.random()
        if chance < 0.15:
            self._change("truncate", target, "TRUNCATE", rng.randint(S, MINUTE))
        elif chance < 0.3:
            new = (target[0], f"{target[1]}_renamed_{rng.randrange(3)}")
            self._change("rename", new, "RENAME", rng.randint(S, MINUTE), previous=target)
        else:
            dropped = rng.randint(S, 40 * S)
            self._change("drop", target, "DROP", dropped)
            if rng.random() < 0.5:
                self._change("create", target, "CREATE", dropped + rng.randint(-20 * S, 20 * S))

    def _change(
        self,
        kind: str,
        target: tuple[str, str],
        lifecycle: str,
        after_us: int = 0,
        previous: tuple[str, str] = ("", ""),
    ) -> None:
        job = self.world.pick_job("batch")
        output = use(target, lifecycle=lifecycle, previous_namespace=previous[0], previous_name=previous[1])
        tail = encode_tail(job={"namespace": job.namespace, "name": job.name}, outputs=[output], emitter="ddl")
        partition = self._any_partition()
        said = max(0, after_us + self.rng.randint(-10 * S, 10 * S))
        self._say(kind, "OTHER", tail, job, after_us=after_us, said_after_us=said, partition=partition)
