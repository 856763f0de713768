"""Sending dead letters again: at least once, acknowledged by Kafka before it is noted, and noted before it is reported."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from headwater.cli.letters import (
    RECEIPT_HEADER,
    RECEIPT_KEY,
    Filters,
    Headers,
    Letter,
    Place,
    Receipts,
    headers_to_send,
    letter_of,
    ranges_text,
    receipt_of,
)
from headwater.cli.reading import Bounds, TopicReader
from headwater.errors import BrokerUnavailable, HeadwaterError
from headwater.runtime.kafka import producer_config, translate
from headwater.runtime.models import KafkaSettings
from headwater_schemas.codec import Rejected, Schemas, decode

_PORTION: Final = 500
"""Letters between two receipts: at most so many are sent twice after a crash."""

_WAIT_S: Final = 30.0
_LARGEST_BYTES: Final = 1_000_000_000  # the broker decides; see the worker's letters


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be sent, beside the filters: letters of one source topic; `again` those that were sent before as well,
    `unreadable` those too that still say nothing."""

    filters: Filters
    source_topic: str
    again: bool = False
    unreadable: bool = False


@dataclass(slots=True)
class Outcome:
    """How many letters were sent, and why others were left; up to which offset each partition was gone through."""

    sent: int = 0
    left: Counter[str] = field(default_factory=Counter)
    by_reason: Counter[str] = field(default_factory=Counter)
    next_offsets: dict[int, int] = field(default_factory=dict)


LEFT: Final = {
    "replayed": "was replayed already (--again sends it once more)",
    "unreadable": "still cannot be read (headwater deadletter show says why; --unreadable sends it all the same)",
    "elsewhere": "came from another topic, or does not say where from (--source-topic chooses it)",
    "twice": "is in the dead letters twice",
}
"""Why a letter is left where it is."""


def read_receipts(reader: TopicReader, bounds: Bounds, seen: Callable[[int], None] = lambda _count: None) -> Receipts:
    """What was sent again before."""
    receipts = Receipts()
    for message in reader.records(bounds, seen):
        ranges = receipt_of(message)
        if ranges is not None:
            receipts.add(message.partition() or 0, ranges)
    receipts.settle()
    return receipts


def letters_in(
    reader: TopicReader, bounds: Bounds, filters: Filters, seen: Callable[[int], None] = lambda _count: None
) -> Iterator[Letter]:
    """The letters that pass the filters, in order of each partition."""
    for message in reader.records(_within(bounds, filters), seen):
        if receipt_of(message) is None and filters.take(letter := letter_of(message)):
            yield letter


def _within(bounds: Bounds, filters: Filters) -> Bounds:
    low, last = filters.offsets or (0, 1 << 62)
    return {
        number: (max(begin, low), max(begin, min(end, last + 1)))
        for number, (begin, end) in bounds.items()
        if filters.partition is None or number == filters.partition
    }


class Chooser:
    """Which letters are to be sent. Asked once for each letter, in order."""

    def __init__(self, choice: Choice, receipts: Receipts, schemas: Schemas) -> None:
        self._choice = choice
        self._receipts = receipts
        self._schemas = schemas
        self._sources: set[Place] = set()

    def why_left(self, letter: Letter) -> str:
        """A key of `LEFT`, or empty if it is to be sent. Raises RegistryUnavailable."""
        if letter.source_topic != self._choice.source_topic:
            return "elsewhere"
        if not self._choice.again and self._receipts.holds(letter):
            self._sources.add(letter.source)
            return "replayed"
        if letter.source in self._sources:
            return "twice"
        if not self._choice.unreadable and isinstance(decode(letter.value or b"", self._schemas), Rejected):
            return "unreadable"
        self._sources.add(letter.source)
        return ""


class Replay:
    """Sends letters to their source topic, and leaves receipts. Call `finish` in the end, also after Ctrl-C."""

    def __init__(self, kafka: KafkaSettings, dead_topic: str, source_topic: str, source_partitions: int) -> None:
        self.outcome = Outcome()
        self._servers = kafka.bootstrap_servers
        self._dead_topic = dead_topic
        self._source_topic = source_topic
        self._partitions = source_partitions
        self._open = 0
        self._arrived: dict[int, list[int]] = {}
        self._failed: HeadwaterError | None = None
        config = producer_config(kafka, message_timeout_ms=int(_WAIT_S * 1000))
        try:
            self._producer = Producer({**config, "message.max.bytes": _LARGEST_BYTES})
        except KafkaException as error:
            raise translate(error, self._servers) from error

    def send(self, letter: Letter) -> None:
        """Send one letter; now and then wait for what is on its way, and note it. Raises DeliveryError."""
        headers = headers_to_send(letter, self._dead_topic, time.time_ns() // 1_000_000)

        def arrived() -> None:
            self.outcome.sent += 1
            self.outcome.by_reason[letter.reason] += 1
            self._arrived.setdefault(letter.partition, []).append(letter.offset)

        # Its own partition, so that what it belongs to is together whatever partitioner its producer had.
        same = letter.source_partition if 0 <= letter.source_partition < self._partitions else -1
        self._produce(self._source_topic, same, letter.key, letter.value, headers, arrived)
        if self._open >= _PORTION:
            self._note()

    def pass_over(self, letter: Letter, why: str) -> None:
        """Count a letter that is left. One that is there twice is noted as sent: its twin was."""
        self.outcome.left[why] += 1
        if why == "twice":
            self._arrived.setdefault(letter.partition, []).append(letter.offset)

    def finish(self) -> None:
        """Wait for what is on its way, and note it. Raises DeliveryError if something did not arrive."""
        self._note()

    def _note(self) -> None:
        """Receipts for what has arrived; only then is it counted as done."""
        self._flush()
        arrived, self._arrived = self._arrived, {}
        for partition, offsets in arrived.items():
            headers: Headers = [
                (RECEIPT_HEADER, ranges_text(offsets)),
                ("headwater.replay.topic", self._source_topic),
                ("headwater.replay.at", str(time.time_ns() // 1_000_000)),
            ]
            self._produce(self._dead_topic, partition, RECEIPT_KEY, None, headers, lambda: None)
            self.outcome.next_offsets[partition] = max(offsets) + 1
        self._flush()
        if self._failed is not None:
            raise self._failed

    def _flush(self) -> None:
        if self._producer.flush(_WAIT_S + 5.0):
            raise BrokerUnavailable(f"Kafka at {self._servers} did not confirm {self._open} records")

    def _produce(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        on_arrival: Callable[[], None],
    ) -> None:
        def reported(error: KafkaError | None, _message: Message) -> None:
            self._open -= 1
            if error is None:
                on_arrival()
            elif self._failed is None:
                self._failed = translate(error, self._servers)

        while True:
            try:
                self._producer.produce(topic, value, key, partition, reported, headers=headers)
            except BufferError:
                self._producer.poll(0.5)
            except KafkaException as error:
                raise translate(error, self._servers) from error
            else:
                self._open += 1
                self._producer.poll(0)
                return
