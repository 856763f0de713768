"""The consumer: one thread, every librdkafka call on it, whole polls out.

It runs from `start` to `close` whatever the rest does, so heartbeats and rebalances never wait for the engine. On assignment
it takes the partitions over and begins at their fences (Redis is the truth, the Kafka offset a hint), inside the callback,
so that no seek is needed on the normal road. A poll is handed on only while there is room; until then nothing is fetched
beyond librdkafka's own buffer, and after two seconds the partitions are paused so that the group stays content.

Rules that were paid for: `fetch.queue.backoff.ms` is 5 (its default stops the fetch for a second whenever the buffer is
full); pause() throws the prefetched records away, so short back-pressure is simply not consuming; a pause outlives the loss
of a partition and holds when it is assigned again, so every assignment says anew what is paused; a command whose waiter
was cancelled must not end the thread; a seek may find the fetcher not active yet and is tried again.
"""

from __future__ import annotations

import concurrent.futures
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from headwater.errors import DeliveryError
from headwater.transports.kafka import Needs, to_read, translated
from headwater_processor.core import stops
from headwater_processor.engine.intake import PartBatch, Poll
from headwater_processor.engine.owned import Owned
from headwater_processor.ports import RawRecord, StoppingError

log = logging.getLogger(__name__)

T = TypeVar("T")
_Callback = Callable[[Consumer, list[TopicPartition]], None]

_FORBIDDEN: Final = (KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.TOPIC_AUTHORIZATION_FAILED)
_IDLE_POLL_S: Final = 0.1
_PAUSE_AFTER_S: Final = 2.0
_COMMIT_EVERY_S: Final = 1.0
_RESUME_CHECK_S: Final = 2.0
_SOFT: Final = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError._STATE,
        KafkaError._NO_OFFSET,
        KafkaError._ASSIGNMENT_LOST,
    }
)
"""Commit errors that only say "not committed": the offset is a hint and is committed again later."""


@dataclass(frozen=True, slots=True)
class Begin:
    """Where Kafka says a partition stands when it is taken over. -1: nothing was ever committed. `ask_end` asks for the end
    of the log again: who slept after `high` was asked for finds a state that others have moved on meanwhile."""

    committed: int
    low: int
    high: int
    ask_end: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Loading:
    """A partition that is ours, but is not read yet: what has to be known of it is on its way (`KafkaSource.loaded`)."""

    next: int
    """The offset to begin with."""
    start: Callable[[], None]
    """Have it brought. Called when the partition counts as one that waits for it."""


LINGER_DOUBLES_AT: Final = 16
"""Records of the poll before for which one lingers twice as long."""
LINGER_GROWS_MAX: Final = 5.0


class Host(Protocol):
    """What the source needs from the worker. All but `deliver` are called on the poll thread."""

    def take_over(self, partition: int, begin: Begin, session: int) -> Owned | Loading | str:
        """Own a partition, at once or later, or the reason why it stays stopped."""

    def release(self, partitions: set[int]) -> None:
        """Before partitions go: finish what is under way, within a short deadline."""

    def lost(self, partitions: set[int]) -> None:
        """Partitions are gone already."""

    def may_resume(self, partition: int) -> bool:
        """Whether an operator has let a stopped partition go on."""

    def held(self, partition: int, reason: str) -> None:
        """A partition cannot be read any further."""

    def applied(self, partition: int) -> int | None:
        """The offset that may be committed; None if nothing was applied yet."""

    def room(self) -> bool:
        """Whether a poll would be taken soon."""

    def deliver(self, poll: Poll) -> None:
        """Take a poll (thread-safe)."""

    def rebalanced(self, assigned: set[int]) -> None:
        """The assignment is now this."""


class _Position:
    """Where a partition is read, and under which ownership."""

    __slots__ = ("gap", "next", "session")

    def __init__(self, session: int, next_offset: int) -> None:
        self.session = session
        self.next = next_offset
        self.gap: tuple[int, int] | None = None


