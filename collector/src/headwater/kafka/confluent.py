"""confluent-kafka's `Consumer` and `Producer`, which also say what they read and wrote.

Once a second librdkafka hands its statistics to the thread that polls; they are taken there. A consumer's records are looked at
only until the first of each assigned partition has come, a producer's delivery reports only in a sample. What the
application sets in the configuration (its own `stats_cb`, `statistics.interval.ms`, callbacks) works as it did.
"""

from __future__ import annotations

import contextlib
import sys
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import confluent_kafka
import orjson
from confluent_kafka import Message, TopicPartition

from headwater.kafka.reading import Place, Reading
from headwater.kafka.session import Lineage, Teller, teller_of, under_way
from headwater.kafka.writing import EVERY_RECORD, ONE_IN, Writing

STATISTICS_MS: Final = 1_000

_poll: Final = confluent_kafka.Consumer.poll
_consume: Final = confluent_kafka.Consumer.consume
_produce: Final = confluent_kafka.Producer.produce

Settings = dict[str, Any]  # Any: librdkafka's settings are texts, numbers and callbacks


class Consumer(confluent_kafka.Consumer):
    """A `confluent_kafka.Consumer` that says what it reads, per partition: offsets, records, bytes, lag.

    Args:
        lineage: how; everything has a default. All other arguments are confluent-kafka's.
    """

    _teller: Teller | None = None
    _reading: Reading
    _unseen: set[Place] | frozenset[Place] = frozenset()

    def __init__(self, *args: Any, lineage: Lineage | None = None, **settings: Any) -> None:
        conf = _settings(args, settings)
        self._reading = Reading()
        self._teller = _teller(self, conf, lineage, str(conf.get("group.id", "")), self._reading.news, reads=True)
        if self._teller is not None:
            self._unseen = self._reading.unseen
            _add_statistics(conf, weakref.WeakMethod(self._statistics))
        with _left_if_it_fails(self._teller):
            super().__init__(conf)
        if self._teller is not None:
            self._teller.quietly(self._teller.begin)

    def poll(self, timeout: float = -1) -> Message | None:
        """As confluent-kafka's."""
        message = _poll(self, timeout)
        if self._unseen and message is not None:
            self._saw(message)
        return message

    def consume(self, *args: Any, **kwargs: Any) -> list[Message]:
        """As confluent-kafka's."""
        messages = _consume(self, *args, **kwargs)
        if self._unseen:
            self._saw_first_ones(messages)
        return messages

    def subscribe(
        self,
        topics: list[str],
        on_assign: Callable[..., Any] | None = None,
        on_revoke: Callable[..., Any] | None = None,
        on_lost: Callable[..., Any] | None = None,
    ) -> None:
        """As confluent-kafka's. Ours see an assignment after the application's callback has, a revocation before."""
        if self._teller is None:
            super().subscribe(topics, **_given(on_assign=on_assign, on_revoke=on_revoke, on_lost=on_lost))
            return

        def assigned(consumer: confluent_kafka.Consumer, partitions: list[TopicPartition]) -> None:
            if on_assign is not None:
                on_assign(consumer, partitions)
            self._quietly(lambda: self._assigned(partitions))

        def revoked(consumer: confluent_kafka.Consumer, partitions: list[TopicPartition]) -> None:
            self._quietly(lambda: self._revoked(partitions))
            if on_revoke is not None:
                on_revoke(consumer, partitions)

        def lost(consumer: confluent_kafka.Consumer, partitions: list[TopicPartition]) -> None:
            self._quietly(lambda: self._revoked(partitions))
            if on_lost is not None:
                on_lost(consumer, partitions)

        more = _given(on_lost=lost if on_lost is not None else None)
        super().subscribe(topics, on_assign=assigned, on_revoke=revoked, **more)

    def assign(self, partitions: list[TopicPartition]) -> None:
        """As confluent-kafka's."""
        super().assign(partitions)
        self._quietly(lambda: self._assigned(partitions, whole=True))

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        """As confluent-kafka's."""
        super().incremental_assign(partitions)
        self._quietly(lambda: self._assigned(partitions))

    def unassign(self) -> None:
        """As confluent-kafka's."""
        self._quietly(lambda: self._revoked(self._places()))
        super().unassign()

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        """As confluent-kafka's."""
        self._quietly(lambda: self._revoked(partitions))
        super().incremental_unassign(partitions)

    def seek(self, partition: TopicPartition) -> None:
        """As confluent-kafka's."""
        self._quietly(lambda: self._look([partition]))
        super().seek(partition)
        self._quietly(lambda: self._reading.begin([(partition.topic, partition.partition)]))

    def close(self) -> None:
        """As confluent-kafka's. The last of what was read is told before; an exception that is under way is its end."""
        self._close(under_way())

    def __exit__(self, *error: Any) -> None:
        self._close(error[1] if len(error) > 1 else None)

    def _close(self, error: BaseException | None) -> None:
        self._quietly(lambda: self._revoked(self._places()))
        try:
            super().close()
        finally:
            if self._teller is not None:
                teller = self._teller
                teller.quietly(lambda: teller.leave(error))

    # --- what is told ------------------------------------------------------------------------------------------------

    def _statistics(self, document: str) -> None:
        if (teller := self._teller) is not None:
            self._reading.observe(orjson.loads(document).get("topics", {}))
            if teller.due(progress=self._reading.progress):
                teller.tell()

    def _saw_first_ones(self, messages: list[Message]) -> None:
        """Records of a partition come in rows: only where another one begins there is something to look at."""
        one_topic = len({topic for topic, _ in self._reading.places()}) == 1
        before: object = None
        for message in messages:
            here = message.partition() if one_topic else (message.topic(), message.partition())
            if here != before:
                before = here
                self._saw(message)

    def _saw(self, message: Message) -> None:
        topic, partition = message.topic(), message.partition()
        if (topic, partition) in self._unseen and message.error() is None:
            self._reading.saw(str(topic), partition or 0, message.offset() or 0)

    def _assigned(self, partitions: list[TopicPartition], *, whole: bool = False) -> None:
        places = _names(partitions)
        known = self._reading.places()
        gone = [place for place in known if whole and place not in places]
        self._look([TopicPartition(*place) for place in gone])
        self._reading.end(gone)
        self._reading.begin(place for place in places if place not in known)
        if self._teller is not None:
            self._teller.name(dict.fromkeys(topic for topic, _ in places))
            self._teller.tell(now=True)

    def _revoked(self, partitions: list[TopicPartition]) -> None:
        self._look(partitions)
        known = self._reading.places()
        gone = [place for place in _names(partitions) if place in known]
        self._reading.end(gone)
        if self._teller is not None and gone:
            self._teller.tell(now=True)

    def _look(self, partitions: list[TopicPartition]) -> None:
        """Where the application is in these partitions now: calls that ask the client alone, not the broker."""
        mine = [TopicPartition(*place) for place in _names(partitions) if place in self._reading.places()]
        for found in self.position(mine) if mine else ():
            ends = self.get_watermark_offsets(found, cached=True)
            self._reading.moved((found.topic, found.partition), found.offset, -1 if ends is None else ends[1])

    def _last(self) -> None:
        """The run ends, and the consumer may live on."""
        with contextlib.suppress(RuntimeError):  # it is closed, and has told everything
            self._look(self._places())
        if self._teller is not None:
            self._teller.note()

    def _places(self) -> list[TopicPartition]:
        return [TopicPartition(*place) for place in self._reading.places()]

    def _quietly(self, work: Callable[[], None]) -> None:
        if self._teller is not None:
            self._teller.quietly(work)


