"""aiokafka's clients and Faust apps under `headwater.kafka`, on real Kafka."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiokafka
import confluent_kafka
import pytest
from tests.support.processes import ChildServer, wait_until
from tests.support.services import KafkaService
from tests.support.workers import ROOT

from headwater import Emitter, LineageEvent, current_run
from headwater.kafka import Lineage
from headwater.kafka.aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from headwater.testing import MemoryTransport

DEADLINE_S = 30.0
Span = tuple[int, int, int]


class Heard:
    """An emitter, and what it was told."""

    def __init__(self) -> None:
        self.transport = MemoryTransport()
        self.emitter = Emitter(self.transport)
        self.lineage = Lineage(emitter=self.emitter, every_s=0.2)

    def last(self) -> LineageEvent:
        self.emitter.flush()
        return self.transport.events[-1]


@pytest.fixture
def heard() -> Iterator[Heard]:
    heard = Heard()
    yield heard
    heard.emitter.close()


def spans(event: LineageEvent, role: str = "inputs") -> dict[str, dict[int, Span]]:
    return {
        use.name: {m.partition: (m.first_offset, m.last_offset, m.rows) for m in use.measures if m.rows >= 0}
        for use in getattr(event, role)
    }


def produce(kafka: KafkaService, topic: str, count: int, partitions: int = 1) -> None:
    producer = confluent_kafka.Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for number in range(count):
        producer.produce(topic, b"x" * 100, partition=number % partitions)
    assert producer.flush(DEADLINE_S) == 0


@pytest.mark.parametrize("many", [True, False])
def test_an_aiokafka_job_says_what_it_reads_and_writes_in_one_run(
    kafka: KafkaService, heard: Heard, many: bool
) -> None:
    source, target = kafka.create_topic(kafka.unique("in"), 2), kafka.create_topic(kafka.unique("out"))
    produce(kafka, source, 300, partitions=1)
    seen: list[str] = []

    class Listener(aiokafka.ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
        def on_partitions_revoked(self, revoked: Any) -> None:
            seen.append(f"-{len(revoked)}")

        async def on_partitions_assigned(self, assigned: Any) -> None:
            seen.append(f"+{len(assigned)}")

    async def work() -> None:
        servers = kafka.bootstrap_servers
        producer = AIOKafkaProducer(bootstrap_servers=servers, lineage=heard.lineage)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=servers, group_id=kafka.unique("g"), auto_offset_reset="earliest", lineage=heard.lineage
        )
        consumer.subscribe([source], listener=Listener())
        await producer.start()
        await consumer.start()
        done = 0
        while done < 200:
            if many:
                batches = await consumer.getmany(timeout_ms=500, max_records=min(50, 200 - done))
                records = [record for batch in batches.values() for record in batch]
            else:
                records = [await consumer.getone()]
            for record in records:
                await producer.send(target, record.value)
            done += len(records)
        assert "getone" not in vars(consumer) or consumer._reading.unseen  # once seen, records are not looked at
        current_run().writes("s3://lake", "daily", rows=200)
        await producer.flush()
        await consumer.stop()
        await producer.stop()

    asyncio.run(asyncio.wait_for(work(), DEADLINE_S))
    done = heard.last()
    assert done.event_type.value == "COMPLETE"
    assert spans(done)[source] == {0: (0, 199, 200)}
    assert {m.partition: m.lag for m in done.inputs[0].measures}[0] == 100
    written = spans(done, "outputs")
    assert written == {target: {0: (0, 199, 200)}, "daily": {-1: (-1, -1, 200)}}
    assert len({event.run_id for event in heard.transport.events}) == 1
    assert "+2" in seen  # the application's own listener is called as ever


def test_an_aiokafka_consumer_that_leaves_by_an_exception_has_failed(kafka: KafkaService, heard: Heard) -> None:
    topic = kafka.create_topic(kafka.unique("in"))
    produce(kafka, topic, 10)

    async def work() -> None:
        async with AIOKafkaConsumer(
            topic, bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest", lineage=heard.lineage
        ) as consumer:
            async for record in consumer:
                if record.offset == 4:
                    raise ValueError("no such column")

    with pytest.raises(ValueError, match="no such column"):
        asyncio.run(asyncio.wait_for(work(), DEADLINE_S))
    assert heard.last().event_type.value == "FAIL"
    assert spans(heard.last()) == {topic: {0: (0, 4, 5)}}


def test_a_faust_app_says_what_it_reads_and_sends(kafka: KafkaService, tmp_path: Path) -> None:
    source, target = kafka.create_topic(kafka.unique("in"), 2), kafka.create_topic(kafka.unique("out"))
    produce(kafka, source, 100, partitions=2)
    events = tmp_path / "events.jsonl"
    given = {
        "HEADWATER_TRANSPORT": "file",
        "HEADWATER_FILE": str(events),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, "-m", "tests.support.faust_job", kafka.bootstrap_servers, source, target]
    app = ChildServer(["/usr/bin/env", *(f"{key}={value}" for key, value in given.items()), *command], tmp_path / "log")

    def told() -> list[dict[str, Any]]:
        return [json.loads(line) for line in events.read_text().splitlines()] if events.exists() else []

    def sent() -> bool:
        measures = [m for event in told() for use in event.get("outputs", ()) for m in use.get("measures", ())]
        return bool(sum(m["rows"] for m in measures) >= 100)

    app.start(lambda: True, within_s=5)
    try:
        wait_until(lambda: sent() or not app.running, within_s=DEADLINE_S, what="a hundred messages sent")
    finally:
        app.stop()
    end = told()[-1]
    assert end["event_type"] == "COMPLETE", app.log_tail()
    assert end["job"]["name"] == f"enrich-{source}"
    (read,) = end["inputs"]
    assert {m["partition"]: (m["first_offset"], m["last_offset"], m["rows"]) for m in read["measures"]} == {
        0: (0, 49, 50),
        1: (0, 49, 50),
    }
    (written,) = end["outputs"]
    assert (written["name"], written["measures"]) == (target, [{"rows": 100}])
