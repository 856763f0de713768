"""One name for one dataset: OpenLineage naming, and fixed rules for the spellings met in the field.

The rules are syntactic, pure and versioned: the same input gives the same name on every machine and at every time, so
that the name may be hashed into a key. What can change (symlinks, aliases, two names of one Kafka cluster) is not
decided here. Constructors for producers follow the naming table of the OpenLineage specification
(https://openlineage.io/docs/spec/naming).
"""

from __future__ import annotations

import enum
import re
from functools import lru_cache
from typing import Final

from headwater_schemas.events import Name

NAMING_VERSION: Final = 1
"""Raised whenever a rule below changes what any name becomes: keys made under another version do not compare."""

SCHEME_ALIASES: Final = {"postgresql": "postgres", "s3a": "s3", "s3n": "s3", "sqlserver": "mssql"}
"""Schemes that mean the same store; the value is the one that is kept."""

DEFAULT_KAFKA_PORT: Final = "9092"

KAFKA_CLUSTER: Final = "kafka-cluster://"
"""Namespaces of Kafka clusters by their id. No job reads or writes under such a name: it only joins those of a topic."""

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.:-]*)://(.*)", re.DOTALL)
_ENTRY_SCHEME: Final = re.compile(r"^(?:[A-Za-z][A-Za-z0-9_+.-]*://)+")
_OBJECT_STORES: Final = frozenset({"s3", "gs"})
# In these the part before the @ is the container, not a user.
_CONTAINER_AT_ACCOUNT: Final = frozenset({"abfs", "abfss", "wasb", "wasbs"})
# The rest of such a namespace is a host, perhaps with a port: host names know no upper case.
_HOSTS: Final = frozenset(
    {"cassandra", "crate", "db2", "hdfs", "hive", "milvus", "mongodb", "mssql", "mysql", "oceanbase", "oracle"}
    | {"postgres", "redis", "redshift", "teradata", "trino"}
)
_CACHE_SIZE: Final = 65_536


@lru_cache(maxsize=_CACHE_SIZE)
def canonical_dataset(namespace: str, name: str) -> Name:
    """The one spelling of a dataset's name, by these rules (idempotent; naming version 1):

    * white space around both is dropped, and NUL characters everywhere (a NUL separates the two in keys);
    * the scheme is lower-case, and `postgresql` is `postgres`, `s3a` and `s3n` are `s3`, `sqlserver` is `mssql`;
    * `user:password@` goes; for stores that are a host, the query string too (both hold secrets);
    * slashes at the end of the namespace go; `file://` is `file`;
    * host names of databases and brokers are lower-case;
    * a list of Kafka bootstrap servers is sorted, without repetitions, each with its port (9092 if none is given);
    * the name is left alone, except that object keys of S3 and GCS lose their leading slashes.
    """
    namespace, name = _strip(namespace, ""), _strip(name, "")
    match = _SCHEME.fullmatch(namespace)
    if match is None:
        return Name(namespace, name)
    scheme = match[1].lower()
    scheme = SCHEME_ALIASES.get(scheme, scheme)
    rest = _authority(scheme, match[2])
    if scheme == "file" and not rest:
        return Name("file", name)
    if scheme in _OBJECT_STORES:
        name = _strip_left(name, "/")
    return Name(f"{scheme}://{rest}", name)


class Store(enum.Enum):
    """What a dataset's store is for: who usually writes and reads it."""

    DATABASE = "database"
    """Applications write it, and query it."""
    WAREHOUSE = "warehouse"
    """People and reports query it."""
    OBJECTS = "objects"
    """Object stores and file systems: whoever has a file puts it there."""
    SEARCH = "search"
    """An index that is queried."""
    LOG = "log"
    """Topics, streams and queues: programs write them for other programs."""
    OTHER = "other"


_SCHEMES_OF: Final[dict[Store, str]] = {
    Store.DATABASE: "cassandra cockroachdb cosmos azurecosmos couchbase crate db2 dynamodb informix mariadb mongodb mssql mysql"
    " neo4j oceanbase oracle postgres redis spanner sqlite tidb vitess",
    Store.WAREHOUSE: "athena awsathena bigquery clickhouse databricks delta dremio druid duckdb glue hive iceberg pinot presto"
    " redshift snowflake synapse teradata trino unitycatalog vertica",
    Store.OBJECTS: "abfs abfss dbfs file ftp gs hdfs minio oss s3 sftp wasb wasbs",
    Store.SEARCH: "elasticsearch milvus opensearch pinecone qdrant solr weaviate",
    Store.LOG: "activemq amqp eventhubs eventhub kafka kafka-cluster kinesis mqtt nats pravega pubsub pulsar rabbitmq redpanda sqs",
}
STORES: Final = {scheme: store for store, schemes in _SCHEMES_OF.items() for scheme in schemes.split()}
"""The store of a namespace, by its scheme (or all of it, where it has none: `bigquery`, `file`)."""
_ARN: Final = {"glue": Store.WAREHOUSE, "athena": Store.WAREHOUSE, "dynamodb": Store.DATABASE, "kinesis": Store.LOG}


