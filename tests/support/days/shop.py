"""A shop that is there already: tables, a Debezium, topics, consumers; and the doors that are opened to it on the first day.

What is real: `headwater.cdc`'s Watcher and statements over the last records, the normalising and conversion of Debezium's own
OpenLineage events (`support/openlineage` has recorded ones), the run of Kafka clients with its measures, what discovery says of a
group, and the doors' rules for names. What is played: the broker, and which rows are written when.
"""

from __future__ import annotations

import atexit
import copy
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tests.support.cdc_records import as_bytes, envelope, with_schema

from headwater.cdc.names import HEARTBEATS, Server, Servers
from headwater.cdc.normalising import Rules, normalise
from headwater.cdc.probing import Moved
from headwater.cdc.service import Watcher
from headwater.cdc.statements import End
from headwater.cdc.wire import read
from headwater.discover.observed import Member
from headwater.discover.statements import Observation, group_events
from headwater.doors.clusters import Cluster, ClusterBook, cluster_of
from headwater.doors.rules import NameRules, rules_of
from headwater.emitter import Emitter
from headwater.kafka.reading import Reading
from headwater.kafka.session import Lineage, Session, Teller
from headwater.openlineage import convert
from headwater.origin import Origin
from headwater.runtime.offsets import Place
from headwater.transports.memory import MemoryTransport
from headwater_schemas.events import LineageEvent, Measure, Name, Runtime
from headwater_schemas.naming import kafka_topic

SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US
HOUR_US: Final = 60 * MINUTE_US
TICK_US: Final = 10 * MINUTE_US
"""The shop is looked at so often, and what happened meanwhile is told at once: doors speak more often in the field."""

PREFIX: Final = "shop"
SERVER: Final = Server("postgresql", PREFIX, "postgres://db:5432", "store", speaks_openlineage=True)
CONNECTOR: Final = Name(PREFIX, f"{PREFIX}.0")
INSIDE: Final = "kafka.data.svc:9092"
OUTSIDE: Final = "kafka-1.example.com:9093,kafka-2.example.com:9093"
"""Two lists of bootstrap servers of one cluster: pods know the one, what runs elsewhere the other."""
CLUSTER_ID: Final = "u7Zk0sQnQe2yVf1cD3xLmA"
_RECORDED: Final = Path(__file__).parents[1] / "openlineage"

Rate = Callable[[datetime], float]
"""Rows written in a tick, on average, at this time of the week."""


def business_hours(per_tick: float, weekend: float = 0.05) -> Rate:
    """So many in a tick between six in the morning and ten at night, nothing at night, a share of it at the weekend."""

    def rate(at: datetime) -> float:
        if not 6 <= at.hour < 22:
            return 0.0
        return per_tick * (weekend if at.weekday() >= 5 else 1.0)

    return rate


TABLES: Final[Mapping[str, Rate]] = {
    "orders": business_hours(16.0),
    "customers": business_hours(1.2),
    "payments": business_hours(6.0),
    "products": business_hours(0.1),
}


@dataclass(slots=True)
class Partition:
    """The end of a partition, and the record before it."""

    end: int = 0
    value: bytes = b""
    at_ms: int = 0


@dataclass(slots=True)
class Kafka:
    """As much of a broker as the doors ask for. It is a `Probe` of itself."""

    servers: str = INSIDE
    partitions: dict[str, list[Partition]] = field(default_factory=dict)

    def write(self, topic: str, at_us: int, count: int, value: bytes) -> None:
        """So many records, the last of which is this one."""
        partition = self.partitions.setdefault(topic, [Partition()])[0]
        partition.end, partition.value, partition.at_ms = partition.end + count, value, at_us // 1000

    def topics(self) -> Mapping[str, Sequence[int]]:
        """As `Probe.topics`."""
        return {name: range(len(partitions)) for name, partitions in self.partitions.items()}

    def cluster(self, also: str = "") -> Cluster | None:
        """As `Probe.cluster`: which it is, is not told here; the shop's doors name the cluster themselves."""
        del also
        return None

    def moved(self, places: Iterable[Place], known: Mapping[Place, int]) -> list[Moved]:
        """As `Probe.moved`."""
        ends = {place: self.partitions[place[0]][place[1]] for place in places}
        return [Moved(*place, one.end, one.at_ms) for place, one in ends.items() if known.get(place) != one.end]

    def ends(self, moved: Sequence[Moved]) -> dict[Place, End]:
        """As `Probe.ends`."""
        found = {}
        for one in moved:
            last = self.partitions[one.topic][one.partition]
            found[one.topic, one.partition] = End(one.partition, last.end - 1, last.at_ms, read(last.value))
        return found


