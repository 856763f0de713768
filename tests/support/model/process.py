"""Two workers, a log and a Redis in memory, driven step by step through the product's own planner, engine, scripts and judge.

No thread and no service: a step is one thing that one thread of one worker does, and between any two commands of it
something else may come (`arm`): its process dies, its connection breaks, another worker goes on, Redis is set back. So every
interleaving of two workers that a real domain can have is a list of steps, and a failure is one that can be printed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

import redis
from tests.support.checked import KnownSchemas
from tests.support.model.clients import MemoryClient
from tests.support.model.events import MINUTE_US

from headwater_processor.adapters.redis_store import RedisStore
from headwater_processor.adapters.shard_store import ShardStore
from headwater_processor.core.decode import BatchDecoder
from headwater_processor.core.judge_settings import JudgeSettings
from headwater_processor.core.plan import PartitionPlanner, Rules
from headwater_processor.engine.engine import Engine, Limits, _Pending, refusal_is_foreign
from headwater_processor.engine.intake import PartBatch, Poll
from headwater_processor.engine.owned import Owned
from headwater_processor.engine.shards import Shards, ShardSettings
from headwater_processor.engine.stats import EngineStats
from headwater_processor.ports import Fence
from headwater_schemas.policies import Policy

if TYPE_CHECKING:
    from tests.support.model.world import World

Step = tuple[Any, ...]

DOMAIN: Final = "model"
PARTITIONS: Final = 2
SHARDS: Final = 2
WORKERS: Final = 2
RULES: Final = Rules(shards=SHARDS)
JUDGE: Final = JudgeSettings(
    domain_grace_us=0, read_grace_us=5 * MINUTE_US, written_grace_us=5 * MINUTE_US, job_grace_us=5 * MINUTE_US,
    emitter_silent_us=2 * MINUTE_US, run_timeout_us=20 * MINUTE_US,
)  # fmt: skip
NEVER_S: Final = 1e15
RETAKE_S: Final = 0.5
SETTINGS: Final = ShardSettings(
    SHARDS, DOMAIN, "events", interval_s=0.1, sweep_interval_s=NEVER_S, watchdog_interval_s=NEVER_S, retake_s=RETAKE_S,
    outbox_max=1 << 30, judge=JUDGE,
)  # fmt: skip
POLICIES: Final[tuple[tuple[Policy, ...], ...]] = (
    (Policy("all", "*", "*", max_age_ms=5 * 60_000),),
    (Policy("all", "*", "*", max_age_ms=60_000, for_ms=60_000, clear_ms=60_000),),
    (Policy("all", "*", "*", max_age_ms=24 * 3600_000),),
    (),
    (Policy("orders", "kafka://b1:9092", "orders", max_age_ms=10 * 60_000),),
)


class Died(BaseException):
    """The process of a worker ended in the middle of a step. Nothing in the product may catch it."""

    def __init__(self, worker: Process) -> None:
        super().__init__(worker.number)
        self.worker = worker


class LogRecord:
    """A record of the events topic, as confluent-kafka's Message gives it."""

    __slots__ = ("_at", "_value", "partition_")

    def __init__(self, partition: int, offset: int, timestamp_ms: int, value: bytes) -> None:
        self.partition_ = partition
        self._at = (offset, timestamp_ms)
        self._value = value

    def key(self) -> bytes | None:
        return None

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return None

    def topic(self) -> str | None:
        return "events"

    def partition(self) -> int | None:
        return self.partition_

    def offset(self) -> int | None:
        return self._at[0]

    def timestamp(self) -> tuple[int, int]:
        return 1, self._at[1]


