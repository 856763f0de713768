from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.schema_registry import RegistryServer, registry_server

from headwater_schemas.codec import Rejected, decode, encode_confluent, own_schema
from headwater_schemas.events import EventType, LineageEvent
from headwater_schemas.registry import RegistryStore, RegistryUnavailable, SchemaStore, Sources, registry_client
from headwater_schemas.schema import LINEAGE_EVENT, WriterSchema, reader

OURS = reader(LINEAGE_EVENT).text
EVENT = LineageEvent(bytes(16), 5, EventType.OTHER)


def variant(number: int) -> str:
    tree = json.loads(OURS)
    tree["fields"].append({"name": f"extra_{number}", "type": "int"})
    return json.dumps(tree)


def reason(outcome: WriterSchema | Rejected) -> str:
    assert isinstance(outcome, Rejected)
    return outcome.reason


def test_our_schema_is_known_from_the_start() -> None:
    assert SchemaStore().resolve(own_schema().fingerprint) is own_schema()


def test_an_offered_schema_is_known_and_offered_twice_is_the_same() -> None:
    store = SchemaStore()
    schema = store.offer(variant(1))
    assert isinstance(schema, WriterSchema)
    assert store.get(schema.fingerprint) is schema
    assert store.offer(variant(1)) is schema
    assert len(store) == 2


def test_a_full_store_keeps_what_it_has_and_counts_the_rest() -> None:
    store = SchemaStore(max_schemas=3)
    assert [isinstance(store.offer(variant(n)), WriterSchema) for n in range(4)] == [True, True, False, False]
    assert (len(store), store.beyond, store.refused) == (3, 2, 0)
    assert isinstance(store.offer(variant(0)), WriterSchema)


def test_a_refused_offer_is_counted() -> None:
    store = SchemaStore()
    assert reason(store.offer("{")) == "schema_refused"
    assert store.refused == 1


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with registry_server() as running:
        yield running


def store_for(server: RegistryServer, **options: Any) -> RegistryStore:
    config = {"url": server.url, "timeout": 5, "max.retries": 0}
    return RegistryStore(registry_client(config), **options)


def test_a_registered_schema_is_asked_for_once(server: RegistryServer) -> None:
    server.schemas[7] = {"schema": OURS}
    store = store_for(server)
    value = encode_confluent(EVENT, 7)
    sources = Sources(SchemaStore(), store, lambda: 0)
    assert [decode(value, sources) for _ in range(3)] == [EVENT] * 3
    assert server.asked == [7]


def test_without_a_registry_its_ids_are_unknown() -> None:
    outcome = decode(encode_confluent(EVENT, 7), Sources(SchemaStore(), None, lambda: 0))
    assert isinstance(outcome, Rejected)
    assert "no Schema Registry is configured" in outcome.detail


def test_an_unknown_id_is_asked_for_again_only_after_a_minute(server: RegistryServer) -> None:
    store = store_for(server)
    assert reason(store.get(9, now_ms=0)) == "unknown_schema"
    server.schemas[9] = {"schema": OURS}
    assert reason(store.get(9, now_ms=59_999)) == "unknown_schema"
    assert server.asked == [9]
    assert isinstance(store.get(9, now_ms=60_000), WriterSchema)


def test_an_outage_is_no_verdict_on_the_record(server: RegistryServer) -> None:
    server.schemas[7] = {"schema": OURS}
    server.status = 503
    store = store_for(server)
    with pytest.raises(RegistryUnavailable, match="schema id 7"):
        store.get(7, now_ms=0)
    server.status = 200
    assert isinstance(store.get(7, now_ms=1), WriterSchema)


def test_a_registry_that_is_not_there_is_an_outage() -> None:
    with registry_server() as gone:
        pass
    with pytest.raises(RegistryUnavailable):
        store_for(gone).get(7, now_ms=0)


@pytest.mark.parametrize(
    "schema",
    [
        {"schema": '{"type": "record", "name": "Other", "fields": []}'},
        {"schema": '{"type": "object"}', "schemaType": "JSON"},
        {"schema": OURS, "references": [{"name": "x", "subject": "x", "version": 1}]},
    ],
)
def test_what_the_lint_refuses_is_refused_for_good_and_asked_for_once(
    server: RegistryServer, schema: dict[str, Any]
) -> None:
    server.schemas[3] = schema
    store = store_for(server)
    assert [reason(store.get(3, now_ms=now)) for now in (0, 1_000_000)] == ["schema_refused"] * 2
    assert (len(server.asked), store.refused) == (1, 1)


def test_a_flood_of_invented_ids_is_no_flood_of_requests(server: RegistryServer) -> None:
    store = store_for(server, max_lookups=5)
    outcomes = [store.get(schema_id, now_ms=1000) for schema_id in range(100, 200)]
    assert {reason(outcome) for outcome in outcomes} == {"unknown_schema"}
    assert len(server.asked) == store.lookups == 5
    assert reason(store.get(1 << 31, now_ms=100_000)) == "unknown_schema"
    assert len(server.asked) == 5


def test_more_schemas_than_the_limit_are_refused_and_counted(server: RegistryServer) -> None:
    server.schemas = {n: {"schema": variant(n)} for n in range(3)}
    store = store_for(server, max_schemas=2)
    assert [isinstance(store.get(n, now_ms=0), WriterSchema) for n in range(3)] == [True, True, False]
    assert store.beyond == 1
    assert isinstance(store.get(0, now_ms=0), WriterSchema)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka.schema_registry", None)
    with pytest.raises(ModuleNotFoundError, match=r"headwater\[registry\]"):
        registry_client({"url": "http://127.0.0.1:1"})
