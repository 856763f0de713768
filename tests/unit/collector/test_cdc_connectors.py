"""What Kafka Connect's answer says of its connectors."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.cdc.connectors import connector_gone, connector_said, connectors_of
from headwater.cdc.flows import flows
from headwater.validation import check
from headwater_schemas.events import EventType, Name

BROKER = "broker:9092"
POSTGRES = {
    "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
    "topic.prefix": "shop",
    "database.hostname": "db",
    "database.dbname": "store",
    "database.password": "hunter2",
}
TOPICS = [
    "shop",
    "shop.public.orders",
    "shop.transaction",
    "eu.clicks",
    "eu.heartbeats",
    "clicks",
    "__consumer_offsets",
]


def moved(config: dict[str, str], topics: list[str] | None = None) -> list[tuple[str, str]]:
    found = flows(config, BROKER, TOPICS if topics is None else topics)
    return [(str(flow.source or ""), str(flow.target or "")) for flow in found]


ORDERS = "kafka://broker:9092/shop.public.orders"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (POSTGRES, [("postgres://db:5432/store.public.orders", ORDERS)]),
        (
            {
                "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector",
                "topics": "shop.public.orders",
                "connection.url": "jdbc:postgresql://wh/dw?user=u&password=p",
                "table.name.format": "raw.orders",
            },
            [(ORDERS, "postgres://wh:5432/dw.raw.orders")],
        ),
        (
            {
                "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
                "topics": "shop.public.orders",
                "connection.url": "jdbc:mysql://wh/dw",
            },
            [(ORDERS, "mysql://wh:3306/dw.shop_public_orders")],
        ),
        (
            {
                "connector.class": "io.aiven.connect.jdbc.JdbcSourceConnector",
                "table.whitelist": "public.users",
                "topic.prefix": "pg-",
                "connection.url": "jdbc:postgresql://db/store",
            },
            [("postgres://db:5432/store.public.users", "kafka://broker:9092/pg-users")],
        ),
        (
            {
                "connector.class": "io.confluent.connect.s3.S3SinkConnector",
                "topics.regex": r"shop\.public\..*",
                "s3.bucket.name": "lake",
                "transforms": "route",
                "transforms.route.type": "org.apache.kafka.connect.transforms.RegexRouter",
                "transforms.route.regex": r"shop\.public\.(.*)",
                "transforms.route.replacement": "raw_$1",
            },
            [(ORDERS, "s3://lake/topics/raw_orders")],
        ),
        (
            {
                "connector.class": "io.confluent.connect.elasticsearch.ElasticsearchSinkConnector",
                "topics": "Clicks",
                "connection.url": "https://u:p@es1:9200,http://es2",
            },
            [("kafka://broker:9092/Clicks", "elasticsearch://es1:9200,es2:9200/clicks")],
        ),
        (
            {
                "connector.class": "org.apache.kafka.connect.mirror.MirrorSourceConnector",
                "source.cluster.alias": "eu",
                "source.cluster.bootstrap.servers": "eu-broker:9092",
                "topics": "click.*",
            },
            [("kafka://eu-broker:9092/clicks", "kafka://broker:9092/eu.clicks")],
        ),
        (
            {"connector.class": "com.example.MysterySink", "topics": "a,b"},
            [("kafka://broker:9092/a", ""), ("kafka://broker:9092/b", "")],
        ),
        ({"connector.class": "com.example.MysterySource"}, []),
    ],
    ids=[
        "debezium",
        "jdbc sink",
        "debezium jdbc sink",
        "jdbc source",
        "s3 and router",
        "elasticsearch",
        "mirrormaker",
        "sink",
        "source",
    ],
)
def test_a_connector_moves_what_its_settings_say(config: dict[str, str], expected: list[tuple[str, str]]) -> None:
    assert moved(config) == expected


def test_a_router_renames_the_topics_of_tables_that_are_listed_one_by_one() -> None:
    router = {
        "transforms": "route",
        "transforms.route.type": "org.apache.kafka.connect.transforms.RegexRouter",
        "transforms.route.regex": r"shop\.public\.(.*)",
        "transforms.route.replacement": "$1",
    }
    config = {**POSTGRES, **router, "table.include.list": r"public\.orders,public.u.*"}
    assert moved(config, ["orders", "users"]) == [
        ("postgres://db:5432/store.public.orders", "kafka://broker:9092/orders")
    ]


def test_an_identity_mirror_keeps_the_names() -> None:
    config = {
        "connector.class": "org.apache.kafka.connect.mirror.MirrorSourceConnector",
        "source.cluster.alias": "eu",
        "source.cluster.bootstrap.servers": "eu-broker:9092",
        "topics": "clicks",
        "replication.policy.class": "org.apache.kafka.connect.mirror.IdentityReplicationPolicy",
    }
    assert moved(config) == [("kafka://eu-broker:9092/clicks", "kafka://broker:9092/clicks")]


def answer(
    config: dict[str, str], *, state: str = "RUNNING", traces: tuple[str, ...] = ("",), kind: str = "source"
) -> dict[str, Any]:
    tasks = [
        {"id": at, "state": "FAILED" if trace else "RUNNING", "worker_id": "10.0.0.1:8083", "trace": trace}
        for at, trace in enumerate(traces)
    ]
    status = {"name": "c", "connector": {"state": state, "worker_id": "10.0.0.1:8083"}, "tasks": tasks, "type": kind}
    return {"c": {"info": {"name": "c", "config": config, "tasks": [], "type": kind}, "status": status}}


def read(document: Any) -> Any:
    found, refused = connectors_of(document, namespace="kafka-connect://connect:8083", cluster=BROKER, topics=TOPICS)
    return found[0] if found else refused[0]


def test_a_connector_that_runs_lives_and_proves_no_write() -> None:
    event = connector_said(read(answer(POSTGRES)), 1_780_000_000_000)
    check(event)
    assert event.event_type is EventType.RUNNING
    assert event.job == Name("shop", "shop.0")
    assert [str(edge.target) for edge in event.edges] == [ORDERS]
    assert all(not use.measures for use in (*event.inputs, *event.outputs))
    assert event == connector_said(read(answer(POSTGRES)), 1_780_000_000_000)


def test_a_failed_task_is_a_failure_with_the_first_line_of_its_trace_and_no_secret() -> None:
    trace = "org.apache.kafka.connect.errors.ConnectException: jdbc:postgresql://u:hunter2@db password=hunter2\n\tat io.x.Y(Y.java)"
    event = connector_said(read(answer(POSTGRES, traces=("", trace))), 1_780_000_000_000)
    check(event)
    assert event.event_type is EventType.FAIL
    assert event.restartable
    assert (event.error or "").startswith("task 1 failed: org.apache.kafka.connect.errors.ConnectException")
    assert "hunter2" not in repr(event)
    assert "Y.java" not in repr(event)


@pytest.mark.parametrize("state", ["PAUSED", "STOPPED", "UNASSIGNED"])
def test_a_connector_that_stands_still_neither_runs_nor_fails(state: str) -> None:
    assert connector_said(read(answer(POSTGRES, state=state)), 1_780_000_000_000).event_type is EventType.OTHER


def test_jobs_are_named_as_debezium_names_them_and_others_by_their_cluster() -> None:
    sink = {"connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector", "topics": "clicks"}
    assert read(answer(sink, kind="sink")).job == Name("c", "c.0")
    other = {"connector.class": "io.confluent.connect.s3.S3SinkConnector", "topics": "clicks"}
    assert read(answer(other, kind="sink")).job == Name("kafka-connect://connect:8083", "c")


def test_a_connector_that_is_gone_ends_its_run() -> None:
    event = connector_gone(Name("shop", "shop.0"), "cdc:shop", 1_780_000_000_000)
    check(event)
    assert event.event_type is EventType.ABORT


@pytest.mark.parametrize(
    "document", [[], {"c": 3}, {"c": {"info": {}, "status": {}}}, {"c": {"info": {"config": {}}, "status": None}}]
)
def test_a_bad_answer_is_refused_with_a_reason(document: Any) -> None:
    assert read(document).reason in {"connect_answer", "connector"}


_texts = st.text(max_size=12) | st.sampled_from([*POSTGRES.values(), "${file:x}", "(", "a.*", "$9"])
_keys = st.sampled_from(
    [
        "connector.class",
        "topics",
        "topics.regex",
        "topic.prefix",
        "connection.url",
        "transforms",
        "transforms.a.type",
        "transforms.a.regex",
    ]
)


@given(st.dictionaries(_keys, _texts))
def test_no_settings_make_the_reader_raise(config: dict[str, str]) -> None:
    for sink in ("JdbcSinkConnector", "S3SinkConnector", "MongoSinkConnector", "ElasticsearchSinkConnector"):
        read(answer({**config, "connector.class": sink}))
    read(answer(config))
