"""What a record on a topic of change data capture tells. Pure: a document in, a value out.

| form | known by |
|---|---|
| Debezium's envelope, with or without schema (`{"schema", "payload"}`) | `source` and `op` |
| CloudEvents of Debezium | `specversion` and `iodebezium…` |
| unwrapped by `ExtractNewRecordState` | none of these; `__op`, `__table`, `__source_ts_ms` … where the connector adds them |
| schema changes | `source` and `ddl` or `tableChanges` |
| transaction marks | `status` of BEGIN or END, and `id` |
| heartbeats | nothing but `ts_ms` |

The source block of MySQL, MariaDB, PostgreSQL, SQL Server, Oracle, MongoDB, Db2, Informix, Vitess and Cassandra is read.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from headwater.cdc.names import LONGEST_NAME_CHARS

Json = Any
"""What orjson or fastavro gives."""


class Operation(enum.Enum):
    """What was done to a row, by Debezium's letter."""

    READ = "r"
    CREATE = "c"
    UPDATE = "u"
    DELETE = "d"
    TRUNCATE = "t"
    MESSAGE = "m"


@dataclass(frozen=True, slots=True)
class Origin:
    """The source block: which server, which table, when and where in its log. Times are milliseconds, 0 is unknown."""

    kind: str
    server: str
    database: str = ""
    schema: str = ""
    table: str = ""
    ts_ms: int = 0
    snapshot: bool = False
    transaction: str = ""
    position: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one row, or a row read by a snapshot."""

    origin: Origin
    operation: Operation
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class Flat:
    """A row without its envelope: what the connector adds to it, and nothing where it adds nothing."""

    operation: Operation | None = None
    origin: Origin = Origin("", "")


@dataclass(frozen=True, slots=True)
class Tombstone:
    """No value: the key is deleted. Says nothing that the delete before it did not say."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The connector lives. It has looked at its source at this time."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class TransactionMark:
    """Begin or end of a transaction, with the events of each table where it ends."""

    id: str
    ends: bool
    at_ms: int
    events: int = 0


