"""Planner and store without Kafka: events in, the state in a real Redis out, as plain values that can be compared."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import redis
from tests.support.checked import KnownSchemas

from headwater_processor.adapters.redis_store import RedisStore
from headwater_processor.core import pieces
from headwater_processor.core.decode import BatchDecoder
from headwater_processor.core.pack import unpack
from headwater_processor.core.plan import Knowledge, PartitionPlanner, Plan, Rules
from headwater_processor.core.runs import Run, decode_run, is_closed
from headwater_processor.engine.images import parse_names
from headwater_processor.ports import Applied, Call, Fence, Refusal
from headwater_schemas.codec import encode_single_object
from headwater_schemas.events import LineageEvent

TOPIC: Final = "topic-id"
MINUTE_US: Final = 60_000_000
SHARED: Final = (
    "names",
    "ds",
    "dz",
    "sv",
    "mv",
    "fr",
    "job",
    "jz",
    "edge",
    "ez",
    "ax",
    "mz",
    "ex",
    "al",
    "gone",
    "about",
)
"""Tables that are the same whatever the order, byte for byte."""


CUT_SHARE: Final = 0.5
"""Of the plans, the share that is sent in many small calls, as plans of large batches are: nobody may see a difference."""


def cut(blobs: list[bytes], piece_max: int) -> list[bytes]:
    """The same plan in calls of at most that weight; one that is cut already stays."""
    if len(blobs) > 1:
        return blobs
    return pieces.blobs(unpack(blobs[0]), piece_max)


@dataclass(frozen=True, slots=True)
class Said:
    """An event as a broker has it."""

    event: LineageEvent
    append_us: int

    @property
    def value(self) -> bytes:
        return encode_single_object(self.event)


class Worker:
    """One owner of some partitions. `forget` throws its view away and begins again at the fences, as a restart would."""

    def __init__(self, url: str, domain: str, partitions: int = 1, rules: Rules | None = None, seed: int = 0) -> None:
        self.rules = rules or Rules(shards=4)
        self.client = redis.Redis.from_url(url)
        self.store = RedisStore(
            redis.Redis.from_url(url),
            domain,
            shards=self.rules.shards,
            closed_runs_max=self.rules.closed_runs_max,
            horizon_us=self.rules.horizon_us,
        )
        self.store.open(partitions)
        self._partitions = partitions
        self._tokens = random.Random(seed)
        self._decoder = BatchDecoder(KnownSchemas())
        self.knowledge = Knowledge()
        self.forget()

    def forget(self) -> None:
        """Take every partition over (again), with nothing known but what is stored."""
        self.knowledge.clear()
        self.fences: dict[int, Fence] = {}
        self.planners: dict[int, PartitionPlanner] = {}
        for partition in range(self._partitions):
            self.take(partition)

    def take(self, partition: int) -> None:
        """Take one partition over."""
        fence = self.store.acquire(partition, TOPIC, 0)
        planner = PartitionPlanner(partition, self.rules, self.knowledge, self.store.secret)
        planner.next, planner.mx_us, planner.floor = fence.next, fence.mx_us, fence.floor
        planner.counters = fence.counters
        for name in fence.buckets:
            number = int(name.lstrip("F"))
            bucket = planner.seen.future_bucket(number) if name[0] == "F" else planner.seen.bucket(number)
            for piece in self.store.load_seen(partition, name):
                bucket.load(piece)
            planner.seen.total += len(bucket)
        self.fences[partition], self.planners[partition] = fence, planner

    def plan(self, partition: int, said: Sequence[Said]) -> Plan:
        """The plan of one batch."""
        columns = self._decoder.decode([each.value for each in said])
        assert columns.bad == []
        planner = self.planners[partition]
        token = self._tokens.randbytes(8)
        plan = planner.plan(columns, [each.append_us for each in said], planner.next + len(said), token)
        if self._tokens.random() < CUT_SHARE:
            plan.blobs = cut(plan.blobs, self._tokens.choice((1, 3, 10)))
        return plan

    def call(self, plan: Plan, *, as_of_us: int = 0) -> Call:
        """The plan under the fence of its partition."""
        return Call(plan, self.fences[plan.partition], as_of_us)

    def receive(self, calls: Sequence[Call]) -> list[Applied | Refusal]:
        """The outcomes of the oldest `send`, which had these calls; what the engine learns from them is learned."""
        outcomes = self.store.receive()
        for call, outcome in zip(calls, outcomes, strict=True):
            if isinstance(outcome, Applied):
                self._learn(call, outcome)
        return outcomes

    def _learn(self, call: Call, outcome: Applied) -> None:
        for key, stored in outcome.joined_runs:
            self.knowledge.learn_run(key, stored, call.plan.token)

    def apply(self, partition: int, said: Sequence[Said]) -> Applied:
        """One batch, planned and applied."""
        calls = [self.call(self.plan(partition, said))]
        self.store.send(calls)
        outcome = self.receive(calls)[0]
        assert isinstance(outcome, Applied), outcome
        return outcome

    def close(self) -> None:
        self.store.close()
        self.client.close()


# --- what is stored -----------------------------------------------------------------------------------------------


def dump(client: redis.Redis, domain: str) -> dict[bytes, Any]:
    """Every key of a domain with its value, as it is."""
    keys: Any = sorted(client.scan_iter(match=f"{{hw:{domain}}}:*", count=1000))
    kinds = {b"hash": client.hgetall, b"set": client.smembers}
    found: dict[bytes, Any] = {}
    for key in keys:
        kind: Any = client.type(key)
        if kind == b"zset":
            found[key] = client.zrange(key, 0, -1, withscores=True)
        elif kind == b"list":
            found[key] = client.lrange(key, 0, -1)
        else:
            found[key] = kinds[kind](key)
    return found


def forget_domain(client: redis.Redis, domain: str) -> None:
    """Remove every key of a domain."""
    keys: Any = client.keys(f"{{hw:{domain}}}:*")
    client.delete(*keys)


@dataclass(slots=True)
class State:
    """What all partitions and batches share."""

    tables: dict[str, dict[bytes, Any]]
    writers: set[bytes]
    """Datasets that some partition writes."""
    runs: dict[bytes, Run]
    alive: dict[bytes, int]
    """When the open runs were heard last."""
    named: set[bytes]
    """Names in the outboxes."""


def state(client: redis.Redis, domain: str) -> State:
    """The state of a domain."""
    stored = dump(client, domain)
    prefix = f"{{hw:{domain}}}:".encode()

    def table(name: str) -> dict[bytes, Any]:
        return dict(stored.get(prefix + name.encode(), {}))

    runs = {key: decode_run(value[8:]) for key, value in table("run").items()}
    boxes = {key: value for key, value in stored.items() if key.startswith(prefix + b"o:")}
    lists = {key: value for key, value in stored.items() if key.startswith(prefix + b"ro:")}
    return State(
        tables={name: table(name) for name in SHARED},
        writers=set(table("wp")),
        runs=runs,
        alive={
            key: int(seen)
            for scores in lists.values()
            for key, seen in scores
            if key in runs and not is_closed(runs[key])
        },
        named={name for box in boxes.values() for entry in box for name in parse_names(entry)},
    )
