"""Seen ids are read beside the poll thread: all of them, nothing that nobody wants, and again when they cannot be read."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import redis

from headwater_processor.core.plan_values import Counters
from headwater_processor.core.seen import Seen
from headwater_processor.engine.loading import Load, Loader
from headwater_processor.ports import Fence

LOG = {"7": ([3, 1, 3], [2, 4]), "8": ([5],), "F9": ([6],)}


def read(_partition: int, bucket: str) -> Iterator[bytes]:
    for piece in LOG[bucket]:
        yield np.array(piece, "<u8").tobytes()


def fence(*buckets: str) -> Fence:
    return Fence(2, "1:x", "t", "0", 70, 5, 1, Counters(), buckets, "", -1)


@contextmanager
def loader(reader: Loader) -> Iterator[Loader]:
    reader.start()
    try:
        yield reader
    finally:
        reader.close()


def test_every_live_bucket_is_read_and_what_stands_twice_counts_once() -> None:
    done: queue.Queue[Seen | None] = queue.Queue()
    with loader(Loader(read)) as reading:
        reading.load(Load(fence(*LOG), lambda: True, done.put))
        seen = done.get(timeout=10)
    assert seen is not None
    assert (seen.total, set(seen.buckets), set(seen.future)) == (6, {7, 8}, {9})
    assert all(seen.bucket(7).contains(value) for value in (1, 2, 3, 4))
    assert seen.in_future(6, 0)


def test_what_nobody_wants_any_more_is_not_read() -> None:
    done: queue.Queue[str] = queue.Queue()
    wanted = iter([True, True, False])  # it goes while it is read
    with loader(Loader(read)) as reading:
        reading.load(Load(fence("7"), lambda: False, lambda _: done.put("gone before")))
        reading.load(Load(fence("7", "8"), lambda: next(wanted), lambda _: done.put("gone meanwhile")))
        reading.load(Load(fence("8"), lambda: True, lambda _: done.put("wanted")))
        assert done.get(timeout=10) == "wanted"
    assert done.empty()


def test_a_state_that_cannot_be_read_is_told_and_the_next_partition_is_read(caplog: pytest.LogCaptureFixture) -> None:
    def away(partition: int, bucket: str) -> Iterator[bytes]:
        if bucket == "7":
            raise redis.ConnectionError("away")
        yield from read(partition, bucket)

    done: queue.Queue[Seen | None] = queue.Queue()
    with loader(Loader(away)) as reading:
        reading.load(Load(fence("7"), lambda: True, done.put))
        assert done.get(timeout=10) is None
        reading.load(Load(fence("8"), lambda: True, done.put))
        assert done.get(timeout=10) is not None
    assert "partition 2: its seen ids cannot be read yet: away" in caplog.text
