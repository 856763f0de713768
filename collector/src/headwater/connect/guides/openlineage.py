"""Clients of OpenLineage: any of them, Airflow, Spark, dbt. Pure.

Names as in openlineage.io/docs (client/python, client/java, integrations) and Airflow's provider `openlineage`.
"""

from __future__ import annotations

import json
from typing import Final

from headwater.connect.guides.parts import (
    HTTP,
    KAFKA,
    TOKEN,
    Guide,
    Json,
    Snippet,
    Wanted,
    about_documents,
    about_gateway,
    as_properties,
    as_variables,
    as_yaml,
    java_transport,
    python_transport,
)
from headwater.connect.places import Installation

_BY: Final = {HTTP: "by HTTP", KAFKA: "by Kafka"}
_WINS: Final = (
    "A file openlineage.yml (OPENLINEAGE_CONFIG, the working directory, ~/.openlineage) wins over OPENLINEAGE_URL;"
    " OPENLINEAGE_DISABLED=true silences all of it."
)


def any_client(place: Installation, wanted: Wanted) -> Guide:
    """A client that reads the standard settings."""
    snippets = []
    if HTTP in wanted.ways:
        snippets.append(Snippet("variables of the process, by HTTP", "sh", as_variables(_variables(place, wanted))))
    for way in wanted.ways:
        files = [("Python", python_transport(place, way)), ("Java (Flink, Trino …)", java_transport(place, way))]
        if way == HTTP:  # the two are the same there
            files = [("Python or Java", python_transport(place, way))]
        for language, transport in files:
            where = f"or openlineage.yml of a client in {language}, {_BY[way]}"
            snippets.append(Snippet(where, "yaml", as_yaml({"transport": transport})))
    remarks = [_WINS, *_ways(place, wanted, in_java=True), *_python_kafka(wanted)]
    return Guide("Any client of OpenLineage", tuple(snippets), "A client speaks when a run starts.", tuple(remarks))


def airflow(place: Installation, wanted: Wanted) -> Guide:
    """Airflow with its provider."""
    snippets = [Snippet("Airflow 2.7 or later, schedulers and workers", "sh", _PROVIDER)]
    for way in wanted.ways:
        either = "" if way == wanted.ways[0] else "or "
        transport = json.dumps(python_transport(place, way))
        namespace = wanted.job.namespace
        section = f"[openlineage]\ntransport = {transport}\nnamespace = {namespace}\n"
        snippets.append(Snippet(f"{either}airflow.cfg, {_BY[way]}", "ini", section))
        told = {"AIRFLOW__OPENLINEAGE__TRANSPORT": transport, "AIRFLOW__OPENLINEAGE__NAMESPACE": namespace}
        snippets.append(Snippet(f"or variables, {_BY[way]}", "sh", as_variables(told)))
    remarks = [
        "Before Airflow 2.7: pip install openlineage-airflow, and OPENLINEAGE_URL instead.",
        "[openlineage] disabled = True, or OPENLINEAGE_DISABLED=true, silences it.",
        (
            "Tasks that run jobs with the SDK or dbt hand their run on by"
            " OPENLINEAGE_PARENT_ID={{ macros.OpenLineageProviderPlugin.lineage_parent_id(task_instance) }}."
        ),
        *_ways(place, wanted, in_java=False),
        *_python_kafka(wanted),
    ]
    return Guide("Airflow", tuple(snippets), "Airflow speaks when a task starts: trigger a DAG.", tuple(remarks))


def spark(place: Installation, wanted: Wanted) -> Guide:
    """Spark with OpenLineage's listener."""
    snippets = []
    for way in wanted.ways:
        either = "" if way == wanted.ways[0] else "or "
        told = {
            "spark.jars.packages": "io.openlineage:openlineage-spark_2.12:<version>",
            "spark.extraListeners": "io.openlineage.spark.agent.OpenLineageSparkListener",
            "spark.openlineage.namespace": wanted.job.namespace,
            **_flat("spark.openlineage.transport", java_transport(place, way)),
        }
        snippets.append(
            Snippet(f"{either}spark-defaults.conf, or --conf each, {_BY[way]}", "properties", as_properties(told))
        )
    remarks = [
        (
            "_2.13 instead of _2.12 where Spark is built with Scala 2.13 (Spark 4 always is). If there are listeners already,"
            " add this one with a comma."
        ),
        *_ways(place, wanted, in_java=True),
    ]
    said = "Spark speaks when an application starts, and with datasets when a query or job ends."
    return Guide("Spark", tuple(snippets), said, tuple(remarks))


def dbt(place: Installation, wanted: Wanted) -> Guide:
    """dbt with its wrapper."""
    snippets = [Snippet("the wrapper", "sh", "pip install openlineage-dbt\n")]
    if HTTP in wanted.ways:
        snippets.append(Snippet("variables, by HTTP", "sh", as_variables(_variables(place, wanted))))
    if KAFKA in wanted.ways:
        text = as_yaml({"transport": python_transport(place, KAFKA)})
        snippets.append(Snippet("or openlineage.yml where dbt is run, by Kafka", "yaml", text))
    snippets.append(Snippet("dbt-ol instead of dbt", "sh", "dbt-ol run --consume-structured-logs\n"))
    remarks = [
        "Without --consume-structured-logs it speaks only after dbt has ended, from its artifacts.",
        _WINS,
        *_ways(place, wanted, in_java=False),
        *_python_kafka(wanted),
    ]
    return Guide("dbt", tuple(snippets), "dbt-ol speaks when a command starts, and for each model.", tuple(remarks))


_PROVIDER: Final = "pip install apache-airflow-providers-openlineage\n"


def _variables(place: Installation, wanted: Wanted) -> dict[str, str]:
    found = {"OPENLINEAGE_URL": place.gateway}
    if place.gateway_wants_token:
        found["OPENLINEAGE_API_KEY"] = TOKEN
    return found | {"OPENLINEAGE_NAMESPACE": wanted.job.namespace}


def _ways(place: Installation, wanted: Wanted, *, in_java: bool) -> list[str]:
    said = about_gateway(place) if HTTP in wanted.ways else []
    return said + (about_documents(place, in_java=in_java) if KAFKA in wanted.ways else [])


def _python_kafka(wanted: Wanted) -> list[str]:
    return ["By Kafka clients in Python need confluent-kafka beside them."] if KAFKA in wanted.ways else []


def _flat(prefix: str, tree: dict[str, Json]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in tree.items():
        found |= _flat(f"{prefix}.{key}", value) if isinstance(value, dict) else {f"{prefix}.{key}": str(value)}
    return found