class Producer(confluent_kafka.Producer):
    """A `confluent_kafka.Producer` that says what it wrote, per partition: records acknowledged, bytes, offsets.

    Args:
        lineage: how; everything has a default. All other arguments are confluent-kafka's.
    """

    _teller: Teller | None = None
    _count = 0
    _next_sample = sys.maxsize
    _ending = False

    def __init__(self, *args: Any, lineage: Lineage | None = None, **settings: Any) -> None:
        conf = _settings(args, settings)
        idempotent = str(conf.get("enable.idempotence", "")).lower() == "true" or bool(conf.get("transactional.id"))
        self._writing = Writing(idempotent=idempotent)
        self._teller = _teller(self, conf, lineage, str(conf.get("client.id", "")), self._writing.news, reads=False)
        self._interval_s = 0.0
        self._reported: Any = conf.get("on_delivery") or conf.get("dr_cb")
        self._sampled = 0
        if self._teller is not None:
            self._next_sample = 0
            self._interval_s = _add_statistics(conf, weakref.WeakMethod(self._statistics))
        with _left_if_it_fails(self._teller):
            super().__init__(conf)
        if self._teller is not None:
            weakref.finalize(self, self._teller.leave).atexit = False

    def produce(  # as the base has it: starred arguments would cost more than all the rest
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        partition: int = -1,
        callback: Any = None,
        on_delivery: Any = None,
        timestamp: int = 0,
        headers: Any = None,
    ) -> None:
        """As confluent-kafka's."""
        reported = callback or on_delivery  # given both, even as None, confluent-kafka takes the first alone
        if self._count >= self._next_sample:
            reported = self._sample(reported)
        if headers is None:
            _produce(self, topic, value, key, partition, reported, None, timestamp)
        else:
            _produce(self, topic, value, key, partition, reported, None, timestamp, headers)
        self._count += 1  # not reached by what was refused

    def produce_batch(self, topic: str, messages: Any, *rest: Any, **named: Any) -> int:
        """As confluent-kafka's."""
        taken = super().produce_batch(topic, messages, *rest, **named)
        self._count += taken
        return taken

    def close(self, *args: Any, **kwargs: Any) -> Any:
        """As confluent-kafka's; waits up to a second for the last statistics if something was delivered since."""
        if (teller := self._teller) is not None:
            teller.quietly(self._last)
        try:
            return super().close(*args, **kwargs)
        finally:
            if teller is not None:
                teller.quietly(lambda: teller.leave(under_way()))

    # --- what is told ------------------------------------------------------------------------------------------------

    def _sample(self, theirs: Any) -> Callable[[Any, Message], None]:
        """Our delivery report, and behind it the application's."""
        self._sampled += 1
        self._next_sample = self._count + (1 if self._sampled < EVERY_RECORD else ONE_IN)
        theirs = theirs or self._reported
        acknowledged = self._writing.acknowledged

        def reported(error: Any, message: Message) -> None:
            if error is None:
                acknowledged(message.topic(), message.partition(), message.offset())  # type: ignore[arg-type]  # delivered: all three are set
            if theirs is not None:
                theirs(error, message)

        return reported

    def _statistics(self, document: str) -> None:
        if (teller := self._teller) is not None:
            self._writing.observe(orjson.loads(document).get("topics", {}))
            self._sampled = 0
            self._next_sample = min(self._next_sample, self._count)
            if not self._ending and teller.due(progress=self._writing.progress):
                teller.tell()

    def _last(self) -> None:
        """The run ends: wait for the statistics that count the last records, if all of them are out."""
        until_s = time.monotonic() + 1.1 * self._interval_s
        self._ending = True
        while self._writing.counted() < self._count and not len(self) and time.monotonic() < until_s:
            self.poll(0.05)
        self._ending = False
        if self._teller is not None and self._writing.progress:
            self._teller.note()


