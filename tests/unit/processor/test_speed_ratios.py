"""The speed of the hot path as ratios within one run: no absolute times, so that a slow machine fails nothing.

The reference is the plain way to do a part of the job, in the same process at the same time. Limits are far below what was
measured, and the best of several rounds counts, so that only a real loss of speed shows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from tests.support.checked import KnownSchemas

from headwater_processor.core.decode import BatchDecoder
from headwater_processor.core.knowledge import Knowledge
from headwater_processor.core.plan import PartitionPlanner
from headwater_processor.core.plan_values import Rules
from headwater_processor.local.bench.compare_job import decoded, edges, written
from headwater_processor.local.workload import Workload
from headwater_schemas.codec import decode
from headwater_schemas.registry import SchemaStore

BATCH = 4_000
ROUNDS = 7
DECODE = 7.0
"""Times as fast at least as reading each record by itself; 16 was measured (plain Python)."""
PLAN = 1.4
"""Times as fast at least as the plain job; 2.3 was measured."""
CDC = 2.5
"""The same for a busy sink of changes; 4.3 was measured."""


def values(*, cdc: bool = False) -> list[list[bytes]]:
    """Batches of a busy topic: one to get warm, and one for each round."""
    source = Workload(seed=1, datasets=500, cdc=cdc)
    return [[record.value for record in source.records(BATCH)] for _ in range(ROUNDS + 1)]


Work = Callable[[Sequence[bytes]], object]


def times_as_fast(fast: Work, slow: Work, batches: Sequence[Sequence[bytes]]) -> float:
    """How many times the CPU of `fast` `slow` takes. Both get each batch in turn, and of each the round that took least
    counts, so what else runs on the machine hits both; the first batch does not count."""
    took = [(_cpu_s(fast, batch), _cpu_s(slow, batch)) for batch in batches][1:]
    return min(slow_s for _, slow_s in took) / min(fast_s for fast_s, _ in took)


def _cpu_s(work: Work, batch: Sequence[bytes]) -> float:
    began_s = time.thread_time()
    work(batch)
    return time.thread_time() - began_s


class HotPath:
    """What a worker's engine does with a batch of one partition, but for Redis: decode and plan."""

    def __init__(self) -> None:
        self._decoder = BatchDecoder(KnownSchemas())
        self._planner = PartitionPlanner(0, Rules(), Knowledge(), (1, 2))

    def __call__(self, batch: Sequence[bytes]) -> None:
        columns = self._decoder.decode(batch)
        append_us = columns.times.tolist()
        self._planner.plan(columns, append_us, self._planner.next + len(batch), b"the-call")


class PlainJob:
    """The compared job: fastavro, a set of ids, a dictionary of last writes and one of edges. No runs, no lateness."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()
        self._last: dict[str, int] = {}

    def __call__(self, batch: Sequence[bytes]) -> None:
        for value in batch:
            event = decoded(value)
            if event["event_id"] in self._seen:
                continue
            self._seen.add(event["event_id"])
            for name in (*written(event), *edges(event)):
                self._last[name] = max(self._last.get(name, 0), event["event_time"])


def test_a_batch_is_decoded_in_a_fraction_of_the_time_of_reading_each_record() -> None:
    decoder, store = BatchDecoder(KnownSchemas()), SchemaStore()
    assert times_as_fast(decoder.decode, lambda batch: [decode(value, store) for value in batch], values()) > DECODE


def test_deciding_all_of_an_event_costs_less_than_the_plain_job_that_decides_a_part() -> None:
    assert times_as_fast(HotPath(), PlainJob(), values()) > PLAN


def test_a_hundred_records_for_each_change_cost_a_fraction_of_as_many_changes() -> None:
    assert times_as_fast(HotPath(), PlainJob(), values(cdc=True)) > CDC
