"""Names of captured servers, their tables and their topics."""

from __future__ import annotations

import pytest

from headwater.cdc.jdbc import database_of
from headwater.cdc.names import Server, Servers, given_server, mongodb_namespace, server_of

_CLASSES = {
    "postgresql": "io.debezium.connector.postgresql.PostgresConnector",
    "mysql": "io.debezium.connector.mysql.MySqlConnector",
    "sqlserver": "io.debezium.connector.sqlserver.SqlServerConnector",
    "oracle": "io.debezium.connector.oracle.OracleConnector",
}


@pytest.mark.parametrize(
    ("kind", "database", "topic", "table"),
    [
        ("postgresql", "store", "shop.public.orders", "postgres://db:5432/store.public.orders"),
        ("mysql", "", "shop.store.orders", "mysql://db:3306/store.orders"),
        ("sqlserver", "", "shop.store.dbo.orders", "mssql://db:1433/store.dbo.orders"),
        ("oracle", "STORE", "shop.SALES.ORDERS", "oracle://db:1521/STORE.SALES.ORDERS"),
    ],
)
def test_a_table_and_its_topic_are_named_after_each_other(kind: str, database: str, topic: str, table: str) -> None:
    server = server_of(
        {
            "connector.class": _CLASSES[kind],
            "topic.prefix": "shop",
            "database.hostname": "DB",
            "database.dbname": database,
        }
    )
    assert server is not None
    found = server.table_of(topic)
    assert str(found) == table
    assert found is not None
    assert server.topic_of(found.name) == topic


@pytest.mark.parametrize(
    "topic", ["shop", "shop.transaction", "__debezium-heartbeat.shop", "shop-signal", "connect-offsets"]
)
def test_a_connectors_own_topics_are_nobodys_data(topic: str) -> None:
    server = Server("postgresql", "shop", database="store")
    assert server.is_internal(topic)
    assert server.table_of(topic) is None


def test_a_sink_is_no_captured_server() -> None:
    settings = {"connector.class": "io.debezium.connector.mongodb.MongoDbSinkConnector", "topic.prefix": "shop"}
    assert server_of(settings) is None
    assert server_of({"connector.class": "org.example.Other", "topic.prefix": "shop"}) is None


def test_a_server_of_unknown_place_goes_by_its_prefix() -> None:
    assert (
        str(Servers().of("postgresql", "shop").table("store", "public", "orders"))
        == "postgres://shop/store.public.orders"
    )
    hidden = server_of(
        {"connector.class": _CLASSES["mysql"], "topic.prefix": "shop", "database.hostname": "${file:/secrets:host}"}
    )
    assert hidden is not None
    assert hidden.namespace == ""


def test_a_topic_belongs_to_the_longest_prefix_that_fits() -> None:
    servers = Servers([Server("mysql", "eu"), Server("mysql", "eu.shop")])
    found = servers.of_topic("eu.shop.store.orders")
    assert found is not None
    assert found.prefix == "eu.shop"
    assert servers.of_topic("europe.store.orders") is None


def test_a_person_says_where_a_server_is_and_its_connector_says_the_rest() -> None:
    told = Server("postgresql", "shop", "postgres://10.0.0.7:5432", "store", speaks_openlineage=True)
    mine = Server("postgresql", "shop", "postgres://db:5432")
    merged = Servers([mine, Server("mysql", "crm")]).with_added([told, Server("oracle", "erp")])
    shop = merged.of("postgresql", "shop")
    assert (shop.namespace, shop.database, shop.speaks_openlineage) == ("postgres://db:5432", "store", True)
    assert {server.prefix for server in merged} == {"shop", "crm", "erp"}


@pytest.mark.parametrize(
    ("connection", "namespace"),
    [
        ("mongodb://reader:s3/c@ret@b:27017,A:27018/db?replicaSet=rs0", "mongodb://a:27018,b:27017"),
        ("mongodb+srv://u:p@cluster0.example.net/", "mongodb://cluster0.example.net"),
        ("rs0/b:27017,a:27017", "mongodb://a:27017,b:27017"),
        ("********", ""),
        ("", ""),
    ],
)
def test_a_mongodb_is_named_by_its_hosts_alone(connection: str, namespace: str) -> None:
    assert mongodb_namespace(connection) == namespace


@pytest.mark.parametrize(
    ("url", "table", "named"),
    [
        ("jdbc:postgresql://DB/wh?currentSchema=mart&user=u&password=p", "orders", "postgres://db:5432/wh.mart.orders"),
        ("jdbc:postgresql://a:5432,b:5433/wh", "sales.orders", "postgres://a:5432,b:5433/wh.sales.orders"),
        ("jdbc:mysql://u:p@db:3307/store?useSSL=false", "orders", "mysql://db:3307/store.orders"),
        ("jdbc:sqlserver://db;databaseName=store;user=sa;password=x", "orders", "mssql://db:1433/store.dbo.orders"),
        ("jdbc:oracle:thin:@//db:1522/SVC", "orders", "oracle://db:1522/SVC.APP.orders"),
        ("jdbc:oracle:thin:@db:1521:SID", "x.orders", "oracle://db:1521/SID.x.orders"),
    ],
)
def test_a_jdbc_url_names_its_server_and_its_tables(url: str, table: str, named: str) -> None:
    database = database_of(url, user="app")
    assert database is not None
    assert str(database.table(table)) == named


@pytest.mark.parametrize("url", ["", "postgres://db/x", "jdbc:postgresql://${secrets:host}/x", "jdbc:h2:mem:test"])
def test_a_url_that_names_no_server_names_nothing(url: str) -> None:
    assert database_of(url) is None


def test_a_person_names_a_server_in_one_word() -> None:
    assert given_server("shop=postgres://DB/store") == Server("postgresql", "shop", "postgres://db:5432", "store")
    assert given_server("shop=sqlserver://u:p@db:1433") == Server("sqlserver", "shop", "mssql://db:1433", "")
    assert [given_server(bad) for bad in ("shop", "shop=db:5432", "=mysql://db", "shop=s3://bucket")] == [None] * 4
