"""One worker that owns everything, driven from five minutes to five minutes."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final
from unittest.mock import patch

from tests.support.model.clients import MemoryClient
from tests.support.model.process import DOMAIN, PARTITIONS, SETTINGS, SHARDS, LogRecord, Process
from tests.support.model.server import MemoryRedis

from headwater_processor.core.judge_settings import JudgeSettings
from headwater_processor.core.policies import NO_POLICIES, PolicySet
from headwater_processor.state import StateReader
from headwater_schemas.alerts import Alert, AlertState
from headwater_schemas.codec import decode_alert, encode_single_object
from headwater_schemas.deltas import Status
from headwater_schemas.events import LineageEvent, Name
from headwater_schemas.ids import dataset_key, shard_of

SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US
ROUNDS_MAX: Final = 20
ON_THE_WAY_US: Final = SECOND_US
"""From when something happens to when Kafka has the event of it."""


class Domain:
    """A log, a Redis and a worker, as `support.model` has them, without its faults. `born_us` is the first start."""

    def __init__(self, born_us: int, judge: JudgeSettings | None = None, policies: PolicySet = NO_POLICIES) -> None:
        self.redis = MemoryRedis(born_us)
        self._began_us = born_us
        self.log: list[list[LogRecord]] = [[] for _ in range(PARTITIONS)]
        self.topics: dict[str, list[tuple[bytes, bytes]]] = {"deltas": [], "alerts": []}
        self.letters: dict[str, set[tuple[int, int]]] = {"dead": set(), "late": set()}
        self.reached = [0] * PARTITIONS
        self.policies = policies
        self.alerts: list[Alert] = []
        settings = replace(SETTINGS, judge=judge or JudgeSettings(born_us=born_us))
        with self._virtual_time():
            self._worker = Process(self, 0, settings)  # type: ignore[arg-type]  # all that it asks a world for
            self._worker.be_told()

    def group_of(self, worker: int) -> set[int]:
        """The only worker has every partition."""
        return set(range(PARTITIONS))

    def do(self, step: Any) -> None:
        """A step that comes in between: there is none here."""
        raise AssertionError(step)

    def say(self, events: Iterable[LineageEvent]) -> None:
        """Kafka has these events, each a second after it happened."""
        for event in events:
            log = self.log[zlib.crc32(str(event.job or event.outputs).encode()) % PARTITIONS]
            at_ms = (max(event.event_time_us, self.redis.now_us) + ON_THE_WAY_US) // 1000
            log.append(LogRecord(0, len(log), at_ms, encode_single_object(event)))

    def until(self, now_us: int) -> list[Alert]:
        """Work off everything that was said, with the clock at this time; the alerts that this brought."""
        self.redis.now_us = max(self.redis.now_us, now_us)
        said = len(self.alerts)
        with self._virtual_time():
            for _ in range(ROUNDS_MAX):
                self._work()
                if not self._left():
                    break
            else:
                raise AssertionError(f"not quiet: {self._left()}")
        return self.alerts[said:]

    def firing(self) -> list[Alert]:
        """The incidents that are open, in the order of their firing."""
        opened: dict[str, Alert] = {}
        for alert in self.alerts:
            if alert.state is AlertState.FIRING:
                opened[alert.incident_id] = alert
            else:
                opened.pop(alert.incident_id, None)
        return list(opened.values())

    def status(self, name: Name) -> Status:
        """What was judged of a dataset last."""
        key = dataset_key(name)
        return self._worker.shards._judges[shard_of(key, SHARDS)].statuses[b"d" + key]

    def reader(self) -> StateReader:
        """The state as people's tools read it."""
        return StateReader(MemoryClient(self.redis), DOMAIN)  # type: ignore[arg-type]  # as much of it as is used

    def _work(self) -> None:
        worker = self._worker
        while any(worker.positions.get(p, 0) < len(log) for p, log in enumerate(self.log)):
            worker.poll(500)
        worker.answer()
        worker.prove()
        worker.drain()
        self.redis.now_us += SECOND_US
        worker.sweep()
        worker.shards._watch_growth()
        worker.drain()
        self.alerts += [decode_alert(value) for _, value in self.topics["alerts"]]
        self.topics["alerts"].clear()
        self.topics["deltas"].clear()

    def _left(self) -> list[bytes]:
        """Shards that have something to publish."""
        return [
            key
            for shard in range(SHARDS)
            for name in ("o", "ao")
            if (key := f"{{hw:{DOMAIN}}}:{name}:{shard}".encode()) in self.redis.data
        ]

    @contextmanager
    def _virtual_time(self) -> Iterator[None]:
        """The worker goes by the clock of its Redis. Those who speak to it have threads, and keep the real one."""

        def monotonic() -> float:
            return 1e6 + (self.redis.now_us - self._began_us) / 1e6

        def sleep(seconds: float) -> None:
            self.redis.now_us += int(seconds * 1e6)

        with patch.object(time, "monotonic", monotonic), patch.object(time, "sleep", sleep):
            yield