class MemoryLetters:
    """Letters that are safe once `wait` returns."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._queue: list[tuple[str, tuple[int, int]]] = []

    def dead(self, record: Any, reason: str, detail: str) -> None:
        self._queue.append(("dead", (record.partition(), record.offset())))

    def late(self, record: Any, lateness_us: int) -> None:
        self._queue.append(("late", (record.partition(), record.offset())))

    def wait(self, alive: Callable[[], None]) -> bool:
        self._process.passage(can_break=False)
        for kind, where in self._queue:
            self._process.world.letters[kind].add(where)
        self._queue.clear()
        return True


class MemoryPublisher:
    """Images and alerts, in the topic when `flush` returns; where it fails, the first half of them."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._queue: list[tuple[str, str, bytes]] = []
        self.refuses = False
        """The next `flush` fails: the broker took but the first half."""

    def begin(self, ours: Callable[[], bool]) -> None:
        """See KafkaPublisher."""

    def delta(self, key: str, value: bytes) -> None:
        self._queue.append(("deltas", key, value))

    def alert(self, key: str, value: bytes) -> None:
        self._queue.append(("alerts", key, value))

    def flush(self, deadline_s: float) -> bool:
        try:
            self._process.passage()
            if self.refuses and self._queue:
                self.refuses = False
                raise redis.ConnectionError
        except redis.ConnectionError:
            self.deliver(len(self._queue) // 2)
            self._queue.clear()
            return False
        self.deliver(len(self._queue))
        self._process.passage(can_break=False)
        return True

    def deliver(self, count: int) -> None:
        """The broker has the first so many."""
        for topic, key, value in self._queue[:count]:
            self._process.world.topics[topic].append((key.encode(), value))
        del self._queue[:count]


class Process:
    """One worker's process: what `Worker` puts together, without its threads and without Kafka."""

    def __init__(self, world: World, number: int, settings: ShardSettings = SETTINGS) -> None:
        self.world = world
        self.number = number
        self.busy: set[str] = set()
        self.dead = False
        self._left = 0
        self._then: Step = ()
        clients = [MemoryClient(world.redis, self.passage) for _ in range(3)]
        self.client = clients[0]
        self.store, self.owner_store = (self._store(cast("redis.Redis", client)) for client in clients[:2])
        for store in (self.store, self.owner_store):
            store.open(PARTITIONS)
        self.letters = MemoryLetters(self)
        self.publisher = MemoryPublisher(self)
        self.engine = Engine(
            rules=RULES, limits=Limits(), store=self.store, decoder=BatchDecoder(KnownSchemas()), letters=self.letters,
            secret=self.store.secret, stats=EngineStats(), on_reset=self._on_reset, on_stopped=self._on_stopped,
            on_named=lambda _behind: None,
        )  # fmt: skip
        shard_store = ShardStore(cast("redis.Redis", clients[2]), DOMAIN, SHARDS)
        self.shards = Shards(shard_store, self.publisher, settings, on_crowded=lambda _crowded: None)
        self.shards.drain._clock = self.shards._reader._clock = self.shards.growth._clock = time.monotonic
        self.shards.use_policies(world.policies)
        self.believes: set[int] = set()
        """Partitions that the group gave it and, as far as it was told, did not take back."""
        self.positions: dict[int, int] = {}
        self.session = 0
        self.pending: _Pending | None = None

    @staticmethod
    def _store(client: redis.Redis) -> RedisStore:
        return RedisStore(
            client, DOMAIN, shards=SHARDS, closed_runs_max=RULES.closed_runs_max, horizon_us=RULES.horizon_us
        )

    # ---- what comes in between -------------------------------------------------------------------------------------

    def arm(self, passages: int, then: Step) -> None:
        """At the so manieth passage of a point between two commands, this happens."""
        self._left, self._then = passages, then

    def passage(self, *, can_break: bool = True) -> None:
        if self.dead:
            raise Died(self)
        if self._left:
            self._left -= 1
            if not self._left:
                self._interrupted(can_break)

    def _interrupted(self, can_break: bool) -> None:
        if self._then[0] == "die":
            raise Died(self)
        if self._then[0] != "error":
            self.world.do(self._then)
            if self.dead:
                raise Died(self)
        elif can_break:
            raise redis.ConnectionError("cut off")

    # ---- partitions ------------------------------------------------------------------------------------------------

    def take_over(self, partition: int) -> None:
        self.owner_store.open(PARTITIONS)
        fence = self.owner_store.acquire(partition, "topic-id", 0)
        assert fence.next <= len(self.world.log[partition]), "the state is ahead of the log"
        fence = replace(fence, again_until=self.world.reached[partition])

        def load(planner: PartitionPlanner) -> None:
            self._load(planner, fence)

        self.session += 1
        self.engine.own(fence, self.session, load)
        self.positions[partition] = fence.next

    def _load(self, planner: PartitionPlanner, fence: Fence) -> None:
        for name in fence.buckets:
            number = int(name.lstrip("F"))
            bucket = planner.seen.future_bucket(number) if name[0] == "F" else planner.seen.bucket(number)
            for piece in self.owner_store.load_seen(fence.partition, name):
                bucket.load(piece)
            planner.seen.total += len(bucket)

    def _on_reset(self, owned: Owned, why: str) -> None:
        self.positions.pop(owned.fence.partition, None)
        if refusal_is_foreign(why):
            self.be_told()

    @staticmethod
    def _on_stopped(owned: Owned, reason: str) -> None:
        raise AssertionError(reason)

    def be_told(self) -> None:
        """The group says which partitions it has."""
        mine = self.world.group_of(self.number)
        for partition in self.believes - mine:
            self.engine.disown(partition)
            self.positions.pop(partition, None)
        self.believes = mine
        self.shards.assign(set(mine), PARTITIONS)

    # ---- the engine ------------------------------------------------------------------------------------------------

    def poll(self, records_max: int) -> None:
        """What the poll thread reads, and one turn of `Engine._loop` with it."""
        for partition in sorted(self.believes - self.positions.keys()):
            self.take_over(partition)
        parts = []
        for partition, at in sorted(self.positions.items()):
            records = self.world.log[partition][at : at + records_max]
            if records:
                session = self.engine.owned()[partition].epoch_session
                parts.append(PartBatch(partition, session, at, records))
                self.positions[partition] = parts[-1].next
        engine = self.engine
        if engine._forget.is_set():
            engine._forget.clear()
            engine._knowledge.clear()
        plans = engine._plan(Poll(parts))
        self.answer()
        calls, owned = engine._calls(plans)
        if calls:
            assert self.letters.wait(lambda: None)
            self.pending = _Pending(calls, owned)  # before it is sent: what comes in between reads no answer of it
            self.store.send(calls)

    def answer(self) -> None:
        """Read the answers of what is under way."""
        pending, self.pending = self.pending, None
        if pending is not None:
            self.engine._finish(pending)

    def connection(self) -> Any:
        return self.client.connections[-1] if self.client.connections else None

    def cut(self) -> None:
        """The connection of the engine breaks; what did not arrive is sent again when the answers are read."""
        self.store._drop_connection()

    def prove(self) -> None:
        """One turn of `Prover._prove`."""
        now_us = self.owner_store.now_us()
        proofs, proven = [], []
        for partition, owned in self.engine.owned().items():
            end = len(self.world.log[partition])
            if owned.dead:
                continue
            if owned.applied >= end:
                proofs.append((owned.fence, end, now_us))
                proven.append(owned)
            elif owned.proof is None:
                owned.proof = (end, now_us)
        for owned, held in zip(proven, self.owner_store.prove(proofs), strict=True):
            if held:
                owned.as_of_us = max(owned.as_of_us, now_us)
                owned.proof = None
            elif not owned.dead:
                owned.dead = True
                self._on_reset(owned, "FENCED")

    # ---- the shards ------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Obey, own and one round."""
        shards = self.shards
        shards.moved_at = time.monotonic()  # its loop moves all the time; here only its steps are taken
        shards._obey()
        shards._own()
        judges = list(shards._judges.values())
        if judges:
            shards._publish(judges)
            shards._drop_lost()

    def sweep(self) -> None:
        """Obey, own and one sweep."""
        shards = self.shards
        shards.moved_at = time.monotonic()  # its loop moves all the time; here only its steps are taken
        shards._obey()
        shards._own()
        judges = list(shards._judges.values())
        if judges:
            shards._sweep(judges)
            shards._drop_lost()

    def die(self) -> None:
        """The process is gone: nothing of it is done any more, but what is on its way may still arrive."""
        self.dead = True
