"""`headwater discover`: which consumer group reads which topic, and how far behind, from Kafka's admin API alone."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from headwater.cli.context import invocation
from headwater.cli.output import emit_json, emit_json_line, emit_rows, note
from headwater.cli.printing import printable
from headwater.cli.watching import counted, deliver, kafka_at, now_ms, refused_text, time_text, until_signalled, usable
from headwater.discover.asking import Asking
from headwater.discover.following import Saying
from headwater.discover.orphans import GroupRow, TopicRow
from headwater.discover.service import Discoverer, Look, groups_of, namespace_of, topics_of
from headwater.doors.clusters import ClusterBook, cluster_of
from headwater.doors.rules import NameRules
from headwater.errors import DeliveryError
from headwater.runtime.models import DiscoverSettings, Settings

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from headwater.discover.metrics import Counts

_OF_GROUPS: Final = ("group", "state", "members", "topics", "lag", "status", "orphan")
_OF_TOPICS: Final = ("topic", "partitions", "records", "written", "written_by", "groups", "orphan")
_SHOWN: Final = 3
"""Names in a cell of a table; JSON has them all."""

_EPILOG: Final = """\b
Examples:
  headwater discover --kafka broker:9092
  headwater discover --topic 'shop.*' --exclude-group 'console-consumer-*' --interval 10
  headwater discover --once                        # who reads what, and what nobody reads
  headwater discover --once --orphans --output json
  headwater discover --once --dry-run              # the events, as JSON

\b
Nothing is consumed, committed or changed: it needs Describe on the cluster, on topics and on groups, and Write on
lineage.events. Left out are Kafka's own topics (__*), Headwater's topics and its groups, unless one is named in full.
A status (OK, WARN, STALL, STOP) is judged by ten looks, so --once has none. What a group writes, and who writes a topic,
Kafka does not tell. Each option is a setting too: discover.topics, discover.groups, discover.interval_ms …
If the groups are in another Kafka than Headwater's: --set discover.bootstrap_servers=host:9092
A Kafka that cannot list groups (the embedded one of headwater up) is asked for the commits of those that --group names in full.

