"""aiokafka's `AIOKafkaConsumer` and `AIOKafkaProducer`, which also say what they read and wrote.

aiokafka keeps no statistics, but positions and ends of partitions, which are asked for once a second. A consumer's records are
looked at only until the first of each assigned partition has come; records read are the offsets moved by, so that gaps
(compaction, transactions) count, and bytes are not known. A producer's batches each have a result, with offset and
number of records: what is written is exact.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import aiokafka
import aiokafka.errors
from aiokafka import TopicPartition
from aiokafka.abc import ConsumerRebalanceListener

from headwater.kafka.reading import Place, Reading
from headwater.kafka.session import Lineage, Teller, teller_of, under_way
from headwater_schemas.events import Measure

LOOK_EVERY_S: Final = 1.0
_POSITION_S: Final = 0.2
"""Where the position of a partition is not known yet, it is not waited for much longer."""


class AIOKafkaConsumer(aiokafka.AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka ships no types
    """An `aiokafka.AIOKafkaConsumer` that says what it reads, per partition: offsets, records, lag.

    Args:
        lineage: how; everything has a default. All other arguments are aiokafka's.
    """

    def __init__(self, *topics: str, lineage: Lineage | None = None, **settings: Any) -> None:
        self._reading = Reading()
        self._looking: asyncio.Task[None] | None = None
        self._teller: Teller | None = None
        super().__init__(**settings)
        self._teller = teller_of(
            lineage,
            servers=_servers(settings),
            job=settings.get("group_id") or "",
            news=self._reading.news,
            last=weakref.WeakMethod(self._last),
            reads=True,
            settings=_librdkafkas(settings),
        )
        if topics:
            self.subscribe(topics)

    async def start(self) -> None:
        """As aiokafka's."""
        await super().start()
        if self._teller is not None:
            self._teller.quietly(self._teller.begin)
            self._looking = asyncio.ensure_future(_every_second(weakref.WeakMethod(self._tick)))
            await self._assigned(self.assignment())  # what was assigned by hand has no listener

    async def stop(self) -> None:
        """As aiokafka's. The last of what was read is told before; an exception that is under way is its end."""
        error = under_way()
        if self._looking is not None:
            self._looking.cancel()
            await self._revoked(self.assignment())
            self._looking = None
        try:
            await super().stop()
        finally:
            if (teller := self._teller) is not None:
                teller.quietly(lambda: teller.leave(error))

    def subscribe(self, topics: Any = (), pattern: Any = None, listener: Any = None) -> None:
        """As aiokafka's. Ours hears of an assignment after the application's listener, of a revocation before it."""
        if self._teller is not None:
            listener = _Listener(weakref.ref(self), listener)
        super().subscribe(topics, pattern, listener)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """As aiokafka's."""
        super().seek(partition, offset)
        if self._teller is not None:
            self._teller.quietly(lambda: self._begin([(partition.topic, partition.partition)]))

    # --- what is told ------------------------------------------------------------------------------------------------

    def _begin(self, places: Iterable[Place]) -> None:
        self._reading.begin(places)
        if self._reading.unseen:  # only now, and so at no cost for most records
            self.__dict__["getone"] = self._getone
            self.__dict__["getmany"] = self._getmany

    async def _getone(self, *partitions: TopicPartition) -> Any:
        record = await super().getone(*partitions)
        self._saw([record])
        return record

    async def _getmany(self, *partitions: TopicPartition, **settings: Any) -> Any:
        batches = await super().getmany(*partitions, **settings)
        self._saw([records[0] for records in batches.values() if records])
        return batches

    def _saw(self, records: Iterable[Any]) -> None:
        for record in records:
            self._reading.saw(record.topic, record.partition, record.offset)
        if not self._reading.unseen:
            self.__dict__.pop("getone", None)
            self.__dict__.pop("getmany", None)

    async def _look(self, partitions: Iterable[TopicPartition]) -> None:
        for partition in partitions:
            place, end = (partition.topic, partition.partition), self.highwater(partition)
            with contextlib.suppress(TimeoutError, aiokafka.errors.KafkaError):
                position = await asyncio.wait_for(self.position(partition), _POSITION_S)
                if place in self._reading.unseen and end is not None and position >= end:
                    self._reading.saw(*place, position)  # nothing is there to come first but what will be written
                self._reading.moved(place, position, -1 if end is None else end)

    async def _tick(self) -> None:
        if (teller := self._teller) is not None:
            await self._look(self.assignment())
            if teller.due(progress=self._reading.progress):
                teller.quietly(teller.tell)

    async def _assigned(self, partitions: Iterable[TopicPartition]) -> None:
        known = self._reading.places()
        places = [place for place in _places(partitions) if place not in known]
        teller = self._teller
        if teller is not None and places:
            teller.quietly(lambda: self._begin(places))
            teller.quietly(lambda: teller.name(dict.fromkeys(topic for topic, _ in places)))
            teller.quietly(lambda: teller.tell(now=True))

    async def _revoked(self, partitions: Iterable[TopicPartition]) -> None:
        teller, known = self._teller, self._reading.places()
        gone = [place for place in _places(partitions) if place in known]
        if teller is not None and gone:
            await self._look(TopicPartition(*place) for place in gone)
            teller.quietly(lambda: self._reading.end(gone))
            teller.quietly(lambda: teller.tell(now=True))

    def _last(self) -> None:
        """The run ends, and the consumer may live on. Where it is can only be asked in its loop: as of the last look."""
        if self._teller is not None:
            self._teller.note()


