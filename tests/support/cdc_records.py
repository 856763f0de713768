"""Debezium's records as its connectors write them: one for each kind of source, and the forms they come in."""

from __future__ import annotations

from typing import Any

import orjson

TS_MS = 1_780_000_000_000

SOURCES: dict[str, dict[str, Any]] = {
    "postgresql": {
        "version": "3.5.0.Final", "connector": "postgresql", "name": "shop", "ts_ms": TS_MS, "snapshot": "false", "db": "store",
        "sequence": '["33227720","33228000"]', "ts_us": TS_MS * 1000, "ts_ns": TS_MS * 10**6, "schema": "public",
        "table": "orders", "txId": 778, "lsn": 33228000, "xmin": None,
    },
    "mysql": {
        "version": "2.7.4.Final", "connector": "mysql", "name": "shop", "ts_ms": TS_MS, "snapshot": "false", "db": "store",
        "sequence": None, "table": "orders", "server_id": 223344, "gtid": "3e11fa47-71ca-11e1-9e33-c80aa9429562:5",
        "file": "mysql-bin.000003", "pos": 484, "row": 0, "thread": 7, "query": None,
    },
    "mariadb": {
        "version": "3.2.0.Final", "connector": "mariadb", "name": "shop", "ts_ms": TS_MS, "snapshot": None, "db": "store",
        "table": "orders", "server_id": 112233, "gtid": "0-112233-8", "file": "mariadb-bin.000002", "pos": 9, "row": 0,
    },
    "sqlserver": {
        "version": "3.0.8.Final", "connector": "sqlserver", "name": "shop", "ts_ms": TS_MS, "snapshot": "false", "db": "store",
        "schema": "dbo", "table": "orders", "change_lsn": "00000027:00000758:0003", "commit_lsn": "00000027:00000758:0005",
        "event_serial_no": 1,
    },
    "oracle": {
        "version": "3.1.3.Final", "connector": "oracle", "name": "shop", "ts_ms": TS_MS, "snapshot": "false", "db": "STORE",
        "schema": "SALES", "table": "ORDERS", "txId": "6.28.807", "scn": "2122184", "commit_scn": "2122185",
        "redo_thread": 1, "user_name": "SALES",
    },
    "mongodb": {
        "version": "3.3.1.Final", "connector": "mongodb", "name": "shop", "ts_ms": TS_MS, "snapshot": "false", "db": "store",
        "collection": "orders", "ord": 31, "lsid": None, "txnNumber": None, "wallTime": TS_MS,
    },
    "db2": {
        "version": "2.7.4.Final", "connector": "db2", "name": "shop", "ts_ms": TS_MS, "snapshot": "false", "db": "STORE",
        "schema": "SALES", "table": "ORDERS", "change_lsn": "00000000:00000000:1", "commit_lsn": "00000000:00000000:2",
    },
}  # fmt: skip

TABLES = {
    "postgresql": "store.public.orders",
    "mysql": "store.orders",
    "mariadb": "store.orders",
    "sqlserver": "store.dbo.orders",
    "oracle": "STORE.SALES.ORDERS",
    "mongodb": "store.orders",
    "db2": "STORE.SALES.ORDERS",
}

_COLUMNS = [
    {"type": "int32", "optional": False, "field": "id"},
    {"type": "string", "optional": True, "field": "status"},
    {"type": "int64", "optional": True, "name": "io.debezium.time.MicroTimestamp", "version": 1, "field": "placed"},
]


def row(key: int = 1) -> dict[str, Any]:
    return {"id": key, "status": "new", "placed": TS_MS * 1000}


def envelope(
    kind: str = "postgresql", op: str = "c", *, key: int = 1, ts_ms: int = TS_MS, **source: Any
) -> dict[str, Any]:
    """A change of the table `orders`, as JSON without its schema."""
    after: Any = None if op == "d" else row(key)
    if kind == "mongodb" and after is not None:
        after = orjson.dumps({"_id": key, **after}).decode()
    before = row(key) if op in "ud" and kind != "mongodb" else None
    return {
        "before": before,
        "after": after,
        "source": {**SOURCES[kind], "ts_ms": ts_ms, **source},
        "transaction": None,
        "op": op,
        "ts_ms": ts_ms + 120,
    }


