"""One look at everything: Kafka Connect, the topics' ends, the heartbeats; events out, and what was found for people.

A look changes nothing: only when its events have arrived is it `confirmed`, and the next look begins there. So what does
not arrive is said again, under the same ids, and memory is bounded by the number of topics.
"""

from __future__ import annotations

import fnmatch
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from headwater.cdc.connectors import Connector, connector_gone, connector_said, connectors_of
from headwater.cdc.envelopes import Heartbeat, Refused
from headwater.cdc.http import HttpError, Service, get_json
from headwater.cdc.names import HEARTBEATS, Server, Servers, is_internal
from headwater.cdc.probing import Moved, Probe
from headwater.cdc.reading import chosen
from headwater.cdc.statements import End, Said, heartbeat_event, topic_events
from headwater.doors.clusters import Cluster
from headwater.runtime.offsets import Place
from headwater_schemas.events import LineageEvent, Name
from headwater_schemas.naming import kafka_topic

log = logging.getLogger(__name__)

MOST_TABLES: Final = 100_000
_TRY_AGAIN: Final = frozenset({"registry_unavailable"})
"""Reasons that are no fault of the record: its partition is looked at again."""


@dataclass(frozen=True, slots=True)
class Found:
    """A topic as it was found, for people: whose table, when it was written last, what its end tells."""

    topic: str
    table: str
    connector: str
    written_ms: int
    source_ms: int
    phase: str
    partitions: int
    refused: str = ""


@dataclass(slots=True)
class Look:
    """What one look came to."""

    topics: int = 0
    moved: int = 0
    found: list[Found] = field(default_factory=list)
    events: list[LineageEvent] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    ends: dict[Place, int] = field(default_factory=dict)
    connectors: list[Connector] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    said: dict[tuple[str, str], Connector] = field(default_factory=dict)
    servers: Servers = field(default_factory=Servers)
    full: list[str] = field(default_factory=list)
    cluster: Cluster | None = None


def selected(topics: Iterable[str], patterns: Sequence[str], servers: Servers) -> list[str]:
    """The topics that are probed: those that a pattern names, and the tables' topics of every named server."""
    probed = []
    for topic in sorted(topics):
        server = servers.of_topic(topic)
        if is_internal(topic) or (server is not None and server.is_internal(topic)):
            continue
        if server is not None or any(fnmatch.fnmatchcase(topic, pattern) for pattern in patterns):
            probed.append(topic)
    return probed


