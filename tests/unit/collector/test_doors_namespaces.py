"""Other names for namespaces, and the mark of an environment."""

from __future__ import annotations

import pytest

from headwater.doors.namespaces import Namespaces, is_private, parsed
from headwater.errors import ConfigError

RULES = {
    "sqlserver://Shop-DB:1433": "mssql://shop.acme.com:1433",
    "kafka://*.kafka.svc:9092": "kafka://shop",
    "kafka://b1.kafka.svc:9092": "kafka://first",
    "postgresql://*": "postgres://one.acme.com:5432",
    "airflow-*": "airflow",
}


@pytest.mark.parametrize(
    ("namespace", "becomes"),
    [
        ("mssql://shop-db:1433", "mssql://shop.acme.com:1433"),  # compared as it is kept
        ("kafka://b2.kafka.svc:9092", "kafka://shop:9092"),
        ("kafka://b1.kafka.svc:9092", "kafka://first:9092"),  # named whole: before any pattern
        ("postgres://db:5432", "postgres://one.acme.com:5432"),
        ("mysql://db:3306", "mysql://db:3306"),
        ("kafka://shop:9092", "kafka://shop:9092"),
    ],
)
def test_a_rule_gives_a_namespace_another_name(namespace: str, becomes: str) -> None:
    for namespaces in (Namespaces(RULES), Namespaces(RULES, "staging")):
        found = namespaces.of_dataset(namespace)
        expected = namespaces.of_dataset("mysql://db:3306") if "mysql" in namespace else becomes
        assert found == expected
        assert namespaces.of_dataset(found) == found
    assert Namespaces(RULES).of_job("airflow-eu") == "airflow"


@pytest.mark.parametrize(
    ("namespace", "marked"),
    [
        ("postgres://db:5432", "postgres://staging+db:5432"),
        ("postgres://db.shop:5432", "postgres://staging+db.shop:5432"),
        ("kafka://b1:9092,b2:9092", "kafka://staging+b1:9092,staging+b2:9092"),
        (
            "kafka://broker.kafka.svc:9092,kafka.acme.com:9092",
            "kafka://staging+broker.kafka.svc:9092,kafka.acme.com:9092",
        ),
        ("mysql://10.1.2.3:3306", "mysql://staging+10.1.2.3:3306"),
        ("redis://[fd00::1]:6379", "redis://staging+[fd00::1]:6379"),
        ("hdfs://namenode:8020", "hdfs://staging+namenode:8020"),
        ("http://api.internal/v1", "http://staging+api.internal/v1"),
        ("postgres://orders.db.acme.com:5432", "postgres://orders.db.acme.com:5432"),
        ("mysql://8.8.8.8:3306", "mysql://8.8.8.8:3306"),
        ("s3://lake", "s3://lake"),
        ("snowflake://acme-shop", "snowflake://acme-shop"),
        ("kafka-cluster://x2Xk0p7bSTuNpzlXpAg2Qw", "kafka-cluster://x2Xk0p7bSTuNpzlXpAg2Qw"),
        ("bigquery", "bigquery"),
        ("file", "file"),
    ],
)
def test_what_means_something_else_elsewhere_is_marked(namespace: str, marked: str) -> None:
    staging = Namespaces(environment="staging")
    assert staging.of_dataset(namespace) == marked
    assert staging.of_dataset(marked) == marked
    assert staging.without_mark(marked) == namespace


def test_namespaces_of_jobs_are_marked_whatever_people_call_them() -> None:
    staging = Namespaces(environment="staging")
    assert staging.of_job("shop") == "staging+shop"
    assert staging.of_job("staging+shop") == "staging+shop"
    assert staging.of_job("k8s://shop") == "k8s://staging+shop"
    assert staging.of_job("https://airflow.eu.acme.com") == "https://airflow.eu.acme.com"
    assert staging.of_job("") == ""
    assert staging.of_emitter("cdc:shop") == "cdc:staging+shop"
    assert staging.of_emitter("openlineage:x/staging+shop") == "openlineage:x/staging+shop"


def test_without_an_environment_nothing_is_marked() -> None:
    nothing = Namespaces()
    assert nothing.of_dataset("postgres://db:5432") == "postgres://db:5432"
    assert nothing.of_job("shop") == "shop"
    assert nothing.of_emitter("cdc:shop") == "cdc:shop"


@pytest.mark.parametrize(
    ("rules", "environment", "remedy"),
    [
        ({"a://b": "c://d", "c://*": "e://f"}, "", "let both give e://f"),
        ({"a://b": ""}, "", "give a namespace for each"),
        ({"a://b": "c://*"}, "", "give a namespace for each"),
        ({}, "Staging!", "lower-case"),
    ],
)
def test_rules_that_cannot_be_are_told(rules: dict[str, str], environment: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Namespaces(rules, environment)
    assert remedy in caught.value.remedy


def test_rules_are_read_from_one_text() -> None:
    assert parsed(" kafka://a:9092=kafka://shop  b=c ") == {"kafka://a:9092": "kafka://shop", "b": "c"}
    with pytest.raises(ConfigError):
        parsed("nonsense")


@pytest.mark.parametrize(
    ("host", "private"),
    [("db", True), ("db:5432", True), ("::1", True), ("[::1]:9092", True), ("[2001:4860::1]:9092", False), ("", False),
     ("169.254.1.1", True), ("a.b.c", False), ("a.b.c.svc", True), ("db.cluster.local.", True)],
)  # fmt: skip
def test_hosts_are_private_by_name_or_address(host: str, private: bool) -> None:
    assert is_private(host) is private
