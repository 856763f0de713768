"""From the last records of a topic's partitions to lineage events. Pure.

What is said of a topic of a connector:

* the connector's job reads the table and writes the topic, and the one is made of the other (RUNNING, a proof of write for the
  topic: its last offsets; data through `source.ts_ms`);
* the table itself was written at `source.ts_ms` (an event of no job: by whom is not known), unless the record is of
  a snapshot, which reads what was written at some time;
* a heartbeat proves that the connector lives, and that it has nothing to say of the tables that are silent since.

Ids and times come out of the records alone. So a probe that is repeated, or that begins anew, says the same events
again, and they count once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from headwater import __version__
from headwater.cdc.envelopes import Change, Flat, Heartbeat, Operation, Origin, Record, Refused
from headwater.cdc.names import Server, Servers, run_id
from headwater.cdc.wire import Read
from headwater.validation import EARLIEST_US, LATEST_US
from headwater_schemas.events import DatasetUse, DirectEdge, EventType, LineageEvent, Measure, Name, Processing
from headwater_schemas.ids import derived_event_id

PRODUCER: Final = f"https://github.com/headwater-lineage/headwater/tree/{__version__}/collector/cdc"
MOST_INPUTS: Final = 900
_WRITES: Final = frozenset({Operation.CREATE, Operation.UPDATE, Operation.DELETE, Operation.TRUNCATE})


@dataclass(frozen=True, slots=True)
class End:
    """The last record of a partition: its offset, Kafka's timestamp of it (-1: none), and what it tells."""

    partition: int
    last_offset: int
    at_ms: int
    read: Read


@dataclass(frozen=True, slots=True)
class Said:
    """What a topic's ends come to: events, records that tell nothing, and the tables that are written to the topic."""

    events: tuple[LineageEvent, ...] = ()
    refused: tuple[Refused, ...] = ()
    tables: tuple[tuple[Server, Name], ...] = ()


@dataclass(frozen=True, slots=True)
class _Found:
    end: End
    origin: Origin
    operation: Operation | None


def topic_events(topic: Name, ends: Sequence[End], servers: Servers) -> Said:
    """What the ends of a topic's partitions say, table by table: several tables may share a topic."""
    tables: dict[tuple[Server, Name], list[_Found]] = {}
    refused = []
    for end in sorted(ends, key=lambda end: end.partition):
        whose = table_of(topic.name, end.read.record, servers)
        if isinstance(whose, Refused):
            refused.append(whose)
            continue
        origin, operation = _told(end.read.record)
        tables.setdefault(whose, []).append(_Found(end, origin, operation))
    events = []
    for (server, table), found in tables.items():
        if not _happened_ms(found):
            refused.append(Refused("no_time", "neither Kafka nor the source block says when"))
            continue
        events.append(_topic_event(topic, server, table, found))
        events += _table_event(server, table, found)
    return Said(tuple(events), tuple(refused), tuple(tables))


def table_of(topic: str, record: Record, servers: Servers) -> tuple[Server, Name] | Refused:
    """Which table of which server a record is about: by its source block, else by the name of its topic."""
    if isinstance(record, Refused):
        return record
    origin, _ = _told(record)
    server = servers.of(origin.kind, origin.server) if origin.server else servers.of_topic(topic)
    if server is None:
        return Refused("unknown_origin", "it says nothing of its source, and no --source has the topic's prefix")
    if not origin.kind:
        origin = replace(origin, kind=server.kind)
    table = server.table(origin.database, origin.schema, origin.table) if origin.table else None
    table = table or server.table_of(topic)
    if table is None:
        return Refused("unknown_table", "neither the record nor the topic's name says which table")
    return server, table


def _told(record: Record) -> tuple[Origin, Operation | None]:
    if isinstance(record, Change | Flat):
        return record.origin, record.operation
    return Origin("", ""), None


