"""What records of change data capture tell, in every form that they come in."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import cdc_records as recorded
from tests.support.cdc_records import TS_MS, as_bytes, envelope

from headwater.cdc.avro import RowSchema
from headwater.cdc.envelopes import (
    Change,
    Flat,
    Heartbeat,
    Operation,
    Refused,
    SchemaChange,
    TableChange,
    Tombstone,
    TransactionMark,
    understand,
)
from headwater.cdc.names import Servers, given_server
from headwater.cdc.statements import table_of
from headwater.cdc.wire import read
from headwater_schemas.lint import SchemaRefused


@pytest.mark.parametrize("kind", recorded.SOURCES)
@pytest.mark.parametrize("form", ["plain", "with schema", "cloud event"])
def test_every_source_is_understood_in_every_form(kind: str, form: str) -> None:
    document = {
        "plain": envelope(kind),
        "with schema": recorded.with_schema(envelope(kind)),
        "cloud event": recorded.cloud_event(kind),
    }[form]
    record = read(as_bytes(document)).record
    assert isinstance(record, Change)
    assert (record.origin.kind, record.origin.server, record.origin.ts_ms) == (kind, "shop", TS_MS)
    assert record.operation is Operation.CREATE
    assert not record.origin.snapshot
    whose = table_of("shop.anything", record, Servers())
    assert not isinstance(whose, Refused)
    assert whose[1].name == recorded.TABLES[kind]


@pytest.mark.parametrize("snapshot", ["true", "first", "last", "first_in_data_collection", "incremental", True])
def test_a_row_of_a_snapshot_is_known_as_such(snapshot: object) -> None:
    record = understand(envelope("postgresql", "r", snapshot=snapshot))
    assert isinstance(record, Change)
    assert record.origin.snapshot
    assert record.operation is Operation.READ


def test_transactions_and_positions_are_read_from_the_source_block() -> None:
    told = {kind: understand(envelope(kind)) for kind in recorded.SOURCES}
    positions = {kind: (r.origin.transaction, r.origin.position) for kind, r in told.items() if isinstance(r, Change)}
    assert positions["postgresql"] == ("778", "33228000")
    assert positions["mysql"] == ("3e11fa47-71ca-11e1-9e33-c80aa9429562:5", "mysql-bin.000003:484")
    assert positions["oracle"] == ("6.28.807", "2122185")
    assert positions["sqlserver"] == ("", "00000027:00000758:0005")


def test_what_is_no_change_is_told_apart() -> None:
    assert read(None).record == read(b"null").record == Tombstone()
    assert understand({"ts_ms": TS_MS}) == Heartbeat(TS_MS)
    assert understand({"status": "END", "id": "571", "event_count": 4, "ts_ms": TS_MS}) == TransactionMark(
        "571", True, TS_MS, 4
    )
    assert isinstance(understand(recorded.unwrapped()), Flat)
    change = understand(recorded.schema_change())
    assert isinstance(change, SchemaChange)
    fields = (("id", "int"), ("note", "varchar"))
    assert change.tables == (
        TableChange("ALTER", "store", "", "orders", fields),
        TableChange("DROP", "store", "", "old"),
    )


def test_an_unwrapped_row_tells_what_its_connector_adds() -> None:
    added = {
        "__op": "u",
        "__source_ts_ms": TS_MS,
        "__source_connector": "mysql",
        "__source_name": "shop",
        "__table": "orders",
    }
    record = understand(recorded.unwrapped(**added, __db="store"))
    assert isinstance(record, Flat)
    assert record.operation is Operation.UPDATE
    assert (record.origin.ts_ms, record.origin.database, record.origin.table) == (TS_MS, "store", "orders")
    deleted = understand(recorded.unwrapped(__deleted="true"))
    assert isinstance(deleted, Flat)
    assert deleted.operation is Operation.DELETE


def test_an_unwrapped_row_belongs_to_the_table_that_its_topic_is_named_after() -> None:
    named = given_server("shop=mysql://db:3306")
    assert named is not None
    whose = table_of("shop.store.orders", understand(recorded.unwrapped()), Servers([named]))
    assert not isinstance(whose, Refused)
    assert str(whose[1]) == "mysql://db:3306/store.orders"
    assert table_of("other.store.orders", understand(recorded.unwrapped()), Servers([named])) == Refused(
        "unknown_origin", "it says nothing of its source, and no --source has the topic's prefix"
    )


def test_the_fingerprint_changes_with_the_columns_and_with_nothing_else() -> None:
    one = read(as_bytes(envelope(key=1))).fingerprint
    assert one
    assert one == read(as_bytes(envelope(key=2, op="u"))).fingerprint == read(as_bytes(envelope(op="d"))).fingerprint
    wider = envelope()
    wider["after"]["note"] = None
    assert read(as_bytes(wider)).fingerprint != one
    with_schema = recorded.with_schema(envelope())
    assert read(as_bytes(with_schema)).fingerprint == read(as_bytes(recorded.with_schema(envelope(key=7)))).fingerprint
    retyped = recorded.with_schema(envelope(), [{"type": "int64", "field": "id"}])
    assert read(as_bytes(retyped)).fingerprint != read(as_bytes(with_schema)).fingerprint
    assert read(as_bytes(envelope("mongodb"))).fingerprint == ""
    assert read(as_bytes(recorded.cloud_event(schema=True))).fingerprint == read(as_bytes(with_schema)).fingerprint


def test_avro_is_read_by_the_schema_of_the_registry() -> None:
    schema = RowSchema(orjson.dumps(recorded.avro_schema()).decode())
    document = envelope()
    out = io.BytesIO(b"\0\0\0\0\x07")
    out.seek(5)
    fastavro.schemaless_writer(out, fastavro.parse_schema(recorded.avro_schema()), document)
    found = read(out.getvalue(), {7: schema}.__getitem__)
    assert isinstance(found.record, Change)
    assert found.record.origin.table == "orders"
    assert found.fingerprint == schema.fingerprint != ""
    cut = read(out.getvalue()[:-3], {7: schema}.__getitem__).record
    assert isinstance(cut, Refused)
    assert cut.reason == "truncated"
    unknown = read(out.getvalue()).record
    assert isinstance(unknown, Refused)
    assert unknown.reason == "no_registry"


def test_a_schema_that_would_crash_the_decoder_is_refused() -> None:
    recursive = '{"type": "record", "name": "R", "fields": [{"name": "next", "type": ["null", "R"]}]}'
    with pytest.raises(SchemaRefused):
        RowSchema(recursive)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\xff\xfe", "no_json"),
        (b"\0\0", "truncated"),
        (b"[1]", "no_object"),
        (as_bytes(envelope(op="x")), "operation"),
        (as_bytes({"op": "c", "source": {}}), "source"),
        (as_bytes({"op": "c", "source": {"connector": "mysql", "name": "shop"}}), "table"),
        (b"[" * 5000, "no_json"),
    ],
)
def test_a_bad_record_is_refused_with_a_reason(value: bytes, reason: str) -> None:
    record = read(value).record
    assert isinstance(record, Refused)
    assert record.reason == reason


_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
_keys = st.sampled_from(
    ["op", "source", "after", "before", "ts_ms", "status", "id", "ddl", "tableChanges", "schema", "payload"]
)
_documents = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys | st.text(max_size=4), inner, max_size=5),
)


@given(_documents)
def test_no_document_makes_the_reader_raise(document: Any) -> None:
    try:
        value = orjson.dumps(document)
    except TypeError:  # an integer of more than 64 bits is no JSON of orjson's
        return
    found = read(value)
    table_of("shop.public.orders", found.record, Servers())


@given(st.binary(max_size=64))
def test_no_bytes_make_the_reader_raise(value: bytes) -> None:
    schema = RowSchema(orjson.dumps(recorded.avro_schema()).decode())
    read(value, lambda _: schema)
