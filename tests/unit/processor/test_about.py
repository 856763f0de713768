"""What facets say of a job and its datasets, in short texts; facets as the OpenLineage client writes them."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Final

import attr
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openlineage.client.generated import (
    base_subset_dataset as subset,
)
from openlineage.client.generated import (
    catalog_dataset,
    dataset_version_dataset,
    datasource_dataset,
    documentation_dataset,
    external_query_run,
    hierarchy_dataset,
    job_type_job,
    ownership_job,
    processing_engine_run,
    source_code_location_job,
    sql_job,
    storage_dataset,
    tags_dataset,
)

from headwater_processor.core.about import DATASET_FACTS, FACTS, JOB_FACTS, NODE_BYTES, Stated, stated
from headwater_processor.state.about import About
from headwater_schemas.events import Name

ORDERS: Final = Name("postgres://shop-db:5432", "shop.public.orders")
Field = subset.FieldBaseCompareExpression
Literal = subset.LiteralCompareExpression


def said(document: object) -> list[Stated]:
    return stated(json.dumps(document).encode())


def of_job(**facets: Any) -> About:
    return About.of({each.tag: each.text for each in said({"job": facets})})


def of_run(**facets: Any) -> About:
    return About.of({each.tag: each.text for each in said({"run": facets})})


def of_dataset(side: str = "outputs", **facets: Any) -> About:
    entry = {"namespace": ORDERS.namespace, "name": ORDERS.name, "facets": facets}
    found = said({side: [entry]})
    assert all(each.dataset == ORDERS for each in found)
    return About.of({each.tag: each.text for each in found})


def written(facet: Any) -> dict[str, Any]:
    """As the client sends it."""
    whole: dict[str, Any] = json.loads(json.dumps(attr.asdict(facet, filter=lambda _, value: value is not None)))
    return whole


def test_a_job_is_told_with_owner_code_statement_and_kind() -> None:
    about = of_job(
        ownership=written(ownership_job.OwnershipJobFacet([ownership_job.Owner("team:data", "MAINTAINER")])),
        sourceCodeLocation=written(
            source_code_location_job.SourceCodeLocationJobFacet(
                "git", "https://github.com/acme/etl/blob/main/load.py", version="4f2a9c1"
            )
        ),
        sql=written(sql_job.SQLJobFacet("INSERT INTO daily\n  SELECT *\n  FROM orders")),
        jobType=written(job_type_job.JobTypeJobFacet("BATCH", "SPARK", "QUERY")),
    )
    assert about == About(
        owners=("team:data",),
        code="https://github.com/acme/etl/blob/main/load.py @ 4f2a9c1",
        sql="INSERT INTO daily SELECT * FROM orders",
        job_type="SPARK QUERY",
    )


def test_engine_and_query_are_those_of_the_run() -> None:
    assert of_run(
        processing_engine=written(processing_engine_run.ProcessingEngineRunFacet("3.5.1", "Spark", "1.40.0")),
        externalQuery=written(external_query_run.ExternalQueryRunFacet("shop:EU.bquijob_123", "bigquery")),
    ) == About(engine="Spark 3.5.1", query="bigquery shop:EU.bquijob_123")


def test_tags_of_a_run_are_none_of_its_job() -> None:
    assert of_run(tags={"tags": [{"key": "retry", "value": "2"}]}) == About()


@pytest.mark.parametrize("side", ["inputs", "outputs", "dataset"])
def test_a_dataset_is_told_with_store_and_version(side: str) -> None:
    levels = [("DATABASE", "shop"), ("SCHEMA", "public"), ("TABLE", "orders")]
    about = of_dataset(
        side,
        documentation=written(documentation_dataset.DocumentationDatasetFacet("Orders of the shop")),
        catalog=written(catalog_dataset.CatalogDatasetFacet("iceberg", "glue", "prod", warehouseUri="s3://lake/wh")),
        dataSource=written(datasource_dataset.DatasourceDatasetFacet("shop-db", "postgres://shop-db:5432")),
        storage=written(storage_dataset.StorageDatasetFacet("iceberg", "parquet")),
        version=written(dataset_version_dataset.DatasetVersionDatasetFacet("3821550127947089987")),
        hierarchy=written(
            hierarchy_dataset.HierarchyDatasetFacet(
                [hierarchy_dataset.HierarchyDatasetFacetLevel(kind, name) for kind, name in levels]
            )
        ),
    )
    assert about == About(
        description="Orders of the shop",
        catalog="iceberg glue prod at s3://lake/wh",
        source="shop-db postgres://shop-db:5432",
        storage="iceberg parquet",
        version="3821550127947089987",
        hierarchy="database shop / schema public / table orders",
    )


def test_a_tag_says_its_value_where_that_is_more_than_true_and_one_of_a_column_is_the_dataset_s() -> None:
    tags = [("pii", "true", "email"), ("pii", "true", "name"), ("tier", "gold", None), ("raw", "", None)]
    fields = [tags_dataset.TagsDatasetFacetFields(key, value, field=field) for key, value, field in tags]
    assert of_dataset(tags=written(tags_dataset.TagsDatasetFacet(fields))).tags == ("pii", "tier=gold", "raw")


def test_the_part_of_a_dataset_is_told_in_words() -> None:
    day = subset.CompareSubsetCondition(Field("day"), Literal("2026-01-01"), "GREATER_EQUAL_THAN")
    german, french = (subset.CompareSubsetCondition(Field("land"), Literal(land), "EQUAL") for land in ("DE", "FR"))
    whole = subset.BinarySubsetCondition(day, subset.BinarySubsetCondition(german, french, "OR"), "AND")
    about = of_dataset(subset=written(subset.InputSubsetInputDatasetFacet(whole)))
    assert about.subset == "day >= 2026-01-01 and (land = DE or land = FR)"


def test_partitions_and_places_are_told_too() -> None:
    partitions = subset.PartitionSubsetCondition(
        [subset.Partition({"day": "01", "land": "DE"}), subset.Partition({}, "p2")]
    )
    assert of_dataset(subset=written(subset.OutputSubsetOutputDatasetFacet(partitions))).subset == "day=01, land=DE; p2"
    places = subset.LocationSubsetCondition(["s3://b/1", "s3://b/2"])
    assert of_dataset(subset=written(subset.OutputSubsetOutputDatasetFacet(places))).subset == "s3://b/1, s3://b/2"


def test_conditions_nested_without_end_are_cut() -> None:
    condition: dict[str, Any] = {
        "type": "compare",
        "left": {"field": "a"},
        "right": {"value": "1"},
        "comparison": "EQUAL",
    }
    for _ in range(50):
        condition = {"type": "binary", "operator": "AND", "left": condition, "right": {"type": "new"}}
    assert "…" in of_dataset(subset={"inputCondition": condition}).subset


def test_how_a_job_speaks_is_told_by_either_name_of_its_content() -> None:
    pattern = {"eventTrigger": "PERIODIC", "eventCompleteness": "COMPLETE_SNAPSHOT", "windowDuration": 300}
    kind = {"processingType": "STREAMING", "integration": "FLINK"}
    assert of_job(jobType={**kind, "emissionPattern": pattern}).job_type == (
        "FLINK, periodic every 300 s, complete snapshot"
    )
    draft = {"eventTrigger": "EVENT_BASED", "eventContentMode": "ACCUMULATIVE"}
    assert of_job(jobType={**kind, "emissionPattern": draft}).job_type == "FLINK, event based, accumulative"


def test_what_is_deleted_is_said_to_be_nothing() -> None:
    assert said({"job": {"ownership": {"_deleted": True}}}) == [Stated(None, b"o", b"")]


@pytest.mark.parametrize(
    "facets",
    [
        {"ownership": {}}, {"ownership": {"owners": []}}, {"ownership": {"owners": "me"}}, {"ownership": None},
        {"ownership": {"owners": [{"name": 7.5}, {"name": "  "}, None]}}, {"sql": {"query": ["select"]}},
        {"tags": {"tags": [{"value": "gold"}]}}, {"jobType": {"emissionPattern": "often"}}, {"sql": "select 1"},
    ],
)  # fmt: skip
def test_a_facet_of_another_shape_says_nothing(facets: Any) -> None:
    assert said({"job": facets}) == []


@pytest.mark.parametrize(
    "facets", [b"", b'{"ownership"', b'"ownership"', b'["ownership"]', b'{"job": ["ownership"]}', b"\xff"]
)
def test_facets_that_are_no_such_document_say_nothing(facets: bytes) -> None:
    assert stated(facets) == []


def test_a_secret_is_masked_before_the_text_is_cut() -> None:
    key = "x" * 300
    sql = f"CREATE USER a IDENTIFIED BY '{key}'; COPY t FROM 's3://b' SECRET_ACCESS_KEY '{key}'"
    assert key[:20] not in of_job(sql={"query": sql}).sql
    long = f"COPY t FROM 's3://b' {' ' * 3_000} WITH PASSWORD '{'y' * 5_000}'"
    assert "y" not in of_job(sql={"query": long}).sql
    assert "y" not in of_job(sql={"query": f'password: "{"y" * 5_000}"'}).sql
    assert "y" not in of_job(sql={"query": f"{'a ' * 80}postgres://me:{'y' * 500}@db/shop {'a ' * 900}"}).sql
    about = of_dataset(
        dataSource={"uri": "postgres://me:hunter22@db/shop"},
        documentation={"description": "password=hunter22"},
        tags={"tags": [{"key": "api_key", "value": "hunter22"}]},
        subset={"inputCondition": {"type": "partition", "partitions": [{"dimensions": {"token": "hunter22"}}]}},
    )
    assert "hunter22" not in about.as_json()
    assert about.source == "postgres://me:***@db/shop"


def test_a_long_text_is_cut_within_its_bound_and_shows_it() -> None:
    about = of_job(documentation={"description": "é" * 1_000})
    assert len(about.description.encode()) <= JOB_FACTS[b"d"].limit_bytes
    assert about.description.endswith("é…")


def test_of_many_owners_those_are_kept_that_fit_whole() -> None:
    owners = of_job(ownership={"owners": [{"name": f"team:{n:010d}"} for n in range(50)]}).owners
    assert owners == tuple(f"team:{n:010d}" for n in range(len(owners)))
    assert 5 < len(owners) < 20


def test_all_facts_of_a_node_have_a_bound_together() -> None:
    for facts in (JOB_FACTS, DATASET_FACTS):
        assert sum(fact.limit_bytes for fact in facts.values()) <= NODE_BYTES


def test_the_byte_of_a_fact_says_of_which_kind_of_node_it_is() -> None:
    assert all(tag.isupper() for tag in DATASET_FACTS)
    assert all(tag.islower() for tag in JOB_FACTS)
    assert {fact.name for fact in FACTS.values()} <= {field.name for field in dataclasses.fields(About)}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(
            ["owners", "name", "tags", "key", "value", "type", "inputCondition", "left", "right", "partitions", "dimensions",
             "locations", "hierarchy", "description", "query", "url", "emissionPattern", "operator", "condition"]
        ),
        inner,
        max_size=6,
    ),
    max_leaves=15,
)  # fmt: skip


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([fact.facet for fact in FACTS.values()]), JSON))
def test_whatever_a_facet_holds_its_text_is_bounded_and_one_line_an_item(facets: dict[str, Any]) -> None:
    entry = {"namespace": "n", "name": "d", "facets": facets}
    for _, tag, text in said({"job": facets, "run": facets, "inputs": [entry]}):
        fact = FACTS[tag]
        assert len(text) <= fact.limit_bytes
        assert len(text.decode().splitlines()) == 1 or fact.lists


def test_an_image_says_what_the_state_does() -> None:
    about = of_job(ownership={"owners": [{"name": "team:a"}, {"name": "team:b"}]}, sql={"query": "select 1"})
    assert about.as_object() == {"owners": ["team:a", "team:b"], "sql": "select 1"}
    assert About.from_json(about.as_json()) == about
    assert About.from_json('{"owners": ["a"], "newer": "text"}') == About(owners=("a",))
    assert about.owner == "team:a, team:b"
