from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater_schemas import naming
from headwater_schemas.events import Name
from headwater_schemas.naming import canonical_dataset


@pytest.mark.parametrize(
    ("namespace", "expected"),
    [
        ("postgresql://db:5432", "postgres://db:5432"),
        ("Postgres://DB:5432/", "postgres://db:5432"),
        ("sqlserver://db:1433", "mssql://db:1433"),
        ("s3a://Bucket", "s3://Bucket"),
        ("S3N://bucket///", "s3://bucket"),
        ("  s3://bucket / ", "s3://bucket"),
        ("file://", "file"),
        ("file:///", "file"),
        ("file://host", "file://host"),
        ("bigquery", "bigquery"),
        ("BigQuery", "BigQuery"),
        ("snowflake://Org-Account", "snowflake://Org-Account"),
        ("arn:aws:glue:eu-central-1:123", "arn:aws:glue:eu-central-1:123"),
    ],
)
def test_spellings_of_one_namespace_become_one(namespace: str, expected: str) -> None:
    assert canonical_dataset(namespace, "t").namespace == expected


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        ("b:9092,a:9092", "kafka://a:9092,b:9092"),
        ("b, A ,b:9092", "kafka://a:9092,b:9092"),
        ("b:9093,,", "kafka://b:9093"),
        ("SASL_SSL://b:9093,SASL_SSL://a:9093", "kafka://a:9093,b:9093"),
        ("[::1],[::2]:9094", "kafka://[::1]:9092,[::2]:9094"),
        ("user:secret@b:9092", "kafka://b:9092"),
    ],
)
def test_bootstrap_lists_are_sorted_complete_and_without_repetition(servers: str, expected: str) -> None:
    assert naming.kafka_topic(servers, "t") == Name(expected, "t")


@pytest.mark.parametrize(
    "namespace",
    [
        "postgres://me:s3cret@db:5432",
        "postgresql://me:s3cret@db:5432",
        "postgres://me:s3cret/with@slash@db:5432",
        "postgres://me@db:5432",
        "postgres://db:5432?user=me&password=s3cret",
    ],
)
def test_credentials_never_stay_in_a_name(namespace: str) -> None:
    assert canonical_dataset(namespace, "a.b.c") == Name("postgres://db:5432", "a.b.c")


def test_credentials_go_from_unknown_schemes_too_and_the_path_stays() -> None:
    assert canonical_dataset("https://me:s3cret@api.example/v1/@x", "t").namespace == "https://api.example/v1/@x"


def test_the_container_of_an_azure_store_is_no_user() -> None:
    assert naming.azure_blob("data", "acc", "/a/b") == Name("abfss://data@acc.dfs.core.windows.net", "/a/b")
    assert canonical_dataset("wasbs://data:key@acc", "a").namespace == "wasbs://data@acc"


def test_object_keys_lose_leading_slashes_and_paths_keep_them() -> None:
    assert naming.s3_object("b", "/k//x/").name == "k//x/"
    assert naming.gcs_object("b", "//k").name == "k"
    assert naming.file_path("/srv/x").name == "/srv/x"
    assert naming.hdfs_path("nn", 8020, "/raw") == Name("hdfs://nn:8020", "/raw")


def test_nul_is_dropped_because_it_separates_namespace_and_name_in_keys() -> None:
    assert canonical_dataset("a\0b", "c\0") == Name("ab", "c")


def test_constructors_follow_the_naming_table() -> None:
    assert naming.postgres_table("db", 5432, "d", "s", "t") == Name("postgres://db:5432", "d.s.t")
    assert naming.mysql_table("db", 3306, "d", "t") == Name("mysql://db:3306", "d.t")
    assert naming.mssql_table("db", 1433, "d", "s", "t") == Name("mssql://db:1433", "d.s.t")
    assert naming.oracle_table("db", 1521, "x", "s", "t") == Name("oracle://db:1521", "x.s.t")
    assert naming.hive_table("ms", 9083, "d", "t") == Name("hive://ms:9083", "d.t")
    assert naming.trino_table("tr", 8080, "c", "s", "t") == Name("trino://tr:8080", "c.s.t")
    assert naming.bigquery_table("p", "d", "t") == Name("bigquery", "p.d.t")
    assert naming.snowflake_table("o-a", "d", "s", "t") == Name("snowflake://o-a", "d.s.t")
    assert naming.redshift_table("c", "r", 5439, "d", "s", "t") == Name("redshift://c.r:5439", "d.s.t")


SCHEMES = ["kafka", "postgresql", "s3a", "gs", "abfss", "file", "http", "MSSQL", "x+y"]
MESSY = st.text(alphabet="aB1.:,@/?=[] \t\0\u2003\u0130-é", max_size=24)


@given(st.one_of(MESSY, st.builds("{}://{}".format, st.sampled_from(SCHEMES), MESSY)), MESSY)
def test_a_canonical_name_stays_as_it_is(namespace: str, name: str) -> None:
    once = canonical_dataset(namespace, name)
    assert canonical_dataset(once.namespace, once.name) == once


@given(st.lists(st.sampled_from(["a", "b:9092", "C:1", "d.e"]), min_size=1), st.randoms())
def test_the_order_of_bootstrap_servers_does_not_matter(servers: list[str], random: object) -> None:
    shuffled = sorted(servers, key=lambda _: random.random())  # type: ignore[attr-defined] # hypothesis' Random
    assert naming.kafka_topic(",".join(servers), "t") == naming.kafka_topic(",".join(shuffled), "t")