@dataclass(frozen=True, slots=True)
class TableChange:
    """One table made, altered or dropped."""

    kind: str
    database: str
    schema: str
    table: str
    fields: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """What one statement of DDL did."""

    origin: Origin
    tables: tuple[TableChange, ...]
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a record tells nothing: a key to count by, and a sentence without any of its data."""

    reason: str
    detail: str = ""


Record = Change | Flat | Tombstone | Heartbeat | TransactionMark | SchemaChange | Refused

_OPERATIONS: Final = {operation.value: operation for operation in Operation}
_LATEST_MS: Final = 253_402_300_800_000
_EARLIEST_MS: Final = 315_532_800_000
_POSITIONS: Final = ("lsn", "gtid", "commit_lsn", "commit_scn", "scn", "ord", "vgtid", "change_lsn")
_TRANSACTIONS: Final = ("txId", "gtid", "transaction_id", "transactionId")
_NO_SNAPSHOT: Final = (None, False, "", "false")
_ID_PARTS: Final = re.compile(r'"([^"]*)"|([^."]+)')
_MOST_TABLES: Final = 1_000


def understand(document: Json) -> Record:
    """What a document tells; `Refused` for what is no record of change data capture. Never raises for its content."""
    if document is None:
        return Tombstone()
    if not isinstance(document, Mapping):
        return Refused("no_object", f"the value is a {type(document).__name__}, no object")
    if "specversion" in document and any(key.startswith("iodebezium") for key in document):
        return _cloud_event(document)
    source = document.get("source")
    if isinstance(source, Mapping) and ("ddl" in document or "tableChanges" in document):
        return _schema_change(document, source)
    if isinstance(source, Mapping) and "op" in document:
        return _change(document, source)
    if document.get("status") in ("BEGIN", "END") and "id" in document:
        ends = document["status"] == "END"
        return TransactionMark(
            _text(document["id"]), ends, _ms(document.get("ts_ms")), _count(document.get("event_count"))
        )
    if document.keys() <= {"ts_ms", "ts_us", "ts_ns", "serverName"} and _ms(document.get("ts_ms")):
        return Heartbeat(_ms(document["ts_ms"]))
    return _flat(document)


def _change(document: Mapping[str, Json], source: Mapping[str, Json]) -> Record:
    operation = _OPERATIONS.get(_text(document["op"]))
    if operation is None:
        return Refused("operation", f"there is no operation {_text(document['op'])[:8]!r}")
    origin = _origin(source)
    if isinstance(origin, Refused):
        return origin
    if operation is not Operation.MESSAGE and not origin.table:
        return Refused("table", "the source block names no table")
    return Change(origin, operation, _ms(document.get("ts_ms")))


def _origin(source: Mapping[str, Json]) -> Origin | Refused:
    kind, server = _text(source.get("connector")), _text(source.get("name"))
    if not kind or not server:
        return Refused("source", "the source block names no connector or no server")
    return Origin(
        kind,
        server,
        database=_text(source.get("db") or source.get("keyspace")),
        schema=_text(source.get("schema")),
        table=_text(source.get("table") or source.get("collection")),
        ts_ms=_ms(source.get("ts_ms")),
        snapshot=source.get("snapshot") not in _NO_SNAPSHOT,
        transaction=_first(source, _TRANSACTIONS),
        position=_position(source),
        version=_text(source.get("version"))[:64],
    )


def _position(source: Mapping[str, Json]) -> str:
    file = _text(source.get("file"))
    return f"{file}:{_text(source.get('pos'))}" if file else _first(source, _POSITIONS)


def _first(source: Mapping[str, Json], keys: tuple[str, ...]) -> str:
    return next((found[:256] for key in keys if (found := _text(source.get(key)))), "")


def _cloud_event(document: Mapping[str, Json]) -> Record:
    """The attributes have the source block in them, each with `iodebezium` in front and in lower case."""
    source = {key.removeprefix("iodebezium"): value for key, value in document.items() if key.startswith("iodebezium")}
    source["ts_ms"] = source.get("tsms")
    source["txId"] = source.get("txid") or source.get("txId")
    if not source.get("connector"):
        source["connector"] = _text(document.get("source")).removeprefix("/debezium/").partition("/")[0]
    if not source.get("name"):
        source["name"] = _text(document.get("source")).rpartition("/")[2]
    return _change({"op": source.get("op"), "ts_ms": source.get("tsms")}, source)


def _flat(document: Mapping[str, Json]) -> Record:
    """`__` is what ExtractNewRecordState puts before the fields that it adds; dots become underscores."""
    deleted = document.get("__deleted") in (True, "true")
    operation = _OPERATIONS.get(_text(document.get("__op"))) or (Operation.DELETE if deleted else None)
    added = {part: document.get(f"__source_{part}", document.get(f"__{part}")) for part in _ADDED}
    origin = Origin(
        _text(added["connector"]),
        _text(added["name"]),
        database=_text(added["db"]),
        schema=_text(added["schema"]),
        table=_text(added["table"] or added["collection"]),
        ts_ms=_ms(document.get("__source_ts_ms")),
        snapshot=added["snapshot"] not in _NO_SNAPSHOT,
        transaction=_text(added["txId"]),
    )
    return Flat(operation, origin)


_ADDED: Final = ("connector", "name", "db", "schema", "table", "collection", "snapshot", "txId")


def _schema_change(document: Mapping[str, Json], source: Mapping[str, Json]) -> Record:
    origin = _origin(source)
    if isinstance(origin, Refused):
        return origin
    given = document.get("tableChanges")
    tables = [_table_change(entry, document) for entry in given or [] if isinstance(entry, Mapping)]
    return SchemaChange(
        origin,
        tuple(table for table in tables if table is not None)[:_MOST_TABLES],
        _ms(document.get("ts_ms")) or origin.ts_ms,
    )


def _table_change(entry: Mapping[str, Json], document: Mapping[str, Json]) -> TableChange | None:
    parts = [quoted or plain for quoted, plain in _ID_PARTS.findall(_text(entry.get("id")))]
    if not parts or len(parts) > 3:
        return None
    table = parts[-1]
    database = parts[0] if len(parts) > 1 else _text(document.get("databaseName"))
    schema = parts[1] if len(parts) == 3 else _text(document.get("schemaName"))
    described = entry.get("table")
    columns = described.get("columns") if isinstance(described, Mapping) else None
    fields = tuple(
        (_text(column.get("name")), _text(column.get("typeName") or column.get("typeExpression")).lower())
        for column in columns or []
        if isinstance(column, Mapping)
    )
    return TableChange(_text(entry.get("type")).upper(), database, schema, table, fields)


def _text(value: Json) -> str:
    """The value as text without NULs; "" for what is neither text nor a number, and for what is absurdly long."""
    if isinstance(value, str):
        text = value.replace("\0", "").strip()
        return text if len(text) <= LONGEST_NAME_CHARS else ""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 128 else ""


def _ms(value: Json) -> int:
    """A time in milliseconds; 0 where it is none. CloudEvents write it as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return 0
    return value if _EARLIEST_MS <= value < _LATEST_MS else 0


def _count(value: Json) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0
