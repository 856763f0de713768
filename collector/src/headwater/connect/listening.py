"""Waiting for the first event of a producer: the events topic from its end on (or from a time before), one reader, no group."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Message

from headwater.cli.reading import TopicReader, reading
from headwater.connect.causes import Facts
from headwater.connect.hearing import Received, is_awaited
from headwater.runtime.models import KafkaSettings
from headwater_schemas.codec import decode
from headwater_schemas.events import LineageEvent, Name
from headwater_schemas.registry import SchemaStore

_SLICE_S: Final = 0.5
_MOST_KEPT: Final = 1_000
"""Emitters and jobs that are counted by name; a busy topic has thousands of them."""


@dataclass(slots=True)
class Heard:
    """What came while we listened: the awaited event, and the others in numbers."""

    awaited: Received | None = None
    emitters: Counter[str] = field(default_factory=Counter)
    jobs: Counter[str] = field(default_factory=Counter)
    undecodable: Counter[str] = field(default_factory=Counter)
    clock_ahead_us: int = 0

    @property
    def others(self) -> int:
        """Events that were not the awaited one."""
        return sum(self.emitters.values())

    def as_facts(self) -> Facts:
        """For `causes.probable`."""
        return Facts(
            emitters=self.emitters,
            jobs=self.jobs,
            undecodable=self.undecodable,
            clock_ahead_us=self.clock_ahead_us,
        )


class Listener:
    """Listens for one subject. Made by `listening`."""

    def __init__(self, reader: TopicReader, subject: str, job: Name | None, ends: Mapping[int, int]) -> None:
        self._reader = reader
        self._ends = ends
        self._subject = subject
        self._job = job
        self._schemas = SchemaStore()
        self.heard = Heard()

    def wait(self, until_s: float, each: Callable[[], None] = lambda: None) -> Received | None:
        """The first awaited event; None when `until_s` (monotonic) has come. `each` is called about twice a second.

        Raises:
            DeliveryError: Kafka cannot be read.
        """
        while (left_s := until_s - time.monotonic()) > 0:
            messages = self._reader.more(min(_SLICE_S, left_s))
            if any(self._take(message) for message in messages):
                break
            each()
        return self.heard.awaited

    def _take(self, message: Message) -> bool:
        """Whether it is the awaited event; otherwise it is counted."""
        event = decode(message.value() or b"", self._schemas)
        if not isinstance(event, LineageEvent):
            self.heard.undecodable[event.reason] += 1
            return False
        kind, stamped_ms = message.timestamp()
        stamped_us = stamped_ms * 1_000 if kind == TIMESTAMP_LOG_APPEND_TIME else 0
        partition, offset = message.partition() or 0, message.offset() or 0
        if is_awaited(self._subject, event, self._job):
            self.heard.awaited = Received(event, partition, offset, stamped_us)
            return True
        _count(self.heard.emitters, event.emitter)
        if self._job is not None and is_awaited(self._subject, event):
            _count(self.heard.jobs, str(event.job))
        if stamped_us and offset >= self._ends.get(partition, 0):  # it came just now
            self.heard.clock_ahead_us = stamped_us - time.time_ns() // 1_000
        return False


def _count(counts: Counter[str], name: str) -> None:
    counts[name if name in counts or len(counts) < _MOST_KEPT else "…"] += 1


@contextlib.contextmanager
def listening(
    kafka: KafkaSettings, topic: str, subject: str, job: Name | None = None, *, since_ms: int | None = None
) -> Iterator[Listener]:
    """A listener at the end of the topic, or at the first record of `since_ms` or later.

    Raises:
        RefusedError: the topic does not exist.
        DeliveryError: Kafka cannot be reached, or does not let us read.
    """
    with reading(kafka, topic) as reader:
        bounds = reader.bounds()
        ends = {partition: end for partition, (_, end) in bounds.items()}
        reader.begin(ends if since_ms is None else reader.since(bounds, since_ms))
        yield Listener(reader, subject, job, ends)
