"""Seen ids of partitions that are taken over, read on a thread of their own.

Ten million ids are 80 MB of Redis and take about half a second. Meanwhile the partition is ours and paused, and the others
go on; the thread that polls must not wait for it, least of all in the callback of a rebalance.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from redis.exceptions import RedisError

from headwater_processor.core.seen import Seen
from headwater_processor.ports import Fence

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Load:
    """One partition to be read. `wanted()`: whether it is still ours; `done` gets None when the state cannot be read now."""

    fence: Fence
    wanted: Callable[[], bool]
    done: Callable[[Seen | None], None]


class Loader:
    """Owns the thread. `read(partition, bucket)` yields a bucket of the log in pieces (packed little-endian u64)."""

    def __init__(self, read: Callable[[int, str], Iterator[bytes]]) -> None:
        self._read = read
        self._loads: queue.SimpleQueue[Load | None] = queue.SimpleQueue()
        self._halt = threading.Event()
        self.failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="headwater-load", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def load(self, load: Load) -> None:
        """Read a partition when those before it are done (thread-safe)."""
        self._loads.put(load)

    def close(self, deadline_s: float = 5.0) -> None:
        """End the thread; what is not read yet is not wanted any more."""
        self._halt.set()
        self._loads.put(None)
        if self._thread.is_alive():
            self._thread.join(deadline_s)

    def _run(self) -> None:
        try:
            while (load := self._loads.get()) is not None:
                if self._goes_on(load):
                    self._one(load)
        except BaseException as error:
            self.failed = error
            log.exception("the loader of seen ids failed; the worker has to end")
            raise

    def _goes_on(self, load: Load) -> bool:
        return not self._halt.is_set() and load.wanted()

    def _one(self, load: Load) -> None:
        try:
            seen = self._seen(load)
        except (RedisError, OSError) as error:
            log.warning("partition %d: its seen ids cannot be read yet: %s", load.fence.partition, error)
            load.done(None)
            return
        if seen is not None:
            load.done(seen)

    def _seen(self, load: Load) -> Seen | None:
        """Everything that is live; None when nobody wants it any more."""
        seen = Seen()
        for name in load.fence.buckets:
            number = int(name.lstrip("F"))
            bucket = seen.future_bucket(number) if name[0] == "F" else seen.bucket(number)
            for piece in self._read(load.fence.partition, name):
                if not self._goes_on(load):
                    return None
                bucket.load(piece)
            seen.total += len(bucket)
        return seen
