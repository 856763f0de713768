"""Full mode: every record of chosen topics, added up by table and minute. Pure: records in, lineage events out.

A window is a minute of Kafka's timestamps in one partition. What is said of a window is the whole of it so far, so that a later
word of the same window replaces an earlier one; and reading may begin again at the window's first record, after
a crash, without counting anything twice. `resume_at` is that record: what is committed to Kafka.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from headwater.cdc.avro import fingerprint_of
from headwater.cdc.envelopes import Change, Flat, Operation, Refused, SchemaChange, Tombstone
from headwater.cdc.names import Server, Servers
from headwater.cdc.statements import PRODUCER, connector_event, derived, emitter, facets, table_of, topic_id
from headwater.cdc.wire import Read
from headwater_schemas.events import DatasetUse, DirectEdge, EventType, Lifecycle, LineageEvent, Measure, Name

MINUTE_MS: Final = 60_000
MOST_TRANSACTIONS: Final = 100
"""Transaction ids that an event carries; more are counted."""
MOST_TABLES: Final = 1_000
"""Tables told apart in one window; further ones are counted as `too_many_tables`."""
_LIFECYCLES: Final = {"CREATE": Lifecycle.CREATE, "ALTER": Lifecycle.ALTER, "DROP": Lifecycle.DROP}
_WRITES: Final = frozenset({Operation.CREATE, Operation.UPDATE, Operation.DELETE, Operation.TRUNCATE})

Whose = tuple[Server, Name]


@dataclass(slots=True)
class Tally:
    """What one window holds of one table. Times are milliseconds, 0 is none."""

    operations: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    snapshot_rows: int = 0
    writes: int = 0
    newest_ms: int = 0
    through_ms: int = 0
    written_ms: int = 0
    truncated_ms: int = 0
    first_offset: int = -1
    last_offset: int = -1
    transactions: dict[str, None] = field(default_factory=dict)
    transaction_count: int = 0
    fingerprint: str = ""
    position: str = ""

    def add(self, offset: int, at_ms: int, read: Read) -> None:
        """One change of the table."""
        record = read.record
        if not isinstance(record, Change | Flat):
            return
        origin, operation = record.origin, record.operation
        self.first_offset = offset if self.first_offset < 0 else self.first_offset
        self.last_offset, self.newest_ms = offset, max(self.newest_ms, at_ms, 0)
        self.rows += 1
        self.operations[operation.name.lower() if operation else "row"] += 1
        self.through_ms = max(self.through_ms, origin.ts_ms)
        self.fingerprint = read.fingerprint or self.fingerprint
        self.position = origin.position or self.position
        if origin.snapshot:
            self.snapshot_rows += 1
        elif operation in _WRITES:
            self.writes += 1
            self.written_ms = max(self.written_ms, origin.ts_ms)
            if operation is Operation.TRUNCATE:
                self.truncated_ms = max(self.truncated_ms, origin.ts_ms)
        if origin.transaction and origin.transaction not in self.transactions:
            self.transaction_count += 1
            if len(self.transactions) < MOST_TRANSACTIONS:
                self.transactions[origin.transaction] = None


@dataclass(slots=True)
class _Window:
    minute: int
    resume_at: int
    tallies: dict[Whose, Tally] = field(default_factory=dict)
    tombstones: int = 0
    changed: bool = False


class Partition:
    """The windows of one partition of a topic, in the order of its records."""

    def __init__(self, topic: Name, partition: int) -> None:
        self._topic = topic
        self._partition = partition
        self._window: _Window | None = None
        self._next = -1
        self._ready: list[LineageEvent] = []
        self.refused: Counter[str] = Counter()

    @property
    def resume_at(self) -> int:
        """The offset at which reading has to begin again if nothing more is done now; -1 before the first record."""
        return self._next if self._window is None else self._window.resume_at

    def add(self, offset: int, at_ms: int, read: Read, servers: Servers) -> None:
        """One record."""
        minute = max(at_ms, 0) // MINUTE_MS
        if self._window is not None and minute > self._window.minute:
            self._close(self._window)
        if self._window is None:
            self._window = _Window(minute, offset)
        self._next = offset + 1
        self._note(self._window, offset, at_ms, read, servers)

    def say(self, now_ms: int) -> list[LineageEvent]:
        """What is to be said now: of windows that are over, and of the open one if something came into it."""
        if self._window is not None:
            if now_ms // MINUTE_MS > self._window.minute + 1:
                self._close(self._window)
            else:
                self._ready += self._events(self._window)
        ready, self._ready = self._ready, []
        return ready

    def _close(self, window: _Window) -> None:
        self._ready += self._events(window)
        self._window = None

    def _note(self, window: _Window, offset: int, at_ms: int, read: Read, servers: Servers) -> None:
        record = read.record
        if isinstance(record, SchemaChange):
            self._ready += _schema_changed(record, servers, [*topic_id(self._topic), self._partition, offset])
        elif isinstance(record, Tombstone):
            window.tombstones += 1
        elif isinstance(record, Change | Flat):
            self._change(window, offset, at_ms, read, servers)
        elif isinstance(record, Refused):
            self.refused[record.reason] += 1

    def _change(self, window: _Window, offset: int, at_ms: int, read: Read, servers: Servers) -> None:
        if isinstance(read.record, Change) and read.record.operation is Operation.MESSAGE:
            return  # pg_logical_emit_message: a word of the application, of no table
        whose = table_of(self._topic.name, read.record, servers)
        if isinstance(whose, Refused):
            self.refused[whose.reason] += 1
            return
        if whose not in window.tallies and len(window.tallies) >= MOST_TABLES:
            self.refused["too_many_tables"] += 1
            return
        window.tallies.setdefault(whose, Tally()).add(offset, at_ms, read)
        window.changed = True

    def _events(self, window: _Window) -> list[LineageEvent]:
        if not window.changed:
            return []
        window.changed = False
        return [
            event
            for (server, table), tally in window.tallies.items()
            for event in self._of_table(server, table, tally, window.tombstones)
        ]

    def _of_table(self, server: Server, table: Name, tally: Tally, tombstones: int) -> Iterator[LineageEvent]:
        happened_ms = tally.newest_ms or tally.through_ms
        if not happened_ms:
            self.refused["no_time"] += 1
            return
        said = [
            "window",
            *topic_id(self._topic),
            self._partition,
            *topic_id(table),
            tally.first_offset,
            tally.last_offset,
        ]
        version = "" if server.speaks_openlineage else tally.fingerprint
        measure = Measure(
            partition=self._partition,
            first_offset=tally.first_offset,
            last_offset=tally.last_offset,
            rows=tally.rows,
            data_through_us=tally.through_ms * 1000,
        )
        yield replace(
            connector_event(server, EventType.RUNNING, happened_ms, said),
            inputs=(DatasetUse(table.namespace, table.name, schema_version=version),),
            outputs=(DatasetUse(self._topic.namespace, self._topic.name, schema_version=version, measures=(measure,)),),
            edges=(DirectEdge(table, self._topic),),
            transaction_ids=tuple(tally.transactions),
            facets=facets(
                operations=dict(sorted(tally.operations.items())),
                snapshot_rows=tally.snapshot_rows,
                tombstones=tombstones,
                transactions=tally.transaction_count,
                position=tally.position,
                phase="snapshot" if tally.snapshot_rows == tally.rows else "streaming",
            ),
        )
        if tally.written_ms:
            yield _written(server, table, tally, said)


def _written(server: Server, table: Name, tally: Tally, said: list[object]) -> LineageEvent:
    measure = Measure(rows=tally.writes, data_through_us=tally.written_ms * 1000)
    lifecycle = Lifecycle.TRUNCATE if tally.truncated_ms else Lifecycle.NONE
    use = DatasetUse(table.namespace, table.name, lifecycle=lifecycle, measures=(measure,))
    event = _of_nobody(server, use, tally.written_ms, [*said, "table"])
    return replace(event, transaction_ids=tuple(tally.transactions))


def _schema_changed(change: SchemaChange, servers: Servers, place: list[object]) -> list[LineageEvent]:
    server = servers.of(change.origin.kind, change.origin.server)
    events = []
    for at, told in enumerate(change.tables):
        table = server.table(told.database, told.schema, told.table)
        lifecycle = _LIFECYCLES.get(told.kind)
        if table is None or lifecycle is None or not change.at_ms:
            continue
        version = fingerprint_of([[name, kind, []] for name, kind in told.fields])
        use = DatasetUse(table.namespace, table.name, schema_version=version, lifecycle=lifecycle)
        events.append(_of_nobody(server, use, change.at_ms, ["schema", *place, at]))
    return events


def _of_nobody(server: Server, use: DatasetUse, at_ms: int, said: list[object]) -> LineageEvent:
    """An event of no job: what happened to a table, by whom is not known."""
    return LineageEvent(
        event_id=derived([*said, use.namespace, use.name, at_ms]),
        event_time_us=at_ms * 1000,
        event_type=EventType.OTHER,
        outputs=(use,),
        emitter=emitter(server),
        producer=PRODUCER,
    )
