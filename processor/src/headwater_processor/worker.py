"""A worker, wired: consumer, engine, shards, as-of, followers. Knows all parts; decides nothing that they decide
(of its partitions `hosting.py` does).

poll thread ──polls──▶ (Faust agent) ──▶ engine thread ──calls──▶ Redis ──names──▶ shards' thread ──▶ deltas, alerts
     ▲ commands                              │ dead and late letters                    ▲ policies
     └──────────── resets ◀──────────────────┘                                          └ follower
"""

from __future__ import annotations

import contextlib
import gc
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import redis

from headwater_processor.adapters import heap
from headwater_processor.adapters.events_topic import EventsTopic
from headwater_processor.adapters.kafka_source import KafkaSource
from headwater_processor.adapters.letters import KafkaLetters
from headwater_processor.adapters.publisher import KafkaPublisher
from headwater_processor.adapters.redis_store import RedisStore
from headwater_processor.adapters.schema_sources import WaitingSchemas
from headwater_processor.adapters.shard_store import ShardStore
from headwater_processor.core.decode import BatchDecoder
from headwater_processor.core.judge_settings import JudgeSettings
from headwater_processor.core.plan import Rules
from headwater_processor.engine.engine import Engine, Limits
from headwater_processor.engine.follow import Follower
from headwater_processor.engine.intake import Poll
from headwater_processor.engine.policy_table import PolicyTable
from headwater_processor.engine.proofs import Prover
from headwater_processor.engine.shards import Shards, ShardSettings
from headwater_processor.engine.stats import EngineStats, RedisCalls
from headwater_processor.hosting import Hosting
from headwater_schemas.policies import Policy
from headwater_schemas.registry import RegistryStore, SchemaStore, registry_client
from headwater_schemas.topics import catalogue

log = logging.getLogger(__name__)

FRESH_SHARE: Final = 0.15
QUEUED_SHARE: Final = 0.5
"""Of the session timeout: how old may be what is said, and how long it may wait in the producer. Both and the time between
two heartbeats have to stay below the whole, so that a worker that was declared dead says nothing after its successor."""
HEARTBEAT_S: Final = 6.0
"""The longest between two heartbeats: 3 s by default, 5 s by the broker's word under KIP-848."""
GIVE_BACK_EACH_RECORDS: Final = 200_000
CALM_RECORDS: Final = 20_000
"""Records within a second: with fewer nobody reads a backlog."""
STUCK_S: Final = 30.0
"""A loop that has not moved for this long hangs: all of them move several times a second, or while they wait."""


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """Everything a worker is told. Kafka configs are librdkafka's, complete but for `client.id`."""

    consumer: dict[str, Any]
    producer: dict[str, Any]
    client: dict[str, Any]
    """For followers and admin."""
    redis_client: Callable[[], redis.Redis]
    bootstrap_servers: str
    group: str
    domain: str = "default"
    topic_prefix: str = "lineage."
    registry: dict[str, Any] | None = None
    rules: Rules = field(default_factory=Rules)
    limits: Limits = field(default_factory=Limits)
    judge: JudgeSettings = field(default_factory=JudgeSettings)
    policies: tuple[Policy, ...] = ()
    batch_records: int = 16_000
    batch_linger_s: float = 0.002
    schema_wait_s: float = 5.0
    freshness_interval_s: float = 1.0
    sweep_interval_s: float = 1.0
    watchdog_interval_s: float = 30.0
    asof_interval_s: float = 1.0
    session_timeout_s: float = 6.0
    on_empty_state: str = "stop"
    """What to do when Kafka has a committed offset and Redis no state: stop, or begin at the `earliest` record."""


