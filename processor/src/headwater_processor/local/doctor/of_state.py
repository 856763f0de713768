"""What is looked at in Headwater's own state: its layout, partitions that stand still, as-of, and Kafka's clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # exported, but not by name

from headwater.errors import BrokerUnavailable
from headwater.runtime.kafka import client_config
from headwater.runtime.models import Settings
from headwater.runtime.redis import connect
from headwater_processor.core import stops
from headwater_processor.local.doctor.findings import Check, Finding, Noting
from headwater_processor.local.texts import ago, length
from headwater_processor.state import NoStateError, StateError, StateReader
from headwater_processor.state.values import PartitionState
from headwater_schemas.topics import catalogue

_AHEAD_US = 5_000_000


@dataclass(frozen=True, slots=True)
class StateDoctor:
    """Looks at the state of one domain; only reads."""

    settings: Settings
    limit_s: float

    def checks(self) -> list[Check]:
        """All checks; they need Redis or Kafka, and the registry is a service of its own."""
        found = [Check("state", self._state, "redis"), Check("kafka clock", self._kafka_clock, "kafka")]
        return [*found, Check("registry", self._registry)]

    def _state(self) -> Iterator[Finding]:
        say, settings = Noting("state"), self.settings
        with connect(settings.redis, settings.domain, timeout_s=self.limit_s, connect_timeout_s=self.limit_s) as client:
            reader = StateReader(client, settings.domain, lateness_us=settings.processor.lateness_ms * 1_000)
            try:
                summary = reader.summary()
            except NoStateError:
                yield say.warn(f"domain {settings.domain} has no state yet: no worker has begun", "headwater worker")
                return
            except StateError as error:
                yield say.problem(str(error), "headwater --version  # on the workers and here")
                return
            partitions = reader.partitions()
            seconds, micros = client.time()
        yield say.ok(
            f"domain {summary.domain}: {summary.datasets} datasets, {summary.applied:,} events, layout as ours"
        )
        if summary.shards != settings.processor.shards:
            yield say.problem(
                f"the state has {summary.shards} shards and the settings say {settings.processor.shards}: no worker starts",
                f"headwater worker --set processor.shards={summary.shards}",
            )
        yield from of_partitions(
            partitions, int(seconds) * 1_000_000 + int(micros), settings.processor.blind_after_ms * 1_000
        )

    def _kafka_clock(self) -> Iterator[Finding]:
        say, topic = Noting("kafka clock"), catalogue(self.settings.topic_prefix)["events"].name
        admin = AdminClient(client_config(self.settings.kafka))
        seen = admin.list_topics(timeout=self.limit_s)
        if topic not in seen.topics or str(seen.cluster_id).startswith("mockCluster"):
            return
        spec: Any = OffsetSpec  # the client types none of it
        places = [TopicPartition(topic, number) for number in seen.topics[topic].partitions]
        asked = admin.list_offsets(dict.fromkeys(places, spec.max_timestamp()), request_timeout=self.limit_s)
        newest_us = max((one.result(self.limit_s).timestamp for one in asked.values()), default=-1) * 1_000
        now_us = time.time_ns() // 1_000
        if newest_us <= 0:
            yield say.ok("nothing was stamped by Kafka yet")
        elif newest_us - now_us > _AHEAD_US:
            yield say.problem(
                f"Kafka's clock is at least {length(newest_us - now_us)} ahead of this machine's: "
                "event times are bounded by it",
                "chronyc tracking  # on the brokers and here",
            )
        else:
            yield say.ok(f"Kafka's newest stamp is of {ago(newest_us, now_us)}; it is not ahead of this machine")

    def _registry(self) -> Iterator[Finding]:
        say, url = Noting("registry"), self.settings.registry.url
        if not url:
            yield say.ok("no Schema Registry is configured; events in single-object encoding need none")
            return
        from headwater_schemas.registry import registry_client

        client: Any = registry_client({"url": url, "timeout": self.limit_s, "max.retries": 0})
        try:
            subjects = client.get_subjects()
        except Exception as error:
            # The client passes on the errors of two HTTP libraries.
            raise BrokerUnavailable(
                f"the Schema Registry at {url} does not answer: {type(error).__name__}", remedy="check registry.url"
            ) from error
        yield say.ok(f"the Schema Registry at {url} answers and has {len(subjects)} subjects")


def of_partitions(partitions: list[PartitionState], now_us: int, blind_after_us: int) -> Iterator[Finding]:
    """What stands still, and how far behind as-of is. Pure."""
    say, slow, unread = Noting("as-of"), False, []
    for one in partitions:
        if one.stopped:
            slow = True
            resume = stops.resume_command(one.partition)
            yield say.problem(f"partition {one.partition} is stopped: {one.stopped}", stops.remedy(one.stopped, resume))
        elif not one.as_of_us:
            unread.append(one.partition)
        elif now_us - one.as_of_us > blind_after_us:
            slow = True
            yield say.problem(
                f"as-of of partition {one.partition} is {length(now_us - one.as_of_us)} behind "
                f"(watermark {ago(one.watermark_us, now_us)}): what it writes is not judged",
                "headwater status  # then look at the worker's log, the lag, Kafka and Redis",
            )
    if unread:
        names = ", ".join(map(str, unread[:20]))
        yield say.warn(f"not read to the end yet: partition {names}; until then nothing is judged", "headwater status")
    elif partitions and not slow:
        behind_us = max(0, now_us - min(one.as_of_us for one in partitions))
        yield say.ok(f"everything is seen up to {length(behind_us)} ago in all {len(partitions)} partitions")