class KafkaSource:
    """Owns the consumer and its thread."""

    def __init__(self, config: dict[str, Any], topic: str, host: Host, *, batch_records: int, linger_s: float) -> None:
        self._config = config
        self._incremental = config.get("group.protocol") == "consumer" or "cooperative" in str(
            config.get("partition.assignment.strategy", "")
        )
        self._topic = topic
        self._host = host
        self._batch_records = batch_records
        self._linger_s = linger_s
        self._commands: queue.SimpleQueue[tuple[Callable[[], Any], concurrent.futures.Future[Any]]] = (
            queue.SimpleQueue()
        )
        self._positions: dict[int, _Position] = {}
        self._assigned: set[int] = set()
        self._stopped: dict[int, str] = {}
        self._loading: set[int] = set()
        self._came = 0  # records of the last poll
        self._committed: dict[int, int] = {}
        self._session = 0
        self._halt = threading.Event()
        self._room = threading.Event()
        self._retries: list[tuple[float, int]] = []
        self._thread = threading.Thread(target=self._run, name="headwater-poll", daemon=True)
        self._paused_all = False
        self.moved_at = time.monotonic()
        self.failed: BaseException | None = None
        self._raised: Exception | None = None
        self.rebalances = 0
        self.polled = 0
        self.consume_s = 0.0
        self.began: tuple[float, float] | None = None
        """When the first record came: the clock, and the CPU seconds of this process by then."""

    # ---- from other threads ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Join the group."""
        self._thread.start()

    def wake(self) -> None:
        """There may be room again."""
        self._room.set()

    def reset(self, owned: Owned, delay_s: float) -> None:
        """An ownership ended: take the partition over again after a moment, if it is still ours by then."""
        self.take_again(owned.fence.partition, owned.epoch_session, delay_s)

    def take_again(self, partition: int, session: int, delay_s: float) -> None:
        """The same, by the session under which it was owned."""

        def again() -> None:
            position = self._positions.get(partition)
            if position is not None and position.session == session:
                self._retries.append((time.monotonic() + delay_s, partition))

        self.call(again)

    def is_loading(self, partition: int, session: int) -> bool:
        """Whether a partition still waits to be known, under this session."""
        position = self._positions.get(partition)
        return partition in self._loading and position is not None and position.session == session

    def loaded(self, partition: int, session: int, own: Callable[[], object]) -> None:
        """What was on its way is there: own the partition and read it, if it is still ours."""

        def go_on() -> None:
            if self.is_loading(partition, session):
                self._loading.discard(partition)
                if partition not in self._stopped:  # else it is taken over anew when somebody lets it go on
                    own()
                self._regulate({partition})

        self.call(go_on)

    def stop_partition(self, owned: Owned, reason: str) -> None:
        """Read no more of a partition until an operator says so."""
        self.call(lambda: self._hold(owned.fence.partition, reason))

    def hold(self, partition: int, reason: str) -> None:
        """Read no more of a partition that cannot be read any further; the host is told."""

        def stop() -> None:
            if partition in self._assigned and partition not in self._stopped:
                self._hold(partition, reason)
                self._host.held(partition, reason)

        self.call(stop)

    def call(self, function: Callable[[], T]) -> concurrent.futures.Future[T]:
        """Run something on the poll thread."""
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._commands.put((function, future))
        self._room.set()
        return future

    def position(self, partition: int) -> int:
        """The offset after the last record that was handed on; -1 for a partition that is not ours."""
        position = self._positions.get(partition)
        return position.next if position is not None else -1

    def assignment(self) -> set[int]:
        """The partitions that are ours now."""
        return set(self._assigned)

    @property
    def paused(self) -> bool:
        """Whether nothing is fetched because there has been no room for a while."""
        return self._paused_all

    def close(self, deadline_s: float) -> None:
        """Leave the group; what was applied is committed."""
        self._halt.set()
        self._room.set()
        if self._thread.is_alive():
            self._thread.join(deadline_s)

    # ---- the poll thread -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            consumer = Consumer({**self._config, "on_commit": self._on_commit})
            self._consumer = consumer
            consumer.subscribe(
                [self._topic],
                on_assign=self._guarded(self._on_assign),
                on_revoke=self._guarded(self._on_revoke),
                on_lost=self._guarded(self._on_lost),
            )
            try:
                self._loop(consumer)
            except StoppingError as error:
                log.warning("stopped while a partition could not be taken over: %s", error)
            self._leave(consumer)
        except DeliveryError as error:
            self.failed = error  # said by who ends the worker
        except BaseException as error:
            self.failed = error
            log.exception("the consumer thread failed; the worker has to end")
            raise

    def _guarded(self, callback: _Callback) -> _Callback:
        """Nothing may be raised in a callback: confluent-kafka (2.16) raises a KafkaException from there as a KafkaError,
        which is no exception, so that no `except` catches it and the thread is gone without a word. `_loop` raises it."""

        def guarded(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            try:
                callback(consumer, partitions)
            except Exception as error:  # noqa: BLE001 - raised again by `_loop`
                self._raised = error

        return guarded

    def _loop(self, consumer: Consumer) -> None:
        full_since: float | None = None
        commit_at = resume_at = 0.0
        while not self._halt.is_set():
            now = self.moved_at = time.monotonic()
            self._serve()
            if now >= commit_at:
                commit_at = now + _COMMIT_EVERY_S
                self._commit(asynchronous=True)
            if self._retries or (self._stopped and now >= resume_at):
                resume_at = now + _RESUME_CHECK_S
                self._take_again(now)
            if not self._host.room():
                full_since = full_since or now
                if now - full_since < _PAUSE_AFTER_S:
                    self._room.wait(0.05)
                    self._room.clear()
                    continue
                self._pause_all()
            elif full_since is not None:
                full_since = None
                self._resume_all()
            messages = self._fetch(consumer)
            if self._raised is not None:
                raise self._raised
            if messages:
                poll = self._cut(messages)
                if poll.parts:
                    self._host.deliver(poll)

    def _fetch(self, consumer: Consumer) -> list[Message]:
        """Wait for the first record, then take what is there and what comes within the linger. That grows with what came last: a
        call costs much the same for one record as for ten of its partition, and there are many partitions."""
        first = consumer.poll(_IDLE_POLL_S)
        if first is None:
            return []
        if self.began is None:
            self.began = (time.time(), time.process_time())
        started = time.thread_time()
        messages = [first, *consumer.consume(self._batch_records - 1, 0.0)]
        if self._linger_s and len(messages) < self._batch_records // 16:
            linger_s = self._linger_s * min(LINGER_GROWS_MAX, 1.0 + self._came / LINGER_DOUBLES_AT)
            messages += consumer.consume(self._batch_records, linger_s)
        self._came = len(messages)
        good = [message for message in messages if message.error() is None]
        if len(good) != len(messages):
            for message in messages:
                self._complain(message)
        self.polled += len(good)
        self.consume_s += time.thread_time() - started
        return good

    def _complain(self, message: Message) -> None:
        error, partition = message.error(), message.partition()
        if error is None or error.code() == KafkaError._PARTITION_EOF:
            return
        if error.fatal() or error.code() == KafkaError._FATAL:
            said = f"Kafka refuses this consumer for good: {error.str()}"
            raise DeliveryError(said, remedy=self._fatal_remedy(), retriable=False)
        if error.code() in _FORBIDDEN and not self.rebalances:
            servers, group = str(self._config.get("bootstrap.servers", "")), str(self._config.get("group.id", ""))
            of_group = error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED
            raise translated(error, servers, Needs("group", group, ("Read",)) if of_group else to_read(self._topic))
        log.warning("consumer: %s", error.str())
        if error.code() == KafkaError._AUTO_OFFSET_RESET and partition in self._assigned and partition is not None:
            self.hold(partition, stops.offset_gone(error.str()))

    def _fatal_remedy(self) -> str:
        if self._config.get("group.protocol") == "consumer":
            return "brokers share partitions out (KIP-848) from Kafka 4.0 on: set processor.group_protocol=cooperative"
        return "start the worker again"

    def _cut(self, messages: list[Message]) -> Poll:
        by_partition: dict[int, list[Message]] = {}
        for message in messages:
            partition = message.partition() or 0
            records = by_partition.get(partition)
            if records is None:
                by_partition[partition] = [message]
            else:
                records.append(message)
        parts = []
        for partition, records in by_partition.items():
            part = self._part(partition, records)
            if part is not None:
                parts.append(part)
        return Poll(parts)

    def _part(self, partition: int, records: list[Message]) -> PartBatch | None:
        position = self._positions.get(partition)
        if position is None or partition not in self._assigned or self._stands(partition):
            return None
        first = records[0].offset() or 0
        if first < position.next:  # older than the seek: records that were on their way
            records = [record for record in records if (record.offset() or 0) >= position.next]
            if not records:
                return None
            first = records[0].offset() or 0
        if first > position.next and position.gap != (position.next, first):
            # A gap in the log (compaction, transactions), or a stale record after a seek: ask again before believing it.
            position.gap = (position.next, first)
            self._seek(partition, position.next)
            return None
        part = PartBatch(partition, position.session, position.next, cast("Sequence[RawRecord]", records))
        position.next = part.next
        return part

    def _serve(self) -> None:
        while True:
            try:
                function, future = self._commands.get_nowait()
            except queue.Empty:
                return
            try:
                result, error = function(), None
            except Exception as raised:  # noqa: BLE001 - handed to the waiter
                result, error = None, raised
            if not future.set_running_or_notify_cancel():
                continue  # the waiter is gone; set_result on it would raise here
            if error is not None:
                log.warning("consumer command: %s", error)
                future.set_exception(error)
            else:
                future.set_result(result)

    # ---- ownership -------------------------------------------------------------------------------------------------

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.rebalances += 1
        if not self._halt.is_set():  # else they come while the group is left, and go at once
            committed = self._read_committed(consumer, partitions)
            for each in partitions:
                each.offset = self._take(consumer, each.partition, committed.get(each.partition))
        new = {each.partition for each in partitions}
        if self._incremental:
            consumer.incremental_assign(partitions)
            self._assigned |= new
        else:
            consumer.assign(partitions)
            self._assigned = new
        self._regulate(new)
        log.info("assigned %s, owning %s", sorted(new), sorted(self._assigned))
        self._host.rebalanced(set(self._assigned))

    def _take(self, consumer: Consumer, partition: int, committed: int | None) -> int:
        """Own a partition; returns where to read. Waits while Redis or the broker cannot be reached, also for a committed
        offset that is not known: without it an empty Redis would look like a beginning. Raises StoppingError."""
        wait_s = 0.1
        while True:
            self.moved_at = time.monotonic()
            try:
                if committed is None:
                    committed = consumer.committed([TopicPartition(self._topic, partition)], 5.0)[0].offset
                low, high = self._ends(consumer, partition)
                self._session += 1
                begin = Begin(committed, low, high, lambda: self._ends(consumer, partition)[1])
                taken = self._host.take_over(partition, begin, self._session)
                break
            except Exception as error:
                if self._halt.is_set():
                    raise StoppingError(str(error)) from error
                log.warning("cannot take partition %d over yet: %s", partition, error)
                time.sleep(wait_s)
                wait_s = min(2.0, wait_s * 2)
        self._loading.discard(partition)
        if isinstance(taken, Loading):
            self._stopped.pop(partition, None)
            self._loading.add(partition)
            self._positions[partition] = _Position(self._session, taken.next)
            taken.start()
        elif isinstance(taken, str):
            self._stopped[partition] = taken
            self._positions[partition] = _Position(self._session, max(committed, low))
            log.error("partition %d is stopped: %s", partition, taken)
        else:
            self._stopped.pop(partition, None)
            self._positions[partition] = _Position(self._session, taken.fence.next)
        return self._positions[partition].next

    def _ends(self, consumer: Consumer, partition: int) -> tuple[int, int]:
        low, high = consumer.get_watermark_offsets(TopicPartition(self._topic, partition), 5.0, cached=False)
        return low, high

    def _read_committed(self, consumer: Consumer, partitions: list[TopicPartition]) -> dict[int, int]:
        asked = [TopicPartition(self._topic, each.partition) for each in partitions]
        if not asked:
            return {}
        try:
            return {each.partition: each.offset for each in consumer.committed(asked, 5.0)}
        except KafkaException as error:
            log.warning("committed offsets are not known: %s", error)
            return {}

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = {each.partition for each in partitions}
        self._host.release(gone)
        self._commit(asynchronous=False, only=gone)
        self._forget(gone)
        if self._incremental:
            consumer.incremental_unassign(partitions)
        else:
            consumer.unassign()
        log.info("revoked %s", sorted(gone))
        self._host.rebalanced(set(self._assigned))

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = {each.partition for each in partitions}
        self._host.lost(gone)
        self._forget(gone)
        if self._incremental:
            consumer.incremental_unassign(partitions)
        else:
            consumer.unassign()
        log.warning("lost %s: the group gave them to others", sorted(gone))
        self._host.rebalanced(set(self._assigned))

    def _forget(self, gone: set[int]) -> None:
        self._assigned -= gone
        for partition in gone:
            self._positions.pop(partition, None)
            self._stopped.pop(partition, None)
            self._loading.discard(partition)
            self._committed.pop(partition, None)

    def _take_again(self, now: float) -> None:
        due = [partition for at, partition in self._retries if at <= now and partition in self._assigned]
        self._retries = [entry for entry in self._retries if entry[0] > now]
        freed = [p for p in self._stopped if p in self._assigned and self._host.may_resume(p)]
        for partition in dict.fromkeys([*due, *freed]):
            committed = self._read_committed(self._consumer, [TopicPartition(self._topic, partition)])
            at = self._take(self._consumer, partition, committed.get(partition))
            self._seek(partition, at)
            self._regulate({partition})
            if partition in freed and partition not in self._stopped:
                log.info("partition %d goes on at %d", partition, at)

    def _hold(self, partition: int, reason: str) -> None:
        if partition in self._assigned:
            self._stopped[partition] = reason
            self._consumer.pause([TopicPartition(self._topic, partition)])

    # ---- small things ----------------------------------------------------------------------------------------------

    def _seek(self, partition: int, offset: int) -> None:
        for _ in range(100):
            try:
                self._consumer.seek(TopicPartition(self._topic, partition, offset))
                return
            except KafkaException as error:
                if error.args[0].code() not in (KafkaError._STATE, KafkaError._TIMED_OUT):
                    raise
                time.sleep(0.01)  # the fetcher is not active yet
        log.warning("cannot seek partition %d to %d yet", partition, offset)
        self._retries.append((time.monotonic() + 0.5, partition))

    def _regulate(self, partitions: set[int]) -> None:
        """Pause what stands, or waits for room with all others; resume the rest, whatever it was before."""
        still = {p for p in partitions if self._paused_all or self._stands(p)}
        if still:
            self._consumer.pause([TopicPartition(self._topic, p) for p in still])
        if partitions - still:
            self._consumer.resume([TopicPartition(self._topic, p) for p in partitions - still])

    def _stands(self, partition: int) -> bool:
        return partition in self._stopped or partition in self._loading

    def _pause_all(self) -> None:
        if not self._paused_all and self._assigned:
            self._paused_all = True
            self._consumer.pause([TopicPartition(self._topic, p) for p in self._assigned])

    def _resume_all(self) -> None:
        if self._paused_all:
            self._paused_all = False
            self._regulate(self._assigned)

    def _commit(self, *, asynchronous: bool, only: set[int] | None = None) -> None:
        offsets = []
        for partition in self._assigned if only is None else only & self._assigned:
            applied = self._host.applied(partition)
            if applied is not None and applied > self._committed.get(partition, -1):
                offsets.append(TopicPartition(self._topic, partition, applied))
        if not offsets:
            return
        try:
            if asynchronous:
                self._consumer.commit(offsets=offsets, asynchronous=True)
            else:
                self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() not in _SOFT:
                log.warning("offsets are not committed (only a hint; the fence in Redis is the truth): %s", error)
            return
        for each in offsets:
            self._committed[each.partition] = each.offset

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        """How a commit ended that was not waited for: what was refused is committed again, though nothing more may come."""
        for each in partitions:
            if error is not None or each.error is not None:
                self._committed.pop(each.partition, None)

    def _leave(self, consumer: Consumer) -> None:
        self._host.release(set(self._assigned))
        self._commit(asynchronous=False)
        consumer.close()
