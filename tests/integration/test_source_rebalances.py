"""The consumer on a real broker: whatever it was doing when partitions went, it reads them when they come back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import Producer
from tests.support.processes import wait_until
from tests.support.services import KafkaService

from headwater.runtime.kafka import consumer_config
from headwater.runtime.models import KafkaSettings
from headwater_processor.adapters.kafka_source import Begin, KafkaSource, Loading
from headwater_processor.core.plan import Counters, Knowledge, PartitionPlanner, Rules
from headwater_processor.engine.intake import Poll
from headwater_processor.engine.owned import Owned
from headwater_processor.ports import Fence

pytestmark = pytest.mark.timeout(120)

PARTITIONS = 2
RECORDS = 500
PROTOCOLS = ("eager", "cooperative", "consumer")


class Reader:
    """A host that takes every poll while there is room, and remembers where it stands as a fence would."""

    def __init__(self) -> None:
        self.roomy = True
        self.next: dict[int, int] = {}
        self.owned: set[int] = set()

    def take_over(self, partition: int, begin: Begin, session: int) -> Owned | Loading | str:
        at = self.next.setdefault(partition, begin.low)
        fence = Fence(partition, "e", "", "0", at, -1, -1, Counters(), (), "", -1)
        return Owned(fence, PartitionPlanner(partition, Rules(), Knowledge(), (0, 0)), session)

    def release(self, partitions: set[int]) -> None:
        pass

    def lost(self, partitions: set[int]) -> None:
        pass

    def may_resume(self, partition: int) -> bool:
        return False

    def held(self, partition: int, reason: str) -> None:
        raise AssertionError(reason)

    def applied(self, partition: int) -> int | None:
        return self.next.get(partition)

    def room(self) -> bool:
        return self.roomy

    def deliver(self, poll: Poll) -> None:
        for part in poll.parts:
            assert part.previous == self.next[part.partition], "records were skipped"
            self.next[part.partition] = part.next

    def rebalanced(self, assigned: set[int]) -> None:
        self.owned = assigned


def produce(kafka: KafkaService, topic: str) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for number in range(RECORDS):
        producer.produce(topic, b"x", partition=number % PARTITIONS)
    assert producer.flush(30) == 0


@contextmanager
def reading(kafka: KafkaService, topic: str, host: Reader, protocol: str) -> Iterator[KafkaSource]:
    settings = KafkaSettings(bootstrap_servers=kafka.bootstrap_servers)
    config = consumer_config(settings, group=f"{topic}-group", protocol=protocol)
    source = KafkaSource(config, topic, host, batch_records=50, linger_s=0.0)
    source.start()
    try:
        yield source
    finally:
        source.close(15.0)
    assert source.failed is None


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_partitions_that_went_while_they_were_paused_are_read_when_they_come_back(
    kafka: KafkaService, protocol: str
) -> None:
    topic = kafka.create_topic(kafka.unique("paused"), PARTITIONS)
    first, second = Reader(), Reader()
    produce(kafka, topic)
    first.roomy = False
    with reading(kafka, topic, first, protocol) as source:
        wait_until(lambda: source.paused, within_s=30, what="the first waits for room with all partitions")
        with reading(kafka, topic, second, protocol):
            wait_until(lambda: len(second.owned) == 1, within_s=30, what="the second has its share")
            wait_until(lambda: len(first.owned) == 1, within_s=30, what="the first gave one away")
            first.roomy = True
            wait_until(lambda: not source.paused, within_s=30, what="the first has room again")
        first.next.update(second.next)
        wait_until(lambda: len(first.owned) == PARTITIONS, within_s=60, what="the first has all again")
        produce(kafka, topic)
        wait_until(lambda: sum(first.next.values()) == 2 * RECORDS, within_s=30, what="everything is read")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_partitions_that_come_while_there_is_no_room_wait_with_the_others(kafka: KafkaService, protocol: str) -> None:
    topic = kafka.create_topic(kafka.unique("waiting"), PARTITIONS)
    first, second = Reader(), Reader()
    with reading(kafka, topic, first, protocol) as source:
        with reading(kafka, topic, second, protocol):
            wait_until(lambda: len(second.owned) == 1, within_s=30, what="the second has its share")
            wait_until(lambda: len(first.owned) == 1, within_s=30, what="the first gave one away")
            first.roomy = False
            wait_until(lambda: source.paused, within_s=30, what="the first waits for room")
        wait_until(lambda: len(first.owned) == PARTITIONS, within_s=60, what="the first has all again")
        produce(kafka, topic)
        polled, moved_at = source.polled, source.moved_at
        wait_until(lambda: source.moved_at > moved_at + 1.0, within_s=30, what="a second of turns without room")
        assert source.polled == polled
        first.roomy = True
        wait_until(lambda: sum(first.next.values()) == RECORDS, within_s=30, what="everything is read")


class Slow(Reader):
    """A host that does not know one of the partitions at once."""

    def __init__(self, slow: int) -> None:
        super().__init__()
        self.slow = slow
        self.begun: list[tuple[int, Callable[[], object]]] = []

    def take_over(self, partition: int, begin: Begin, session: int) -> Owned | Loading | str:
        owned = super().take_over(partition, begin, session)
        if partition != self.slow:
            return owned
        return Loading(self.next[partition], lambda: self.begun.append((session, lambda: owned)))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_partition_that_is_not_known_yet_waits_while_the_others_are_read(kafka: KafkaService, protocol: str) -> None:
    topic = kafka.create_topic(kafka.unique("loading"), PARTITIONS)
    host = Slow(slow=1)
    produce(kafka, topic)
    others = RECORDS - RECORDS // PARTITIONS
    with reading(kafka, topic, host, protocol) as source:
        wait_until(lambda: sum(host.next.values()) == others, within_s=30, what="the others are read")
        ((session, own),) = host.begun
        assert source.is_loading(host.slow, session)
        assert host.next[host.slow] == 0
        source.loaded(host.slow, session - 1, own)  # of an ownership before: nobody waits for that any more
        source.call(lambda: None).result(10)
        assert source.is_loading(host.slow, session)
        source.take_again(host.slow, session, 0.0)
        wait_until(lambda: len(host.begun) == 2, within_s=30, what="it is taken over again, as it could not be read")
        session, own = host.begun[1]
        source.loaded(host.slow, session, own)
        wait_until(lambda: sum(host.next.values()) == RECORDS, within_s=30, what="everything is read")


class Stateless(Reader):
    """A host whose state cannot be reached."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def take_over(self, partition: int, begin: Begin, session: int) -> Owned | str:
        self.asked += 1
        raise ConnectionError("the state is away")


def test_a_source_that_cannot_take_a_partition_over_can_be_closed(kafka: KafkaService) -> None:
    topic = kafka.create_topic(kafka.unique("stateless"), PARTITIONS)
    host = Stateless()
    with reading(kafka, topic, host, "cooperative"):
        wait_until(lambda: host.asked > 2, within_s=30, what="it tries again and again")