def _settings(args: tuple[Any, ...], named: Settings) -> Settings:
    """What confluent-kafka takes as a mapping, as keywords, or both, as one of our own."""
    return {**(args[0] if args else {}), **named}


def _teller(
    client: Consumer | Producer, conf: Settings, lineage: Lineage | None, job: str, news: Any, *, reads: bool
) -> Teller | None:
    """The one who speaks for the client; None where lineage is switched off."""
    servers = str(conf.get("bootstrap.servers") or conf.get("metadata.broker.list") or "unknown")
    last = weakref.WeakMethod(client._last)
    return teller_of(lineage, servers=servers, job=job, news=news, last=last, reads=reads, settings=conf)


def _add_statistics(conf: Settings, ours: weakref.WeakMethod[Callable[[str], None]]) -> float:
    """Have the statistics come to us, and to the application if it has asked for them. Returns their interval, seconds."""
    theirs = conf.get("stats_cb")
    interval_ms = int(conf.get("statistics.interval.ms", 0))
    wanted = theirs if interval_ms > 0 else None

    def statistics(document: str) -> None:
        method = ours()
        if method is not None and (teller := method.__self__._teller) is not None:  # type: ignore[attr-defined]  # of ours
            teller.quietly(lambda: method(document))
        if wanted is not None:
            wanted(document)

    interval_ms = interval_ms or STATISTICS_MS
    conf.update({"stats_cb": statistics, "statistics.interval.ms": interval_ms})
    return interval_ms / 1_000


@contextlib.contextmanager
def _left_if_it_fails(teller: Teller | None) -> Iterator[None]:
    """A client that could not be made is none of the session."""
    try:
        yield
    except BaseException:
        if teller is not None:
            teller.quietly(teller.leave)
        raise


def _names(partitions: Iterable[TopicPartition]) -> list[Place]:
    return [(partition.topic, partition.partition) for partition in partitions]


def _given(**callbacks: Callable[..., Any] | None) -> dict[str, Any]:
    return {name: callback for name, callback in callbacks.items() if callback is not None}
