"""Debezium's own OpenLineage events, without their oddities."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.doors import debezium_event as document

from headwater.cdc.names import Server, Servers
from headwater.cdc.normalising import Rules, normalise
from headwater.openlineage import Rejected, convert
from headwater_schemas.events import DirectEdge, EventType, LineageEvent, Name

RECORDED = Path(__file__).parents[2] / "support" / "openlineage"
POSTGRES = [
    "connector.class=io.debezium.connector.postgresql.PostgresConnector",
    "topic.prefix=shop",
    "database.hostname=db",
    "database.port=5432",
    "database.dbname=store",
    "database.password=hunter2",
    "table.include.list=public.orders",
]
CLUSTER = Rules(kafka_namespace="kafka://broker:9092", kafka_servers=frozenset({"broker:9092", "10.0.0.7:9092"}))


def converted(given: dict[str, Any], rules: Rules = CLUSTER) -> LineageEvent:
    event = convert(normalise(given, rules).document)
    assert not isinstance(event, Rejected), event
    return event


def names(uses: tuple[Any, ...]) -> list[str]:
    return [f"{use.namespace}/{use.name}" for use in uses]


def test_other_producers_documents_come_back_as_they_are() -> None:
    given = {"eventType": "COMPLETE", "producer": "https://example.org", "inputs": [{"namespace": "sqlserver://X"}]}
    assert normalise(given).document is given


@pytest.mark.parametrize(
    ("namespace", "name", "expected"),
    [
        ("sqlserver://DB:1433", "store.dbo.orders", "mssql://db:1433/store.dbo.orders"),
        ("mongodb://reader:s3cret@b:27017,a:27017", "inc.simpletons", "mongodb://a:27017,b:27017/inc.simpletons"),
        ("********", "inc.simpletons", "mongodb://shop/inc.simpletons"),
        ("oracle://DB:1521", "STORE.SALES.ORDERS", "oracle://db:1521/STORE.SALES.ORDERS"),
    ],
)
def test_sources_get_canonical_names_without_secrets(namespace: str, name: str, expected: str) -> None:
    assert names(converted(document(inputs=[(namespace, name)])).inputs) == [expected]


def test_a_masked_mongodb_is_found_where_somebody_says_where_it_is() -> None:
    rules = Rules(servers=Servers([Server("mongodb", "shop", "mongodb://a:27017")]))
    assert names(converted(document(inputs=[("********", "inc.simpletons")]), rules).inputs) == [
        "mongodb://a:27017/inc.simpletons"
    ]


def test_postgresql_tables_have_their_database_in_front() -> None:
    given = document(inputs=[("postgres://db:5432", "public.orders")], configs=POSTGRES)
    assert names(converted(given).inputs) == ["postgres://db:5432/store.public.orders"]
    whole = document(inputs=[("postgres://db:5432", "store.public.orders")], configs=POSTGRES)
    assert names(converted(whole).inputs) == ["postgres://db:5432/store.public.orders"]


@pytest.mark.parametrize(
    ("namespace", "expected"),
    [
        ("kafka://b:9092,a:9092", "kafka://a:9092,b:9092/shop.public.orders"),
        ("kafka://10.0.0.7:9092,10.0.0.8:9092", "kafka://broker:9092/shop.public.orders"),
        ("kafka://unknown:unknown", "kafka://broker:9092/shop.public.orders"),
    ],
)
def test_topics_go_under_the_name_of_their_cluster(namespace: str, expected: str) -> None:
    assert names(converted(document(outputs=[(namespace, "shop.public.orders")])).outputs) == [expected]


def test_an_unknown_cluster_is_left_out_rather_than_guessed() -> None:
    found = normalise(document(outputs=[("kafka://unknown:unknown", "shop.public.orders")]))
    assert found.document["outputs"] == []
    assert found.left_out == ("unknown_server",)


def test_the_connectors_own_topics_are_left_out() -> None:
    own = ["shop", "shop.transaction", "__debezium-heartbeat.shop"]
    outputs = [("kafka://broker:9092", name) for name in (*own, "shop.public.orders")]
    found = normalise(document(outputs=outputs, configs=POSTGRES), CLUSTER)
    assert [each["name"] for each in found.document["outputs"]] == ["shop.public.orders"]
    assert found.left_out == ("internal_topic",) * 3


def test_the_edge_from_table_to_topic_comes_from_their_names() -> None:
    outputs = [("kafka://broker:9092", "shop.public.orders"), ("kafka://broker:9092", "elsewhere")]
    event = converted(document(outputs=outputs, configs=POSTGRES))
    table = Name("postgres://db:5432", "store.public.orders")
    assert event.edges == (DirectEdge(table, Name("kafka://broker:9092", "shop.public.orders")),)
    routed = [*POSTGRES, "transforms.route.type=org.apache.kafka.connect.transforms.RegexRouter"]
    assert converted(document(outputs=outputs, configs=routed)).edges == ()


def test_nothing_that_debezium_says_proves_a_write_and_its_fail_is_not_the_end() -> None:
    outputs = [("kafka://broker:9092", "shop.public.orders")]
    for kind in ("RUNNING", "COMPLETE", "FAIL"):
        event = converted(document(outputs=outputs, kind=kind))
        assert event.backfill, "an event of Debezium must not credit a write"
        assert event.restartable
        assert all(measure.rows < 0 and measure.last_offset < 0 for use in event.outputs for measure in use.measures)


def test_of_the_configuration_only_what_is_captured_is_kept() -> None:
    facets = converted(document(configs=POSTGRES)).facets or b""
    assert b"hunter2" not in facets
    assert b"password" not in facets
    assert b"table.include.list=public.orders" in facets


def test_the_jdbc_sinks_unknown_server_is_that_of_its_url() -> None:
    sink = ["connector.class=io.debezium.connector.jdbc.JdbcSinkConnector", "topics=shop.public.orders"]
    given = document(
        outputs=[("unknown:unknown", "orders")],
        job="to-warehouse",
        configs=[*sink, "connection.url=jdbc:mysql://wh/dw"],
    )
    assert names(converted(given).outputs) == ["mysql://wh:3306/dw.orders"]
    assert normalise(document(outputs=[("unknown:unknown", "orders")], configs=sink)).left_out == ("unknown_server",)


@pytest.mark.parametrize("file", ["debezium_running_table.json", "debezium_mongodb_credentials.json"])
def test_recorded_events_are_converted(file: str) -> None:
    event = converted(json.loads((RECORDED / file).read_text()))
    assert event.inputs
    assert b"s3cret" not in (event.facets or b"") + repr(event).encode()


def test_a_recorded_event_of_a_topic_has_its_table_as_lineage() -> None:
    event = converted(json.loads((RECORDED / "debezium_3_5_running_topic.json").read_text()))
    assert [(str(edge.source), str(edge.target)) for edge in event.edges] == [
        ("postgres://db:5432/store.public.orders", "kafka://broker:9092/loud.public.orders")
    ]


@pytest.mark.parametrize("broken", [{"run": None}, {"job": 3}, {"inputs": [7, {"namespace": 1}]}, {"outputs": "x"}])
def test_a_malformed_document_is_left_for_the_conversion_to_refuse(broken: dict[str, Any]) -> None:
    convert(normalise({**document(), **broken}).document)


def test_the_type_of_an_event_survives() -> None:
    assert converted(document(kind="START")).event_type is EventType.START
