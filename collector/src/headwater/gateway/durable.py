"""Records into Kafka, and a word for each when all in-sync replicas have it.

Everything happens on the event loop's thread: librdkafka works on threads of its own, which need no interpreter lock, and its
reports are fetched by a short poll while something is under way. So nothing waits for another Python thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, Message

from headwater.openlineage.records import Record
from headwater.runtime.producing import SteadyProducer

POLL_S: Final = 0.002
STALLED_S: Final = 1.5
"""Nothing was acknowledged for so long although something is under way: Kafka is away, and new events are refused at once."""

_QUEUE_MESSAGES: Final = 1_000_000
_SPARE_BYTES: Final = 64
"""What a record costs beside its key and value, roughly."""

Done = Callable[[KafkaError | None], None]


def gateway_producer(config: dict[str, Any], *, answer_ms: int, pending_bytes: int) -> dict[str, Any]:
    """The runtime's producer, set so that an answer comes in time and that its queue is never what is full."""
    return {
        **config,
        "linger.ms": 2,
        "message.timeout.ms": answer_ms,
        "queue.buffering.max.messages": _QUEUE_MESSAGES,
        "queue.buffering.max.kbytes": 2 * pending_bytes // 1024 + 64 * 1024,
        "topic.metadata.propagation.max.ms": min(answer_ms, 30_000),
    }


def is_too_large(error: KafkaError) -> bool:
    """Whether the event is to blame and not Kafka: it stays refused until `max.message.bytes` of the topic is raised."""
    return error.code() == KafkaError.MSG_SIZE_TOO_LARGE


@dataclass(slots=True)
class Progress:
    """What went through."""

    acknowledged: int = 0
    failed: int = 0


class Durable:
    """Sends to one topic. Not for several threads.

    Args:
        config: of librdkafka, from `gateway_producer`.
        pending_bytes: how much may be under way.
    """

    def __init__(self, config: dict[str, Any], topic: str, *, pending_bytes: int) -> None:
        self.topic = topic
        self.progress = Progress()
        self.pending = 0
        self.pending_bytes = 0
        self.last_error: KafkaError | None = None
        self.failed_at = 0.0
        """When (monotonic) Kafka did not take an event; 0 once it has taken one since."""
        self._most_bytes = pending_bytes
        self._config = config
        self._producer = SteadyProducer(config)
        self._lone: SteadyProducer | None = None
        """Whose batches hold one record: Kafka refuses a batch whole, and small records for their neighbour's size."""
        self._moved_at = time.monotonic()
        self._polling: asyncio.TimerHandle | None = None

    def refusal(self, size: int) -> str:
        """Why so many bytes more are not taken now: `busy` or `stalled`; "" if they are."""
        if self.pending and (self.failed_at or time.monotonic() - self._moved_at > STALLED_S):
            return "stalled"  # after a failure one event at a time finds out whether Kafka is there again
        if self.pending_bytes + size > self._most_bytes or self.pending >= _QUEUE_MESSAGES // 2:
            return "busy"
        return ""

    def send(self, record: Record, done: Done) -> None:
        """Produce a record; `done` is called once, from a poll, with the error or None."""
        size = len(record.value) + len(record.key) + _SPARE_BYTES
        if not self.pending:
            self._moved_at = time.monotonic()
        self.pending += 1
        self.pending_bytes += size

        def reported(error: KafkaError | None, _message: Message | None) -> None:
            if error is not None and is_too_large(error):
                self._ask_alone(record, size, done)
            else:
                self._ended(size, error)
                done(error)

        self._producer.produce(self.topic, record.value, record.key, reported)
        if self._polling is None:
            self._polling = asyncio.get_running_loop().call_later(POLL_S, self._poll)

    async def deliver(self, record: Record) -> KafkaError | None:
        """Send a record and wait for what becomes of it."""
        waiting: asyncio.Future[KafkaError | None] = asyncio.get_running_loop().create_future()
        self.send(record, lambda error: None if waiting.done() else waiting.set_result(error))
        return await waiting

    async def deliver_all(self, records: list[Record]) -> dict[int, KafkaError]:
        """Send records and wait; what failed, by its place."""
        sending = Sending(self)
        for at, record in enumerate(records):
            sending.send(at, record)
        return await sending.finished()

    async def close(self, within_s: float) -> int:
        """Wait for what is under way, then give it up; how much that was."""
        end = time.monotonic() + within_s
        while self.pending and time.monotonic() < end:
            await asyncio.sleep(POLL_S)
        left = self.pending
        if self._polling is not None:
            self._polling.cancel()
            self._polling = None
        if left:
            self._producer.purge()
            if self._lone is not None:
                self._lone.purge()
        return left

    @property
    def producer(self) -> SteadyProducer:
        """Who knows the topic's metadata."""
        return self._producer

    def _ask_alone(self, record: Record, size: int, done: Done) -> None:
        """Whether it is this record that is too large, or one that shared its batch."""
        if self._lone is None:
            self._lone = SteadyProducer({**self._config, "batch.num.messages": 1, "linger.ms": 0})

        # Not the batch's report once more: a closure that names itself is a cycle, which each record would then leave to
        # the garbage collector (measured beside each other, real Kafka: 18 us a record instead of 12).
        def reported(error: KafkaError | None, _message: Message | None) -> None:
            self._ended(size, error)
            done(error)

        self._lone.produce(self.topic, record.value, record.key, reported)

    def _ended(self, size: int, error: KafkaError | None) -> None:
        self.pending -= 1
        self.pending_bytes -= size
        if error is None:
            self.progress.acknowledged += 1
            self._moved_at = time.monotonic()
            self.failed_at = 0.0
            return
        self.progress.failed += 1
        if is_too_large(error):  # Kafka is there, and other events are well
            self._moved_at = time.monotonic()
        else:
            self.last_error = error
            self.failed_at = time.monotonic()

    def _poll(self) -> None:
        self._polling = None
        self._producer.poll(0)
        if self._lone is not None:
            self._lone.poll(0)
        if self.pending:
            self._polling = asyncio.get_running_loop().call_later(POLL_S, self._poll)


class Sending:
    """Records of one request on their way."""

    __slots__ = ("_durable", "_failed", "_left", "_waiting")

    def __init__(self, durable: Durable) -> None:
        self._durable = durable
        self._failed: dict[int, KafkaError] = {}
        self._left = 0
        self._waiting: asyncio.Future[None] | None = None

    def send(self, at: int, record: Record) -> None:
        """Send one; `at` names it in what `finished` gives."""
        self._left += 1

        def done(error: KafkaError | None) -> None:
            self._left -= 1
            if error is not None:
                self._failed[at] = error
            if not self._left and self._waiting is not None and not self._waiting.done():
                self._waiting.set_result(None)

        self._durable.send(record, done)

    async def finished(self) -> dict[int, KafkaError]:
        """Wait for all; the errors of what did not arrive, by `at`."""
        if self._left:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        return self._failed
