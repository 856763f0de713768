"""What the hot path does for a record, in lines of Python that run: the same on every machine, at any load.

Times, and ratios of times, are the benchmark's: on a shared machine the same two pieces of code differed by 1.3 to 2.2 within
a minute. Lines say nothing of what numpy and fastavro do inside, but whoever does for each record what was done for each batch
shows here. It is plain Python that is counted; compiled modules run no lines, so there only what is around them counts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

from tests.support.checked import KnownSchemas

from headwater_processor.core.decode import BatchDecoder
from headwater_processor.core.knowledge import Knowledge
from headwater_processor.core.plan import PartitionPlanner
from headwater_processor.core.plan_values import Rules
from headwater_processor.local.workload import Workload
from headwater_schemas.codec import decode
from headwater_schemas.registry import SchemaStore

BATCH = 4_000
ROUNDS = 1
DECODE = 120
"""Lines a record at most for decoding a batch; 107 were counted, 620 where each record is read by itself."""
PLAN = 230
"""The same for decoding and deciding; 209 were counted."""
CDC = 168
"""The same for a busy sink of changes; 151 were counted."""


def values(*, cdc: bool = False) -> list[list[bytes]]:
    """Batches of a busy topic: one to get warm, and one for each round."""
    source = Workload(seed=1, datasets=500, cdc=cdc)
    return [[record.value for record in source.records(BATCH)] for _ in range(ROUNDS + 1)]


Work = Callable[[Sequence[bytes]], object]


def lines_per_record(work: Work, batches: Sequence[Sequence[bytes]]) -> float:
    """How many lines of Python run for a record; the first batch does not count."""
    lines = 0

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:  # Any: as sys.settrace has it
        nonlocal lines
        lines += event == "line"
        return trace

    work(batches[0])
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for batch in batches[1:]:
            work(batch)
    finally:
        sys.settrace(before)
    return lines / sum(map(len, batches[1:]))


class HotPath:
    """What a worker's engine does with a batch of one partition, but for Redis: decode and plan."""

    def __init__(self) -> None:
        self._decoder = BatchDecoder(KnownSchemas())
        self._planner = PartitionPlanner(0, Rules(), Knowledge(), (1, 2))

    def __call__(self, batch: Sequence[bytes]) -> None:
        columns = self._decoder.decode(batch)
        append_us = columns.times.tolist()
        self._planner.plan(columns, append_us, self._planner.next + len(batch), b"the-call")


def test_a_batch_is_decoded_with_a_fraction_of_the_steps_of_reading_each_record() -> None:
    decoder, store, batches = BatchDecoder(KnownSchemas()), SchemaStore(), values()
    each_by_itself = lines_per_record(lambda batch: [decode(value, store) for value in batch], batches)
    assert lines_per_record(decoder.decode, batches) < min(DECODE, each_by_itself / 5)


def test_deciding_all_of_an_event_takes_about_as_many_steps_again_as_decoding_it() -> None:
    assert lines_per_record(HotPath(), values()) < PLAN


def test_a_hundred_records_for_each_change_take_fewer_steps_than_as_many_changes() -> None:
    assert lines_per_record(HotPath(), values(cdc=True)) < CDC
