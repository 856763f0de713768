"""Documents as the real OpenLineage client writes them: through its own file transport, nothing patched."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import (
    DatasetEvent,
    InputDataset,
    Job,
    JobEvent,
    OutputDataset,
    Run,
    RunEvent,
    RunState,
    StaticDataset,
)
from openlineage.client.generated import (
    column_lineage_dataset,
    documentation_dataset,
    error_message_run,
    input_statistics_input_dataset,
    job_type_job,
    lifecycle_state_change_dataset,
    lineage,
    nominal_time_run,
    output_statistics_output_dataset,
    ownership_dataset,
    ownership_job,
    parent_run,
    processing_engine_run,
    schema_dataset,
    source_code_location_job,
    sql_job,
    symlinks_dataset,
    tags_dataset,
)
from openlineage.client.transport.file import FileConfig, FileTransport

PRODUCER = "https://github.com/acme/jobs/tree/1.4.2/etl"
BEGAN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RUN_ID = "0195511c-3c00-7000-8000-000000000001"
PARENT_RUN_ID = "0195511c-3c00-7000-8000-000000000002"
FAILED_RUN_ID = "0195511c-3c00-7000-8000-000000000003"


_At = Callable[[int], str]
"""Seconds after the beginning to an event time."""


def write_documents(path: Path, began: datetime = BEGAN) -> Path:
    """A START/COMPLETE pair, a run with a parent, a failing run, a job and two datasets; JSON lines in that order.

    What they tell takes 130 s from `began` on.
    """

    def at(seconds: int) -> str:
        return (began + timedelta(seconds=seconds)).isoformat()

    client = OpenLineageClient(transport=FileTransport(FileConfig(log_file_path=str(path), append=True)))
    events: list[RunEvent | JobEvent | DatasetEvent] = [*_pair(at), _with_parent(at), *_failing(at)]
    for event in (*events, _job_event(at), _renamed(at), _described(at)):
        client.emit(event)
    client.close()
    return path


def _run(run_id: str, **facets: Any) -> Run:
    return Run(runId=str(uuid.UUID(run_id)), facets=facets)


def _job(name: str, **facets: Any) -> Job:
    return Job(namespace="etl", name=name, facets=facets)


def _pair(at: _At) -> list[RunEvent]:
    kind = job_type_job.JobTypeJobFacet(processingType="BATCH", integration="SPARK", jobType="JOB")
    nominal = nominal_time_run.NominalTimeRunFacet(at(-3600), at(0))
    orders = InputDataset(
        namespace="postgresql://reader:s3cret@DB.example.com:5432",
        name="shop.public.orders",
        facets={
            "schema": schema_dataset.SchemaDatasetFacet(
                fields=[
                    schema_dataset.SchemaDatasetFacetFields(name="id", type="BIGINT"),
                    schema_dataset.SchemaDatasetFacetFields(name="total", type="NUMERIC"),
                ]
            )
        },
        inputFacets={"inputStatistics": input_statistics_input_dataset.InputStatisticsInputDatasetFacet(rowCount=120)},
    )
    daily = OutputDataset(
        namespace="s3a://lake",
        name="/orders/daily",
        facets={
            "ownership": ownership_dataset.OwnershipDatasetFacet([ownership_dataset.Owner("team:lake", "OWNER")]),
            "documentation": documentation_dataset.DocumentationDatasetFacet("Orders by day"),
            "tags": tags_dataset.TagsDatasetFacet([tags_dataset.TagsDatasetFacetFields("pii", "true", field="total")]),
            "symlinks": symlinks_dataset.SymlinksDatasetFacet(
                identifiers=[symlinks_dataset.Identifier("hive://metastore:9083", "lake.orders_daily", "TABLE")]
            ),
            "columnLineage": column_lineage_dataset.ColumnLineageDatasetFacet(
                fields={
                    "total": column_lineage_dataset.Fields(
                        inputFields=[
                            column_lineage_dataset.InputField(
                                "postgres://db.example.com:5432", "shop.public.orders", "total"
                            )
                        ]
                    )
                }
            ),
        },
        outputFacets={
            "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
                rowCount=118, size=4096
            )
        },
    )
    run = _run(RUN_ID, nominalTime=nominal)
    job = _job("orders_daily", jobType=kind)
    started = _job(
        "orders_daily",
        jobType=kind,
        ownership=ownership_job.OwnershipJobFacet([ownership_job.Owner("team:etl")]),
        sql=sql_job.SQLJobFacet("COPY orders TO 's3://lake' SECRET_ACCESS_KEY 's3cret'"),
        sourceCodeLocation=source_code_location_job.SourceCodeLocationJobFacet(
            "git", "https://git.example.com/etl/daily.sql"
        ),
    )
    engine = processing_engine_run.ProcessingEngineRunFacet("3.5.1", "Spark")
    return [
        RunEvent(
            eventType=RunState.START,
            eventTime=at(0),
            run=_run(RUN_ID, nominalTime=nominal, processing_engine=engine),
            job=started,
            producer=PRODUCER,
            inputs=[orders],
            outputs=[],
        ),
        RunEvent(
            eventType=RunState.COMPLETE,
            eventTime=at(60),
            run=run,
            job=job,
            producer=PRODUCER,
            inputs=[],
            outputs=[daily],
        ),
    ]


def _with_parent(at: _At) -> RunEvent:
    parent = parent_run.ParentRunFacet(
        run=parent_run.Run(runId=PARENT_RUN_ID),
        job=parent_run.Job(namespace="airflow", name="shop.load"),
        root=parent_run.Root(
            run=parent_run.RootRun(runId=FAILED_RUN_ID), job=parent_run.RootJob(namespace="airflow", name="shop")
        ),
    )
    return RunEvent(
        eventType=RunState.RUNNING,
        eventTime=at(61),
        run=_run(RUN_ID, parent=parent),
        job=_job("orders_daily"),
        producer=PRODUCER,
    )


def _failing(at: _At) -> list[RunEvent]:
    error = error_message_run.ErrorMessageRunFacet(
        message="cannot connect to postgres://reader:s3cret@db/shop", programmingLanguage="python", stackTrace="at x"
    )
    run, job = _run(FAILED_RUN_ID, errorMessage=error), _job("customers")
    return [
        RunEvent(eventType=RunState.START, eventTime=at(100), run=Run(runId=FAILED_RUN_ID), job=job, producer=PRODUCER),
        RunEvent(eventType=RunState.FAIL, eventTime=at(101), run=run, job=job, producer=PRODUCER),
    ]


def _job_event(at: _At) -> JobEvent:
    source = lineage.LineageDatasetInput(namespace="kafka://b:9092,a:9092", name="orders", type="DATASET")
    entry = lineage.LineageDatasetEntry(
        namespace="s3://lake", name="orders/raw", type="DATASET", inputs=[source, lineage.LineageJobInput(type="JOB")]
    )
    stated = lineage.LineageJobFacet(entries=[entry])
    return JobEvent(eventTime=at(110), job=_job("declared", lineage=stated), producer=PRODUCER)


def _renamed(at: _At) -> DatasetEvent:
    change = lifecycle_state_change_dataset.LifecycleStateChangeDatasetFacet(
        lifecycleStateChange=lifecycle_state_change_dataset.LifecycleStateChange.RENAME,
        previousIdentifier=lifecycle_state_change_dataset.PreviousIdentifier(name="a.old", namespace="mysql://m:3306"),
    )
    dataset = StaticDataset(namespace="mysql://m:3306", name="a.new", facets={"lifecycleStateChange": change})
    return DatasetEvent(eventTime=at(120), dataset=dataset, producer=PRODUCER)


def _described(at: _At) -> DatasetEvent:
    stated = lineage.LineageDatasetFacet(
        inputs=[lineage.LineageDatasetInput(namespace="mysql://m:3306", name="a.new", type="DATASET")]
    )
    dataset = StaticDataset(namespace="mysql://m:3306", name="a.view", facets={"lineage": stated})
    return DatasetEvent(eventTime=at(130), dataset=dataset, producer=PRODUCER)
