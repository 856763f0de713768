"""Debezium's OpenLineage events (3.2 to 3.7) without their oddities: a document in, a document out. Pure.

| what Debezium sends | what it becomes |
|---|---|
| `sqlserver://`, `postgresql://`, host names in capitals | the canonical namespace |
| a list of bootstrap servers | sorted; `Rules.kafka_namespace` where it names a server of that cluster |
| `kafka://unknown:unknown` | `Rules.kafka_namespace`, else left out |
| `unknown:unknown` of the JDBC sink | the server of its `connection.url`, else left out |
| MongoDB's `user:password@` | gone, hosts sorted |
| MongoDB's `********` | the server that `Rules.servers` has, else the logical `mongodb://{topic.prefix}` |
| `schema.table` of PostgreSQL | `database.schema.table` |
| outputs that are the connector's own topics | left out |
| tables and topics that never stand in one event | the topic has its table as `lineage`, where their names match |
| the connector's whole configuration | the few settings that say what is captured |

Other producers' documents come back as they are. What a FAIL means (not the end) and that nothing here proves a write is
the conversion's: Debezium's events come when a schema changes or a task stops, not when a row is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from headwater.cdc import jdbc
from headwater.cdc.names import (
    Server,
    Servers,
    is_internal,
    logical_namespace,
    mongodb_namespace,
    server_of,
)
from headwater_schemas.events import Name
from headwater_schemas.naming import canonical_dataset

Json = Any
Document = Mapping[str, Json]

KEPT_SETTINGS: Final = frozenset(
    {"connector.class", "topic.prefix", "tasks.max", "database.hostname", "database.port", "database.dbname"}
    | {
        "database.names",
        "database.include.list",
        "schema.include.list",
        "table.include.list",
        "collection.include.list",
    }
    | {
        "snapshot.mode",
        "slot.name",
        "publication.name",
        "plugin.name",
        "heartbeat.interval.ms",
        "topics",
        "topics.regex",
    }
)
_UNKNOWN: Final = "unknown:unknown"
_KIND_OF_SCHEME: Final = {"postgres": "postgresql", "mssql": "sqlserver"}
_LINEAGE_SCHEMA: Final = "https://openlineage.io/spec/facets/1-0-0/LineageDatasetFacet.json#/$defs/LineageDatasetFacet"


@dataclass(frozen=True, slots=True)
class Rules:
    """What a door knows beyond the document.

    `kafka_namespace` is the cluster that the connectors write to, `kafka_servers` are addresses of it (`host:port`); both are
    empty where that is not known. `servers`: where captured servers are, by topic prefix; they win over the document.
    """

    servers: Servers = field(default_factory=Servers)
    kafka_namespace: str = ""
    kafka_servers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Normalised:
    """The document, and a reason for each dataset that was left out of it, to be counted."""

    document: Document
    left_out: tuple[str, ...] = ()


def is_debezium(document: Document) -> bool:
    """Whether Debezium sent the document."""
    job_type = _at(document, "job", "facets", "jobType", "integration")
    producer = document.get("producer")
    return job_type == "DEBEZIUM" or (isinstance(producer, str) and "/debezium/" in producer)


def normalise(document: Document, rules: Rules = Rules()) -> Normalised:
    """The document with Headwater's names. What is malformed stays as it is, for the conversion to refuse."""
    if not is_debezium(document):
        return Normalised(document)
    settings = _settings(document)
    is_sink = "Sink" in settings.get("connector.class", "") or "topics" in settings or "topics.regex" in settings
    names = _Names(rules, settings, None if is_sink else _server(document, settings, rules))
    left_out: list[str] = []
    changed = dict(document)
    for role in ("inputs", "outputs"):
        if isinstance(given := document.get(role), list):
            changed[role] = [found for each in given if (found := names.dataset(each, left_out)) is not None]
    if names.server is not None and isinstance(changed.get("outputs"), list):
        changed["outputs"] = [_with_lineage(each, names.server, document) for each in changed["outputs"]]
    if settings:
        changed["run"] = _with_few_settings(document["run"], settings)
    return Normalised(changed, tuple(left_out))


