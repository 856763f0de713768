"""What a Debezium connector lacks to tell its lineage, by what Kafka Connect says of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.connect.debezium import connectors, lacking

POSTGRES = "io.debezium.connector.postgresql.PostgresConnector"
JDBC = "io.debezium.connector.jdbc.JdbcSinkConnector"
PLUGINS = [{"class": POSTGRES, "type": "source", "version": "3.5.0.Final"}]
WHOLE = {
    "connector.class": POSTGRES,
    "openlineage.integration.enabled": "true",
    "openlineage.integration.config.file.path": "/etc/openlineage.yml",
    "openlineage.integration.dataset.kafka.bootstrap.servers": "broker:9092",
    "transforms": "unwrap, ol",
    "transforms.unwrap.type": "io.debezium.transforms.ExtractNewRecordState",
    "transforms.ol.type": "io.debezium.transforms.openlineage.OpenLineage",
}


def answer(config: dict[str, str], *tasks: dict[str, Any], state: str = "RUNNING") -> dict[str, Any]:
    return {"shop": {"info": {"config": config}, "status": {"connector": {"state": state}, "tasks": list(tasks)}}}


def test_one_that_has_everything_lacks_nothing() -> None:
    (found,) = connectors(answer(WHOLE), PLUGINS)
    assert (found.name, found.version, found.is_debezium, found.speaks) == ("shop", "3.5.0.Final", True, True)
    assert not found.lacks
    assert not found.failures


@pytest.mark.parametrize(
    ("changed", "version", "said"),
    [
        ({"openlineage.integration.enabled": "false"}, "3.5.0.Final", "openlineage.integration.enabled=true"),
        ({"openlineage.integration.config.file.path": ""}, "", "config.file.path"),
        ({"transforms": "unwrap"}, "", "a transform of type io.debezium.transforms.openlineage.OpenLineage"),
        ({"openlineage.integration.dataset.kafka.bootstrap.servers": ""}, "", "kafka://unknown:unknown"),
        ({"openlineage.integration.tags": "a=b"}, "", "openlineage.integration.tags is not read"),
        ({}, "3.1.2.Final", "no OpenLineage"),
        ({"connector.class": JDBC}, "3.2.0.Final", "sinks of Debezium 3.2.0.Final do not speak"),
    ],
)
def test_what_is_missing_is_named(changed: dict[str, str], version: str, said: str) -> None:
    (lack,) = lacking({**WHOLE, **changed}, version)
    assert said in lack


def test_brokers_of_the_schema_history_do_for_a_source_and_not_for_a_sink() -> None:
    settings = {key: value for key, value in WHOLE.items() if "dataset" not in key}
    settings["schema.history.internal.kafka.bootstrap.servers"] = "broker:9092"
    assert lacking(settings) == []
    assert len(lacking({**settings, "connector.class": JDBC})) == 1


def test_failed_tasks_are_told_by_the_first_line_of_their_trace_without_secrets() -> None:
    trace = "ConnectException: cannot reach postgres://me:hunter2@db\n\tat x"
    (found,) = connectors(
        answer(WHOLE, {"id": 0, "state": "FAILED", "trace": trace}, {"id": 1, "state": "RUNNING"}), None
    )
    assert found.failures == ("task 0 failed: ConnectException: cannot reach postgres://me:***@db",)


def test_other_connectors_lack_nothing() -> None:
    (found,) = connectors(answer({"connector.class": "io.confluent.connect.s3.S3SinkConnector"}), PLUGINS)
    assert not found.is_debezium
    assert not found.lacks


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["info", "status", "config", "tasks", "x"]), inner)
    ),
    max_leaves=12,
)


@given(JSON, JSON)
def test_whatever_answers_there_raises_nothing(document: Any, plugins: Any) -> None:
    connectors(document, plugins)
    connectors({"shop": document}, plugins)
