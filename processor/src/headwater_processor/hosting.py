"""The partitions of a worker, as its source asks for them: taken over, let go, held, read again; and whether there is room.

All of it but `deliver`, `submitted` and what the engine and the prover call happens on the poll thread (`kafka_source.Host`).
Redis decides where a partition begins; what it says is doubted only where it cannot be true of this topic, and then the
partition stands still with a reason until an operator says how to go on (`core/stops.py`).
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Final

import redis
from confluent_kafka import KafkaException

from headwater.errors import HeadwaterError
from headwater_processor.adapters.events_topic import EventsTopic
from headwater_processor.adapters.kafka_source import Begin, KafkaSource, Loading
from headwater_processor.adapters.redis_store import RedisStore
from headwater_processor.core import stops
from headwater_processor.core.plan import PartitionPlanner
from headwater_processor.core.seen import Seen
from headwater_processor.engine.engine import Engine, refusal_is_foreign
from headwater_processor.engine.intake import Poll
from headwater_processor.engine.loading import Load, Loader
from headwater_processor.engine.outstanding import PollsOut
from headwater_processor.engine.owned import Owned
from headwater_processor.engine.shards import Shards
from headwater_processor.ports import EmptyStateError, Fence, TopicChangedError

log = logging.getLogger(__name__)

RELEASE_S: Final = 4.0
"""How long a revoked partition may take to finish what is in hand; well below the session timeout."""
SHARDS_RELEASE_S: Final = 2.0
"""And how long, after that, the images of its shards that are on their way: some 50 ms where all is well."""
FOREIGN_WAIT_S: Final = 1.0
LOAD_AGAIN_S: Final = 0.5
TOPIC_WATCH_S: Final = 5.0


class Hosting:
    """The source's `Host`. `connect` before any thread begins."""

    engine: Engine
    shards: Shards
    source: KafkaSource

    def __init__(
        self, events: EventsTopic, store: RedisStore, *, on_empty_state: str, submit: Callable[[Poll], None]
    ) -> None:
        self.events = events
        self.store = store
        self.loader = Loader(store.load_seen)
        self.polls = PollsOut()
        self.partitions = 0
        """Of the topic, as far as the broker could be asked."""
        self._on_empty_state = on_empty_state
        self._deliver = submit
        self._rebalanced: Callable[[set[int]], None] = lambda _partitions: None
        self._connected = False
        self._topic_id = ""
        self._looked_at = 0.0
        self._last_applied: dict[int, int] = {}
        self._held: set[int] = set()

    def attach(self, deliver: Callable[[Poll], None], rebalanced: Callable[[set[int]], None]) -> None:
        """Have polls and assignments go through somebody before they reach the engine."""
        self._deliver = deliver
        self._rebalanced = rebalanced

    def connect(self, engine: Engine, shards: Shards, source: KafkaSource) -> None:
        """The parts between which this stands."""
        self.engine, self.shards, self.source = engine, shards, source
        self._connected = True

    def stopped(self) -> set[int]:
        """The partitions of this worker that stand still."""
        return self._held | {partition for partition, owned in self.engine.owned().items() if owned.stopped}

    # ---- polls -----------------------------------------------------------------------------------------------------

    def deliver(self, poll: Poll) -> None:
        """See kafka_source.Host."""
        self.polls.handed_on(time.monotonic())
        self._deliver(poll)

    def room(self) -> bool:
        """See kafka_source.Host."""
        if self.polls.overdue(time.monotonic()) and self.engine.idle():
            self._read_lost_polls_again()
        return self.polls.room() and self.engine.room()

    def _read_lost_polls_again(self) -> None:
        """Faust clears its queues when flow resumes after a rebalance: what it dropped is read again from the fence."""
        self.polls.forget()
        self.polls.looked()
        for partition, owned in self.engine.owned().items():
            position = self.source.position(partition)
            if not owned.dead and position > owned.accepted:
                log.warning(
                    "partition %d: the records %d to %d did not arrive at the engine; reading them again",
                    partition, owned.accepted, position - 1,
                )  # fmt: skip
                owned.dead = True
                self.source.reset(owned, 0.0)

    def poll_done(self) -> None:
        """The engine is done with a poll (its thread)."""
        self.polls.done()
        self.source.wake()

    # ---- ownership -------------------------------------------------------------------------------------------------

    def take_over(self, partition: int, begin: Begin, session: int) -> Owned | Loading | str:
        """See kafka_source.Host."""
        begin_at: int | None = begin.low
        if begin.committed > begin.low and self._on_empty_state == "stop":
            begin_at = None
        self.store.open(self.partitions)  # Redis may have been emptied under us
        try:
            fence = self.store.acquire(partition, self._topic_id, begin_at)
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
        fence = self._marked_if_set_back(fence, begin.committed)
        if not fence.buckets:
            return self._own(fence, session, Seen())
        wanted = partial(self.source.is_loading, partition, session)
        load = Load(fence, wanted, partial(self._loaded, fence, session))
        return Loading(fence.next, partial(self.loader.load, load))

    def _marked_if_set_back(self, fence: Fence, committed: int) -> Fence:
        """Records before the offset that was reached once are applied again, to a state that lost them."""
        partition = fence.partition
        owned = self.engine.owned().get(partition)
        reached = max(committed, self._last_applied.get(partition, -1), owned.applied if owned else -1)
        if reached <= fence.next:
            return fence
        log.warning(
            "partition %d: the state is at %d, %d was reached before: it was set back", partition, fence.next, reached
        )
        return replace(fence, again_until=reached)

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

    def rebalanced(self, assigned: set[int]) -> None:
        """See kafka_source.Host."""
        self.polls.forget()  # polls of partitions that went may never come to the engine
        if assigned:  # partitions are lost above all when the broker is gone, and then it cannot be asked
            try:
                self.look_at_topic()
            except KafkaException as error:
                log.warning("the number of partitions is not known anew (%s); %d as before", error, self.partitions)
        self.shards.assign(assigned, self.partitions)
        self._rebalanced(assigned)

    # ---- partitions that stand still -------------------------------------------------------------------------------

    def held(self, partition: int, reason: str) -> None:
        """See kafka_source.Host."""
        owned = self.engine.owned().get(partition)
        with contextlib.suppress(KafkaException):  # an offset may be gone because the whole topic is another one
            self.look_at_topic()
            if owned is not None and self._is_of_another_topic(owned):
                reason = stops.other_topic(owned.fence.topic)
        self.engine.disown(partition)
        with self._told_when_read_again(partition):
            self._stop(partition, reason)

    def may_resume(self, partition: int) -> bool:
        """See kafka_source.Host."""
        try:
            return not self.store.is_stopped(partition)
        except redis.RedisError as error:
            log.warning("whether partition %d may go on is not known yet: %s", partition, error)
            return False

    def _stop(self, partition: int, reason: str, *, known: bool = False) -> str:
        """Remember that a partition stands still, and tell whoever reads the log what helps; the reason is logged by who asked."""
        if not known:
            self.store.mark_stopped(partition, reason)
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

    # ---- what the engine and the prover find -----------------------------------------------------------------------

    def on_reset(self, owned: Owned, why: str) -> None:
        """A call was refused. A zombie learns from the group that it is one; until then it must not take the partition back."""
        self.source.reset(owned, FOREIGN_WAIT_S if refusal_is_foreign(why) else 0.0)

    def on_refused_proof(self, owned: Owned) -> None:
        """An idle partition whose state is not where its owner left it: somebody else's, or a Redis that was set back. No call
        of ours will find out, for there is nothing to apply."""
        log.warning("partition %d: as-of is refused; beginning again at the fence", owned.fence.partition)
        owned.dead = True
        self.source.reset(owned, FOREIGN_WAIT_S)

    def on_stopped(self, owned: Owned, reason: str) -> None:
        """Too many records of a partition cannot be read."""
        partition = owned.fence.partition
        log.error("partition %d is stopped: %s", partition, reason)
        log.error("partition %d: %s", partition, stops.remedy(reason, stops.resume_command(partition)))
        with self._told_when_read_again(partition):
            self.store.stop(owned.fence, reason)
        self.source.stop_partition(owned, reason)

    # ---- the topic -------------------------------------------------------------------------------------------------

    def look_at_topic(self) -> None:
        """How many partitions there are, and whether it is the topic that it was: one that is created anew under our hands has
        the same name and other records. Raises HeadwaterError if there is none, and KafkaException."""
        self._looked_at = time.monotonic()
        found = self.events.look()
        if not found.partitions and not self.partitions:
            raise HeadwaterError(
                f"the topic {self.events.topic} does not exist on {self.events.servers}",
                remedy="create the topics with `headwater topics create`",
            )
        self.partitions = found.partitions or self.partitions
        self._topic_id = found.topic_id or self._topic_id
        if self._connected:
            for partition, owned in self.engine.owned().items():
                if self._is_of_another_topic(owned):
                    self.source.hold(partition, stops.other_topic(owned.fence.topic))

    def watch_topic(self) -> None:
        """Look at it, if that was a while ago."""
        if time.monotonic() - self._looked_at >= TOPIC_WATCH_S:
            self.look_at_topic()

    def _is_of_another_topic(self, owned: Owned) -> bool:
        return owned.fence.topic not in ("", self._topic_id) and self._topic_id != ""
