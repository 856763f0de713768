"""What `headwater.kafka` adds to confluent-kafka's clients: `python -m tests.support.measure_kafka SERVERS [RECORDS]`.

Each loop is timed with the plain client and with ours in turn, in CPU time of its thread: neither librdkafka's threads
nor other work on the machine count. The best of each is compared, and the median of the differences of pairs shown.
"""

from __future__ import annotations

import asyncio
import functools
import statistics
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any, Final

import aiokafka
import confluent_kafka
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from headwater import Emitter
from headwater.kafka import Consumer, Lineage, Producer
from headwater.kafka.aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from headwater.testing import MemoryTransport

ROUNDS: Final = 5
PARTITIONS: Final = 4
VALUE: Final = b"x" * 200


def fill(servers: str, records: int) -> str:
    """A topic with so many records."""
    topic = f"measure-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(30)
    time.sleep(1)
    produced(confluent_kafka.Producer({"bootstrap.servers": servers, "linger.ms": 50}), topic, records)
    return topic


def produced(client: Any, topic: str, records: int) -> None:
    """Produce them, as a batch job does."""
    for number in range(records):
        while True:
            try:
                client.produce(topic, VALUE, partition=number % PARTITIONS)
                break
            except BufferError:
                client.poll(0.05)
    client.flush(60)


def batches(client: Any, records: int) -> None:
    """The plain loop of a batch consumer: it does nothing with the records but to look at each value."""
    done = 0
    while done < records:
        for message in client.consume(1_000, 1.0):
            message.value()
            done += 1


def one_by_one(client: Any, records: int) -> None:
    """The plain loop of a consumer that polls."""
    done = 0
    while done < records:
        message = client.poll(1.0)
        if message is not None:
            message.value()
            done += 1


def cpu_us(work: Callable[[], None], records: int) -> float:
    """CPU time of this thread a record, microseconds."""
    began = time.thread_time()
    work()
    return (time.thread_time() - began) / records * 1e6


def consuming(
    servers: str, topic: str, records: int, loop: Callable[[Any, int], None], lineage: Lineage | None
) -> float:
    """One round of a consumer loop; without lineage the plain client."""
    settings = {"bootstrap.servers": servers, "group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest"}
    client: Any = confluent_kafka.Consumer(settings) if lineage is None else Consumer(settings, lineage=lineage)
    client.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    taken = cpu_us(lambda: loop(client, records), records)
    client.close()
    return taken


def producing(servers: str, topic: str, records: int, lineage: Lineage | None) -> float:
    """One round of a producer loop."""
    settings = {"bootstrap.servers": servers, "linger.ms": 50, "queue.buffering.max.messages": 1_000_000}
    client: Any = confluent_kafka.Producer(settings) if lineage is None else Producer(settings, lineage=lineage)
    return cpu_us(lambda: produced(client, topic, records), records)


async def reading(servers: str, topic: str, records: int, lineage: Lineage | None) -> float:
    """One round of an aiokafka consumer's loop, from its second record on."""
    kind = aiokafka.AIOKafkaConsumer if lineage is None else functools.partial(AIOKafkaConsumer, lineage=lineage)
    client = kind(topic, bootstrap_servers=servers, group_id=uuid.uuid4().hex, auto_offset_reset="earliest")
    await client.start()
    await client.getone()
    done, began = 1, time.thread_time()
    async for _ in client:
        done += 1
        if done == records:
            break
    taken = time.thread_time() - began
    await client.stop()
    return taken / records * 1e6


async def sending(servers: str, topic: str, records: int, lineage: Lineage | None) -> float:
    """One round of an aiokafka producer's loop."""
    kind = aiokafka.AIOKafkaProducer if lineage is None else functools.partial(AIOKafkaProducer, lineage=lineage)
    client = kind(bootstrap_servers=servers)
    await client.start()
    began = time.thread_time()
    for _ in range(records):
        await client.send(topic, VALUE)
    await client.flush()
    taken = time.thread_time() - began
    await client.stop()
    return taken / records * 1e6


def main() -> None:
    """Print a line for each loop."""
    servers, records = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 200_000
    topic, sink = fill(servers, records), fill(servers, 1)
    emitter = Emitter(MemoryTransport())
    ours = Lineage(emitter=emitter, every_s=1.0)
    rounds: dict[str, Callable[[Lineage | None], float]] = {
        "consume(1000)": lambda lineage: consuming(servers, topic, records, batches, lineage),
        "poll()": lambda lineage: consuming(servers, topic, records, one_by_one, lineage),
        "produce()": lambda lineage: producing(servers, sink, records, lineage),
        "async for": lambda lineage: asyncio.run(reading(servers, topic, records // 10, lineage)),
        "await send()": lambda lineage: asyncio.run(sending(servers, sink, records // 20, lineage)),
    }
    for name, work in rounds.items():
        pairs = [(work(None), work(ours)) for _ in range(ROUNDS)]
        plain, with_lineage = min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)
        middle = statistics.median(after - before for before, after in pairs)
        print(  # noqa: T201 - what it is for
            f"{name:14} plain {plain:.3f} µs a record, with lineage {with_lineage:.3f}: best {with_lineage - plain:+.3f} µs "
            f"({(with_lineage / plain - 1):+.1%}), median of pairs {middle:+.3f} µs"
        )
    emitter.close()


if __name__ == "__main__":
    main()
