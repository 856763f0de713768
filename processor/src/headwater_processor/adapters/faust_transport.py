"""Faust transport `headwater://`: agents receive whole polls; the bytes, offsets and rebalances are `KafkaSource`'s.

Faust brings the life cycle of the app, agents, timers, sensors and the worker's command line. Its own way with messages costs
a few hundred microseconds each and acknowledges what an agent failed on, so here one Faust message is one poll of the
consumer for all partitions, and nothing about offsets depends on Faust's acknowledgements: what is committed is what the
engine has applied (see decisions/0002). Registered in the entry-point group `faust.transports`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections import deque
from concurrent.futures import Future
from typing import Any

from faust.events import Event
from faust.serializers.schemas import Schema
from faust.transport.consumer import Consumer as FaustConsumer
from faust.transport.drivers import aiokafka as _aiokafka
from faust.types import TP, ConsumerMessage, Message

from headwater_processor.engine.intake import Poll

log = logging.getLogger(__name__)

_WATCH_S = 1.0


def _complain(told: Future[None]) -> None:
    if not told.cancelled() and told.exception() is not None:
        log.error("Faust did not take an assignment in: %r", told.exception())


class PollSchema(Schema[Any, Any]):
    """Passes the poll through: there is nothing to decode for Faust."""

    def compile(self, app: Any, *, on_key_decode_error: Any = None, on_value_decode_error: Any = None,
                default_propagate: bool = False) -> Any:  # fmt: skip
        """See faust.Schema."""

        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return Event(app, None, message.value, {}, message)

        return decode


class Consumer(FaustConsumer):
    """The part of the consumer that Faust calls. `app.headwater` (a Worker) owns everything else."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._arrived: deque[Poll] = deque()
        self._out: list[Poll] = []
        self._assigned: set[TP] = set()
        self._generation = 0
        self._subscribed = False

    @property
    def worker(self) -> Any:
        """The worker behind the app."""
        app: Any = self.app
        return app.headwater

    async def on_start(self) -> None:
        """Called by mode when the service starts."""
        self._running = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._telling = asyncio.Lock()
        self.worker.attach(self._deliver, self._rebalanced)
        await super().on_start()

    async def on_stop(self) -> None:
        """Called by mode when the service stops."""
        await self._running.run_in_executor(None, self.worker.stop)

    @FaustConsumer.task
    async def _watch(self) -> None:
        """A stage that is gone would keep its partitions without working on them; the group gives them to others. A task of
        the consumer, because timers of the app begin only after the first assignment, which may never come then."""
        while not self.should_stop:
            await self.sleep(_WATCH_S)
            if self.worker.failed() is not None:
                os.kill(os.getpid(), signal.SIGTERM)
                return

    def close(self) -> None:
        """Nothing to do: `on_stop` did it."""

    async def subscribe(self, topics: Any) -> None:
        """Join the group, once."""
        if not self._subscribed:
            self._subscribed = True
            await self._running.run_in_executor(None, self.worker.start)

    # ---- from the poll thread --------------------------------------------------------------------------------------

    def _deliver(self, poll: Poll) -> None:
        self._running.call_soon_threadsafe(self._take, poll)

    def _take(self, poll: Poll) -> None:
        self._out = [each for each in self._out if not each.submitted]
        self._out.append(poll)
        self._arrived.append(poll)
        self._news.set()

    def _rebalanced(self, partitions: set[int]) -> None:
        told = asyncio.run_coroutine_threadsafe(self._tell_faust(partitions), self._running)
        told.add_done_callback(_complain)  # nobody waits for it, so nobody else would hear of an error

    async def _tell_faust(self, partitions: set[int]) -> None:
        """Faust learns the whole assignment each time; it takes what it is told for all there is. One after the other: an
        assignment may follow a loss while Faust still takes the loss in."""
        async with self._telling:
            await self._tell_faust_next(partitions)

    async def _tell_faust_next(self, partitions: set[int]) -> None:
        topic = self.worker.topic
        before, self._assigned = self._assigned, {TP(topic, partition) for partition in partitions}
        self._generation += 1
        if not self.app.rebalancing:
            self.app.on_rebalance_start()
        gone = before - self._assigned
        if gone:
            await self.on_partitions_revoked(gone)
        if self._assigned:
            self.app.consumer_generation_id = self._generation
            await self.on_partitions_assigned(self._assigned, self._generation)
            self._hand_over_what_was_dropped()

    def _hand_over_what_was_dropped(self) -> None:
        """Around a rebalance Faust empties its queues and skips messages of another generation. The source would wait for
        such a poll for ever, and the records of it with it; the engine drops what is of partitions that went."""
        for poll in self._out:
            self.worker.submit(poll)  # once: what the agent gets all the same is submitted already
        self._out.clear()

    # ---- Faust's loop ----------------------------------------------------------------------------------------------

    async def _drain_messages(self, fetcher: Any) -> None:
        # Cancelled only when the app stops. During a rebalance, and without partitions that is always, Faust would take it
        # for a crash, and the worker would end with 1.
        with contextlib.suppress(asyncio.CancelledError):
            await self._drain(fetcher)

    async def _drain(self, fetcher: Any) -> None:
        while not (self._stopped.is_set() or fetcher._stopped.is_set()):
            if self.flow_active or not self._assigned:
                self.worker.agent_moved_at = time.monotonic()
            if not self._assigned:
                self._arrived.clear()  # read under an ownership that is gone; the next one begins at the fence
            if self.flow_active and self._arrived:
                await self.callback(self._message(self._arrived.popleft()))
                continue
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), 0.5 if self.flow_active else 0.05)

    def _message(self, poll: Any) -> ConsumerMessage:
        tp = TP(self.worker.topic, poll.parts[0].partition)
        if tp not in self._assigned:
            tp = next(iter(self._assigned))  # the poll is for all; the engine looks at each partition's session itself
        return ConsumerMessage(
            tp.topic, tp.partition, poll.parts[0].next - 1, 0.0, 1, [], None, poll, None, 0, 0, tp,
            generation_id=self.app.consumer_generation_id,
        )  # fmt: skip

    # ---- what Faust may ask, and what does not apply here ----------------------------------------------------------

    def ack(self, message: Message) -> bool:
        """Acknowledging a poll has no meaning for offsets; it only ends Faust's own bookkeeping."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        return True

    async def wait_empty(self) -> None:
        """The source waits for the engine when partitions go."""
        self._unacked_messages.clear()

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """The source commits what is applied."""
        return False

    async def perform_seek(self) -> None:
        """The source begins at the fences."""

    async def seek_to_committed(self) -> dict[TP, int]:
        """The source begins at the fences."""
        return {}

    def assignment(self) -> set[TP]:
        """The partitions that are ours now."""
        return set(self._assigned)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """The worker's own health check looks at the loops."""

    def highwater(self, tp: TP) -> int:
        """Not used: lag is the processor's own metric."""
        return 0

    def topic_partitions(self, topic: str) -> int | None:
        """Not used by the processor."""
        return None

    def key_partition(self, topic: str, key: bytes | None, partition: int | None = None) -> int | None:
        """Not used by the processor."""
        return partition

    def _new_topicpartition(self, topic: str, partition: int) -> TP:
        return TP(topic, partition)

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        raise NotImplementedError("polls are made into messages by _message")

    async def _getmany(self, active_partitions: Any, timeout: float) -> Any:
        return {}

    async def _commit(self, offsets: Any) -> bool:
        return False

    async def _seek(self, partition: TP, offset: int) -> None:
        return None

    async def seek_wait(self, partitions: Any) -> None:
        """The source begins at the fences."""

    async def position(self, tp: TP) -> int | None:
        """Where the engine stands."""
        applied: int | None = self.worker.hosting.applied(tp.partition)
        return applied

    async def earliest_offsets(self, *partitions: TP) -> dict[TP, int]:
        """Not used by the processor."""
        return {}

    async def highwaters(self, *partitions: TP) -> dict[TP, int]:
        """Not used by the processor."""
        return {}

    async def create_topic(self, *args: Any, **kwargs: Any) -> None:
        """`headwater topics create` makes the topics."""


class Transport(_aiokafka.Transport):
    """`broker="headwater://host:port"`."""

    Consumer = Consumer
    driver_version = "headwater"
