"""A worker, wired: consumer, engine, shards, as-of, followers. Knows all parts; decides nothing that they decide.

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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import redis
from confluent_kafka import KafkaException

from headwater.errors import HeadwaterError
from headwater_processor.adapters import heap
from headwater_processor.adapters.events_topic import EventsTopic
from headwater_processor.adapters.kafka_source import Begin, KafkaSource, Loading
from headwater_processor.adapters.letters import KafkaLetters
from headwater_processor.adapters.publisher import KafkaPublisher
from headwater_processor.adapters.redis_store import RedisStore
from headwater_processor.adapters.schema_sources import WaitingSchemas
from headwater_processor.adapters.shard_store import ShardStore
from headwater_processor.core import stops
from headwater_processor.core.decode import BatchDecoder
from headwater_processor.core.judge_settings import JudgeSettings
from headwater_processor.core.plan import PartitionPlanner, Rules
from headwater_processor.core.seen import Seen
from headwater_processor.engine.engine import Engine, Limits, refusal_is_foreign
from headwater_processor.engine.follow import Follower
from headwater_processor.engine.intake import Poll
from headwater_processor.engine.loading import Load, Loader
from headwater_processor.engine.outstanding import PollsOut
from headwater_processor.engine.owned import Owned
from headwater_processor.engine.policy_table import PolicyTable
from headwater_processor.engine.proofs import Prover
from headwater_processor.engine.shards import Shards, ShardSettings
from headwater_processor.engine.stats import EngineStats, RedisCalls
from headwater_processor.ports import EmptyStateError, Fence, TopicChangedError
from headwater_schemas.policies import Policy
from headwater_schemas.registry import RegistryStore, SchemaStore, registry_client
from headwater_schemas.topics import catalogue

log = logging.getLogger(__name__)

RELEASE_S: Final = 4.0
"""How long a revoked partition may take to finish what is in hand; well below the session timeout."""
SHARDS_RELEASE_S: Final = 2.0
"""And how long, after that, the images of its shards that are on their way: some 50 ms where all is well."""
FRESH_SHARE: Final = 0.15
QUEUED_SHARE: Final = 0.5
"""Of the session timeout: how old may be what is said, and how long it may wait in the producer. Both and the time between
two heartbeats have to stay below the whole, so that a worker that was declared dead says nothing after its successor."""
HEARTBEAT_S: Final = 6.0
"""The longest between two heartbeats: 3 s by default, 5 s by the broker's word under KIP-848."""
FOREIGN_WAIT_S: Final = 1.0
LOAD_AGAIN_S: Final = 0.5
TOPIC_WATCH_S: Final = 5.0
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
        self._loader = Loader(self._owner_store.load_seen)
        self.schema_store = SchemaStore()
        self.registry = RegistryStore(registry_client(config.registry)) if config.registry else None
        self.schemas = WaitingSchemas(
            self.schema_store, self.registry, wait_s=config.schema_wait_s, alive=self.stats.pulse
        )
        self.decoder = BatchDecoder(self.schemas)
        self.letters = KafkaLetters(
            config.producer, dead_topic=self.topics["deadletter"], late_topic=self.topics["late"], group=config.group
        )
        self._events = EventsTopic(config.client, self.topic)
        self._topic_id = ""
        self._looked_at = 0.0
        self._policies = PolicyTable(config.policies)
        self._last_applied: dict[int, int] = {}
        self._held: set[int] = set()
        self._read_before = self._given_back_at = 0
        self._deliver: Callable[[Poll], None] = self.submit
        self._rebalanced: Callable[[set[int]], None] = lambda _partitions: None
        self._polls = PollsOut()
        self.agent_moved_at = time.monotonic()
        self._lock = threading.Lock()
        self._partitions = 0
        self._stopping = False
        self._started = False
        self._attached = False

    def attach(self, deliver: Callable[[Poll], None], rebalanced: Callable[[set[int]], None]) -> None:
        """Have polls and assignments go through somebody (Faust) before `submit`."""
        self._deliver = deliver
        self._rebalanced = rebalanced
        self._attached = True

    # ---- life ------------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """See that Kafka, the topic, Redis and the layout are as they must be; open the domain.

        Raises HeadwaterError, KafkaException, RedisError.
        """
        self._look_at_topic()
        self.store.open(self._partitions)
        self._owner_store.open(self._partitions)

    def start(self) -> None:
        """Start every thread and join the group; `prepare` first, if nobody did."""
        config = self.config
        if not self._partitions:
            self.prepare()
        self.engine = Engine(
            rules=config.rules, limits=config.limits, store=self.store, decoder=self.decoder, letters=self.letters,
            secret=self.store.secret, stats=self.stats, on_reset=self._on_reset, on_stopped=self._on_stopped,
            on_named=self._on_named, on_applied=self._on_applied, on_in_state=self._on_in_state,
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
            config.consumer, self.topic, self, batch_records=config.batch_records, linger_s=config.batch_linger_s
        )
        self.prover = Prover(
            config.client, self.topic, self._owner_store, self._owner_store.now_us, self.engine.owned, config.asof_interval_s,
            self._why_standing, self._watch_each_second, self._on_refused_proof,
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
            for part in (self.engine, self.shards, self.follower, self.prover, self._loader, self.source):
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
        self._loader.close(1.0)
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
        return self.engine.failed or self.shards.failed or self.source.failed or self._loader.failed

    # ---- polls -----------------------------------------------------------------------------------------------------

    def submit(self, poll: Poll) -> None:
        """A poll arrives at the engine (from the agent)."""
        if not poll.submitted:
            poll.submitted = True
            self.engine.submit(poll)

    def deliver(self, poll: Poll) -> None:
        """See kafka_source.Host."""
        self._polls.handed_on(time.monotonic())
        self._deliver(poll)

    def room(self) -> bool:
        """See kafka_source.Host."""
        if self._polls.overdue(time.monotonic()) and self.engine.idle():
            self._read_lost_polls_again()
        return self._polls.room() and self.engine.room()

    def _read_lost_polls_again(self) -> None:
        """Faust clears its queues when flow resumes after a rebalance: what it dropped is read again from the fence."""
        self._polls.forget()
        self._polls.looked()
        for partition, owned in self.engine.owned().items():
            position = self.source.position(partition)
            if not owned.dead and position > owned.accepted:
                log.warning(
                    "partition %d: the records %d to %d did not arrive at the engine; reading them again",
                    partition, owned.accepted, position - 1,
                )  # fmt: skip
                owned.dead = True
                self.source.reset(owned, 0.0)

    def _on_applied(self) -> None:
        self._polls.done()
        self.source.wake()

    def _why_standing(self) -> str:
        """What somebody who finds a partition standing still asks first."""
        ages = ", ".join(f"{loop} {age:.1f}" for loop, age in self.loop_ages().items())
        state = "is done with all it got" if self.engine.idle() else "works"
        room = "" if self.engine.room() else " and takes nothing more"
        paused = ", the consumer is paused" if self.source.paused else ""
        return f"the engine {state}{room}, polls on their way {self._polls.out}{paused}; seconds since each loop moved: {ages}"

    # ---- ownership (poll thread) -----------------------------------------------------------------------------------

    def take_over(self, partition: int, begin: Begin, session: int) -> Owned | Loading | str:
        """See kafka_source.Host."""
        begin_at: int | None = begin.low
        if begin.committed > begin.low and self.config.on_empty_state == "stop":
            begin_at = None
        self._owner_store.open(self._partitions)  # Redis may have been emptied under us
        try:
            fence = self._owner_store.acquire(partition, self._topic_id, begin_at)
        except EmptyStateError:
            return self._stop(partition, stops.empty_state(partition, begin.committed))
        except TopicChangedError as error:
            return self._stop(partition, stops.other_topic(str(error)))
        if fence.next > begin.high and fence.next > (end := begin.ask_end()):
            return self._stop(partition, stops.state_ahead(fence.next, end))
        if fence.next < begin.low:
            return self._stop(partition, stops.lost_records(fence.next, begin.low))
        if fence.stopped:
            return self._stop(partition, fence.stopped, known=True)
        self._held.discard(partition)
        owned = self.engine.owned().get(partition)
        reached = max(begin.committed, self._last_applied.get(partition, -1), owned.applied if owned else -1)
        if reached > fence.next:
            log.warning(
                "partition %d: the state is at %d, %d was reached before: it was set back",
                partition,
                fence.next,
                reached,
            )
            fence = replace(fence, again_until=reached)

        if not fence.buckets:
            return self._own(fence, session, Seen())
        wanted = partial(self.source.is_loading, partition, session)
        load = Load(fence, wanted, partial(self._loaded, fence, session))
        return Loading(fence.next, partial(self._loader.load, load))

    def _own(self, fence: Fence, session: int, seen: Seen) -> Owned:
        def load(planner: PartitionPlanner) -> None:
            planner.seen = seen

        return self.engine.own(fence, session, load)

    def _loaded(self, fence: Fence, session: int, seen: Seen | None) -> None:
        """The loader is done with a partition; None: it could not read its ids."""
        if seen is None:
            self.source.take_again(fence.partition, session, LOAD_AGAIN_S)
        else:
            self.source.loaded(fence.partition, session, lambda: self._own(fence, session, seen))

    def _stop(self, partition: int, reason: str, *, known: bool = False) -> str:
        """Remember that a partition stands still, and tell whoever reads the log what helps; the reason is logged by who asked."""
        if not known:
            self._owner_store.mark_stopped(partition, reason)
        self._held.add(partition)
        log.error("partition %d: %s", partition, stops.remedy(reason, stops.resume_command(partition)))
        return reason

    @contextlib.contextmanager
    def _told_when_read_again(self, partition: int) -> Iterator[None]:
        """Redis may be away just then. What is not stored does not hold the partition back, so that it is taken over again,
        and stopped again for the same reason."""
        try:
            yield
        except redis.RedisError as error:
            log.warning("partition %d: that it is stopped is not in Redis yet: %s", partition, error)

    def stopped(self) -> set[int]:
        """The partitions of this worker that stand still."""
        return self._held | {partition for partition, owned in self.engine.owned().items() if owned.stopped}

    def release(self, partitions: set[int]) -> None:
        """See kafka_source.Host."""
        if not self.engine.wait_idle(RELEASE_S):
            log.warning("not everything in hand was applied before %s went; the next owner reads it again", partitions)
        if not self.shards.release(partitions, SHARDS_RELEASE_S):
            log.warning("images were still on their way when %s went; the next owner's are newer", partitions)
        # What is applied is committed by the source before it forgets the partitions; `applied` must still answer.
        self._held -= partitions
        for partition in partitions:
            owned = self.engine.owned().get(partition)
            if owned is not None:
                self._last_applied[partition] = owned.applied
            self.engine.disown(partition)

    def lost(self, partitions: set[int]) -> None:
        """See kafka_source.Host."""
        self._held -= partitions
        for partition in partitions:
            self.engine.disown(partition)

    def applied(self, partition: int) -> int | None:
        """See kafka_source.Host."""
        owned = self.engine.owned().get(partition)
        if owned is None:
            return self._last_applied.pop(partition, None)
        return owned.applied if owned.applied > 0 else None

    def may_resume(self, partition: int) -> bool:
        """See kafka_source.Host."""
        try:
            return not self._owner_store.is_stopped(partition)
        except redis.RedisError as error:
            log.warning("whether partition %d may go on is not known yet: %s", partition, error)
            return False

    def held(self, partition: int, reason: str) -> None:
        """See kafka_source.Host."""
        owned = self.engine.owned().get(partition)
        with contextlib.suppress(KafkaException):  # an offset may be gone because the whole topic is another one
            self._look_at_topic()
            if owned is not None and self._is_of_another_topic(owned):
                reason = stops.other_topic(owned.fence.topic)
        self.engine.disown(partition)
        with self._told_when_read_again(partition):
            self._stop(partition, reason)

    def rebalanced(self, assigned: set[int]) -> None:
        """See kafka_source.Host."""
        self._polls.forget()  # polls of partitions that went may never come to the engine
        if assigned:  # partitions are lost above all when the broker is gone, and then it cannot be asked
            try:
                self._look_at_topic()
            except KafkaException as error:
                log.warning("the number of partitions is not known anew (%s); %d as before", error, self._partitions)
        self.shards.assign(assigned, self._partitions)
        self._rebalanced(assigned)

    # ---- from the engine -------------------------------------------------------------------------------------------

    def _on_reset(self, owned: Owned, why: str) -> None:
        # A zombie learns from the group that it is one; until then it must not take the partition back.
        self.source.reset(owned, FOREIGN_WAIT_S if refusal_is_foreign(why) else 0.0)

    def _on_refused_proof(self, owned: Owned) -> None:
        """An idle partition whose state is not where its owner left it: somebody else's, or a Redis that was set back. No call
        of ours will find out, for there is nothing to apply."""
        log.warning("partition %d: as-of is refused; beginning again at the fence", owned.fence.partition)
        owned.dead = True
        self.source.reset(owned, FOREIGN_WAIT_S)

    def _on_stopped(self, owned: Owned, reason: str) -> None:
        partition = owned.fence.partition
        log.error("partition %d is stopped: %s", partition, reason)
        log.error("partition %d: %s", partition, stops.remedy(reason, stops.resume_command(partition)))
        with self._told_when_read_again(partition):
            self._owner_store.stop(owned.fence, reason)
        self.source.stop_partition(owned, reason)

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

    def _look_at_topic(self) -> None:
        """How many partitions there are, and whether it is the topic that it was: one that is created anew under our hands has
        the same name and other records."""
        self._looked_at = time.monotonic()
        found = self._events.look()
        if not found.partitions and not self._partitions:
            raise HeadwaterError(
                f"the topic {self.topic} does not exist on {self.bootstrap_servers}",
                remedy="create the topics with `headwater topics create`",
            )
        self._partitions = found.partitions or self._partitions
        self._topic_id = found.topic_id or self._topic_id
        if self._started:
            for partition, owned in self.engine.owned().items():
                if self._is_of_another_topic(owned):
                    self.source.hold(partition, stops.other_topic(owned.fence.topic))

    def _is_of_another_topic(self, owned: Owned) -> bool:
        return owned.fence.topic not in ("", self._topic_id) and self._topic_id != ""

    def _watch_each_second(self) -> None:
        """What the as-of thread does beside its proofs."""
        self._give_memory_back()
        self._watch_topic()

    def _give_memory_back(self) -> None:
        """After a backlog, once it is calm again: what its polls took is free, but would be kept."""
        read, before = self.stats.records, self._read_before
        self._read_before = read
        if read - self._given_back_at >= GIVE_BACK_EACH_RECORDS and read - before < CALM_RECORDS:
            self._given_back_at = read
            heap.give_back()

    def _watch_topic(self) -> None:
        if time.monotonic() - self._looked_at >= TOPIC_WATCH_S:
            self._look_at_topic()

    def _judge_settings(self) -> JudgeSettings:
        return replace(self.config.judge, born_us=self.store.born_us)


def _name_threads() -> None:
    """Tell the kernel what our threads are called, so that `top -H` and `headwater bench` can tell them apart."""
    tasks = Path("/proc/self/task")
    for thread in threading.enumerate():
        if thread.name.startswith("headwater-") and tasks.is_dir():
            with contextlib.suppress(OSError):
                (tasks / str(thread.native_id) / "comm").write_text(thread.name.replace("headwater-", "hw-"))
