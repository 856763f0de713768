"""`headwater cdc`: lineage of change data capture, from the ends of its topics and from Kafka Connect."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from headwater.cdc.connectors import Connector
from headwater.cdc.http import RowSchemas, service_at
from headwater.cdc.names import Server, Servers, given_server
from headwater.cdc.probing import Probe
from headwater.cdc.reading import Reader
from headwater.cdc.service import Found, Look, Watcher
from headwater.cdc.wire import no_registry
from headwater.cli.context import invocation
from headwater.cli.output import emit_json, emit_json_line, emit_rows, note
from headwater.cli.watching import counted, deliver, kafka_at, now_ms, refused_text, time_text, until_signalled, usable
from headwater.doors.clusters import ClusterBook
from headwater.doors.rules import NameRules
from headwater.errors import DeliveryError
from headwater.runtime.errors import UsageError
from headwater.runtime.models import CdcSettings, Settings
from headwater_schemas.events import LineageEvent

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from headwater.cdc.metrics import Counts

_SAY_EVERY_S: Final = 2.0
_ENDS_WITHIN_S: Final = 120.0
"""How long --once reads topics whole, at most."""
_OF_CONNECTORS: Final = ("connector", "job", "state", "reads", "writes", "failure")
_COLUMNS: Final = ("topic", "table", "connector", "written", "source", "phase", "refused")

_EPILOG: Final = """\b
Examples:
  headwater cdc --connect http://connect:8083
  headwater cdc --topic 'shop.*' --source shop=postgres://db:5432/store
  headwater cdc --topic 'shop.*' --once --dry-run
  headwater cdc --connect http://connect:8083 --full shop.public.orders --full shop.transaction

\b
Only the last record of each partition is read, and nothing is committed; but topics of --full are read whole, by the
consumer group headwater-cdc. Connectors that --connect names need neither --topic nor --source.
Each option is a setting too: cdc.connect, cdc.topics, cdc.full, cdc.sources, cdc.interval_ms.
If the connectors write to another Kafka than Headwater's: --set cdc.bootstrap_servers=host:9092