class Watcher:
    """Looks at the topics of change data capture of one Kafka, again and again. Used by one thread.

    Args:
        patterns: topics that no named server has.
        full: patterns of topics that are read whole by somebody else: a look finds them (`Look.full`), and passes over them.
        connects: Kafka Connect's REST APIs.
        kafka_namespace: the cluster as a dataset's namespace (`kafka://broker:9092`); "" for the probe's own servers.
        interval_ms: connectors are said to live at multiples of it, so that two looks within one say the same.
    """

    def __init__(
        self,
        probe: Probe,
        *,
        patterns: Sequence[str] = (),
        full: Sequence[str] = (),
        connects: Sequence[Service] = (),
        kafka_namespace: str = "",
        interval_ms: int = 30_000,
    ) -> None:
        self._connects = connects
        self._interval_ms = interval_ms
        self._connectors: dict[tuple[str, str], Connector] = {}
        self._probe = probe
        self._patterns = patterns
        self._full = full
        self._cluster = kafka_namespace.removeprefix("kafka://") or probe.servers
        self._known: dict[Place, int] = {}
        self._written: dict[tuple[Server, Name], int] = {}

    def topic(self, name: str) -> Name:
        """A topic as a dataset."""
        return kafka_topic(self._cluster, name)

    def look(self, servers: Servers, now_ms: int) -> Look:
        """Look at what has moved since the last confirmed look. `servers` win over what connectors say of their own.

        Raises DeliveryError: Kafka cannot be reached.
        """
        look = Look()
        there = self._probe.topics()
        look.cluster = self._probe.cluster(self._cluster)
        for service in self._connects:
            self._ask_connect(look, service, there, now_ms)
        servers = servers.with_added(found.server for found in look.said.values() if found.server is not None)
        look.servers, look.full = servers, chosen(there, self._full)
        probed = [topic for topic in selected(there, self._patterns, servers) if topic not in set(look.full)]
        look.topics = len(probed)
        self._forget_all_but(there)
        self._look_at_tables(look, {topic: there[topic] for topic in probed}, servers)
        self._look_at_heartbeats(look, there, servers)
        return look

    def confirm(self, look: Look) -> None:
        """The look's events have arrived: the next look begins at its ends."""
        self._known.update(look.ends)
        self._connectors = look.said

    def _ask_connect(self, look: Look, service: Service, there: Mapping[str, Sequence[int]], now_ms: int) -> None:
        """A Connect that does not answer is trouble to be told, and its connectors are as they were."""
        before = {key: found for key, found in self._connectors.items() if key[0] == service.shown}
        try:
            document = get_json(service, "/connectors?expand=info&expand=status")
        except HttpError as error:
            look.trouble.append(str(error))
            look.refused["connect_unreachable"] += 1
            look.said.update(before)
            return
        namespace = f"kafka-connect://{service.host}:{service.port}"
        found, refused = connectors_of(document, namespace=namespace, cluster=self._cluster, topics=there)
        look.refused.update(one.reason for one in refused)
        at_ms = now_ms - now_ms % self._interval_ms
        for connector in found:
            known = before.pop((service.shown, connector.name), None)
            # A failure is said once, not at every look: it is not the connector's failing again.
            if known is None or not connector.failures or known.failures != connector.failures:
                look.events.append(connector_said(connector, at_ms if not connector.failures else now_ms))
            look.said[service.shown, connector.name] = connector
            look.connectors.append(connector)
        look.events += [connector_gone(gone.job, gone.emitter, now_ms) for gone in before.values()]

    def _look_at_tables(self, look: Look, topics: Mapping[str, Sequence[int]], servers: Servers) -> None:
        moved = self._moved(topics)
        look.moved = len(moved)
        ends = self._probe.ends(moved)
        for topic in topics:
            own = [one for one in moved if one.topic == topic]
            if not own:
                continue
            told = [ends[one.topic, one.partition] for one in own if (one.topic, one.partition) in ends]
            said = topic_events(self.topic(topic), told, servers)
            look.events += said.events
            look.found += _rows(topic, told, said)
            self._note(look, own, said.refused)
            self._remember(told, said)

    def _moved(self, topics: Mapping[str, Sequence[int]]) -> list[Moved]:
        places = [(topic, partition) for topic, partitions in topics.items() for partition in partitions]
        return self._probe.moved(places, self._known)

    def _note(self, look: Look, moved: Sequence[Moved], refused: Sequence[Refused]) -> None:
        look.refused.update(one.reason for one in refused)
        if any(one.reason in _TRY_AGAIN for one in refused):
            return
        look.ends.update({(one.topic, one.partition): one.end for one in moved})

    def _remember(self, told: Sequence[End], said: Said) -> None:
        newest_ms = max((end.at_ms for end in told), default=0)
        for whose in said.tables:
            if whose in self._written or len(self._written) < MOST_TABLES:
                self._written[whose] = max(newest_ms, self._written.get(whose, 0))

    def _look_at_heartbeats(self, look: Look, there: Mapping[str, Sequence[int]], servers: Servers) -> None:
        known = {server.prefix: server for server in (*servers, *(server for server, _ in self._written))}
        topics = {f"{HEARTBEATS}.{prefix}": server for prefix, server in known.items()}
        moved = self._moved({topic: there[topic] for topic in topics if topic in there})
        for place, end in self._probe.ends(moved).items():
            record = end.read.record
            if isinstance(record, Refused):
                look.refused[record.reason] += 1
            if not isinstance(record, Heartbeat):
                continue
            server = topics[place[0]]
            silent = [
                table
                for (whose, table), at_ms in self._written.items()
                if whose.prefix == server.prefix and at_ms < record.at_ms
            ]
            look.events.append(heartbeat_event(server, record, silent))
        look.ends.update({(one.topic, one.partition): one.end for one in moved})

    def _forget_all_but(self, there: Mapping[str, Sequence[int]]) -> None:
        """A topic that is deleted, and perhaps made again under the same offsets, begins anew."""
        gone = [place for place in self._known if place[0] not in there]
        for place in gone:
            del self._known[place]


def _rows(topic: str, told: Sequence[End], said: Said) -> list[Found]:
    reasons = ", ".join(sorted({refused.reason for refused in said.refused}))
    written_ms = max((end.at_ms for end in told), default=0)
    origins = [origin for end in told if (origin := getattr(end.read.record, "origin", None)) is not None]
    source_ms = max((origin.ts_ms for origin in origins), default=0)
    phase = "" if not origins else "snapshot" if all(origin.snapshot for origin in origins) else "streaming"
    tables = [(str(table), str(server.job_name)) for server, table in said.tables] or [("", "")]
    return [Found(topic, table, job, written_ms, source_ms, phase, len(told), reasons) for table, job in tables]