def snapshot(kind: str = "postgresql") -> dict[str, Any]:
    """A row as a snapshot reads it."""
    return envelope(kind, "r", snapshot="last" if kind == "mysql" else "true")


def with_schema(document: dict[str, Any], columns: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """The same as JsonConverter writes it with `schemas.enable=true`."""
    columns = _COLUMNS if columns is None else columns
    row_schema = {"type": "struct", "optional": True, "name": "shop.public.orders.Value", "fields": columns}
    fields = [{**row_schema, "field": "before"}, {**row_schema, "field": "after"}]
    fields += [
        {"type": "struct", "fields": [], "optional": False, "field": "source"},
        {"type": "string", "field": "op"},
    ]
    return {"schema": {"type": "struct", "fields": fields, "name": "shop.public.orders.Envelope"}, "payload": document}


def cloud_event(kind: str = "postgresql", *, schema: bool = False) -> dict[str, Any]:
    """The same as the CloudEventsConverter writes it, as JSON."""
    source = SOURCES[kind]
    attributes = {f"iodebezium{key.replace('_', '').lower()}": value for key, value in source.items() if key != "ts_ms"}
    data: dict[str, Any] = {"before": None, "after": row()}
    if schema:
        data = {
            "schema": {"type": "struct", "fields": [{"field": "after", "type": "struct", "fields": _COLUMNS}]},
            "payload": data,
        }
    return {
        "id": "name:shop;lsn:33228000;txId:778",
        "source": f"/debezium/{kind}/shop",
        "specversion": "1.0",
        "type": f"io.debezium.connector.{kind}.DataChangeEvent",
        "time": "2026-05-28T20:26:40.000Z",
        "datacontenttype": "application/json",
        **attributes,
        "iodebeziumop": "c",
        "iodebeziumtsms": str(TS_MS),
        "data": data,
    }


def unwrapped(**added: Any) -> dict[str, Any]:
    """The row alone, as ExtractNewRecordState leaves it; `added` as by its `add.fields`."""
    return {**row(), **added}


def schema_change() -> dict[str, Any]:
    """What MySQL's connector writes to the topic `shop` for `ALTER TABLE orders ADD note …` and a DROP."""
    columns = [{"name": "id", "typeName": "INT"}, {"name": "note", "typeName": "VARCHAR"}]
    return {
        "source": {**SOURCES["mysql"], "table": "orders"},
        "ts_ms": TS_MS + 5,
        "databaseName": "store",
        "schemaName": None,
        "ddl": "ALTER TABLE orders ADD note VARCHAR(80)",
        "tableChanges": [
            {"type": "ALTER", "id": '"store"."orders"', "table": {"columns": columns}},
            {"type": "DROP", "id": '"store"."old"', "table": None},
        ],
    }


def avro_schema() -> dict[str, Any]:
    """The envelope as AvroConverter registers it: the row is a named type that stands twice."""
    columns: list[dict[str, Any]] = [
        {"name": "id", "type": "int"},
        {"name": "status", "type": ["null", "string"], "default": None},
        {"name": "placed", "type": ["null", {"type": "long", "connect.name": "io.debezium.time.MicroTimestamp"}]},
    ]
    value = {"type": "record", "name": "Value", "fields": columns, "connect.name": "shop.public.orders.Value"}
    texts = ("version", "connector", "name", "snapshot", "db", "schema", "table")
    source = {
        "type": "record",
        "name": "Source",
        "namespace": "io.debezium.connector.postgresql",
        "fields": [{"name": name, "type": ["null", "string"]} for name in texts]
        + [{"name": name, "type": ["null", "long"]} for name in ("ts_ms", "txId", "lsn")],
    }
    return {
        "type": "record",
        "name": "Envelope",
        "namespace": "shop.public.orders",
        "fields": [
            {"name": "before", "type": ["null", value], "default": None},
            {"name": "after", "type": ["null", "Value"], "default": None},
            {"name": "source", "type": source},
            {"name": "op", "type": "string"},
            {"name": "ts_ms", "type": ["null", "long"]},
        ],
    }


def as_bytes(document: Any) -> bytes:
    return orjson.dumps(document)
