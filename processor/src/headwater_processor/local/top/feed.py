"""Where the living view gets its news: the deltas and alerts topics, and the reader of the state.

Two threads, so that one service that hangs does not hide the other. `hw-top-topics` follows the topics from their ends on and
decodes; `hw-top-state` looks at the figures once a second and reads a snapshot when one is wanted: at the start, when a
service has come back, when Kafka is away, and every few minutes in case that something was missed. Both put what they
find into a `Mailbox`, which the view empties when it draws.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, Final

import redis
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # exported, but not by name

from headwater.masking import mask
from headwater.runtime.kafka import client_config
from headwater.runtime.models import KafkaSettings
from headwater_processor.local.top.model import Figures, News, Reach, Snapshot, Written
from headwater_processor.state import NoStateError, StateError, StateReader
from headwater_schemas.alerts import Alert
from headwater_schemas.codec import Malformed, decode_alert, decode_delta
from headwater_schemas.deltas import GraphDelta
from headwater_schemas.peek import write_times

PERIOD_S: Final = 1.0
"""Between two looks at the figures."""
_BATCH: Final = 5000
_POLL_S: Final = 0.25
_PATIENCE_S: Final = 3.0
"""How long a service may be silent before it is called away."""
_AGAIN_S: Final = 300.0
"""Between two snapshots when nothing is wrong."""
_WITHOUT_KAFKA_S: Final = 10.0
"""Between two snapshots while the deltas do not come."""
_ALERTS_BACK: Final = 300
"""Alerts of each partition that are read from before the start, for what was said of incidents that are open."""
_FRESHNESS: Final = b"DATASET|FRESHNESS|"
_OF_INTEREST: Final = (b"DATASET|", b"JOB|STATUS|")
"""Beginnings of keys of images that the view shows; edges and runs come from the reader."""

MOST: Final = 200_000
"""News that wait for the view at most."""

Clock = Callable[[], int]


class Mailbox:
    """News on their way to the view, in order. A snapshot counts as older than what came while it was read.

    A view that takes nothing (it is suspended) must not cost memory without end: beyond `MOST` the images are thrown away and
    a new snapshot is `wanted`, which says the same.
    """

    def __init__(self, wanted: threading.Event) -> None:
        self._lock = threading.Lock()
        self._wanted = wanted
        self._news: list[News] = []
        self._meanwhile: list[News] | None = None

    def put(self, news: Iterable[News]) -> None:
        """Add news."""
        with self._lock:
            found = list(news)
            self._news += found
            if self._meanwhile is not None:
                self._meanwhile += found
            if len(self._news) > MOST:
                kept: list[News] = []
                kept += (item for item in self._news if not isinstance(item, Written | GraphDelta | Snapshot))
                self._news = kept[-MOST // 2 :]
                self._wanted.set()

    def begin_snapshot(self) -> None:
        """From now on remember what comes: it may or may not be in the snapshot."""
        with self._lock:
            self._meanwhile = []

    def end_snapshot(self, snapshot: Snapshot | None) -> None:
        """Add the snapshot, and after it once more what came meanwhile; None: it could not be read."""
        with self._lock:
            if snapshot is not None:
                again = [item for item in self._meanwhile or () if isinstance(item, Written | GraphDelta | Alert)]
                self._news += [snapshot, *again]
            self._meanwhile = None

    def empty(self) -> list[News]:
        """Take everything."""
        with self._lock:
            found, self._news = self._news, []
            return found


class _Reached:
    """Whether a service answers; tells the mailbox when that changes."""

    def __init__(self, service: str, mailbox: Mailbox, now_us: Clock) -> None:
        self._service = service
        self._mailbox = mailbox
        self._now_us = now_us
        self._since_us = 0
        self._why = ""

    @property
    def away(self) -> bool:
        """Whether it does not answer."""
        return self._since_us > 0

    def lost(self, why: str, since_us: int = 0) -> None:
        """It does not answer."""
        self._since_us = self._since_us or since_us or self._now_us()
        why = mask(why)[:120]
        if why != self._why:
            self._why = why
            self._mailbox.put([Reach(self._service, self._since_us, why)])

    def found(self) -> bool:
        """It answers; returns whether it did not before."""
        if not self._since_us:
            return False
        self._since_us, self._why = 0, ""
        self._mailbox.put([Reach(self._service)])
        return True


class Feed:
    """Both threads. `reader` makes a reader of the domain."""

    def __init__(
        self,
        kafka: KafkaSettings,
        topics: tuple[str, str, str],
        reader: Callable[[], StateReader],
        now_us: Clock = lambda: time.time_ns() // 1000,
    ) -> None:
        """`topics`: the names of the topics of events, deltas and alerts."""
        self._halt = threading.Event()
        self._wanted = threading.Event()
        self.mailbox = Mailbox(self._wanted)
        self._wanted.set()
        ends = _Ends(kafka, topics[0])
        follower = _Topics(kafka, topics[1:], self.mailbox, ends, self._wanted, self._halt, now_us)
        watcher = _State(reader, self.mailbox, ends, self._wanted, self._halt, now_us)
        self._threads = [
            threading.Thread(target=self._kept, args=(follower.run,), name="hw-top-topics", daemon=True),
            threading.Thread(target=self._kept, args=(watcher.run,), name="hw-top-state", daemon=True),
        ]
        self.failure: BaseException | None = None
        """What ended a thread; only a bug does."""

    def start(self) -> None:
        """Begin to read."""
        for thread in self._threads:
            thread.start()

    def _kept(self, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as error:  # noqa: BLE001 - told by whoever looks at the screen; a thread has nobody to tell
            self.failure = error

    def stop(self) -> None:
        """End, within a second even if nobody answers (the threads die with the process)."""
        self._halt.set()
        for thread in self._threads:
            thread.join(timeout=0.5)


class _Ends:
    """The ends of the events topic, as last told by the broker. Asked for by one thread, read by the other."""

    def __init__(self, kafka: KafkaSettings, topic: str) -> None:
        self._admin = AdminClient(client_config(kafka, client_id="headwater-top"))
        self._topic = topic
        self._asked: dict[TopicPartition, Future[Any]] = {}
        self._asked_s = 0.0
        self._ends: dict[int, int] = {}
        self.partitions: list[int] = []

    def look(self) -> bool | None:
        """Ask, and take the answer in a later call. True: the broker answered; None: not yet. Raises KafkaException."""
        if self._asked:
            if not all(future.done() for future in self._asked.values()):
                return None
            asked, self._asked = self._asked, {}
            ends = {at.partition: int(future.result().offset) for at, future in asked.items()}
            if min(ends.values()) < 0:  # so the client (2.16) says that the broker did not answer in time
                raise KafkaException("it does not answer")
            self._ends = ends
            return True
        if self.partitions and time.monotonic() - self._asked_s >= PERIOD_S:
            self._asked_s = time.monotonic()
            latest: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the client types none of OffsetSpec
            at = {TopicPartition(self._topic, partition): latest for partition in self.partitions}
            self._asked = dict(self._admin.list_offsets(at, request_timeout=_PATIENCE_S))
        return None

    def learn(self, timeout_s: float) -> None:
        """Learn the partitions of the topic. Raises KafkaException."""
        found = self._admin.list_topics(self._topic, timeout_s).topics[self._topic]
        if found.error is not None:
            raise KafkaException(found.error)
        self.partitions = sorted(found.partitions)

    def forget(self) -> None:
        """The broker is away: what it said does not count any more."""
        self._ends, self._asked = {}, {}

    def behind(self, applied: dict[int, int]) -> int | None:
        """Records between what is applied (by partition) and the ends; None as long as these are not known."""
        ends = self._ends
        if not ends:
            return None
        return sum(max(0, end - applied.get(partition, 0)) for partition, end in ends.items())


class _Topics:
    """The thread that follows deltas and alerts."""

    def __init__(
        self,
        kafka: KafkaSettings,
        topics: tuple[str, ...],
        mailbox: Mailbox,
        ends: _Ends,
        wanted: threading.Event,
        halt: threading.Event,
        now_us: Clock,
    ) -> None:
        self._kafka = kafka
        self._deltas, self._alerts = topics
        self._mailbox = mailbox
        self._ends = ends
        self._wanted = wanted
        self._halt = halt
        self._reached = _Reached("Kafka", mailbox, now_us)
        self._now_us = now_us

    def run(self) -> None:
        """One session after the other: a session ends when the broker does not answer any more."""
        while not self._halt.is_set():
            consumer: Consumer | None = None
            try:
                consumer = self._begin()
                self._reached.found()
                self._wanted.set()
                self._follow(consumer)
            except KafkaException as error:
                self._ends.forget()
                self._reached.lost(_said(error))
                self._halt.wait(PERIOD_S)
            finally:
                if consumer is not None:
                    consumer.close()

    def _begin(self) -> Consumer:
        """A consumer at the end of the deltas and a little before the end of the alerts. Raises KafkaException."""
        self._ends.learn(_PATIENCE_S)
        consumer = Consumer(
            {
                **client_config(self._kafka, client_id="headwater-top"),
                "group.id": "headwater-top",  # must be named, though nothing joins it or commits to it
                "enable.auto.commit": False,
                "auto.offset.reset": "latest",
                "fetch.wait.max.ms": 250,
                "queued.max.messages.kbytes": 16_384,
            }
        )
        try:
            consumer.assign(
                [*self._positions(consumer, self._deltas, 0), *self._positions(consumer, self._alerts, _ALERTS_BACK)]
            )
        except KafkaException:
            consumer.close()
            raise
        return consumer

    def _positions(self, consumer: Consumer, topic: str, back: int) -> list[TopicPartition]:
        found = consumer.list_topics(topic, timeout=_PATIENCE_S).topics[topic]
        if found.error is not None:
            raise KafkaException(found.error)
        at = [TopicPartition(topic, partition) for partition in sorted(found.partitions)]
        for each in at:
            low, high = consumer.get_watermark_offsets(each, timeout=_PATIENCE_S, cached=False)
            each.offset = max(low, high - back)
        return at

    def _follow(self, consumer: Consumer) -> None:
        heard_s = time.monotonic()
        while not self._halt.wait(_POLL_S):
            news = [item for message in consumer.consume(_BATCH, 0.0) for item in self._read(message)]
            if news:
                self._mailbox.put(news)
            if self._ends.look():
                heard_s = time.monotonic()
            if time.monotonic() - heard_s > PERIOD_S + _PATIENCE_S:
                raise KafkaException("it does not answer")

    def _read(self, message: Message) -> Iterable[News]:
        """What a record says; nothing if it is not of interest, or none of ours."""
        key, value = message.key(), message.value()
        if message.error() is not None or value is None or not isinstance(key, bytes):
            return ()
        try:
            if message.topic() == self._alerts:
                return (decode_alert(value),)
            if key.startswith(_FRESHNESS):
                return (Written(key[len(_FRESHNESS) :].decode(errors="replace"), *write_times(value)),)
            return (decode_delta(value),) if key.startswith(_OF_INTEREST) else ()
        except Malformed:
            return ()


def _said(error: KafkaException) -> str:
    first = error.args[0] if error.args else ""
    return str(getattr(first, "str", lambda: first)())


class _State:
    """The thread that asks the reader."""

    def __init__(
        self,
        reader: Callable[[], StateReader],
        mailbox: Mailbox,
        ends: _Ends,
        wanted: threading.Event,
        halt: threading.Event,
        now_us: Clock,
    ) -> None:
        self._reader_of = reader
        self._mailbox = mailbox
        self._ends = ends
        self._wanted = wanted
        self._halt = halt
        self._reached = _Reached("Redis", mailbox, now_us)
        self._now_us = now_us
        self._read_s = 0.0

    def run(self) -> None:
        """Look once a period."""
        while not self._halt.is_set():
            try:
                self._look()
            except NoStateError as error:
                # Redis answers and knows nothing: what was shown is not true any more.
                self._lost(str(error).partition(":")[0])
                self._mailbox.end_snapshot(Snapshot())
            except (redis.RedisError, StateError) as error:
                self._lost(str(error))
            self._halt.wait(PERIOD_S)

    def _lost(self, why: str) -> None:
        self._mailbox.end_snapshot(None)
        self._reached.lost(why)

    def _look(self) -> None:
        reader = self._reader_of()  # anew each time: what another one has checked may be gone
        datasets, jobs, edges = reader.sizes()
        partitions = reader.partitions()
        if self._reached.found():
            self._wanted.set()
        as_of_us = min((partition.as_of_us for partition in partitions), default=0)
        self._mailbox.put(
            [
                Figures(
                    self._now_us(),
                    datasets,
                    jobs,
                    edges,
                    sum(partition.applied + partition.duplicates for partition in partitions),
                    as_of_us,
                    self._ends.behind({partition.partition: partition.next_offset for partition in partitions}),
                    tuple((partition.partition, partition.stopped) for partition in partitions if partition.stopped),
                )
            ]
        )
        self._snapshot(reader)

    def _snapshot(self, reader: StateReader) -> None:
        patience_s = _AGAIN_S if self._ends.behind({}) is not None else _WITHOUT_KAFKA_S
        if not self._wanted.is_set() and time.monotonic() - self._read_s < patience_s:
            return
        self._wanted.clear()
        self._mailbox.begin_snapshot()
        found = Snapshot(
            datasets=list(reader.datasets(present_only=False)),
            loose_jobs={str(job.name): job.unlinked for job in reader.jobs() if job.unlinked},
            alerts=reader.alerts(),
        )
        self._mailbox.end_snapshot(found)
        self._read_s = time.monotonic()
