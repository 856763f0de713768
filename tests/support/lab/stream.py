"""The producer of a run of the laboratory."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from itertools import islice

from tests.support.lab.clocks import Acknowledged
from tests.support.lab.schedule import PARTITIONS, Schedule
from tests.support.oracle.drive import Run
from tests.support.oracle.generator import Generator
from tests.support.oracle.records import Options, Record, S


class Stream:
    """The producer: a part at once, the rest at a pace, in a thread. Its ledger is what Kafka acknowledged."""

    def __init__(self, run: Run, schedule: Schedule) -> None:
        self._run = run
        self._schedule = schedule
        self._began = time.monotonic()
        self._records = Generator(self._options()).records()
        self.sent = 0
        self.told = Acknowledged()
        self.acknowledged: dict[int, int] = {}
        self._lock = threading.Lock()

    def _options(self) -> Options:
        """In the present a record is dated when it is sent: what is there before lies in the past, the rest comes at its pace."""
        s = self._schedule
        if not s.present:
            return Options(s.events, s.seed, PARTITIONS)
        before_us = int(s.events * s.preloaded) * S // s.per_second
        return Options(
            s.events, s.seed, PARTITIONS, start_us=time.time_ns() // 1000 - before_us, step_us=S // s.per_second
        )

    def beside(self, count: int, seed: int, partitions: int, ahead_us: int = 0) -> Iterator[Record]:
        """Another stream that is dated like this one, or so much ahead of it; appended when this one is."""
        start_us = (time.time_ns() // 1000 if self._schedule.present else Options(0).start_us) + ahead_us
        for record in Generator(Options(count, seed, partitions, start_us=start_us)).records():
            yield record._replace(timestamp_ms=record.timestamp_ms - ahead_us // 1000)

    def preload(self) -> None:
        """What is there before the first worker."""
        self._note(
            self._run.produce(self._counted(int(self._schedule.events * self._schedule.preloaded)), self.told.note)
        )

    def rest(self) -> None:
        """All others, at their pace."""
        self._note(self._run.produce(self._paced(), self.told.note))

    def more(self, records: list[Record]) -> None:
        """Others beside them."""
        self._note(self._run.produce(records, self.told.note))

    def _note(self, counts: Mapping[int, int]) -> None:
        with self._lock:  # some come beside the stream
            for partition, count in counts.items():
                self.acknowledged[partition] = self.acknowledged.get(partition, 0) + count

    def _counted(self, count: int | None = None) -> Iterator[Record]:
        for record in islice(self._records, count):
            self.sent += 1
            yield record

    def _paced(self) -> Iterator[Record]:
        start, before = time.monotonic(), self.sent
        if self._schedule.present:  # workers took a while to start, and events are dated from the beginning on
            start, before = self._began, int(self._schedule.events * self._schedule.preloaded)
        for record in self._counted():
            ahead_s = start + (self.sent - before) / self._schedule.per_second - time.monotonic()
            if ahead_s > 0.05:
                time.sleep(ahead_s)
            yield record
