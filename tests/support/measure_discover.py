"""What a look of `headwater discover` costs: `python -m tests.support.measure_discover SERVERS [PARTITIONS] [GROUPS]`.

Topics of ten partitions are made, and groups without members that have committed in all of them. Each look is printed: wall
time, CPU of the whole process, largest resident memory. The last one is that of `--once`.
"""

from __future__ import annotations

import resource
import sys
import time
import uuid
from typing import Final

from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from tests.support.processes import wait_until

from headwater.discover.asking import Asking
from headwater.discover.choosing import Chosen
from headwater.discover.service import Discoverer
from headwater.runtime.models import KafkaSettings

_A_TOPIC: Final = 10
_LOOKS: Final = 8


def fill(servers: str, prefix: str, partitions: int, groups: int) -> list[TopicPartition]:
    """Topics with a record in each partition, and groups that have committed it."""
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    names = [f"{prefix}topic-{at}" for at in range(partitions // _A_TOPIC)]
    for future in admin.create_topics([NewTopic(name, _A_TOPIC, 1) for name in names], operation_timeout=60).values():
        future.result(120)
    producer = Producer({"bootstrap.servers": servers})
    for name in names:
        for partition in range(_A_TOPIC):
            producer.produce(name, b"x", partition=partition)
    producer.flush(60)
    places = [TopicPartition(name, partition, 0) for name in names for partition in range(_A_TOPIC)]
    for at in range(groups):
        commit(admin, f"{prefix}group-{at}", places)
    return places


def commit(admin: AdminClient, group: str, places: list[TopicPartition]) -> None:
    """Commit for a group without members."""

    def committed() -> bool:
        (future,) = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, places)]).values()
        return all(at.error is None for at in future.result(60).topic_partitions)

    wait_until(committed, within_s=60, what=f"commits of {group}")


def main() -> int:
    """Fill a Kafka, look at it, print the figures."""
    servers, *sizes = sys.argv[1:]
    partitions, groups = (int(size) for size in (*sizes, *("1000", "100")[len(sizes) :]))
    prefix = f"measure-{uuid.uuid4().hex[:6]}."
    places = fill(servers, prefix, partitions, groups)
    chosen = Chosen([f"{prefix}*"])
    found = Discoverer(Asking(KafkaSettings(bootstrap_servers=servers), chosen, chosen), namespace=f"kafka://{servers}")
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    for number in range(_LOOKS):
        began, cpu = time.monotonic(), time.process_time()
        look = found.look(time.time_ns() // 1_000_000, whole=number == _LOOKS - 1)
        took, cpu = time.monotonic() - began, time.process_time() - cpu
        found.confirm(look)
        mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        told = f"{len(look.seen.groups)} groups, {len(look.seen.ends)} ends, {len(look.events)} events"
        sys.stdout.write(
            f"look {number}: {took:.2f} s, {cpu:.2f} s of CPU, {mib:.0f} MiB; {told}; refused {dict(look.refused)}\n"
        )
        if number == 0:  # from now on every group is active
            for at in range(groups):
                commit(admin, f"{prefix}group-{at}", [TopicPartition(one.topic, one.partition, 1) for one in places])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