class Debezium:
    """The connector: rows become records, and now and then it says something itself."""

    def __init__(self, kafka: Kafka, tables: Mapping[str, Rate], *, heartbeats: bool, seed: int = 7) -> None:
        self._kafka = kafka
        self._tables = tables
        self._heartbeats = heartbeats
        self._chance = random.Random(seed)
        self._columns = dict.fromkeys(tables, 1)
        self._own: list[tuple[int, str]] = [(0, table) for table in tables]
        self.dead = False

    def change_schema(self, table: str, at_us: int) -> None:
        """A column is added: Debezium tells of it with the next row."""
        self._columns[table] += 1
        self._own.append((at_us, table))

    def work(self, now_us: int) -> None:
        """What a tick brings. A connector that is dead captures nothing; what was written meanwhile comes when it lives."""
        at = datetime.fromtimestamp(now_us / 1e6, UTC)
        for table, rate in self._tables.items():
            rows = _poisson(self._chance, rate(at))
            if rows and not self.dead:
                self._kafka.write(f"{PREFIX}.public.{table}", now_us - 2 * SECOND_US, rows, self._row(table, now_us))
        if self._heartbeats and not self.dead:
            beat = as_bytes({"ts_ms": (now_us - SECOND_US) // 1000})
            self._kafka.write(f"{HEARTBEATS}.{PREFIX}", now_us - SECOND_US, 30, beat)

    def own_events(self, now_us: int) -> list[LineageEvent]:
        """Its OpenLineage events, as the gateway takes them: one of the table and one of the topic for each schema."""
        if self.dead:
            return []
        told, self._own = self._own, []
        rules = Rules(Servers([SERVER]), f"kafka://{INSIDE}", frozenset(INSIDE.split(",")))
        events = []
        for _, table in told:
            for document in _documents(table, now_us):
                event = convert(normalise(document, rules).document)
                assert isinstance(event, LineageEvent), event
                events.append(event)
        return events

    def _row(self, table: str, now_us: int) -> bytes:
        columns = [{"type": "string", "optional": True, "field": f"c{n}"} for n in range(self._columns[table])]
        ts_ms = (now_us - 3 * SECOND_US) // 1000
        return as_bytes(with_schema(envelope(ts_ms=ts_ms, name=PREFIX, db="store", table=table), columns))


class ConsumerJob:
    """A pod that reads topics and writes what it makes of them: an application with `headwater.kafka`'s Consumer.

    The client's statistics are played (`Reading.moved`), its run and what it says are those of the wrapper.
    """

    def __init__(self, kafka: Kafka, name: str, servers: str, topics: Sequence[str], output: Name) -> None:
        self._kafka = kafka
        self._topics = topics
        self._servers = servers
        self._output = output
        self._name = name
        self._now_us = 0
        self._pods = 0
        self._at: dict[Place, int] = {}
        self._transport = MemoryTransport()
        self._told = 0
        self._emitter: Emitter | None = None
        self._teller: Teller | None = None
        self._reading = Reading()
        self._session: Session | None = None

    def start(self, now_us: int) -> None:
        """A new pod begins where the group has committed."""
        self._now_us = now_us
        self._pods += 1
        self._emitter = emitter = Emitter(
            self._transport, job=self._name, namespace="k8s://shop", origin=Origin(), strict=True, heartbeat_s=0,
            runtime=Runtime(pod=f"{self._name}-{self._pods}", node="n1"), clock_us=lambda: self._now_us,
        )  # fmt: skip
        self._session = Session(emitter, None)
        self._reading = Reading()
        self._teller = Teller(
            self._session, Lineage(emitter=emitter, every_s=0.0), self._servers, self._name, self._reading.news,
            lambda: None, reads=True,
        )  # fmt: skip
        self._teller.name(self._topics)
        places = [(topic, 0) for topic in self._topics]
        self._reading.begin(places)
        for place in places:
            self._reading.saw(*place, self._at.setdefault(place, 0))

    def stop(self, now_us: int) -> None:
        """The pod is told to end, and does."""
        self._now_us = now_us
        assert self._teller is not None
        assert self._emitter is not None
        self._teller.leave()
        self._emitter.close()
        self._teller = None

    def kill(self) -> None:
        """The pod dies without a word."""
        assert self._session is not None
        assert self._emitter is not None
        atexit.unregister(self._session._at_exit)  # what a process does at its end, one that was killed does not
        self._emitter.close()
        self._teller = None

    def work(self, now_us: int) -> None:
        """Read to the end of the topics, write what comes of it, tell of it."""
        if self._teller is None or self._session is None:
            return
        self._now_us = now_us
        rows = 0
        for place, at in self._at.items():
            end = self._kafka.partitions[place[0]][place[1]].end if place[0] in self._kafka.partitions else 0
            rows += end - at
            self._at[place] = end
            self._reading.moved(place, end, end)
        self._teller.note()
        if rows:
            self._session.run().writes(self._output.namespace, self._output.name, rows=rows)
        self._session.speak(0.0)

    def said(self) -> list[LineageEvent]:
        """What it has said since it was asked last."""
        if self._emitter is not None:
            self._emitter.flush()
        told = self._transport.events[self._told :]
        self._told += len(told)
        return told


def observed_group(group: str, topics: Iterable[str], now_us: int) -> LineageEvent:
    """What discovery says of an active consumer group that is caught up."""
    reads = tuple(sorted(topics))
    seen = Observation(
        group, "STABLE", members=(Member(f"{group}-0", "10.0.0.1", tuple((topic, 0) for topic in reads)),), reads=reads,
        measures={topic: (Measure(partition=0, lag=0),) for topic in reads}, judged=True,
    )  # fmt: skip
    (event,) = group_events(f"kafka://{INSIDE}", seen, slot=now_us // HOUR_US, at_ms=now_us // 1000)
    return event


def door_rules() -> NameRules:
    """The rules of a door with the settings as they come, that has asked the broker who it is."""
    book = ClusterBook()
    for servers in (INSIDE, OUTSIDE):
        assert book.learn(cluster_of(CLUSTER_ID, [], servers))
    return rules_of(book=book)


@dataclass(slots=True)
class Shop:
    """All of it, and what its doors say from tick to tick."""

    kafka: Kafka
    debezium: Debezium
    jobs: Sequence[ConsumerJob]
    groups: Mapping[str, Sequence[str]]
    watcher: Watcher
    rules: NameRules = field(default_factory=door_rules)

    def tick(self, now_us: int) -> Iterator[LineageEvent]:
        """What happens until now, as the doors tell it."""
        self.debezium.work(now_us)
        for job in self.jobs:
            job.work(now_us)
        look = self.watcher.look(Servers([SERVER]), now_us // 1000)
        self.watcher.confirm(look)
        events = [*self.debezium.own_events(now_us), *look.events]
        events += [event for job in self.jobs for event in job.said()]
        if now_us // TICK_US % 2 == 0:
            events += [observed_group(group, topics, now_us) for group, topics in self.groups.items()]
        yield from map(self.rules.apply, events)


def topic(table: str, servers: str = INSIDE) -> Name:
    """The topic of a table, by the name that these servers give it."""
    return kafka_topic(servers, f"{PREFIX}.public.{table}")


def _documents(table: str, now_us: int) -> list[dict[str, Any]]:
    """A recorded pair of events, of this table."""
    at = datetime.fromtimestamp(now_us / 1e6, UTC).isoformat().replace("+00:00", "Z")
    of_table = json.loads((_RECORDED / "debezium_running_table.json").read_text(encoding="utf-8"))
    of_topic = json.loads((_RECORDED / "debezium_3_5_running_topic.json").read_text(encoding="utf-8"))
    documents = []
    for recorded in (of_table, of_topic):
        document = copy.deepcopy(recorded)
        document["eventTime"] = at
        document["job"].update(namespace=CONNECTOR.namespace, name=CONNECTOR.name)
        configs = document["run"]["facets"]["debezium_config"]["configs"]
        configs[:] = [f"topic.prefix={PREFIX}" if one.startswith("topic.prefix=") else one for one in configs]
        for use in document["inputs"]:
            use.update(namespace="postgres://db:5432", name=f"store.public.{table}")
        for use in document["outputs"]:
            use.update(namespace=f"kafka://{INSIDE}", name=f"{PREFIX}.public.{table}")
        documents.append(document)
    return documents


def _poisson(chance: random.Random, mean: float) -> int:
    """Arrivals in a tick (Knuth's way: the means are small)."""
    count, product, limit = 0, chance.random(), 2.718281828459045**-mean
    while product > limit:
        count += 1
        product *= chance.random()
    return count
