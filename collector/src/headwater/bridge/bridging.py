"""OpenLineage documents from one topic into events on another: at least once, in order where nothing fails, bounded.

A batch of records is converted and produced while the ones before it are under way; an offset is committed when Kafka has
acknowledged everything up to it. What fails is sent again until it arrives, so a broker that is away stops the bridge and loses
nothing. A record that is read twice becomes the same event, with the same id.

Of a flood of equal events one goes on, and now and then a heartbeat (`headwater.doors.floods`). What is held back is committed
behind the one that stands for it: batches are committed in their order.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from headwater.doors.floods import Floods
from headwater.openlineage.records import Converter, Record, parsed
from headwater.openlineage.values import Rejected
from headwater.runtime.leaving import leave
from headwater.runtime.letters import dead_letter_headers
from headwater.runtime.producing import Headers, SteadyProducer, advice

log = logging.getLogger(__name__)

MOST_UNDER_WAY: Final = 20_000
MOST_UNDER_WAY_BYTES: Final = 64 * 1024 * 1024
"""Reading stops while so much is not acknowledged."""

_STAGE: Final = "headwater.openlineage.records.Converter"
_IDLE_S: Final = 0.1
_BUSY_S: Final = 0.005
_AGAIN_S: Final = 0.5
_COMPLAIN_S: Final = 5.0
_COMMIT_EVERY_S: Final = 1.0
_BEAT_EVERY_S: Final = 1.0
_END_S: Final = 8.0
_REVOKED_S: Final = 4.0
_ASK_S: Final = 5.0


class _Batch:
    """Records of one poll."""

    __slots__ = ("left", "next")

    def __init__(self) -> None:
        self.left = 0
        self.next: dict[tuple[str, int], int] = {}


class _Outgoing:
    """One record on its way; librdkafka reports to it."""

    __slots__ = ("_bridge", "batch", "headers", "key", "topic", "value")

    def __init__(
        self, bridge: Bridge, batch: _Batch, topic: str, key: bytes | None, value: bytes | None, headers: Headers | None
    ) -> None:
        self._bridge = bridge
        self.batch = batch
        self.topic = topic
        self.key = key
        self.value = value
        self.headers = headers

    def __call__(self, error: KafkaError | None, _message: Message | None) -> None:
        if error is None:
            self.batch.left -= 1
            self._bridge.acknowledged(self)
        else:
            self._bridge.failed(self, error)


class Bridge:
    """The loop. Used by one thread, but for `stop`.

    Args:
        consumer, producer: librdkafka settings.
        source, events, dead: topics.
        group: as in `consumer`; dead letters name it.
        converter: documents into records; if not given, one without rules for names.
    """

    def __init__(
        self,
        consumer: dict[str, Any],
        producer: dict[str, Any],
        *,
        source: str,
        events: str,
        dead: str,
        batch_records: int = 2_000,
        converter: Converter | None = None,
    ) -> None:
        self._consumer = Consumer({**consumer, "on_commit": self._on_commit})
        self._producer = SteadyProducer(producer)
        self._group = str(consumer["group.id"])
        self._source, self._events, self._dead = source, events, dead
        self._batch_records = batch_records
        self._batches: deque[_Batch] = deque()
        self._again: deque[_Outgoing] = deque()
        self._again_at = 0.0
        self._told_at = -_COMPLAIN_S
        self._done: dict[tuple[str, int], int] = {}
        self._committed_at = self._beaten_at = 0.0
        self._paused = self._left = False
        self._stop = threading.Event()
        self.converter = converter or Converter()
        self.floods = Floods[Record]()
        self.outcomes: Counter[str] = Counter()
        """`converted`, `coalesced`, `heartbeat`, `acknowledged`, `lost_before` and the reasons of dead letters."""
        self.under_way = 0
        self.under_way_bytes = 0
        self.moved_at = time.monotonic()
        self.assigned: set[int] = set()
        self.last_error = ""

    def stop(self) -> None:
        """End `run` soon. From any thread, and from a signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Until `stop`; then what is under way is waited for and committed. Raises KafkaException for what waiting cannot mend."""
        self.begin()
        try:
            while not self._stop.is_set():
                self.step()
        finally:
            self.end()

    def begin(self) -> None:
        """Join the group."""
        self._consumer.subscribe(
            [self._source], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def end(self) -> None:
        """Send the heartbeats that are owed, wait for what is under way, commit it, and leave the group: in bounded time, also
        while no broker answers."""
        self._beat(self.floods.drain())
        self._settle(_END_S)
        self._left = True
        leave(self._consumer, self._finished())
        if self.under_way:
            log.warning("%d records are not acknowledged; they will be read again", self.under_way)
            self._producer.purge()

    def step(self) -> None:
        """Read a batch if there is one, convert and send it, commit what is acknowledged."""
        messages = self._read()
        if messages:
            self._take(messages)
        if time.monotonic() - self._beaten_at >= _BEAT_EVERY_S:
            self._beaten_at = time.monotonic()
            self._beat(self.floods.due(_now_ms()))
        self._producer.poll(_BUSY_S if self._paused else 0)
        self._send_again()
        self._note_finished()
        now = self.moved_at = time.monotonic()
        if self._done and now - self._committed_at >= _COMMIT_EVERY_S:
            self._commit()

    def _read(self) -> list[Message]:
        full = self.under_way >= MOST_UNDER_WAY or self.under_way_bytes >= MOST_UNDER_WAY_BYTES or bool(self._again)
        if full != self._paused:
            self._paused = full
            (self._consumer.pause if full else self._consumer.resume)(self._consumer.assignment())
        first = self._consumer.poll(0 if full else _BUSY_S if self.under_way else _IDLE_S)
        if first is None:
            return []
        return [first, *self._consumer.consume(self._batch_records - 1, 0)]

    def _take(self, messages: Iterable[Message]) -> None:
        batch = _Batch()
        for message in messages:
            error = message.error()
            if error is not None:
                self._reading_failed(error)
                continue
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            if topic is None or partition is None or offset is None:
                continue
            self._convert(message, batch)
            batch.next[topic, partition] = offset + 1
        self._batches.append(batch)

    def _convert(self, message: Message, batch: _Batch) -> None:
        raw = message.value()
        if raw is None:
            self._bury(message, batch, "empty", "the record has no value")
            return
        document = parsed(raw)
        if isinstance(document, Rejected):
            self._bury(message, batch, "not_json", str(document))
            return
        nulls = b"null" in raw or b"NaN" in raw or b"Infinity" in raw
        found = self.converter.record(document, nulls=nulls)
        if isinstance(found, Rejected):
            self._bury(message, batch, "not_openlineage", str(found))
            return
        self.outcomes["converted"] += 1
        chosen: Record | None = found
        if found.flood:
            size = len(found.value)
            chosen = self.floods.offer(found.flood, found, at_us=found.time_us, size=size, now_ms=_now_ms())
        if chosen is None:
            self.outcomes["coalesced"] += 1
            return
        self._send(_Outgoing(self, batch, self._events, chosen.key, chosen.value, None))

    def _beat(self, records: Iterable[Record]) -> None:
        """Send heartbeats. No offset waits for them: what they repeat is said already, at an earlier time."""
        for record in records:
            self.outcomes["heartbeat"] += 1
            self._send(_Outgoing(self, _Batch(), self._events, record.key, record.value, None))

    def _bury(self, message: Message, batch: _Batch, reason: str, detail: str) -> None:
        self.outcomes[reason] += 1
        headers = dead_letter_headers(message, reason, detail, group=self._group, stage_class=_STAGE)
        self._send(_Outgoing(self, batch, self._dead, message.key(), message.value(), headers))

    def _send(self, outgoing: _Outgoing) -> None:
        outgoing.batch.left += 1
        self.under_way += 1
        self.under_way_bytes += len(outgoing.value or b"")
        self._produce(outgoing)

    def _produce(self, outgoing: _Outgoing) -> None:
        self._producer.produce(outgoing.topic, outgoing.value, outgoing.key, outgoing, headers=outgoing.headers)

    def acknowledged(self, outgoing: _Outgoing) -> None:
        """Kafka has it."""
        self.under_way -= 1
        self.under_way_bytes -= len(outgoing.value or b"")
        self.outcomes["acknowledged"] += 1
        self.last_error = ""

    def failed(self, outgoing: _Outgoing, error: KafkaError) -> None:
        """Kafka does not have it, as far as it says: it is sent again."""
        self.last_error = error.str()
        if not self._again:
            self._again_at = time.monotonic() + _AGAIN_S
        self._again.append(outgoing)
        if time.monotonic() - self._told_at >= _COMPLAIN_S:
            self._told_at = time.monotonic()
            log.warning("%s takes nothing now: %s", outgoing.topic, advice(outgoing.topic, error))

    def _send_again(self) -> None:
        if not self._again or time.monotonic() < self._again_at:
            return
        again, self._again = self._again, deque()
        for outgoing in again:
            self._produce(outgoing)

    def _note_finished(self) -> None:
        while self._batches and not self._batches[0].left:
            self._done.update(self._batches.popleft().next)

    def _finished(self) -> list[TopicPartition]:
        """What may be committed, once."""
        offsets = [TopicPartition(topic, partition, offset) for (topic, partition), offset in self._done.items()]
        self._done.clear()
        return offsets

    def _commit(self) -> None:
        """Nobody waits for the answer: it may take as long as an outage. A group waits for it before it gives partitions away."""
        self._committed_at = time.monotonic()
        if offsets := self._finished():
            try:
                self._consumer.commit(offsets=offsets, asynchronous=True)
            except KafkaException as error:
                self._on_commit(error.args[0], offsets)

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        """How a commit ended: what was refused is committed again, though nothing more may come. Whoever reads on before that
        begins a little earlier; the repetitions have the same ids."""
        for each in partitions:
            failed = error or each.error
            if failed and each.partition in self.assigned and not self._left:
                log.info("offsets are not committed now: %s", failed.str())
                self._done.setdefault((each.topic, each.partition), each.offset)

    def _settle(self, within_s: float) -> None:
        """Wait for what is under way."""
        end = time.monotonic() + within_s
        while self.under_way and time.monotonic() < end:
            self._producer.flush(_IDLE_S)
            self._send_again()
        self._note_finished()

    def _reading_failed(self, error: KafkaError) -> None:
        if error.fatal() or error.code() in _HOPELESS:
            raise KafkaException(error)
        log.info("reading %s: %s", self._source, error.str())

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.assigned |= {each.partition for each in partitions}
        self._paused = False
        try:
            for each in consumer.committed(partitions, timeout=_ASK_S):
                low, _high = consumer.get_watermark_offsets(each, timeout=_ASK_S)
                if 0 <= each.offset < low:
                    self.outcomes["lost_before"] += low - each.offset
                    log.error(
                        "%d records of %s partition %d were deleted before they were read: raise its retention.ms",
                        low - each.offset, each.topic, each.partition,
                    )  # fmt: skip
        except KafkaException as error:
            log.info("where reading begins is not known yet: %s", error.args[0].str())

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if self._left:
            return
        self._beat(self.floods.drain())
        self._settle(_REVOKED_S)
        self._commit()
        self._forget(partitions)

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._forget(partitions)

    def _forget(self, partitions: list[TopicPartition]) -> None:
        """What is still under way of them is committed by nobody: their next owner reads it again. If they come back to us, the
        first of a flood goes on anew."""
        self.floods.drain()
        gone = {(each.topic, each.partition) for each in partitions}
        self.assigned -= {each.partition for each in partitions}
        for place in (self._done, *(batch.next for batch in self._batches)):
            for key in gone & place.keys():
                del place[key]


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


_HOPELESS: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,
    }
)
