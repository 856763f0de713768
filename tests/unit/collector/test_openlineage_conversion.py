"""OpenLineage documents into events: what the real client writes, and what the field writes."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.support.openlineage_client import FAILED_RUN_ID, PARENT_RUN_ID, RUN_ID, write_documents

from headwater import ConfigError, DirectEdge, EventType, Lifecycle, LineageEvent, Measure, Name, Processing
from headwater.openlineage import Rejected, convert, iter_documents
from headwater_schemas.codec import encode_single_object
from headwater_schemas.events import NIL_UUID

SAVED = Path(__file__).parents[2] / "support" / "openlineage"


def document(**members: Any) -> dict[str, Any]:
    return {
        "eventTime": "2026-03-01T12:00:00Z",
        "eventType": "COMPLETE",
        "producer": "https://github.com/acme/jobs/tree/1.4.2/etl",
        "run": {"runId": RUN_ID},
        "job": {"namespace": "etl", "name": "orders"},
        **members,
    }


def converted(given: dict[str, Any]) -> LineageEvent:
    event = convert(given)
    assert isinstance(event, LineageEvent), event
    assert encode_single_object(event)
    return event


def rejected(given: Any) -> Rejected:
    outcome = convert(given)
    assert isinstance(outcome, Rejected)
    return outcome


@pytest.fixture(scope="module")
def client_events(tmp_path_factory: pytest.TempPathFactory) -> list[LineageEvent]:
    file = write_documents(tmp_path_factory.mktemp("openlineage") / "events.jsonl")
    events: list[LineageEvent] = []
    for number, found in iter_documents(file):
        assert not isinstance(found, Rejected)
        assert number == len(events) + 1
        events.append(converted(dict(found)))
    return events


def test_the_real_clients_pair_becomes_start_and_complete_of_one_run(client_events: list[LineageEvent]) -> None:
    start, complete = client_events[:2]
    assert (start.event_type, complete.event_type) == (EventType.START, EventType.COMPLETE)
    assert start.run_id == complete.run_id == uuid.UUID(RUN_ID).bytes
    assert start.job == Name("etl", "orders_daily")
    assert start.processing is Processing.BATCH
    assert (start.nominal_start_us, start.nominal_end_us) == (1_772_362_800_000_000, 1_772_366_400_000_000)
    assert start.emitter == complete.emitter == "openlineage:github.com/acme/jobs/etl/etl"
    (orders,), (daily,) = start.inputs, complete.outputs
    assert (orders.namespace, orders.name) == ("postgres://db.example.com:5432", "shop.public.orders")
    assert orders.measures == (Measure(rows=120),)
    assert len(orders.schema_version) == 12
    assert (daily.namespace, daily.name) == ("s3://lake", "orders/daily")
    assert daily.aliases == (Name("hive://metastore:9083", "lake.orders_daily"),)
    assert daily.measures == (Measure(rows=118, bytes=4096),)
    assert complete.edges == (
        DirectEdge(Name("postgres://db.example.com:5432", "shop.public.orders"), Name("s3://lake", "orders/daily")),
    )


def test_the_real_clients_parent_and_root_are_kept(client_events: list[LineageEvent]) -> None:
    event = client_events[2]
    assert (event.parent_run_id, event.parent_job) == (uuid.UUID(PARENT_RUN_ID).bytes, Name("airflow", "shop.load"))
    assert (event.root_run_id, event.root_job) == (uuid.UUID(FAILED_RUN_ID).bytes, Name("airflow", "shop"))


def test_the_real_clients_failure_says_why_without_the_password(client_events: list[LineageEvent]) -> None:
    fail = client_events[4]
    assert fail.event_type is EventType.FAIL
    assert fail.error == "cannot connect to postgres://reader:***@db/shop"
    assert b"s3cret" not in b"".join(encode_single_object(event) for event in client_events)


def test_the_real_clients_job_and_dataset_events_are_taken(client_events: list[LineageEvent]) -> None:
    declared, renamed, described = client_events[5:]
    assert (declared.run_id, declared.event_type) == (NIL_UUID, EventType.OTHER)
    assert declared.edges == (DirectEdge(Name("kafka://a:9092,b:9092", "orders"), Name("s3://lake", "orders/raw")),)
    assert renamed.job == Name("", "")
    assert (renamed.outputs[0].lifecycle, renamed.outputs[0].previous) == (
        Lifecycle.RENAME,
        Name("mysql://m:3306", "a.old"),
    )
    assert described.edges == (DirectEdge(Name("mysql://m:3306", "a.new"), Name("mysql://m:3306", "a.view")),)


def test_every_saved_document_is_taken_and_says_what_it_is_saved_for() -> None:
    events = {
        path.stem: converted(dict(found))
        for path in sorted(SAVED.glob("*.json"))
        for _, found in iter_documents(path)
        if not isinstance(found, Rejected)
    }
    assert len(events) >= 4
    debezium = events["debezium_running_table"]
    assert (debezium.restartable, debezium.processing) == (True, Processing.STREAMING)
    assert debezium.emitter == "openlineage:github.com/debezium/debezium/debezium-openlineage/inventory"
    assert debezium.inputs[0].namespace == "postgres://postgres:5432"
    assert b"hunter2" not in (debezium.facets or b"")
    spark = events["spark_dotted_facets"]
    assert b'"spark.logicalPlan"' in (spark.facets or b"")
    assert b"old_facet" not in (spark.facets or b"")
    assert spark.outputs[0].lifecycle is Lifecycle.OVERWRITE
    mongo = events["debezium_mongodb_credentials"]
    assert mongo.inputs[0].namespace == "mongodb://mongo:27017"
    assert b"s3cret" not in encode_single_object(mongo)
    assert events["dagster_nulls"].parent_job is None


@pytest.mark.parametrize(
    ("written", "time_us"),
    [
        ("2026-03-01T12:00:00.123456789Z", 1_772_366_400_123_456),
        ("2026-03-01T12:00:00", 1_772_366_400_000_000),
        ("2026-03-01 12:00", 1_772_366_400_000_000),
        ("2026-03-01T13:00:00.5+01:00[Europe/Berlin]", 1_772_366_400_500_000),
        ("2026-03-01t12:00:00z", 1_772_366_400_000_000),
        ("2026-03-01T12:00:00.000+0000", 1_772_366_400_000_000),
    ],
)
def test_times_are_read_as_producers_write_them(written: str, time_us: int) -> None:
    assert converted(document(eventTime=written)).event_time_us == time_us


def test_what_may_be_missing_may_be_missing_null_or_odd() -> None:
    given = document(eventType=None, inputs=None, outputs=[{"namespace": "n", "name": "d", "facets": None}])
    given["run"]["facets"] = {"parent": None, "nominalTime": "soon", "errorMessage": {}, "custom": 5}
    event = converted(given)
    assert (event.event_type, event.inputs, len(event.outputs)) == (EventType.OTHER, (), 1)
    assert (event.facets, event.error) == (b'{"run":{"errorMessage":{}}}', None)
    assert converted(document(eventType="complete")).event_type is EventType.COMPLETE
    assert converted(document(eventType="PAUSED")).event_type is EventType.OTHER


def test_a_run_id_that_is_no_uuid_becomes_always_the_same_one() -> None:
    first = converted(document(run={"runId": "scheduled__2026-03-01"}))
    again = converted(document(run={"runId": "scheduled__2026-03-01"}, eventType="START"))
    assert first.run_id == again.run_id != NIL_UUID
    assert uuid.UUID(bytes=first.run_id).version == 5


def test_a_repeated_document_has_the_same_id_however_it_is_written() -> None:
    one = document(inputs=[], schemaURL=None)
    same = dict(reversed(document(inputs=[]).items()))
    other = document(inputs=[], eventTime="2026-03-01T12:00:01Z")
    assert converted(one).event_id == converted(same).event_id != converted(other).event_id


@pytest.mark.parametrize(
    ("given", "path"),
    [
        (document(eventTime=None), "eventTime"),
        (document(eventTime="yesterday"), "eventTime"),
        (document(eventTime=1_772_366_400), "eventTime"),
        (document(run={}), "run.runId"),
        (document(job={"namespace": "etl"}), "job.name"),
        (document(job={"namespace": "", "name": "x"}), "job.namespace"),
        (document(job=None), "job"),
        (document(inputs="orders"), "inputs"),
        (document(inputs=[{"namespace": "n", "name": "a"}, {"namespace": "n"}]), "inputs[1].name"),
        (document(outputs=[None]), "outputs[0].namespace"),
        ({"eventTime": "2026-03-01T12:00:00Z"}, ""),
        ({"eventTime": "2026-03-01T12:00:00Z", "dataset": {"name": "x"}}, "dataset.namespace"),
        ([], ""),
        (None, ""),
        (document(extra=float("nan"), more=2**80), ""),
        (document(job={"namespace": "etl", "name": "\ud800"}), ""),
    ],
)
def test_what_cannot_be_an_event_is_rejected_with_its_place(given: Any, path: str) -> None:
    outcome = rejected(given)
    assert outcome.path == path
    assert outcome.reason


def test_a_document_nested_beyond_reason_is_rejected() -> None:
    deep: dict[str, Any] = {}
    for _ in range(500):
        deep = {"d": deep}
    assert "nested" in rejected(document(run={"runId": RUN_ID, "facets": {"deep": deep}})).reason


def test_a_dataset_named_twice_is_one_dataset() -> None:
    twice = [{"namespace": "s3a://lake", "name": "x"}, {"namespace": "s3://lake", "name": "/x"}]
    assert len(converted(document(inputs=twice)).inputs) == 1


def test_statistics_that_cannot_be_true_are_unknown() -> None:
    for rows, known in ((5, 5), ("5", 5), (5.0, 5), (-1, -1), (2**63, -1), (True, -1), (None, -1), ("many", -1)):
        facet = {"outputStatistics": {"rowCount": rows, "size": 1}}
        event = converted(document(outputs=[{"namespace": "n", "name": "d", "outputFacets": facet}]))
        assert event.outputs[0].measures[0].rows == known


def test_a_deleted_facet_is_as_if_it_were_not_there() -> None:
    schema = {"fields": [{"name": "a", "type": "INT"}]}
    use = {"namespace": "n", "name": "d", "facets": {"schema": schema | {"_deleted": True}}}
    event = converted(document(outputs=[use]))
    assert (event.outputs[0].schema_version, event.facets) == ("", None)


def test_the_schema_version_follows_names_and_types_alone() -> None:
    def version(*fields: dict[str, Any]) -> str:
        use = {"namespace": "n", "name": "d", "facets": {"schema": {"fields": list(fields)}}}
        return converted(document(inputs=[use])).inputs[0].schema_version

    plain = version({"name": "a", "type": "int"})
    assert plain == version({"name": "a", "type": "INT", "description": "the a"})
    assert plain != version({"name": "a", "type": "long"})
    assert plain != version({"name": "a", "type": "int", "fields": [{"name": "b"}]})


def test_the_lineage_facet_of_the_job_wins_over_column_lineage() -> None:
    entry = {
        "namespace": "n",
        "name": "t",
        "type": "DATASET",
        "inputs": [{"type": "DATASET", "namespace": "n", "name": "s"}],
        "fields": {"f": {"inputs": [{"type": "DATASET", "namespace": "n", "name": "f-source", "field": "x"}]}},
    }
    columns = {"fields": {"f": {"inputFields": [{"namespace": "n", "name": "other", "field": "x"}]}}}
    given = document(
        job={"namespace": "etl", "name": "j", "facets": {"lineage": {"entries": [entry, {"type": "JOB"}]}}},
        outputs=[{"namespace": "n", "name": "t", "facets": {"columnLineage": columns}}],
    )
    assert {edge.source.name for edge in converted(given).edges} == {"s", "f-source"}


def test_facets_are_kept_sorted_masked_and_bounded() -> None:
    facets = {
        "b": {"url": "https://me:s3cret@host/x", "n": 1},
        "a": {"password": "s3cret", "configs": ["sasl.password=s3cret"]},
        "spark.logicalPlan": {"plan": "x" * 400_000},
    }
    event = converted(document(run={"runId": RUN_ID, "facets": facets}))
    assert event.facets is not None
    assert len(event.facets) < 256 * 1024
    assert b"s3cret" not in event.facets
    kept = orjson.loads(event.facets)
    assert list(kept["run"]) == ["a", "b"]
    assert kept["dropped"] == ["spark.logicalPlan"]


@pytest.mark.parametrize(
    ("producer", "emitter"),
    [
        (
            "https://github.com/OpenLineage/OpenLineage/tree/1.9.1/integration/spark",
            "openlineage:github.com/OpenLineage/OpenLineage/integration/spark/etl",
        ),
        (
            "https://github.com/apache/airflow/tree/providers-openlineage/2.3.0",
            "openlineage:github.com/apache/airflow/providers-openlineage/etl",
        ),
        ("my-library", "openlineage:my-library/etl"),
        ("my-library/1.4.2", "openlineage:my-library/etl"),
        ("acme etl-2.0.1-SNAPSHOT", "openlineage:acme etl/etl"),
        ("", "openlineage:dbt/etl"),
        ("http://[broken", "openlineage:dbt/etl"),
    ],
)
def test_the_emitter_is_the_library_without_its_version(producer: str, emitter: str) -> None:
    job = {"namespace": "etl", "name": "x", "facets": {"jobType": {"integration": "DBT", "processingType": "BATCH"}}}
    assert converted(document(producer=producer, job=job)).emitter == emitter


def test_documents_are_read_from_lines_arrays_and_whole_files(tmp_path: Path) -> None:
    def read(text: str) -> list[tuple[int, bool]]:
        file = tmp_path / "documents"
        file.write_text(text, encoding="utf-8-sig")
        return [(line, not isinstance(found, Rejected)) for line, found in iter_documents(file)]

    assert read('{"a":1}\n\n{"a":2}\n') == [(1, True), (3, True)]
    assert read('{"a":1}\nnonsense\n[1]\n{"a":2}') == [(1, True), (2, False), (3, False), (4, True)]
    assert read('{\n "a": 1\n}\n') == [(1, True)]
    assert read('{\n "a": 1\n}\n{\n "a": 2\n}') == [(1, True), (4, True)]
    assert read('[{"a":1},\n {"a":2},\n 7]') == [(1, True), (2, True), (3, False)]
    assert read('[{"a":1},\n {"a":') == [(1, True), (2, False)]
    assert read("not json") == [(1, False)]
    assert read(" \n") == []
    assert read("[]") == []


def test_a_file_that_cannot_be_read_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        list(iter_documents(tmp_path / "nowhere.json"))


def test_secrets_leave_names_sql_and_configurations_before_anything_is_kept() -> None:
    given = document(
        job={
            "namespace": "spark?password=s3cret1",
            "name": "load jdbc:postgresql://u:s3cret2@db/shop",
            "facets": {"sql": {"query": "CREATE USER x WITH PASSWORD 's3cret3'; ALTER USER y IDENTIFIED BY 's3cret4'"}},
        },
        inputs=[{"namespace": "redshift://u:s3cret5@cluster:5439", "name": "jdbc://u:s3cret6@db/shop.orders"}],
        outputs=[{"namespace": "abfss://container@account.dfs.core.windows.net", "name": "a/b"}],
    )
    given["run"]["facets"] = {
        "debezium_config": {"configs": ["database.password=s3cret7"]},
        "spark": {"api_key": "s3cret8"},
    }
    event = converted(given)
    assert b"s3cret" not in encode_single_object(event)
    assert (
        event.outputs[0].namespace == "abfss://container@account.dfs.core.windows.net"
    )  # no user stands before this @


def test_what_statistics_and_parents_say_beside_our_fields_is_kept() -> None:
    written = {
        "namespace": "s3://lake",
        "name": "d",
        "outputFacets": {"outputStatistics": {"rowCount": 5, "fileCount": 2}},
    }
    given = document(outputs=[written])
    parent = {"run": {"runId": RUN_ID}, "job": {"namespace": "a", "name": "dag"}}
    given["run"]["facets"] = {"parent": parent}
    kept = orjson.loads(converted(given).facets or b"{}")
    assert kept == {
        "outputs": [
            {"namespace": "s3://lake", "name": "d", "facets": {"outputStatistics": {"rowCount": 5, "fileCount": 2}}}
        ]
    }
    given["run"]["facets"] = {
        "parent": {**parent, "root": {"job": {"namespace": "a", "name": "r", "facets": {"tags": {}}}}}
    }
    assert "parent" in orjson.loads(converted(given).facets or b"{}")["run"]


def test_what_others_keep_until_told_otherwise_is_said_to_be_deleted() -> None:
    gone = {"owners": [{"name": "me"}], "_deleted": True}
    job = {"namespace": "n", "name": "j", "facets": {"ownership": gone, "custom": gone}}
    event = converted(document(job=job, outputs=[{"namespace": "n", "name": "d", "facets": {"tags": gone}}]))
    assert orjson.loads(event.facets or b"") == {
        "job": {"ownership": {"_deleted": True}},
        "outputs": [{"namespace": "n", "name": "d", "facets": {"tags": {"_deleted": True}}}],
    }