def _topic_event(topic: Name, server: Server, table: Name, found: Sequence[_Found]) -> LineageEvent:
    newest = max(found, key=lambda one: (one.end.at_ms, one.end.partition))
    version = newest.end.read.fingerprint if not server.speaks_openlineage else ""
    measures = tuple(
        Measure(
            partition=one.end.partition,
            first_offset=one.end.last_offset,
            last_offset=one.end.last_offset,
            data_through_us=one.origin.ts_ms * 1000,
        )
        for one in found
    )
    ends = [[one.end.partition, one.end.last_offset, one.end.at_ms] for one in found]
    return replace(
        connector_event(
            server, EventType.RUNNING, _happened_ms(found), ["topic", *topic_id(topic), *topic_id(table), ends]
        ),
        inputs=(DatasetUse(table.namespace, table.name, schema_version=version),),
        outputs=(DatasetUse(topic.namespace, topic.name, schema_version=version, measures=measures),),
        edges=(DirectEdge(table, topic),),
        transaction_ids=(newest.origin.transaction,) if newest.origin.transaction else (),
        facets=facets(
            connector=newest.origin.kind or server.kind,
            version=newest.origin.version,
            position=newest.origin.position,
            phase="snapshot" if newest.origin.snapshot else "streaming",
        ),
    )


def _happened_ms(found: Sequence[_Found]) -> int:
    """When the newest record was written to Kafka; where Kafka does not know, when the source says; 0 for neither."""
    at_ms = max(one.end.at_ms for one in found)
    return at_ms if EARLIEST_US <= at_ms * 1000 < LATEST_US else max(one.origin.ts_ms for one in found)


def _table_event(server: Server, table: Name, found: Sequence[_Found]) -> list[LineageEvent]:
    """That the table was written; nothing where all the records are of a snapshot, or do not say when."""
    written = [one.origin.ts_ms for one in found if one.operation in _WRITES and not one.origin.snapshot]
    return [table_written(server, table, max(written))] if any(written) else []


def table_written(server: Server, table: Name, at_ms: int) -> LineageEvent:
    """An event of no job: somebody wrote the table at this time."""
    measure = Measure(rows=1, data_through_us=at_ms * 1000)
    return LineageEvent(
        event_id=derived(["table", *topic_id(table), at_ms]),
        event_time_us=at_ms * 1000,
        event_type=EventType.OTHER,
        outputs=(DatasetUse(table.namespace, table.name, measures=(measure,)),),
        emitter=emitter(server),
        producer=PRODUCER,
    )


def heartbeat_event(server: Server, heartbeat: Heartbeat, silent: Iterable[Name]) -> LineageEvent:
    """The connector lives, and has nothing to say of the tables that are silent: their topics are idle, not stale."""
    names = sorted(set(silent), key=str)[:MOST_INPUTS]
    inputs = tuple(DatasetUse(name.namespace, name.name, measures=(Measure(lag=0),)) for name in names)
    said = ["heartbeat", server.prefix, heartbeat.at_ms, [str(name) for name in names]]
    return replace(connector_event(server, EventType.RUNNING, heartbeat.at_ms, said), inputs=inputs)


def connector_event(server: Server, kind: EventType, at_ms: int, said: list[Any]) -> LineageEvent:
    """An event of the server's connector, without datasets."""
    return job_event(server.job_name, emitter(server), kind, at_ms, said)


def job_event(job: Name, speaker: str, kind: EventType, at_ms: int, said: list[Any]) -> LineageEvent:
    """An event of a connector's job, without datasets. `said` is what the id is made of: all else that the event tells."""
    return LineageEvent(
        event_id=derived([*topic_id(job), kind.value, at_ms, *said]),
        event_time_us=at_ms * 1000,
        event_type=kind,
        run_id=run_id(job),
        job=job,
        processing=Processing.STREAMING,
        restartable=True,
        emitter=speaker,
        producer=PRODUCER,
    )


def emitter(server: Server) -> str:
    """Who speaks: this door, for one connector."""
    return f"cdc:{server.prefix}"


def topic_id(name: Name) -> tuple[str, str]:
    """A name as two values of JSON."""
    return name.namespace, name.name


def facets(**told: Any) -> bytes | None:
    """What our fields do not say, as the facet `headwater_cdc` of the run; empty values are left out."""
    kept = {key: value for key, value in told.items() if value}
    return orjson.dumps({"run": {"headwater_cdc": kept}}, option=orjson.OPT_SORT_KEYS) if kept else None


def derived(said: list[Any]) -> bytes:
    """An event id made of what is said, which is JSON."""
    return derived_event_id(b"headwater.cdc\0" + orjson.dumps(said))