class _Names:
    """The datasets of one document."""

    def __init__(self, rules: Rules, settings: Mapping[str, str], server: Server | None) -> None:
        self._rules = rules
        self._settings = settings
        self.server = server

    def dataset(self, given: Json, left_out: list[str]) -> Json:
        """The dataset under its name; None, with the reason in `left_out`, if it is to be left out."""
        if not isinstance(given, Mapping):
            return given
        namespace, name = given.get("namespace"), given.get("name")
        if not isinstance(namespace, str) or not isinstance(name, str):
            return given
        if namespace.strip().lower().startswith("kafka:"):
            if self.server.is_internal(name) if self.server else is_internal(name):
                left_out.append("internal_topic")
                return None
            found = self._topic(namespace.strip(), name)
        else:
            found = self._table(namespace.strip(), name)
        if found is None:
            left_out.append("unknown_server")
            return None
        return {**given, "namespace": found.namespace, "name": found.name}

    def _topic(self, namespace: str, name: str) -> Name | None:
        canonical = canonical_dataset(namespace, name)
        servers = set(canonical.namespace.removeprefix("kafka://").split(","))
        if canonical.namespace == f"kafka://{_UNKNOWN}" or servers & self._rules.kafka_servers:
            own = self._rules.kafka_namespace
            return canonical_dataset(own, name) if own else None
        return canonical

    def _table(self, namespace: str, name: str) -> Name | None:
        if namespace == _UNKNOWN:
            database = jdbc.database_of(self._settings.get("connection.url", ""))
            return None if database is None else (database.table(name) or Name(database.namespace, name))
        if namespace.startswith("mongodb") or "***" in namespace:
            namespace = mongodb_namespace(namespace) or self._masked()
            if not namespace:
                return None
        elif self.server is not None and self.server.namespace:
            namespace = self.server.namespace
        if (
            self.server is not None
            and self.server.database
            and name.count(".") == 1
            and self.server.kind == "postgresql"
        ):
            name = f"{self.server.database}.{name}"
        return canonical_dataset(namespace, name)

    def _masked(self) -> str:
        if self.server is None:
            return ""
        return self.server.namespace or logical_namespace(self.server.kind, self.server.prefix)


def _server(document: Document, settings: Mapping[str, str], rules: Rules) -> Server | None:
    """The captured server: as the rules know it, as the settings in the document say it, or by the job's name."""
    found = server_of(settings)
    job = _at(document, "job", "name")
    prefix = found.prefix if found else job.rpartition(".")[0] if isinstance(job, str) else ""
    if not prefix:
        return None
    kind = found.kind if found else _kind(document)
    known = rules.servers.of(kind, prefix)
    if known.namespace or found is None:
        return known if known.kind else None
    return found


def _kind(document: Document) -> str:
    """By the scheme of what it reads; a masked namespace is MongoDB's, the only one that is masked whole."""
    given = document.get("inputs")
    for dataset in given if isinstance(given, list) else []:
        namespace = dataset.get("namespace") if isinstance(dataset, Mapping) else None
        if isinstance(namespace, str) and "***" in namespace:
            return "mongodb"
        if isinstance(namespace, str) and "://" in namespace:
            scheme = canonical_dataset(namespace, "-").namespace.partition("://")[0]
            return _KIND_OF_SCHEME.get(scheme, scheme)
    return ""


def _settings(document: Document) -> dict[str, str]:
    """The connector's settings as the facet has them: `key=value` each."""
    given = _at(document, "run", "facets", "debezium_config", "configs")
    pairs = (entry.partition("=") for entry in given if isinstance(entry, str)) if isinstance(given, list) else ()
    return {key.strip(): value.strip() for key, _, value in pairs}


def _with_few_settings(run: Mapping[str, Json], settings: Mapping[str, str]) -> Json:
    kept = [f"{key}={settings[key]}" for key in sorted(settings.keys() & KEPT_SETTINGS)]
    facet = {**run["facets"]["debezium_config"], "configs": kept}
    return {**run, "facets": {**run["facets"], "debezium_config": facet}}


def _with_lineage(output: Json, server: Server, document: Document) -> Json:
    """The topic with the table that it is named after. None is guessed where a transformation renames topics."""
    if not isinstance(output, Mapping) or not str(output.get("namespace")).startswith("kafka://"):
        return output
    table = server.table_of(str(output.get("name")))
    own = output.get("facets")
    if table is None or server.renames_topics or (isinstance(own, Mapping) and "lineage" in own):
        return output
    facet = {
        "_producer": document.get("producer", ""),
        "_schemaURL": _LINEAGE_SCHEMA,
        "inputs": [{"namespace": table.namespace, "name": table.name, "type": "DATASET"}],
    }
    return {**output, "facets": {**(own if isinstance(own, Mapping) else {}), "lineage": facet}}


def _at(value: Json, *path: str) -> Json:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
