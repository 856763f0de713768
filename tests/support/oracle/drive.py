"""A domain for one oracle run: its topics, its input, its workers, and the wait until all is quiet."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import redis
from tests.support.oracle.compare import Where, state_client
from tests.support.oracle.contract import BY_FINGERPRINT, BY_ID
from tests.support.oracle.model import Model
from tests.support.oracle.records import Record, policy_records, schema_records
from tests.support.oracle.topics import create_topic, end_offsets, partitions_of, produce
from tests.support.oracle.world import spellings
from tests.support.processes import ChildServer, wait_until

QUIET_S: Final = 3.0
"""How long nothing may be published before the deltas count as complete; longer than one publishing interval."""
SHARDS: Final = 16
POLICIES: Final = 20
"""The most used datasets have a freshness target."""
COMPACTED: Final = {"cleanup.policy": "compact"}
TABLES: Final = ("schemas", "policies")
"""Topics that every worker reads whole."""


@dataclass(slots=True)
class Run:
    """One domain on a Kafka and a Redis. `settings` are more environment variables for the workers."""

    where: Where
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    workers: list[ChildServer] = field(default_factory=list)

    def topics(self, partitions: int) -> dict[str, int]:
        """All topics of the domain and their partitions, so many of the events."""
        counts = {"events": partitions, "deltas": 4, "alerts": 2, "late": 2, "deadletter": 2}
        return {f"{self.where.prefix}{name}": count for name, count in {**counts, **dict.fromkeys(TABLES, 1)}.items()}

    def create_topics(self, partitions: int) -> None:
        """All topics of the domain, and what is in them from the beginning; old timestamps are kept."""
        tables = {f"{self.where.prefix}{name}" for name in TABLES}
        for topic, count in self.topics(partitions).items():
            create_topic(self.where.bootstrap, topic, count, COMPACTED if topic in tables else None)
        self.fill_tables()

    def fill_tables(self) -> None:
        """The writers' schemas and the policies."""
        prefix, bootstrap = self.where.prefix, self.where.bootstrap
        produce(bootstrap, f"{prefix}schemas", [record for _, record in schema_records()])
        # Targets that old events cannot meet, so that there is something to alert about.
        produce(bootstrap, f"{prefix}policies", policy_records([spellings(number)[0] for number in range(POLICIES)]))

    def produce(
        self, records: Iterable[Record], told: Callable[[int, int | None, int], None] | None = None
    ) -> dict[int, int]:
        """All records, acknowledged; how many a partition got."""
        return produce(self.where.bootstrap, self.where.events, records, told)

    # --- workers -------------------------------------------------------------------------------------------------

    def start_worker(self) -> ChildServer:
        """A worker of this domain as a process of its own."""
        environment = {
            "HEADWATER_KAFKA__BOOTSTRAP_SERVERS": self.where.bootstrap,
            "HEADWATER_REDIS__URL": self.where.redis_url,
            "HEADWATER_DOMAIN": self.where.domain,
            "HEADWATER_TOPIC_PREFIX": self.where.prefix,
            "HEADWATER_PROCESSOR__GROUP": f"{self.where.domain}-worker",
        } | self.settings
        command = [str(Path(sys.executable).with_name("headwater")), "worker"]
        given = [f"{name}={value}" for name, value in environment.items()]
        worker = ChildServer(["/usr/bin/env", *given, *command], self.folder / f"worker-{len(self.workers)}.log")
        worker.start(lambda: True, within_s=5)
        self.workers.append(worker)
        return worker

    def stop_workers(self) -> None:
        for worker in self.workers:
            worker.stop()

    def check_alive(self, worker: ChildServer) -> None:
        """Raises RuntimeError with the end of its log when a worker ended by itself."""
        if not worker.running:
            raise RuntimeError(f"the worker ended by itself; its log ends:\n{worker.log_tail(60)}")

    # --- progress ------------------------------------------------------------------------------------------------

    def applied(self, client: redis.Redis) -> dict[int, int]:
        """Partition to the next offset of its fence; only partitions that have begun."""
        out: dict[int, int] = {}
        for number in partitions_of(self.where.bootstrap, self.where.events):
            value: Any = client.hget(f"{{hw:{self.where.domain}}}:f:{number}", "next")
            if value is not None and int(value):
                out[number] = int(value)
        return out

    def wait_for_share(self, worker: ChildServer, share: float) -> None:
        """Until that share of all records that are in the topic now is applied."""
        total = sum(end_offsets(self.where.bootstrap, self.where.events).values())
        self.wait_for_offset(worker, int(share * total))

    def wait_for_offset(self, worker: ChildServer, count: int, within_s: float = 120) -> None:
        """Until so many records are applied. Raises TimeoutError, RuntimeError when the worker ends."""
        numbers = partitions_of(self.where.bootstrap, self.where.events)
        keys = [f"{{hw:{self.where.domain}}}:f:{number}" for number in numbers]
        with state_client(self.where) as client:

            def reached() -> bool:
                self.check_alive(worker)
                done: list[Any] = [client.hget(key, "next") for key in keys]
                return sum(int(each or 0) for each in done) >= count

            wait_until(reached, within_s=within_s, what=f"{count} records applied", pause_s=0.002)

    def wait_until_quiet(self, worker: ChildServer, within_s: float = 240) -> None:
        """Until every record is applied, every outbox is empty and nothing more is published."""
        ends = {number: end for number, end in end_offsets(self.where.bootstrap, self.where.events).items() if end}
        quiet = _Quiet(self.where)
        with state_client(self.where) as client:

            def done() -> bool:
                self.check_alive(worker)
                return self.applied(client) == ends and self._outboxes(client) == 0 and quiet.holds()

            try:
                wait_until(done, within_s=within_s, what="every record applied and published", pause_s=0.2)
            except TimeoutError as error:
                state = f"applied {self.applied(client)} of {ends}, outboxes {self._outboxes(client)}"
                raise TimeoutError(f"{error}; {state}; the worker's log ends:\n{worker.log_tail(40)}") from error

    def _outboxes(self, client: redis.Redis) -> int:
        pipe = client.pipeline(transaction=False)
        for shard in range(SHARDS):
            pipe.llen(f"{{hw:{self.where.domain}}}:o:{shard}")
            pipe.llen(f"{{hw:{self.where.domain}}}:ao:{shard}")
        return sum(pipe.execute())


class _Quiet:
    """Whether the deltas and the alerts have not grown for a while."""

    def __init__(self, where: Where) -> None:
        self._where = where
        self._ends: list[dict[int, int]] = []
        self._since = time.monotonic()

    def holds(self) -> bool:
        names = [f"{self._where.prefix}{name}" for name in ("deltas", "alerts")]
        ends = [end_offsets(self._where.bootstrap, name) for name in names]
        if ends != self._ends:
            self._ends, self._since = ends, time.monotonic()
        return time.monotonic() - self._since >= QUIET_S


def new_model(*, with_registry: bool) -> Model:
    """A model that knows the writers of the generator."""
    return Model(BY_FINGERPRINT, BY_ID if with_registry else None)


def paced(records: Iterable[Record], per_second: int) -> Iterator[Record]:
    """The same records at a bounded rate, for tests in which something happens while they arrive."""
    start = time.monotonic()
    for number, record in enumerate(records):
        if number % 200 == 0:
            time.sleep(max(0.0, start + number / per_second - time.monotonic()))
        yield record