\b
Exit codes: 0 done, or stopped by Ctrl-C or SIGTERM, 2 wrong usage or settings, or a Kafka that cannot list groups and none is
named, 3 Kafka cannot be reached (with --once; otherwise it is tried again).
"""


@click.command(epilog=_EPILOG)
@click.option("--topic", "topics", multiple=True, metavar="PATTERN", help="Topics to look at.  [default: all]")
@click.option("--exclude-topic", "exclude_topics", multiple=True, metavar="PATTERN", help="Topics to leave out.")
@click.option("--group", "groups", multiple=True, metavar="PATTERN", help="Consumer groups to look at.  [default: all]")
@click.option(
    "--exclude-group", "exclude_groups", multiple=True, metavar="PATTERN", help="Consumer groups to leave out."
)
@click.option("--interval", type=click.FloatRange(min=0.1), metavar="SECONDS", help="How often to look.  [default: 30]")
@click.option("--once", is_flag=True, help="Look once, print groups and topics, and end.")
@click.option("--orphans", is_flag=True, help="With --once: print only what nobody reads, or nobody is in.")
@click.option("--dry-run", is_flag=True, help="Print the events as JSON lines instead of sending them.")
@click.pass_context
def discover(
    context: click.Context,
    topics: tuple[str, ...],
    exclude_topics: tuple[str, ...],
    groups: tuple[str, ...],
    exclude_groups: tuple[str, ...],
    interval: float | None,
    once: bool,
    orphans: bool,
    dry_run: bool,
) -> None:
    """Discover from Kafka itself which consumer group reads which topic, and how far behind it is."""
    if orphans and not once:
        raise click.UsageError("--orphans goes with --once")
    settings = invocation(context).settings()
    given = {"topics": topics, "exclude_topics": exclude_topics, "groups": groups, "exclude_groups": exclude_groups}
    told = _told(settings.discover, given, interval)
    settings = settings.model_copy(update={"discover": told})
    kafka = kafka_at(settings.kafka, told.bootstrap_servers)
    namespace = namespace_of(kafka.bootstrap_servers, told.kafka_namespace)
    discoverer = Discoverer(
        Asking(kafka, topics_of(settings), groups_of(settings)),
        namespace=namespace,
        interval_ms=told.interval_ms,
        repeat_ms=told.repeat_ms,
        window=told.window,
    )
    book = ClusterBook()
    session = _Session(
        context, settings, discoverer, settings.doors.rules(book), book, kafka.bootstrap_servers, dry_run
    )
    with until_signalled() as stop:
        if once:
            session.once(orphans=orphans)
        else:
            with counted(context, settings, told.interval_ms, _metrics) as counts:
                session.watch(stop, counts)


@dataclass(slots=True)
class _Session:
    """One invocation: what it looks with, and where its events go."""

    context: click.Context
    settings: Settings
    discoverer: Discoverer
    names: NameRules
    book: ClusterBook
    servers: str
    dry_run: bool

    def once(self, *, orphans: bool) -> None:
        """Look once, and print what was found."""
        look = self._look(whole=not self.dry_run)
        if not self.dry_run:
            self._print(look, orphans=orphans)
        self._note(look)

    def watch(self, stop: threading.Event, counts: Counts | None) -> None:
        """Look again and again, until `stop`."""
        interval_s = self.settings.discover.interval_ms / 1000
        while not stop.is_set():
            began_s = time.monotonic()
            try:
                self._turn(counts, began_s)
            except DeliveryError as error:
                note(self.context, f"{error.message}; it is tried again in {interval_s:g} s")
                if counts is not None:
                    counts.failed(error.message)
            stop.wait(max(0.1, began_s + interval_s - time.monotonic()))

    def _turn(self, counts: Counts | None, began_s: float) -> None:
        look = self._look()
        if counts is not None:
            counts.done(look, time.monotonic() - began_s)
        self._tell(look)

    def _look(self, *, whole: bool = False) -> Look:
        look = self.discoverer.look(now_ms(), whole=whole)
        brokers = [(host, int(port)) for host, _, port in (each.rpartition(":") for each in look.seen.brokers)]
        self.book.learn(cluster_of(look.seen.cluster_id, brokers, self.servers, loopback=True))
        look.events = [self.names.apply(event) for event in usable(look.events, look.refused)]
        deliver(self.settings, look.events, dry_run=self.dry_run)
        self.discoverer.confirm(look)
        return look

    def _tell(self, look: Look) -> None:
        """A look of many: a line for a program, and for people what changed."""
        if invocation(self.context).wants_json and not self.dry_run:
            emit_json_line(_summary(look))
        for saying in look.sayings:
            if saying.observation.status is not saying.before:
                note(self.context, _changed(saying))
        if look.events or look.refused:
            self._note(look)

    def _note(self, look: Look) -> None:
        seen = look.seen
        told = f"{len(seen.topics)} topics, {len(seen.groups)} groups, {look.active} active, {len(look.events)} events"
        cluster = (
            f"cluster {printable(seen.cluster_id)} at {', '.join(printable(one) for one in seen.brokers[:_SHOWN])}"
        )
        more = f" and {len(seen.brokers) - _SHOWN} more" if len(seen.brokers) > _SHOWN else ""
        note(self.context, f"{cluster}{more}: {told}{refused_text(look.refused)}")

    def _print(self, look: Look, *, orphans: bool) -> None:
        groups = [row for row in self.discoverer.groups(look) if row.orphan or not orphans]
        topics = [row for row in self.discoverer.topics(look) if row.orphan or not orphans]
        if invocation(self.context).wants_json:
            cluster = {
                "id": look.seen.cluster_id,
                "brokers": list(look.seen.brokers),
                "namespace": self.discoverer.namespace,
            }
            emit_json(
                {
                    "cluster": cluster,
                    **_summary(look),
                    "groups": [*map(_group, groups)],
                    "topics": [*map(_topic, topics)],
                }
            )
            return
        emit_rows(self.context, [{**_group(row), "topics": _some(row.topics)} for row in groups], _OF_GROUPS)
        sys.stdout.write("\n")
        emit_rows(self.context, [{**_topic(row), "groups": _some(row.groups)} for row in topics], _OF_TOPICS)


def _changed(saying: Saying) -> str:
    seen = saying.observation
    where = ", ".join(printable(f"{one.topic} {one.partition}") for one in seen.behind[:_SHOWN])
    more = f" and {len(seen.behind) - _SHOWN} more" if len(seen.behind) > _SHOWN else ""
    at = f" ({where}{more})" if where else ""
    return f"group {printable(seen.group)}: {saying.before.name} → {seen.status.name}, {seen.lag} records behind{at}"


def _summary(look: Look) -> dict[str, Any]:  # Any: what JSON holds
    return {
        "active_groups": look.active,
        "events": len(look.events),
        "statuses": dict(look.statuses),
        "orphans": dict(look.orphans),
        "refused": dict(look.refused),
    }


def _group(row: GroupRow) -> dict[str, Any]:  # Any: as above
    return {
        "group": row.group,
        "state": row.state,
        "protocol": row.protocol,
        "members": row.members,
        "topics": list(row.topics),
        "lag": row.lag,
        "trend": row.trend,
        "status": row.status,
        "partitions_behind": row.behind,
        "orphan": list(row.orphan),
    }


def _topic(row: TopicRow) -> dict[str, Any]:  # Any: as above
    return {
        "topic": row.topic,
        "partitions": row.partitions,
        "records": row.records if row.records >= 0 else None,
        "written": time_text(row.written_ms),
        "written_by": row.written_by,
        "groups": list(row.groups),
        "orphan": list(row.orphan),
    }


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _told(settings: DiscoverSettings, given: Mapping[str, tuple[str, ...]], interval: float | None) -> DiscoverSettings:
    """The settings with the options in their place, where there are some."""
    options: dict[str, Any] = {key: values for key, values in given.items() if values}  # Any: as model_copy
    if interval is not None:
        options["interval_ms"] = int(interval * 1000)
    return settings.model_copy(update=options)


def _metrics() -> tuple[Counts, Collector]:
    from headwater.discover.metrics import Counts, DiscoverCollector

    counts = Counts()
    return counts, DiscoverCollector(counts)
