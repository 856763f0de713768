"""confluent-kafka's clients under `headwater.kafka`, on real Kafka: what they say is what happened, and the job is left alone."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterable

import confluent_kafka
import pytest
from confluent_kafka import TopicPartition
from tests.support.processes import freeze, wait_until
from tests.support.services import KafkaService

from headwater import Emitter, LineageEvent, Measure, Name, current_run
from headwater.kafka import Consumer, Lineage, Producer
from headwater.testing import MemoryTransport
from headwater_processor.local.services import start_broker

DEADLINE_S = 30.0


class Heard:
    """An emitter, and what it was told."""

    def __init__(self, job: str | None = None) -> None:
        self.transport = MemoryTransport()
        self.emitter = Emitter(self.transport, job=job)

    def events(self) -> list[LineageEvent]:
        self.emitter.flush()
        return self.transport.events

    def kinds(self) -> list[str]:
        return [event.event_type.value for event in self.events()]

    def last(self) -> LineageEvent:
        return self.events()[-1]


@pytest.fixture
def heard() -> Iterable[Heard]:
    heard = Heard()
    yield heard
    heard.emitter.close()


def produce(kafka: KafkaService, topic: str, count: int, partitions: int = 1) -> None:
    producer = confluent_kafka.Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for number in range(count):
        producer.produce(topic, b"x" * 100, partition=number % partitions)
    assert producer.flush(DEADLINE_S) == 0


def consumer(kafka: KafkaService, heard: Heard, group: str, **settings: object) -> Consumer:
    base = {"bootstrap.servers": kafka.bootstrap_servers, "group.id": group, "auto.offset.reset": "earliest"}
    return Consumer({**base, **settings}, lineage=Lineage(emitter=heard.emitter, every_s=0.2))


def records(client: Consumer, most: int) -> int:
    """How many came; a coordinator that is still loading is told as an error, and is no record."""
    return sum(message.error() is None for message in client.consume(most, 0.2))


def read(client: Consumer, count: int) -> int:
    done = 0

    def enough() -> bool:
        nonlocal done
        done += records(client, min(100, count - done)) if done < count else 0
        return done >= count

    wait_until(enough, within_s=DEADLINE_S, what=f"{count} records", pause_s=0)
    return done


def measures(event: LineageEvent, role: str = "inputs") -> dict[int, Measure]:
    (use,) = getattr(event, role)
    return {measure.partition: measure for measure in use.measures}


def spans(event: LineageEvent, role: str = "inputs") -> dict[int, tuple[int, int, int]]:
    return {at: (m.first_offset, m.last_offset, m.rows) for at, m in measures(event, role).items()}


def test_a_consumer_says_first_and_last_offset_records_and_lag_of_every_partition(
    kafka: KafkaService, heard: Heard
) -> None:
    topic = kafka.create_topic(kafka.unique("orders"), 3)
    produce(kafka, topic, 500, partitions=2)  # the third stays empty
    client = consumer(kafka, heard, kafka.unique("g"))
    client.subscribe([topic])
    read(client, 500)
    wait_until(
        lambda: bool(client.poll(0.1)) or len(measures(heard.last())) == 3, within_s=DEADLINE_S, what="statistics"
    )
    client.close()
    done = heard.last()
    assert done.event_type.value == "COMPLETE"
    assert [(use.namespace, use.name) for use in done.inputs] == [(f"kafka://{kafka.bootstrap_servers}", topic)]
    told = measures(done)
    assert (told[0].first_offset, told[0].last_offset, told[0].rows, told[0].bytes, told[0].lag) == (
        0,
        249,
        250,
        25_000,
        0,
    )
    assert (told[1].first_offset, told[1].last_offset, told[1].rows, told[1].lag) == (0, 249, 250, 0)
    assert (told[2].first_offset, told[2].rows, told[2].lag) == (-1, -1, 0)


def test_what_is_left_unread_is_the_lag_and_the_next_consumer_goes_on_without_a_gap(
    kafka: KafkaService, heard: Heard
) -> None:
    topic, group = kafka.create_topic(kafka.unique("orders")), kafka.unique("g")
    produce(kafka, topic, 300)
    first = consumer(kafka, heard, group)
    first.subscribe([topic])
    read(first, 120)
    first.close()
    assert spans(heard.last()) == {0: (0, 119, 120)}
    assert measures(heard.last())[0].lag in (180, -1)  # it may not have heard of the end yet
    second = consumer(kafka, heard, group)
    second.subscribe([topic])
    read(second, 180)
    second.close()
    assert spans(heard.last()) == {0: (120, 299, 180)}
    assert [event.job for event in heard.events()] == [Name("default", group)] * len(heard.events())


@pytest.mark.parametrize(
    "protocol",
    [
        {"heartbeat.interval.ms": "300"},
        {"heartbeat.interval.ms": "300", "partition.assignment.strategy": "cooperative-sticky"},
        {"group.protocol": "consumer"},
    ],
    ids=["eager", "cooperative", "consumer"],
)
def test_a_rebalance_always_has_its_event(kafka: KafkaService, heard: Heard, protocol: dict[str, str]) -> None:
    topic, group = kafka.create_topic(kafka.unique("orders"), 2), kafka.unique("g")
    produce(kafka, topic, 200, partitions=2)
    base = {"bootstrap.servers": kafka.bootstrap_servers, "group.id": group, "auto.offset.reset": "earliest"}
    calls: list[str] = []
    base |= protocol
    first = Consumer(base, lineage=Lineage(emitter=heard.emitter, every_s=600))
    first.subscribe(
        [topic],
        on_assign=lambda _c, ps: calls.append(f"+{len(ps)}"),
        on_revoke=lambda _c, ps: calls.append(f"-{len(ps)}"),
    )
    read(first, 200)
    second = confluent_kafka.Consumer(base)
    second.subscribe([topic])

    def moved() -> bool:
        first.poll(0.1)
        second.poll(0.1)
        return len(second.assignment()) == 1

    wait_until(moved, within_s=DEADLINE_S, what="the rebalance", pause_s=0)
    assert calls[:2] == [
        "+2",
        "-2" if len(protocol) == 1 and "group.protocol" not in protocol else "-1",
    ]  # the application's own callbacks are called as ever
    running = [event for event in heard.events() if event.event_type.value == "RUNNING" and event.inputs]
    rows = [sum(max(0, spans(event).get(at, (0, 0, 0))[2]) for event in running) for at in (0, 1)]
    assert 100 in rows, (rows, calls)  # all of what went, at least
    first.close()
    second.close()
    assert spans(heard.last()) == {0: (0, 99, 100), 1: (0, 99, 100)}


def test_after_a_seek_the_same_records_count_again(kafka: KafkaService, heard: Heard) -> None:
    topic = kafka.create_topic(kafka.unique("orders"))
    produce(kafka, topic, 100)
    client = consumer(kafka, heard, kafka.unique("g"))
    client.assign([TopicPartition(topic, 0, 0)])
    read(client, 100)
    client.seek(TopicPartition(topic, 0, 40))
    read(client, 60)
    client.close()
    assert spans(heard.last()) == {0: (0, 99, 160)}


def test_a_producer_says_what_was_acknowledged(kafka: KafkaService, heard: Heard) -> None:
    topic = kafka.create_topic(kafka.unique("out"), 2)
    produce(kafka, topic, 20, partitions=2)
    reports: list[int] = []
    client = Producer(
        {"bootstrap.servers": kafka.bootstrap_servers, "enable.idempotence": True, "client.id": "loader"},
        lineage=Lineage(emitter=heard.emitter),
    )
    for number in range(3_000):
        client.produce(topic, b"x" * 100, partition=number % 2, on_delivery=lambda _e, m: reports.append(m.offset()))
    assert client.flush(DEADLINE_S) == 0
    client.close()
    assert len(reports) == 3_000  # the application's own reports all came
    done = heard.last()
    assert (done.event_type.value, done.job.name) == ("COMPLETE", "loader")
    for measure in measures(done, "outputs").values():
        assert (measure.first_offset, measure.rows, measure.bytes) == (10, 1_500, 150_000)
        assert 1_509 - 2 * 61 <= measure.last_offset <= 1_509


def test_what_is_read_and_written_belongs_to_one_run(kafka: KafkaService) -> None:
    heard = Heard(job="orders-to-lake")
    source, target = kafka.create_topic(kafka.unique("in")), kafka.create_topic(kafka.unique("out"))
    produce(kafka, source, 50)
    settings = {
        "bootstrap.servers": kafka.bootstrap_servers,
        "group.id": kafka.unique("g"),
        "auto.offset.reset": "earliest",
    }
    lineage = Lineage(emitter=heard.emitter)
    outputs = Producer({"bootstrap.servers": kafka.bootstrap_servers}, lineage=lineage)
    inputs = Consumer(settings, lineage=lineage)
    inputs.subscribe([source])
    read(inputs, 50)
    for _ in range(50):
        outputs.produce(target, b"y")
    current_run().writes("s3://lake", "orders/daily", rows=50)
    assert outputs.flush(DEADLINE_S) == 0
    inputs.close()
    outputs.close()
    done = heard.last()
    heard.emitter.close()
    assert {event.run_id for event in heard.events()} == {done.run_id}
    assert done.job.name == "orders-to-lake"
    assert [use.name for use in done.inputs] == [source]
    assert {use.name: use.measures[0].rows for use in done.outputs} == {target: 50, "orders/daily": 50}


def test_a_client_made_in_a_run_is_part_of_it(kafka: KafkaService, heard: Heard) -> None:
    topic = kafka.create_topic(kafka.unique("out"))
    with heard.emitter.run("nightly"):
        client = Producer({"bootstrap.servers": kafka.bootstrap_servers}, lineage=Lineage(emitter=heard.emitter))
        client.produce(topic, b"z")
        assert client.flush(DEADLINE_S) == 0
    done = heard.last()
    assert (heard.kinds(), done.job.name) == (["START", "COMPLETE"], "nightly")
    assert spans(done, "outputs") == {0: (0, 0, 1)}


def test_the_applications_own_statistics_come_as_it_asked_for_them(kafka: KafkaService, heard: Heard) -> None:
    topic = kafka.create_topic(kafka.unique("orders"))
    documents: list[str] = []
    client = consumer(kafka, heard, kafka.unique("g"), **{"stats_cb": documents.append, "statistics.interval.ms": 100})
    client.subscribe([topic])
    wait_until(lambda: bool(client.poll(0.1)) or len(documents) >= 3, within_s=DEADLINE_S, what="statistics")
    client.close()
    assert json.loads(documents[0])["type"] == "consumer"


def test_a_consumer_that_is_closed_because_of_an_exception_has_failed(kafka: KafkaService, heard: Heard) -> None:
    topic = kafka.create_topic(kafka.unique("orders"))
    produce(kafka, topic, 10)
    client = consumer(kafka, heard, kafka.unique("g"))
    client.subscribe([topic])

    def work() -> None:
        try:
            read(client, 10)
            raise ValueError("no such column")
        finally:
            client.close()

    with pytest.raises(ValueError, match="no such column"):
        work()
    assert heard.kinds()[-1] == "FAIL"
    assert "no such column" in (heard.last().error or "")
    assert spans(heard.last()) == {0: (0, 9, 10)}


def test_a_broker_that_is_away_for_a_while_neither_doubles_nor_loses_what_was_acknowledged(heard: Heard) -> None:
    topic = "orders"
    broker = start_broker({topic: 1})
    try:
        settings = {"bootstrap.servers": broker.bootstrap, "log_level": 0}
        lineage = Lineage(emitter=heard.emitter, every_s=0.2)
        producer = Producer({**settings, "enable.idempotence": True, "client.id": "loader"}, lineage=lineage)
        client = Consumer({**settings, "group.id": "g", "auto.offset.reset": "earliest"}, lineage=lineage)
        client.subscribe([topic])
        for _ in range(100):
            producer.produce(topic, b"x")
        read_while(client, producer, 100)
        freeze(broker.process.pid)
        for _ in range(100):
            producer.produce(topic, b"y")  # they wait in the client, and nothing is raised
        away_until_s = time.monotonic() + 1.5
        while time.monotonic() < away_until_s:
            assert client.poll(0.1) is None
        events_then = len(heard.events())
        os.kill(broker.process.pid, signal.SIGCONT)
        read_while(client, producer, 100)
        assert producer.flush(DEADLINE_S) == 0
        client.close()
        producer.close()
    finally:
        os.kill(broker.process.pid, signal.SIGCONT)
        broker.process.stop()
    done = heard.last()
    assert events_then < 20  # an outage makes no events of its own
    assert spans(done) == {0: (0, 199, 200)}
    assert spans(done, "outputs") == {0: (0, 199, 200)}


def read_while(client: Consumer, producer: Producer, count: int) -> None:
    """Read so many records, and let the producer get on with its own."""
    done = 0
    deadline_s = time.monotonic() + DEADLINE_S
    while done < count:
        assert time.monotonic() < deadline_s
        producer.poll(0)
        done += records(client, count - done)


def test_wrong_settings_raise_what_they_would_without_lineage(heard: Heard) -> None:
    with pytest.raises(confluent_kafka.KafkaException, match="No such configuration property"):
        Consumer({"group.id": "g", "no.such": 1}, lineage=Lineage(emitter=heard.emitter))
    assert heard.kinds() == []