\b
Exit codes: 0 done, or stopped by Ctrl-C or SIGTERM, 2 wrong usage or settings, 3 Kafka or Kafka Connect cannot be
reached (with --once; otherwise it is tried again).
"""


@click.command(epilog=_EPILOG)
@click.option("--connect", multiple=True, metavar="URL", help="Kafka Connect's REST API.")
@click.option(
    "--topic", "topics", multiple=True, metavar="PATTERN", help="Topics of no connector that --connect knows."
)
@click.option(
    "--full", multiple=True, metavar="PATTERN", help="Topics to read record by record, not only at their ends."
)
@click.option("--source", "sources", multiple=True, metavar="PREFIX=URL", help="Where a captured server is.")
@click.option("--interval", type=click.FloatRange(min=0.1), metavar="SECONDS", help="How often to look.  [default: 30]")
@click.option("--once", is_flag=True, help="Look once, print what was found, and end.")
@click.option("--dry-run", is_flag=True, help="Print the events as JSON lines instead of sending them.")
@click.pass_context
def cdc(
    context: click.Context,
    connect: tuple[str, ...],
    topics: tuple[str, ...],
    full: tuple[str, ...],
    sources: tuple[str, ...],
    interval: float | None,
    once: bool,
    dry_run: bool,
) -> None:
    """Watch change data capture: which table goes to which topic, how fresh, and whether the connector lives."""
    settings = invocation(context).settings()
    given = {"connect": connect, "topics": topics, "full": full, "sources": sources}
    told = _told(settings.cdc, given, interval)
    if not (told.connect or told.topics or told.full or told.sources):
        raise UsageError(
            "nothing to watch", remedy="name Kafka Connect (--connect http://host:8083) or topics (--topic 'shop.*')"
        )
    with until_signalled() as stop, _session(context, settings, told, dry_run=dry_run) as session:
        if once:
            session.watch(stop, None, once=True)
            return
        with counted(context, settings, told.interval_ms, _metrics) as counts:
            session.watch(stop, counts, once=False)


@dataclass(slots=True)
class _Session:
    """One invocation: what it looks with, and where its events go."""

    context: click.Context
    settings: Settings
    told: CdcSettings
    servers: Servers
    watcher: Watcher
    reader: Reader | None
    names: NameRules
    book: ClusterBook
    dry_run: bool

    def watch(self, stop: threading.Event, counts: Counts | None, *, once: bool) -> None:
        """Look, read what is to be read whole, and look again, until `stop`; or once."""
        while not stop.is_set():
            until_s = time.monotonic() + self.told.interval_ms / 1000
            try:
                look = self._look(counts, once=once)
                if once and look.trouble:
                    raise DeliveryError(look.trouble[0], remedy="what else was found is told and sent", retriable=True)
                if self.reader is not None:
                    self._read(self.reader, look, stop, until_s, counts, once=once)
            except DeliveryError as error:
                if self.reader is not None:
                    self.reader.begin_again()
                if once:
                    raise
                note(self.context, f"{error.message}; it is tried again in {self.told.interval_ms / 1000:g} s")
                if counts is not None:
                    counts.failed(error.message)
            if once:
                return
            stop.wait(max(0.1, until_s - time.monotonic()))

    def _look(self, counts: Counts | None, *, once: bool) -> Look:
        began_s = time.monotonic()
        look = self.watcher.look(self.servers, now_ms())
        self.book.learn(look.cluster)
        look.events = self._named(look.events, look.refused)
        deliver(self.settings, look.events, dry_run=self.dry_run)
        self.watcher.confirm(look)
        if counts is not None:
            counts.done(look, time.monotonic() - began_s)
        _tell(self.context, look, once=once, dry_run=self.dry_run)
        return look

    def _named(self, events: Sequence[LineageEvent], refused: Counter[str]) -> list[LineageEvent]:
        return [self.names.apply(event) for event in usable(events, refused)]

    def _read(
        self, reader: Reader, look: Look, stop: threading.Event, until_s: float, counts: Counts | None, *, once: bool
    ) -> None:
        """Read until the next look is due; once: to the ends that there are."""
        give_up_s = time.monotonic() + _ENDS_WITHIN_S
        reader.subscribe(look.full)
        before = reader.records
        done = False
        while not done and not stop.is_set():
            reader.read(look.servers, _SAY_EVERY_S if once else min(_SAY_EVERY_S, until_s - time.monotonic()))
            events, refused = reader.say(now_ms())
            events = self._named(events, refused)
            deliver(self.settings, events, dry_run=self.dry_run)
            if not self.dry_run:
                reader.confirm()
            records, before = reader.records - before, reader.records
            if counts is not None:
                counts.read(records, len(events), refused)
            if events or refused:
                note(self.context, f"{records} records read, {len(events)} events{refused_text(refused)}")
            done = reader.at_end or time.monotonic() > give_up_s if once else time.monotonic() >= until_s


@contextmanager
def _session(context: click.Context, settings: Settings, told: CdcSettings, *, dry_run: bool) -> Iterator[_Session]:
    """What `told` describes, and its connections let go of in the end. Raises UsageError: something in it is wrong."""
    servers = Servers([_server(text) for text in told.sources])
    connects = [service_at(url, "--connect") for url in told.connect]
    schemas = RowSchemas(service_at(settings.registry.url, "registry.url")) if settings.registry.url else no_registry
    kafka = kafka_at(settings.kafka, told.bootstrap_servers)
    cluster = told.kafka_namespace.removeprefix("kafka://") or kafka.bootstrap_servers
    group = f"{settings.consumer_group}-cdc"
    reader = Reader(kafka, schemas, group=group, cluster=cluster) if told.full else None
    probe = Probe(kafka, schemas)
    watcher = Watcher(
        probe,
        patterns=told.topics,
        full=told.full,
        connects=connects,
        kafka_namespace=told.kafka_namespace,
        interval_ms=told.interval_ms,
    )
    try:
        book = ClusterBook()
        yield _Session(context, settings, told, servers, watcher, reader, settings.doors.rules(book), book, dry_run)
    finally:
        if reader is not None:
            reader.close()
        probe.close()


def _tell(context: click.Context, look: Look, *, once: bool, dry_run: bool) -> None:
    summary = f"{look.topics} topics, {look.moved} partitions moved, {len(look.events)} events"
    for trouble in [] if once else look.trouble:
        note(context, f"{trouble}; it is asked again")
    if once and not (look.topics or look.full or look.connectors or look.trouble):
        note(context, "no topic has such a name; kafka-topics --list shows those that there are")
    if once and not dry_run:
        if invocation(context).wants_json:
            emit_json(
                {
                    **_summary(look),
                    "found": [_row(found) for found in look.found],
                    "connectors": [_connector(one) for one in look.connectors],
                }
            )
        else:
            if look.connectors:
                emit_rows(context, [_connector(one) for one in look.connectors], _OF_CONNECTORS)
                sys.stdout.write("\n")
            emit_rows(context, [_row(found) for found in look.found], _COLUMNS)
    elif invocation(context).wants_json and not dry_run:
        emit_json_line(_summary(look))
    if once or look.events or look.refused:
        note(context, f"{summary}{refused_text(look.refused)}")


def _summary(look: Look) -> dict[str, Any]:  # Any: what JSON holds
    return {
        "topics": look.topics,
        "partitions_moved": look.moved,
        "events": len(look.events),
        "refused": dict(look.refused),
    }


def _row(found: Found) -> dict[str, Any]:  # Any: as above
    return {
        "topic": found.topic,
        "table": found.table,
        "connector": found.connector,
        "written": time_text(found.written_ms),
        "source": time_text(found.source_ms),
        "phase": found.phase,
        "partitions": found.partitions,
        "refused": found.refused,
    }


def _connector(connector: Connector) -> dict[str, Any]:  # Any: as above
    flows = connector.flows
    return {
        "connector": connector.name,
        "job": str(connector.job),
        "state": "FAILED" if connector.failures else connector.state,
        "reads": len({flow.source for flow in flows if flow.source}),
        "writes": len({flow.target for flow in flows if flow.target}),
        "failure": "; ".join(connector.failures),
    }


def _metrics() -> tuple[Counts, Collector]:
    from headwater.cdc.metrics import CdcCollector, Counts

    counts = Counts()
    return counts, CdcCollector(counts)


def _told(settings: CdcSettings, given: Mapping[str, tuple[str, ...]], interval: float | None) -> CdcSettings:
    """The settings with the options in their place, where there are some."""
    options: dict[str, Any] = {key: values for key, values in given.items() if values}  # Any: as model_copy
    if interval is not None:
        options["interval_ms"] = int(interval * 1000)
    return settings.model_copy(update=options)


def _server(text: str) -> Server:
    server = given_server(text)
    if server is None:
        raise UsageError(
            f"--source {text.partition('://')[0]!r} names no server",
            remedy="write it as PREFIX=postgres://host:5432/database (or mysql, sqlserver, oracle, mongodb …)",
        )
    return server
