"""The last record of each partition of a topic, read from Kafka without consuming the topic.

Offsets are asked for (`ListOffsets`: the end, and the largest timestamp where the broker can tell it); of a partition
whose end has moved, one record is fetched: the one before the end. Where that is a tombstone or no record at all (the
marker of a transaction), a few before it. Nothing is committed, and no group is joined.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import ListOffsetsResultInfo, OffsetSpec
from confluent_kafka.admin._metadata import ClusterMetadata

from headwater.cdc.envelopes import Refused, Tombstone
from headwater.cdc.statements import End
from headwater.cdc.wire import Schemas, read
from headwater.doors.clusters import Cluster
from headwater.errors import BrokerUnavailable
from headwater.runtime.doors import told_cluster
from headwater.runtime.kafka import client_config, translate
from headwater.runtime.models import KafkaSettings
from headwater.runtime.offsets import Place, list_offsets

log = logging.getLogger(__name__)

_TIMEOUT_S: Final = 10.0
_AT_ONCE: Final = 64
"""Partitions that are fetched from at the same time: each may bring a batch of a megabyte."""
_STEPS: Final = (1, 8, 128)
"""How far before the end a record is looked for. A transaction of Connect leaves one marker for each commit."""
_FETCH_BYTES: Final = 128 * 1024
_QUEUE_KBYTES: Final = 2 * 1024


@dataclass(frozen=True, slots=True)
class Moved:
    """A partition whose end has moved: the end (exclusive), and the largest timestamp in it (-1: not known)."""

    topic: str
    partition: int
    end: int
    newest_ms: int = -1


class Probe:
    """Looks at topics of one Kafka. Used by one thread; `close` it.

    Raises:
        UsageError: librdkafka refuses its settings.
    """

    def __init__(self, kafka: KafkaSettings, schemas: Schemas) -> None:
        self.servers = kafka.bootstrap_servers
        self._schemas = schemas
        self._config = config = client_config(kafka, client_id="headwater-cdc")
        reading = {
            "group.id": "headwater-cdc-probe",  # must be named, though nothing joins it
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "fetch.message.max.bytes": _FETCH_BYTES,
            "queued.max.messages.kbytes": _QUEUE_KBYTES,
            "fetch.wait.max.ms": 50,
        }
        try:
            self._admin: AdminClient | None = AdminClient(config)
            self._consumer = Consumer({**config, **reading})
        except KafkaException as error:
            raise translate(error, self.servers) from error
        self._told = ClusterMetadata()
        self.passed_over = 0
        """How often a partition could not be asked for."""
        self.timestamps_told = True
        """Whether the broker can tell the largest timestamp; found out at the first look."""

    def topics(self) -> Mapping[str, Sequence[int]]:
        """The topics that there are, with their partitions. Raises DeliveryError: Kafka cannot be reached."""
        try:
            self._told = self._consumer.list_topics(timeout=_TIMEOUT_S)
        except KafkaException as error:
            raise translate(error, self.servers) from error
        return {name: sorted(topic.partitions) for name, topic in self._told.topics.items() if topic.error is None}

    def cluster(self, also: str = "") -> Cluster | None:
        """The cluster that told of its topics last; None where its id says nothing. `also`: other servers that it is named by."""
        return told_cluster(self._told, f"{self.servers},{also}", loopback=True)

    def moved(self, places: Iterable[Place], known: Mapping[Place, int]) -> list[Moved]:
        """The partitions that hold records and whose end is not the `known` one. Raises as `topics`."""
        ends = self._offsets(places, OffsetSpec.latest())  # type: ignore[no-untyped-call]  # theirs has no types
        changed = [place for place, end in ends.items() if end.offset > 0 and known.get(place) != end.offset]
        newest = self._newest(changed)
        return [Moved(*place, ends[place].offset, newest.get(place, -1)) for place in sorted(changed)]

    def ends(self, moved: Sequence[Moved]) -> dict[Place, End]:
        """What stands at the ends. A partition whose records are all gone, or that holds nothing but markers, is left out.

        Raises as `topics`.
        """
        found: dict[Place, End] = {}
        for first in range(0, len(moved), _AT_ONCE):
            waiting = moved[first : first + _AT_ONCE]
            for step in _STEPS:
                looked = self._looked_at(waiting, step)
                found.update(looked)
                waiting = [
                    one for one in waiting if not _tells(looked.get((one.topic, one.partition))) and one.end > step
                ]
                if not waiting:
                    break
        return found

    def close(self) -> None:
        """Let go of the connections."""
        self._consumer.close()

    def _newest(self, asked: Sequence[Place]) -> dict[Place, int]:
        if not asked or not self.timestamps_told:
            return {}
        try:
            found = self._offsets(asked, OffsetSpec.max_timestamp())  # type: ignore[no-untyped-call]  # as above
        except BrokerUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - a broker before 3.0 does not know the question, and says so in many ways
            log.info("Kafka at %s does not tell the largest timestamp (%s); records say it", self.servers, error)
            self.timestamps_told = False
            return {}
        return {place: result.timestamp for place, result in found.items()}

    def _offsets(self, asked: Iterable[Place], spec: OffsetSpec) -> dict[Place, ListOffsetsResultInfo]:
        self._admin = self._admin or AdminClient(self._config)
        try:
            found, failed = list_offsets(self._admin, asked, spec, timeout_s=_TIMEOUT_S)
        except KafkaException as error:
            raise translate(error, self.servers) from error
        for place, why in failed.items():
            self._passed_over(place, why)
        return found

    def _passed_over(self, place: Place, error: KafkaException) -> None:
        """One partition without a leader, deleted, or forbidden does not keep the others from being looked at."""
        # librdkafka (2.16) keeps asking with the leader's epoch that it knew before an election, and is fenced for ever.
        self._admin = None
        translated = translate(error, self.servers)
        if isinstance(translated, BrokerUnavailable) or error.args[0].code() == KafkaError.UNSUPPORTED_VERSION:
            raise translated from error
        self.passed_over += 1
        log.warning("%s, partition %d is passed over: %s", *place, translated.message)

    def _looked_at(self, waiting: Sequence[Moved], step: int) -> dict[Place, End]:
        wanted = {(one.topic, one.partition): one for one in waiting}
        found: dict[Place, End] = {}
        for message in self._last_records(wanted, step):
            one = wanted[message.topic() or "", message.partition() or 0]
            end = _end(message, one, self._schemas)
            before = found.get((one.topic, one.partition))
            # Of a few records the last that tells something counts; where none does, the last.
            if before is None or _tells(end) or not _tells(before):
                found[one.topic, one.partition] = end
        return found

    def _last_records(self, wanted: Mapping[Place, Moved], step: int) -> Iterator[Message]:
        """The records from `step` before each end up to it."""
        self._consumer.assign([TopicPartition(*place, max(0, one.end - step)) for place, one in wanted.items()])
        running = set(wanted)
        give_up_s = time.monotonic() + _TIMEOUT_S
        try:
            while running:
                for message in self._consumer.consume(_AT_ONCE, timeout=0.2):
                    place = message.topic() or "", message.partition() or 0
                    error = message.error()
                    if error is not None:
                        if _is_over(error):
                            running.discard(place)
                        elif not error.retriable() and error.code() not in _PASSING:
                            raise translate(error, self.servers)
                        continue
                    give_up_s = time.monotonic() + _TIMEOUT_S
                    offset, end = message.offset() or 0, wanted[place].end
                    if place in running and offset < end:
                        yield message
                    if offset >= end - 1:
                        running.discard(place)
                if time.monotonic() > give_up_s:
                    raise BrokerUnavailable(
                        f"Kafka at {self.servers} gives no record of {len(running)} partitions",
                        remedy="look at its brokers, and at the ACLs of this user",
                    )
        except KafkaException as error:
            raise translate(error, self.servers) from error
        finally:
            self._consumer.unassign()


_PASSING: Final = frozenset({KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT})


def _is_over(error: KafkaError) -> bool:
    """The partition's end, or an offset that retention or compaction has taken meanwhile."""
    return error.code() in {
        KafkaError._PARTITION_EOF,
        KafkaError._AUTO_OFFSET_RESET,
        KafkaError.OFFSET_OUT_OF_RANGE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_PARTITION,
    }


def _end(message: Message, moved: Moved, schemas: Schemas) -> End:
    kind, at_ms = message.timestamp()
    at_ms = at_ms if kind else -1
    value = message.value()
    found = read(value if isinstance(value, bytes) else None, schemas)
    return End(moved.partition, message.offset() or 0, max(at_ms, moved.newest_ms), found)


def _tells(end: End | None) -> bool:
    return end is not None and not isinstance(end.read.record, Tombstone | Refused)
