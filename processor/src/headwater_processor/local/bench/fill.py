"""The events topic, filled before the worker starts."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError, Message, Producer

from headwater.errors import DeliveryError
from headwater.runtime.kafka import producer_config
from headwater_processor.local.bench.bench import Bench
from headwater_processor.local.bench.place import Place
from headwater_processor.local.workload import Record, Workload
from headwater_schemas.codec import encode_policy
from headwater_schemas.policies import Policy

STEP_US: Final = 10
"""Event time from one event to the next: what a topic holds when a worker catches up."""
POLICIES: Final = 100
_IN_FLIGHT: Final = 50_000
_SAY_EVERY_S: Final = 5.0
_FLUSH_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Filled:
    """What is in the topic now: records, and bytes of their values. `source` goes on where the topic ends."""

    events: int
    value_bytes: int
    source: Workload


class _Failures:
    """What was not delivered."""

    def __init__(self) -> None:
        self.first = ""

    def report(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None and not self.first:
            self.first = error.str()

    def check(self, left: int = 0) -> None:
        if self.first or left:
            said = self.first or f"{left} are not confirmed"
            raise DeliveryError(f"Kafka does not take the events of the benchmark: {said}")


def workload(bench: Bench, name: str) -> Workload:
    """The events of a workload by its name, from their beginning."""
    plan = bench.plan
    return Workload(seed=plan.seed, datasets=plan.datasets, wide=name == "wide", cdc=name == "cdc")


def fill(bench: Bench, here: Place, source: Workload, count: int) -> Filled:
    """Produce the next `count` events of a workload, the last of them with an event time of now. Raises DeliveryError."""
    first_us = time.time_ns() // 1000 - count * STEP_US
    records = (source.next(first_us + number * STEP_US) for number in range(1, count + 1))
    return Filled(count, produce(bench, here, records, count), source)


def produce(bench: Bench, here: Place, records: Iterable[Record], count: int) -> int:
    """Produce `count` records as fast as Kafka takes them; returns the bytes of their values. Raises DeliveryError."""
    producer = Producer({**producer_config(here.settings.kafka), "linger.ms": 20, "batch.num.messages": 10_000})
    failures, topic = _Failures(), here.topic("events")
    value_bytes, say_at = 0, time.monotonic() + _SAY_EVERY_S
    for number, record in enumerate(records):
        if number % 1000 == 0:
            say_at = _housekeeping(bench, producer, failures, (number, count), say_at)
        value_bytes += len(record.value)
        producer.produce(topic, record.value, record.key, on_delivery=failures.report)
    failures.check(producer.flush(_FLUSH_S))
    return value_bytes


def _housekeeping(bench: Bench, producer: Producer, failures: _Failures, done: tuple[int, int], say_at: float) -> float:
    """Keep the queue short, and the person informed; returns when to speak next."""
    bench.check()
    producer.poll(0)
    while len(producer) >= _IN_FLIGHT:
        bench.check()
        producer.poll(0.1)
    failures.check()
    now = time.monotonic()
    if now < say_at:
        return say_at
    bench.say(f"  {done[0]:,} of {done[1]:,} events are in the topic")
    return now + _SAY_EVERY_S


def publish_policies(here: Place) -> None:
    """Freshness targets for the most used datasets, so that judging is measured too. Raises DeliveryError."""
    publish(
        here,
        [
            Policy(
                f"bench-{number}", "s3://company-lakehouse-prod", f"curated/domain_{number % 37}/table_{number:05d}",
                owner="bench", max_age_ms=3_600_000,
            )
            for number in range(POLICIES)
        ],
    )  # fmt: skip


def publish(here: Place, policies: Iterable[Policy]) -> None:
    """Put policies into their topic. Raises DeliveryError."""
    producer = Producer(producer_config(here.settings.kafka))
    failures, topic = _Failures(), here.topic("policies")
    for policy in policies:
        producer.produce(topic, encode_policy(policy), policy.subject.encode(), on_delivery=failures.report)
    failures.check(producer.flush(_FLUSH_S))