class Worker:
    """One process's share of a domain. `start` and `stop` may be called once."""

    def __init__(self, config: WorkerConfig) -> None:
        self.config = config
        self.group = config.group
        self.bootstrap_servers = config.bootstrap_servers
        self.session_timeout_s = config.session_timeout_s
        self.topics = {role: topic.name for role, topic in catalogue(config.topic_prefix).items()}
        self.topic = self.topics["events"]
        self.stats = EngineStats()
        self.redis_calls = RedisCalls()
        rules = config.rules
        self.store = RedisStore(
            config.redis_client(), config.domain, shards=rules.shards, closed_runs_max=rules.closed_runs_max,
            horizon_us=rules.horizon_us, pulse=self.stats.pulse, calls=self.redis_calls,
        )  # fmt: skip
        self._owner_store = RedisStore(
            config.redis_client(), config.domain, shards=rules.shards, closed_runs_max=rules.closed_runs_max,
            horizon_us=rules.horizon_us, calls=self.redis_calls,
        )  # fmt: skip
        self.schema_store = SchemaStore()
        self.registry = RegistryStore(registry_client(config.registry)) if config.registry else None
        self.schemas = WaitingSchemas(
            self.schema_store, self.registry, wait_s=config.schema_wait_s, alive=self.stats.pulse
        )
        self.hosting = Hosting(
            EventsTopic(config.client, self.topic),
            self._owner_store,
            on_empty_state=config.on_empty_state,
            submit=self.submit,
        )
        self.decoder = BatchDecoder(self.schemas)
        self.letters = KafkaLetters(
            config.producer, dead_topic=self.topics["deadletter"], late_topic=self.topics["late"], group=config.group
        )
        self._policies = PolicyTable(config.policies)
        self._read_before = self._given_back_at = 0
        self.agent_moved_at = time.monotonic()
        self._lock = threading.Lock()
        self._stopping = False
        self._started = False
        self._attached = False

    def attach(self, deliver: Callable[[Poll], None], rebalanced: Callable[[set[int]], None]) -> None:
        """Have polls and assignments go through somebody (Faust) before `submit`."""
        self.hosting.attach(deliver, rebalanced)
        self._attached = True

    # ---- life ------------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """See that Kafka, the topic, Redis and the layout are as they must be; open the domain.

        Raises HeadwaterError, KafkaException, RedisError.
        """
        self.hosting.look_at_topic()
        self.store.open(self.hosting.partitions)
        self._owner_store.open(self.hosting.partitions)

    def start(self) -> None:
        """Start every thread and join the group; `prepare` first, if nobody did."""
        config = self.config
        if not self.hosting.partitions:
            self.prepare()
        self.engine = Engine(
            rules=config.rules, limits=config.limits, store=self.store, decoder=self.decoder, letters=self.letters,
            secret=self.store.secret, stats=self.stats, on_reset=self.hosting.on_reset, on_stopped=self.hosting.on_stopped,
            on_named=self._on_named, on_applied=self.hosting.poll_done, on_in_state=self._on_in_state,
        )  # fmt: skip
        self.publisher = KafkaPublisher(
            {**config.producer, "message.timeout.ms": int(1000 * QUEUED_SHARE * config.session_timeout_s)},
            deltas=self.topics["deltas"], alerts=self.topics["alerts"], alive=self._shards_alive,
            fresh_s=FRESH_SHARE * config.session_timeout_s,
        )  # fmt: skip
        self.shards = Shards(
            ShardStore(config.redis_client(), config.domain, config.rules.shards, self.redis_calls),
            self.publisher,
            ShardSettings(
                config.rules.shards, config.domain, self.topic, config.freshness_interval_s, config.sweep_interval_s,
                config.watchdog_interval_s, config.session_timeout_s + 1.0, config.limits.outbox_max, self._judge_settings(),
                asleep_s=FRESH_SHARE * config.session_timeout_s,
                woken_s=min(config.session_timeout_s, HEARTBEAT_S) + 1.0,
            ),
            on_crowded=self.engine.outbox_full,
        )  # fmt: skip
        self.source = KafkaSource(
            config.consumer,
            self.topic,
            self.hosting,
            batch_records=config.batch_records,
            linger_s=config.batch_linger_s,
        )
        self.hosting.connect(self.engine, self.shards, self.source)
        self.prover = Prover(
            config.client, self.topic, self._owner_store, self._owner_store.now_us, self.engine.owned, config.asof_interval_s,
            self._why_standing, self._watch_each_second, self.hosting.on_refused_proof,
        )  # fmt: skip
        self.follower = Follower(
            {**config.client, "group.id": f"{config.group}-follow"},
            {self.topics["schemas"]: self._on_schema, self.topics["policies"]: self._on_policy},
            self._on_caught_up,
        )
        heap.let_large_blocks_go()
        gc.collect()
        gc.freeze()  # start-up objects are never garbage; thousands of messages a poll must not have them looked through
        gc.set_threshold(500_000, 20, 50)
        with self._lock:  # a SIGTERM may come while all this is made: then nothing of it begins
            if self._stopping:
                return
            for part in (self.engine, self.shards, self.follower, self.prover, self.hosting.loader, self.source):
                part.start()
            self._started = True
        _name_threads()

    def stop(self) -> None:
        """Finish what is in hand, commit, leave the group, end the threads. Safe to call twice, and while `start` is at work."""
        with self._lock:
            begun, self._stopping = self._started and not self._stopping, True
        if not begun:
            return
        self.schemas.closing = True
        self.source.close(15.0)
        self.letters.closing = True
        self.store.closing = True
        self.hosting.loader.close(1.0)
        self.engine.close(5.0)
        self.prover.close()
        self.shards.close(5.0)
        self.publisher.closing = True
        self.follower.close()
        self.publisher.close(1.0)
        self.letters.close(1.0)
        self.store.close()

    @property
    def started(self) -> bool:
        """Whether `start` came to its end."""
        return self._started

    def loop_ages(self) -> dict[str, float]:
        """Seconds since each loop moved last."""
        now = time.monotonic()
        moved = {
            "engine": self.stats.moved_at, "shards": self.shards.moved_at, "poll": self.source.moved_at,
            "as-of": self.prover.moved_at, "follow": self.follower.moved_at, "agent": self.agent_moved_at,
        }  # fmt: skip
        if not self._attached:
            del moved["agent"]  # polls come straight from the consumer
        return {loop: max(0.0, now - at) for loop, at in moved.items()}

    def healthy(self) -> tuple[bool, str]:
        """Whether every loop moves. Waiting for Redis or for the broker is moving; hanging is not."""
        if not self._started:
            return True, "starting"
        dead = self.failed()
        if dead is not None:
            return False, f"a thread ended: {dead}"
        stuck = [f"{loop} for {age:.0f} s" for loop, age in self.loop_ages().items() if age > STUCK_S]
        return not stuck, ", ".join(stuck) or "ok"

    def ready(self) -> tuple[bool, str]:
        """Whether partitions are assigned and policies are known."""
        if not self._started or not self.source.assignment():
            return False, "no partitions are assigned yet"
        if not self.follower.caught_up.is_set():
            return False, "policies are not read to their end yet"
        return True, "ok"

    def failed(self) -> BaseException | None:
        """What ended a thread that must not end."""
        if not self._started:
            return None
        return self.engine.failed or self.shards.failed or self.source.failed or self.hosting.loader.failed

    # ---- polls -----------------------------------------------------------------------------------------------------

    def submit(self, poll: Poll) -> None:
        """A poll arrives at the engine (from the agent)."""
        if not poll.submitted:
            poll.submitted = True
            self.engine.submit(poll)

    def _why_standing(self) -> str:
        """What somebody who finds a partition standing still asks first."""
        ages = ", ".join(f"{loop} {age:.1f}" for loop, age in self.loop_ages().items())
        state = "is done with all it got" if self.engine.idle() else "works"
        room = "" if self.engine.room() else " and takes nothing more"
        paused = ", the consumer is paused" if self.source.paused else ""
        out = self.hosting.polls.out
        return f"the engine {state}{room}, polls on their way {out}{paused}; seconds since each loop moved: {ages}"

    # ---- from the engine -------------------------------------------------------------------------------------------

    def _on_named(self, behind: bool) -> None:
        self.shards.named(behind)

    def _on_in_state(self, shards_touched: int, oldest_us: int) -> None:
        self.shards.drain.travel.applied(shards_touched, oldest_us)

    def _shards_alive(self) -> None:
        self.shards.pulse()

    # ---- from the follower -----------------------------------------------------------------------------------------

    def _on_schema(self, _key: bytes, value: bytes | None, _offset: int) -> None:
        if value is not None:
            self.schema_store.offer(value.decode())

    def _on_policy(self, key: bytes, value: bytes | None, offset: int) -> None:
        if self._policies.take(key, value, offset) and self.follower.caught_up.is_set():
            self._on_caught_up()

    def _on_caught_up(self) -> None:
        self.shards.use_policies(self._policies.compiled())

    # ---- small things ----------------------------------------------------------------------------------------------

    def _watch_each_second(self) -> None:
        """What the as-of thread does beside its proofs."""
        self._give_memory_back()
        self.hosting.watch_topic()

    def _give_memory_back(self) -> None:
        """After a backlog, once it is calm again: what its polls took is free, but would be kept."""
        read, before = self.stats.records, self._read_before
        self._read_before = read
        if read - self._given_back_at >= GIVE_BACK_EACH_RECORDS and read - before < CALM_RECORDS:
            self._given_back_at = read
            heap.give_back()

    def _judge_settings(self) -> JudgeSettings:
        return replace(self.config.judge, born_us=self.store.born_us)


def _name_threads() -> None:
    """Tell the kernel what our threads are called, so that `top -H` and `headwater bench` can tell them apart."""
    tasks = Path("/proc/self/task")
    for thread in threading.enumerate():
        if thread.name.startswith("headwater-") and tasks.is_dir():
            with contextlib.suppress(OSError):
                (tasks / str(thread.native_id) / "comm").write_text(thread.name.replace("headwater-", "hw-"))
