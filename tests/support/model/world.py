"""The world of a model: what its steps are, and how it comes to rest.

No thread and no service: a step is one thing that one thread of one worker does, and between any two commands of it
something else may come (`arm`): its process dies, its connection breaks, another worker goes on, Redis is set back. So every
interleaving of two workers that a real domain can have is a list of steps, and a failure is one that can be printed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from unittest.mock import patch

import redis
from tests.support.model.events import END_US, pool
from tests.support.model.process import DOMAIN, PARTITIONS, POLICIES, SHARDS, WORKERS, Died, LogRecord, Process, Step
from tests.support.model.server import MemoryRedis
from tests.support.small_worlds import SECOND_US

from headwater_processor.core.policies import PolicySet, compile_policies

RECORDS: Final = pool()
ROLES: Final = {
    "poll": "engine",
    "answer": "engine",
    "cut": "engine",
    "prove": "proofs",
    "drain": "shards",
    "sweep": "shards",
}
"""Which thread of a worker does a step."""


class World:
    """A log, a Redis, a group, and the workers. `do` takes a step; steps that make no sense now do nothing.

    `say partition index count` · `take worker partition` · `told worker` · `poll worker records` · `answer worker` ·
    `cut worker` · `arrive worker calls` · `prove worker` · `drain worker` · `sweep worker` · `crash worker arrived` ·
    `policy which` · `learn worker` · `clock seconds` · `save` · `back` · `flush` (scripts) · `arm worker passages step` ·
    `several step …` · `refuse worker` (half of what it publishes next)
    """

    def __init__(self, server: MemoryRedis) -> None:
        self.redis = server
        self.log: list[list[LogRecord]] = [[] for _ in range(PARTITIONS)]
        self.topics: dict[str, list[tuple[bytes, bytes]]] = {"deltas": [], "alerts": []}
        self.letters: dict[str, set[tuple[int, int]]] = {"dead": set(), "late": set()}
        self.policies: PolicySet = compile_policies(POLICIES[0], 1)
        self.rollbacks = 0
        self.reached = [0] * PARTITIONS
        """What was applied of each partition before the state was set back: the group's committed offsets tell of it."""
        self.steps = 0
        self._group = {partition: partition % WORKERS for partition in range(PARTITIONS)}
        self._depth = 0
        self.workers = [Process(self, number) for number in range(WORKERS)]
        for worker in self.workers:
            worker.be_told()
            worker.poll(1)
        self._saved = self.redis.save()

    def group_of(self, worker: int) -> set[int]:
        return {partition for partition, owner in self._group.items() if owner == worker}

    def do(self, step: Step) -> None:
        """One step."""
        self.steps += 1
        role = ROLES.get(step[0])
        if role is None:
            getattr(self, f"_{step[0]}")(*step[1:])
            return
        worker = self.workers[step[1] % WORKERS]
        if role in worker.busy or worker.dead:
            return
        worker.busy.add(role)
        self._depth += 1
        try:
            if step[0] == "arrive":
                self._arrive(*step[1:])
            else:
                getattr(worker, step[0])(*step[2:])
        except Died as died:
            if died.worker is not worker:
                raise
            worker.die()
        except (redis.RedisError, OSError):
            if role == "shards":
                worker.shards._start_over()
        finally:
            worker.busy.discard(role)
            self._depth -= 1
        self._replace(worker)

    def _replace(self, worker: Process) -> None:
        """A process that died begins again, once all of its threads are gone."""
        if worker.dead and not worker.busy:
            fresh = Process(self, worker.number)
            self.workers[worker.number] = fresh
            fresh.be_told()

    # ---- steps -----------------------------------------------------------------------------------------------------

    def _say(self, partition: int, index: int, count: int) -> None:
        log = self.log[partition % PARTITIONS]
        for at in range(count):
            timestamp_ms, value = RECORDS[(index + at) % len(RECORDS)]
            log.append(LogRecord(partition % PARTITIONS, len(log), timestamp_ms, value))

    def _take(self, worker: int, partition: int) -> None:
        """The group gives a partition to a worker; who had it is not told."""
        self._group[partition % PARTITIONS] = worker % WORKERS
        self._told(worker)

    def _told(self, worker: int) -> None:
        process = self.workers[worker % WORKERS]
        if not process.dead:
            process.be_told()

    def _arrive(self, worker: int, count: int) -> None:
        connection = self.workers[worker % WORKERS].connection()
        if connection is not None:
            connection.arrive(count)

    def _crash(self, worker: int, arrived: int) -> None:
        process = self.workers[worker % WORKERS]
        self._arrive(worker, arrived)
        process.publisher.deliver(arrived)
        process.die()
        self._replace(process)

    def _policy(self, which: int) -> None:
        self.policies = compile_policies(POLICIES[which % len(POLICIES)], self.policies.version + 1)

    def _learn(self, worker: int) -> None:
        self.workers[worker % WORKERS].shards.use_policies(self.policies)

    def _clock(self, seconds: int) -> None:
        self.redis.now_us += seconds * SECOND_US

    def _save(self) -> None:
        self._saved = self.redis.save()

    def _back(self) -> None:
        self.rollbacks += 1
        # Each take-over of a shard begins a second above the versions before; steps take no time, so a few of them run ahead of
        # the clock here. A real failover takes longer than that.
        self._clock(60)
        for partition, reached in enumerate(self.reached):
            applied = int(self.redis.call("HGET", self.key(f"f:{partition}"), "next") or 0)
            self.reached[partition] = max(reached, applied)
        self.redis.restore(self._saved)

    def _flush(self) -> None:
        self.redis.scripts.clear()

    def _refuse(self, worker: int) -> None:
        self.workers[worker % WORKERS].publisher.refuses = True

    def _several(self, *steps: Step) -> None:
        for step in steps:
            self.do(step)

    def _arm(self, worker: int, passages: int, then: Step) -> None:
        self.workers[worker % WORKERS].arm(passages, then)

    # ---- the end ---------------------------------------------------------------------------------------------------

    def settle(self, worker: int, *, fresh: bool) -> None:
        """Everything is given to one worker (begun anew, or as it is), and it works until nothing is left to do. The other one
        never speaks again."""
        if fresh:
            self._crash(worker, 0)
        process = self.workers[worker]
        process.arm(0, ())
        self._group = dict.fromkeys(range(PARTITIONS), worker)
        process.be_told()
        process.shards.use_policies(self.policies)
        for _ in range(60):
            self._clock(2)
            for step in ("poll", 50), ("answer",), ("prove",), ("drain",), ("sweep",):
                self.do((step[0], worker, *step[1:]))
            if self._quiet():
                return
        raise AssertionError(f"not quiet: {self.left()}")

    def left(self) -> dict[str, Any]:
        """What is not done yet."""
        redis_ = self.redis
        found: dict[str, Any] = {}
        for partition, log in enumerate(self.log):
            at = int(redis_.call("HGET", self.key(f"f:{partition}"), "next") or 0)
            as_of = int(redis_.call("HGET", self.key("asof"), str(partition)) or 0)
            if at < len(log) or as_of < redis_.now_us - 10 * SECOND_US:
                found[f"partition {partition}"] = (at, len(log), as_of)
        for shard in range(SHARDS):
            for name in (f"o:{shard}", f"ao:{shard}"):
                size = redis_.call("LLEN", self.key(name))
                if size:
                    found[name] = size
            due = redis_.call("ZRANGEBYSCORE", self.key(f"dl:{shard}"), "-inf", redis_.now_us - 10 * SECOND_US)
            if due:
                found[f"dl:{shard}"] = due
        return found

    def _quiet(self) -> bool:
        return not self.left()

    @staticmethod
    def key(name: str) -> bytes:
        return f"{{hw:{DOMAIN}}}:{name}".encode()


@contextmanager
def world() -> Iterator[World]:
    """A world whose workers go by the clock of its Redis: waiting takes no time."""
    server = MemoryRedis(END_US)

    def monotonic() -> float:
        return (server.now_us - END_US) / 1e6

    def sleep(seconds: float) -> None:
        server.now_us += int(seconds * 1e6)

    with patch.object(time, "monotonic", monotonic), patch.object(time, "sleep", sleep):
        yield World(server)


def run(steps: Sequence[Step], *, worker: int = 0, fresh: bool = True) -> World:
    """Take the steps and settle; what is left to check is in the world."""
    with world() as made:
        for step in steps:
            made.do(step)
        made.settle(worker, fresh=fresh)
    return made
