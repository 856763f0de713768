"""How much CPU a full topic costs: the worker reads it to its end while we watch from outside.

It counts from the first record consumed (the worker says when that was, and what it had used by then) to the moment at
which everything is applied, judged and published: every fence at the end of its partition, every outbox empty, and empty
it stays. (While a backlog is read nothing is judged, so that comes at the end, and brings images of its own.)
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

from headwater.runtime.errors import RefusedError
from headwater_processor.local.bench import process
from headwater_processor.local.bench.bench import Bench
from headwater_processor.local.bench.place import Place
from headwater_processor.local.bench.worker import BenchWorker

_T = TypeVar("_T")

_LOOK_S: Final = 0.1
_STUCK_S: Final = 90.0
QUIET_S: Final = 4.0
"""Outboxes that were empty for so long are empty for good: longer than as-of and a sweep take together."""
WARM_QUIET_S: Final = 1.5
"""Of a warm-up, which is in no figure."""
_SAY_EVERY_S: Final = 2.0
_COUNTERS: Final = ("applied", "dup", "late", "future", "undeduped", "bad")


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at one moment. Times in seconds; `at_s` is the wall clock."""

    at_s: float
    next: int
    left_to_publish: int
    worker_s: float
    redis_s: float
    threads_s: dict[str, float]


@dataclass(frozen=True, slots=True)
class Watched:
    """A run that came to its end."""

    looks: tuple[Look, ...]
    end: Look
    """The first moment at which nothing was left, and nothing came after it."""
    peak_rss_bytes: int
    """Of the largest worker."""

    def applied(self) -> Look:
        """The moment at which the last record was seen to be applied."""
        return next(look for look in self.looks if look.next == self.end.next)

    def before(self, at_s: float) -> Look:
        """The last moment seen before this time."""
        return next((look for look in reversed(self.looks) if look.at_s <= at_s), self.looks[0])


def redis_cpu_s(here: Place) -> float:
    """CPU seconds of the whole Redis server: user and system, its children too."""
    said = cast("dict[str, float]", here.redis.info("cpu"))
    names = ("used_cpu_user", "used_cpu_sys", "used_cpu_user_children", "used_cpu_sys_children")
    return float(sum(said.get(name, 0.0) for name in names))


def used_memory_bytes(here: Place) -> int:
    """Memory that Redis uses for everything."""
    return int(cast("dict[str, int]", here.redis.info("memory"))["used_memory"])


def watch(bench: Bench, here: Place, running: Sequence[BenchWorker], events: int, quiet_s: float = QUIET_S) -> Watched:
    """Look until so many records are applied and published, and nothing has come for `quiet_s`.

    Raises:
        RefusedError: a worker ends, or nothing moves.
    """
    looks: list[Look] = []
    moved = say_at = time.monotonic()
    end: Look | None = None
    while True:
        look = _look(here, running)
        now = time.monotonic()
        if looks and (look.next, look.left_to_publish) != (looks[-1].next, looks[-1].left_to_publish):
            moved = now
        looks.append(look)
        done = look.next >= events and not look.left_to_publish
        end = (end or look) if done else None
        if end is not None and look.at_s - end.at_s >= quiet_s:
            return Watched(tuple(looks), end, max(process.peak_rss_bytes(each.pid) for each in running))
        for each in running:
            each.check()
        if now - moved > _STUCK_S:
            raise RefusedError(
                f"nothing has moved for {_STUCK_S:.0f} s at {look.next:,} of {events:,} records and "
                f"{look.left_to_publish} outbox entries; the worker's log ends:\n{running[0].last_words()}"
            )
        if look.next and now > say_at and not done:
            say_at = now + _SAY_EVERY_S
            bench.say(f"  {look.next:,} of {events:,} records are applied, {look.left_to_publish} outbox entries left")
        bench.pause(_LOOK_S)


def _look(here: Place, running: Sequence[BenchWorker]) -> Look:
    shards = here.settings.processor.shards
    pipe = here.redis.pipeline(transaction=False)
    for partition in range(here.partitions):
        pipe.hget(here.key(f"f:{partition}"), "next")
    for shard in range(shards):
        pipe.llen(here.key(f"o:{shard}"))
        pipe.llen(here.key(f"ao:{shard}"))
    answers = [int(value or 0) for value in pipe.execute()]
    used, threads = 0.0, Counter[str]()
    for each in running:
        used += _asked(each, process.cpu_s)
        threads.update(_asked(each, process.threads_s))
    applied = sum(answers[: here.partitions])
    return Look(time.time(), applied, sum(answers[here.partitions :]), used, redis_cpu_s(here), dict(threads))


def _asked(running: BenchWorker, ask: Callable[[int], _T]) -> _T:
    try:
        return ask(running.pid)
    except OSError as error:
        running.check()
        raise RefusedError(f"the worker's process is gone; its log ends:\n{running.last_words()}") from error


def applied_records(here: Place) -> int:
    """Records that the fences have passed, added up over partitions."""
    pipe = here.redis.pipeline(transaction=False)
    for partition in range(here.partitions):
        pipe.hget(here.key(f"f:{partition}"), "next")
    return sum(int(value or 0) for value in pipe.execute())


def counts(here: Place) -> dict[str, int]:
    """What became of the records, added up over partitions."""
    total = dict.fromkeys(_COUNTERS, 0)
    for partition in range(here.partitions):
        values = cast("list[bytes | None]", here.redis.hmget(here.key(f"f:{partition}"), list(_COUNTERS)))
        for name, value in zip(_COUNTERS, values, strict=True):
            total[name] += int(value or 0)
    return total


def seen_bytes(here: Place) -> int:
    """Memory of the keys that remember event ids."""
    return table_bytes(here, "s:*").get("s", 0)


def table_bytes(here: Place, which: str = "*") -> dict[str, int]:
    """Memory of the state by table (the first part of a key); every element is counted."""
    found, prefix = Counter[str](), len(here.key(""))
    for key in here.redis.scan_iter(match=here.key(which), count=1000):
        table = key[prefix:].decode("ascii", "replace").partition(":")[0]
        found[table] += int(cast("Any", here.redis.memory_usage(key, samples=0)) or 0)
    return dict(found)


def check_sum(outcome: dict[str, int], events: int) -> None:
    """Every record is counted once and none is bad. Raises RefusedError where that is not so."""
    accounted = outcome["applied"] + outcome["dup"] + outcome["bad"]
    if accounted != events or outcome["bad"]:
        raise RefusedError(f"the counters do not add up: {outcome} of {events} events; the figures would mean nothing")