@lru_cache(maxsize=_CACHE_SIZE)
def store_of(namespace: str) -> Store:
    """What kind of store a canonical namespace is; OTHER where its scheme does not say it."""
    scheme, separator, _ = namespace.partition("://")
    if not separator and namespace.startswith("arn:"):
        return _ARN.get(namespace.split(":")[2] if namespace.count(":") > 1 else "", Store.OTHER)
    return STORES.get(scheme.lower(), Store.OTHER)


def _strip(text: str, also: str) -> str:
    """Without NULs, and without white space (and the characters of `also`) at the end; white space at the start."""
    text = text.replace("\0", "").lstrip()
    while text and (text[-1].isspace() or text[-1] in also):
        text = text[:-1]
    return text


def _strip_left(text: str, also: str) -> str:
    while text and (text[0].isspace() or text[0] in also):
        text = text[1:]
    return text


def _authority(scheme: str, rest: str) -> str:
    rest = _strip(rest, "/")
    if scheme == "kafka":
        return _bootstrap(rest)
    if scheme in _HOSTS:
        # A password may hold a raw slash, so everything up to the last @ is the user's.
        return _strip(rest.rpartition("@")[2].partition("?")[0], "/").lower()
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    if scheme in _CONTAINER_AT_ACCOUNT:
        user = user.partition(":")[0]
        return _strip(f"{user}{at}{host}{slash}{path}", "/")
    return _strip(f"{host}{slash}{path}", "/")


def _bootstrap(servers: str) -> str:
    return ",".join(sorted({server for entry in servers.split(",") if (server := _server(entry))}))


def _server(entry: str) -> str:
    host = _ENTRY_SCHEME.sub("", entry.strip()).rpartition("@")[2]
    host = _strip(host.partition("?")[0], "/:").lower()
    host = _ENTRY_SCHEME.sub("", host)
    if not host:
        return ""
    # [::1]:9092 is an address of version 6 with a port; ::1 has none and cannot take one without brackets.
    has_port = ":" in host.rpartition("]")[2]
    return host if has_port else f"{host}:{DEFAULT_KAFKA_PORT}"


def kafka_topic(bootstrap: str, topic: str) -> Name:
    """A topic, by the bootstrap servers of its cluster (`a:9092,b:9092`)."""
    return canonical_dataset(f"kafka://{bootstrap}", topic)


def kafka_cluster_topic(cluster_id: str, topic: str) -> Name:
    """A topic by the id of its cluster: one name, however the brokers are addressed."""
    return Name(f"{KAFKA_CLUSTER}{cluster_id}", topic)


def s3_object(bucket: str, key: str) -> Name:
    """An object or a prefix in S3."""
    return canonical_dataset(f"s3://{bucket}", key)


def gcs_object(bucket: str, key: str) -> Name:
    """An object or a prefix in Google Cloud Storage."""
    return canonical_dataset(f"gs://{bucket}", key)


def azure_blob(container: str, service: str, path: str) -> Name:
    """A path in Azure Data Lake Storage; `service` is the name of the storage account."""
    return canonical_dataset(f"abfss://{container}@{service}.dfs.core.windows.net", path)


def hdfs_path(host: str, port: int, path: str) -> Name:
    """A path in HDFS, by its name node."""
    return canonical_dataset(f"hdfs://{host}:{port}", path)


def file_path(path: str, host: str = "") -> Name:
    """A file or a folder, on `host` if it matters which machine it is."""
    return canonical_dataset(f"file://{host}", path)


def postgres_table(host: str, port: int, database: str, schema: str, table: str) -> Name:
    """A table or view of PostgreSQL."""
    return canonical_dataset(f"postgres://{host}:{port}", f"{database}.{schema}.{table}")


def mysql_table(host: str, port: int, database: str, table: str) -> Name:
    """A table or view of MySQL or MariaDB."""
    return canonical_dataset(f"mysql://{host}:{port}", f"{database}.{table}")


def mssql_table(host: str, port: int, database: str, schema: str, table: str) -> Name:
    """A table or view of SQL Server."""
    return canonical_dataset(f"mssql://{host}:{port}", f"{database}.{schema}.{table}")


def oracle_table(host: str, port: int, service: str, schema: str, table: str) -> Name:
    """A table or view of Oracle; `service` is the service name or SID."""
    return canonical_dataset(f"oracle://{host}:{port}", f"{service}.{schema}.{table}")


def hive_table(host: str, port: int, database: str, table: str) -> Name:
    """A table of Hive, by its metastore."""
    return canonical_dataset(f"hive://{host}:{port}", f"{database}.{table}")


def trino_table(host: str, port: int, catalog: str, schema: str, table: str) -> Name:
    """A table as Trino sees it."""
    return canonical_dataset(f"trino://{host}:{port}", f"{catalog}.{schema}.{table}")


def bigquery_table(project: str, dataset: str, table: str) -> Name:
    """A table or view of BigQuery."""
    return canonical_dataset("bigquery", f"{project}.{dataset}.{table}")


def snowflake_table(account: str, database: str, schema: str, table: str) -> Name:
    """A table or view of Snowflake; `account` is `organisation-account`."""
    return canonical_dataset(f"snowflake://{account}", f"{database}.{schema}.{table}")


def redshift_table(cluster: str, region: str, port: int, database: str, schema: str, table: str) -> Name:
    """A table or view of Amazon Redshift."""
    return canonical_dataset(f"redshift://{cluster}.{region}:{port}", f"{database}.{schema}.{table}")
