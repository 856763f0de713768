"""Debezium's names as OpenLineage's: servers, tables, topics, jobs. Pure.

A topic of a source is `{prefix}.{schema}.{table}` (PostgreSQL, Oracle, Db2, Informix), `{prefix}.{database}.{table}` (MySQL,
MariaDB, MongoDB, Vitess, Cassandra) or `{prefix}.{database}.{schema}.{table}` (SQL Server); characters that Kafka does not
take are `_` in it. Where host and port of a server are not known, the server goes by its topic prefix, which is
what Debezium calls its logical name: `postgres://inventory`. That never joins anything by mistake.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from headwater_schemas.events import Name
from headwater_schemas.naming import canonical_dataset

RUN_IDS: Final = uuid.UUID("5f0f1c0e-6a77-5a39-9f6e-3d0d6b1f7c11")
"""Namespace of the run ids of connectors (UUIDv5 of the job). Never changes."""

LONGEST_NAME_CHARS: Final = 1_000
"""A database, schema or table with a longer name is a mistake of who wrote the record."""

_SCHEMES: Final = {"postgresql": "postgres", "sqlserver": "mssql"}
_PORTS: Final = {
    "postgresql": 5432, "mysql": 3306, "mariadb": 3306, "sqlserver": 1433, "oracle": 1521, "db2": 50000, "informix": 9088,
}  # fmt: skip
_OF_THREE: Final = frozenset({"postgresql", "sqlserver", "oracle", "db2", "informix"})
"""Databases whose tables have a schema: `database.schema.table`."""
_CLASS: Final = re.compile(r"io\.debezium\.connector\.(\w+)\.(?!.*Sink)\w+")
_NOT_IN_TOPICS: Final = re.compile(r"[^A-Za-z0-9._-]")
HEARTBEATS: Final = "__debezium-heartbeat"
_INTERNAL: Final = re.compile(
    r"__.*|connect-(configs|offsets|status)|heartbeats|mm2-.*\.internal|.*\.checkpoints\.internal"
)


@dataclass(frozen=True, slots=True)
class Server:
    """A captured server: the kind (Debezium's name of the connector, `postgresql`), its topic prefix, and where it is.

    `namespace` is empty while nobody has said where it is; `database` is the one database that the connector captures,
    where it is one. `speaks_openlineage`: Debezium itself tells the schemas of this server.
    """

    kind: str
    prefix: str
    namespace: str = ""
    database: str = ""
    job: Name | None = None
    speaks_openlineage: bool = False
    renames_topics: bool = False

    @property
    def job_name(self) -> Name:
        """The job, as Debezium's own OpenLineage output names it: its first task."""
        return self.job or Name(self.prefix, f"{self.prefix}.0")

    def table(self, database: str, schema: str, table: str) -> Name | None:
        """A table's dataset; None where a part is missing or absurd."""
        name = table_name(self.kind, database or self.database, schema, table)
        return canonical_dataset(self.namespace or logical_namespace(self.kind, self.prefix), name) if name else None

    def table_of(self, topic: str) -> Name | None:
        """The table that a topic is named after; None if it is not named after one."""
        if topic == self.prefix or not topic.startswith(f"{self.prefix}."):
            return None
        parts = topic.removeprefix(f"{self.prefix}.").split(".")
        if self.kind == "sqlserver" and len(parts) == 3:
            return self.table(*parts)
        if len(parts) != 2 or self.kind == "sqlserver":
            return None
        if self.kind in _OF_THREE:
            return self.table(self.database, *parts) if self.database else None
        return self.table(parts[0], "", parts[1])

    def topic_of(self, table: str) -> str:
        """The topic of a table by its dataset's name (`shop.public.orders`), unless a transformation renames it."""
        parts = table.split(".")
        if self.kind in _OF_THREE and self.kind != "sqlserver" and len(parts) == 3:
            parts = parts[1:]
        return _NOT_IN_TOPICS.sub("_", ".".join([self.prefix, *parts]))

    def is_internal(self, topic: str) -> bool:
        """Whether a topic is the connector's own: schema changes, transactions, heartbeats."""
        return topic in {self.prefix, f"{self.prefix}.transaction", f"{self.prefix}-signal"} or is_internal(topic)


def kind_of_class(connector_class: str) -> str:
    """Debezium's name of a source connector by its class (`postgresql`); "" for everything else."""
    found = _CLASS.fullmatch(connector_class)
    return found[1] if found else ""


def scheme_of(kind: str) -> str:
    """The scheme of OpenLineage for a kind of server."""
    return _SCHEMES.get(kind, kind)


def logical_namespace(kind: str, prefix: str) -> str:
    """The namespace of a server of which only the topic prefix is known."""
    return f"{scheme_of(kind)}://{prefix}"


def table_name(kind: str, database: str, schema: str, table: str) -> str:
    """A table's name within its server; "" where a part is missing."""
    parts = [database, schema, table] if kind in _OF_THREE else [database, table]
    whole = ".".join(parts)
    return whole if all(parts) and len(whole) <= LONGEST_NAME_CHARS else ""


def is_internal(topic: str) -> bool:
    """Whether a topic is nobody's data: Kafka's and Connect's own, heartbeats, MirrorMaker's."""
    return _INTERNAL.fullmatch(topic) is not None


def server_of(config: Mapping[str, str]) -> Server | None:
    """The server that a Debezium source connector captures, by its settings; None if it is no such connector."""
    kind = kind_of_class(config.get("connector.class", ""))
    prefix = config.get("topic.prefix") or config.get("database.server.name", "")
    if not kind or not prefix:
        return None
    job_namespace = config.get("openlineage.integration.job.namespace") or prefix
    return Server(
        kind,
        prefix,
        namespace=namespace_of(kind, config),
        database=_database(kind, config),
        job=Name(job_namespace, f"{prefix}.0"),
        speaks_openlineage=config.get("openlineage.integration.enabled", "").lower() == "true",
        renames_topics=any(key.startswith("transforms.") and "Router" in value for key, value in config.items()),
    )


def namespace_of(kind: str, config: Mapping[str, str]) -> str:
    """Where a server is, by the settings of its connector; "" where they do not say it."""
    if kind == "mongodb":
        return mongodb_namespace(config.get("mongodb.connection.string") or config.get("mongodb.hosts", ""))
    host = config.get("database.hostname", "")
    if not host or _hidden(host):
        return ""
    port = config.get("database.port") or str(_PORTS.get(kind, ""))
    return canonical_dataset(f"{scheme_of(kind)}://{host.lower()}" + (f":{port}" if port else ""), "-").namespace


def mongodb_namespace(connection: str) -> str:
    """`mongodb://a:27017,b:27017` of a connection string: no credentials, hosts sorted; "" if it is none or masked."""
    _, separator, rest = connection.strip().rpartition("://")
    rest = rest.rpartition("@")[2].partition("?")[0]  # a password may hold a raw slash
    # mongodb.hosts, of older connectors, has no scheme and the name of the replica set in front: rs0/a:27017
    rest = rest.partition("/")[0] if separator else rest.rpartition("/")[2]
    hosts = sorted({host.strip().lower() for host in rest.split(",") if host.strip()})
    return "" if not hosts or _hidden(rest) else f"mongodb://{','.join(hosts)}"


def _database(kind: str, config: Mapping[str, str]) -> str:
    found = config.get("database.pdb.name") if kind == "oracle" else ""
    found = found or config.get("database.dbname") or config.get("database.names", "")
    return "" if "," in found else found.strip()


def _hidden(text: str) -> bool:
    """Whether a value was masked, or is only known where the connector runs (`${file:…}`)."""
    return "**" in text or "${" in text


def run_id(job: Name) -> bytes:
    """The run of a connector: one for all its life, for nothing in its records tells one task's life from the next."""
    return uuid.uuid5(RUN_IDS, f"{job.namespace}\0{job.name}").bytes


class Servers:
    """The servers that somebody named: a connector's settings, or a person. Others are known by what records say."""

    def __init__(self, known: Iterable[Server] = ()) -> None:
        self._known = {server.prefix: server for server in known}

    def __iter__(self) -> Iterator[Server]:
        return iter(self._known.values())

    def of(self, kind: str, prefix: str) -> Server:
        """The server of a record's source block."""
        return self._known.get(prefix) or Server(kind, prefix)

    def of_topic(self, topic: str) -> Server | None:
        """The named server to whose prefix a topic belongs: the longest that fits."""
        fitting = [prefix for prefix in self._known if topic == prefix or topic.startswith(f"{prefix}.")]
        return self._known[max(fitting, key=len)] if fitting else None

    def with_added(self, others: Iterable[Server]) -> Servers:
        """These and the others; of a server that is in both, these say where it is, and the other says the rest."""
        merged = dict(self._known)
        for other in others:
            mine = self._known.get(other.prefix, other)
            where = mine.namespace or other.namespace
            merged[other.prefix] = replace(other, namespace=where, database=mine.database or other.database)
        return Servers(merged.values())


def given_server(text: str) -> Server | None:
    """A server as a person names it: `inventory=postgres://db:5432/shop`. None if it is not of that form."""
    prefix, _, where = text.partition("=")
    scheme, separator, rest = where.strip().partition("://")
    host, _, database = rest.rpartition("@")[2].partition("/")
    kinds = {scheme_of(kind): kind for kind in (*_PORTS, "mongodb", "vitess", "cassandra")} | {
        kind: kind for kind in _PORTS
    }
    if not prefix.strip() or not separator or not host or scheme.lower() not in kinds:
        return None
    kind = kinds[scheme.lower()]
    if kind == "mongodb":
        return Server(kind, prefix.strip(), mongodb_namespace(f"mongodb://{host}"))
    if ":" not in host and kind in _PORTS:
        host = f"{host}:{_PORTS[kind]}"
    return Server(kind, prefix.strip(), f"{scheme_of(kind)}://{host.lower()}", database.strip("/"))