class AIOKafkaProducer(aiokafka.AIOKafkaProducer):  # type: ignore[misc]  # aiokafka ships no types
    """An `aiokafka.AIOKafkaProducer` that says what it wrote, per partition: records, offsets.

    Args:
        lineage: how; everything has a default. All other arguments are aiokafka's.
    """

    def __init__(self, *, lineage: Lineage | None = None, **settings: Any) -> None:
        self._batches = Batches()
        super().__init__(**settings)
        self._teller = teller_of(
            lineage,
            servers=_servers(settings),
            job=settings.get("client_id") or "",
            news=self._batches.news,
            last=weakref.WeakMethod(self._last),
            reads=False,
            settings=_librdkafkas(settings),
        )
        self._looking: asyncio.Task[None] | None = None
        if self._teller is not None:
            self._teller.quietly(lambda: self._batches.attach(self._message_accumulator))

    async def start(self) -> None:
        """As aiokafka's."""
        await super().start()
        if self._teller is not None:
            self._looking = asyncio.ensure_future(_every_second(weakref.WeakMethod(self._tick)))

    async def stop(self) -> None:
        """As aiokafka's; what it delivers at the end is told."""
        error = under_way()
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        try:
            await super().stop()
        finally:
            if (teller := self._teller) is not None:
                await asyncio.sleep(0)  # results that have just come are seen in the loop's next turn
                teller.quietly(self._last)
                teller.quietly(lambda: teller.leave(error))

    async def _tick(self) -> None:
        if (teller := self._teller) is not None and teller.due(progress=self._batches.progress):
            teller.quietly(teller.tell)

    def _last(self) -> None:
        if self._teller is not None and self._batches.progress:
            self._teller.note()


class Batches:
    """The results of a producer's batches, by partition, as far as they were not told."""

    def __init__(self) -> None:
        self._written: dict[Place, Measure] = {}

    def attach(self, accumulator: Any) -> None:
        """See each batch that the accumulator begins; its own function for it is not public.

        Raises:
            AttributeError: this version of aiokafka has none of that name.
        """
        append = accumulator._append_batch

        def appended(builder: Any, partition: TopicPartition) -> Any:
            batch = append(builder, partition)
            batch.future.add_done_callback(lambda future: self._done(batch, future))
            return batch

        accumulator._append_batch = appended

    def _done(self, batch: Any, future: asyncio.Future[Any]) -> None:
        if future.cancelled() or future.exception() is not None or (result := future.result()) is None:
            return
        place, rows, first = (result.topic, result.partition), batch.record_count, result.offset
        before = self._written.get(place, Measure(result.partition, rows=0))
        low = first if before.first_offset < 0 else min(first, before.first_offset)
        high = max(first + rows - 1, before.last_offset) if first >= 0 else before.last_offset
        self._written[place] = Measure(result.partition, low, high, before.rows + rows)

    @property
    def progress(self) -> bool:
        """Whether `news` would tell something."""
        return bool(self._written)

    def news(self) -> Iterator[tuple[str, Measure]]:
        """What was written since it was asked last."""
        written, self._written = self._written, {}
        for (topic, _), measure in written.items():
            yield topic, measure


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Ours and the application's, which may be a coroutine or not, and may be none."""

    def __init__(self, consumer: weakref.ref[AIOKafkaConsumer], theirs: Any) -> None:
        self._consumer = consumer
        self._theirs = theirs

    async def on_partitions_revoked(self, revoked: Any) -> None:
        if (consumer := self._consumer()) is not None:
            await consumer._revoked(revoked)
        if self._theirs is not None:
            await _awaited(self._theirs.on_partitions_revoked(revoked))

    async def on_partitions_assigned(self, assigned: Any) -> None:
        if self._theirs is not None:
            await _awaited(self._theirs.on_partitions_assigned(assigned))
        if (consumer := self._consumer()) is not None:
            await consumer._assigned(assigned)


async def _awaited(result: Any) -> None:
    if asyncio.iscoroutine(result):
        await result


async def _every_second(tick: weakref.WeakMethod[Callable[[], Any]]) -> None:
    """Until it is cancelled, or the client is gone."""
    while (method := tick()) is not None:
        with contextlib.suppress(Exception):  # a look that failed is made again
            await method()
        del method
        await asyncio.sleep(LOOK_EVERY_S)


def _places(partitions: Iterable[TopicPartition]) -> list[Place]:
    return [(partition.topic, partition.partition) for partition in partitions]


def _servers(settings: dict[str, Any]) -> str:
    servers = settings.get("bootstrap_servers", "localhost")
    return servers if isinstance(servers, str) else ",".join(servers)


def _librdkafkas(settings: dict[str, Any]) -> dict[str, Any] | None:
    """How librdkafka is told the way to the same cluster; None where TLS is an object of Python's, or tokens come by a call."""
    if settings.get("ssl_context") is not None or settings.get("sasl_oauth_token_provider") is not None:
        return None
    names = {
        "security_protocol": "security.protocol",
        "sasl_mechanism": "sasl.mechanism",
        "sasl_plain_username": "sasl.username",
        "sasl_plain_password": "sasl.password",
    }
    return {theirs: settings[ours] for ours, theirs in names.items() if settings.get(ours)}
