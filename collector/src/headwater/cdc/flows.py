"""What a connector of Kafka Connect moves from where to where, by its settings and the topics that there are. Pure.

| connector | from | to |
|---|---|---|
| Debezium sources | the tables that its topics are named after | the topics of its prefix |
| JDBC source (Confluent, Aiven) | the tables of its list | `{topic.prefix}{table}` |
| JDBC sink (Confluent, Aiven, Debezium) | its topics | tables by `table.name.format`, `collection.name.format` |
| MongoDB sink (Debezium, MongoDB) | its topics | collections |
| S3 and GCS sinks | its topics | `s3://bucket` / `{topics.dir}/{topic}` |
| Elasticsearch and OpenSearch sinks | its topics | indices, in lower case |
| MirrorMaker | the topics of the source cluster | `{alias}.{topic}`, or the same name by IdentityReplicationPolicy |
| any other sink | its topics | nothing that is known |

`RegexRouter` among the transformations is followed. Nothing but the settings named here is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from headwater.cdc import jdbc
from headwater.cdc.names import is_internal, mongodb_namespace, server_of
from headwater_schemas.events import Name
from headwater_schemas.naming import canonical_dataset, gcs_object, kafka_topic, s3_object

Config = Mapping[str, str]

_LONGEST_PATTERN_CHARS: Final = 500
_ROUTER: Final = "org.apache.kafka.connect.transforms.RegexRouter"
_JAVA_GROUP: Final = re.compile(r"\$(\d)")
_WILDCARDS: Final = re.compile(r"[*+?\[\](){}|^$\\]")


@dataclass(frozen=True, slots=True)
class Flow:
    """One way that data take; None where an end is not known."""

    source: Name | None
    target: Name | None


def flows(config: Config, cluster: str, topics: Collection[str]) -> list[Flow]:
    """What the connector moves. `cluster`: bootstrap servers of its Kafka; `topics`: those that there are."""
    kind = config.get("connector.class", "")
    if server_of(config) is not None:
        return list(_debezium(config, cluster, topics))
    if kind.endswith("MirrorSourceConnector"):
        return list(_mirror(config, cluster, topics))
    if kind.endswith("JdbcSourceConnector"):
        return list(_jdbc_source(config, cluster))
    target = next((make(config) for ending, make in _SINKS.items() if kind.endswith(ending)), None)
    chosen = sink_topics(config, topics)
    return [Flow(kafka_topic(cluster, topic), target(routed(topic, config)) if target else None) for topic in chosen]


def sink_topics(config: Config, topics: Collection[str]) -> list[str]:
    """The topics that a sink reads: its list, or those that its pattern fits."""
    listed = _list(config.get("topics", ""))
    if listed:
        return sorted(set(listed))
    pattern = _pattern(config.get("topics.regex", ""))
    return sorted(topic for topic in topics if pattern and pattern.fullmatch(topic) and not is_internal(topic))


def routed(topic: str, config: Config) -> str:
    """The topic's name after the connector's RegexRouters."""
    for alias in _list(config.get("transforms", "")):
        prefix = f"transforms.{alias}."
        pattern = _pattern(config.get(f"{prefix}regex", ""))
        if config.get(f"{prefix}type") != _ROUTER or pattern is None:
            continue
        found = pattern.fullmatch(topic)
        if found is not None:
            groups = found
            replacement = config.get(f"{prefix}replacement", "")
            topic = _JAVA_GROUP.sub(lambda group: _group(groups, int(group[1])), replacement)  # noqa: B023 - used at once
    return topic


def _group(found: re.Match[str], number: int) -> str:
    return (found[number] or "") if number <= (found.re.groups or 0) else ""


def _pattern(text: str) -> re.Pattern[str] | None:
    """A pattern of Java's, where Python reads it too."""
    try:
        return re.compile(text) if text and len(text) <= _LONGEST_PATTERN_CHARS else None
    except re.error:
        return None


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _debezium(config: Config, cluster: str, topics: Collection[str]) -> Iterator[Flow]:
    server = server_of(config)
    if server is None:
        return
    if server.renames_topics:
        # Which table a renamed topic has cannot be seen from its name: only tables that are listed one by one are followed.
        for listed in _list(config.get("table.include.list", "")):
            name = listed.replace("\\.", ".")
            table = None if _WILDCARDS.search(name) else server.table_of(f"{server.prefix}.{name}")
            topic = routed(server.topic_of(name), config)
            if table is not None and topic in topics:
                yield Flow(table, kafka_topic(cluster, topic))
        return
    for topic in sorted(topics):
        table = None if server.is_internal(topic) else server.table_of(topic)
        if table is not None:
            yield Flow(table, kafka_topic(cluster, topic))


def _mirror(config: Config, cluster: str, topics: Collection[str]) -> Iterator[Flow]:
    servers = config.get("source.cluster.bootstrap.servers", "")
    alias = config.get("source.cluster.alias", "")
    if not servers or "${" in servers:
        return
    prefix = f"{alias}{config.get('replication.policy.separator', '.')}"
    if config.get("replication.policy.class", "").endswith("IdentityReplicationPolicy"):
        prefix = ""
    patterns = [found for text in _list(config.get("topics", ".*")) if (found := _pattern(text)) is not None]
    for topic in sorted(topics):
        if not topic.startswith(prefix) or is_internal(topic):
            continue
        original = topic.removeprefix(prefix)
        if any(pattern.fullmatch(original) for pattern in patterns):
            yield Flow(kafka_topic(servers, original), kafka_topic(cluster, topic))


def _jdbc_source(config: Config, cluster: str) -> Iterator[Flow]:
    database = jdbc.database_of(config.get("connection.url", ""), config.get("connection.user", ""))
    tables = _list(config.get("table.whitelist") or config.get("table.include.list", ""))
    prefix = config.get("topic.prefix", "")
    if config.get("query") and prefix:
        yield Flow(None, kafka_topic(cluster, routed(prefix, config)))
        return
    for table in tables:
        topic = routed(f"{prefix}{table.rpartition('.')[2]}", config)
        yield Flow(database.table(table) if database else None, kafka_topic(cluster, topic))


Target = Callable[[str], Name | None]
"""From a topic to what a sink writes it to."""


def _jdbc_sink(config: Config) -> Target:
    database = jdbc.database_of(
        config.get("connection.url", ""), config.get("connection.username", config.get("connection.user", ""))
    )
    debezium = config.get("connector.class", "").startswith("io.debezium.")
    form = config.get("collection.name.format") or config.get("table.name.format") or "${topic}"

    def table(topic: str) -> Name | None:
        # Debezium's own strategy: dots of a topic would be schemas.
        name = form.replace("${topic}", topic.replace(".", "_") if debezium else topic)
        return None if database is None or "${" in name else database.table(name)

    return table


def _mongodb(config: Config) -> Target:
    namespace = mongodb_namespace(config.get("mongodb.connection.string") or config.get("connection.uri", ""))
    database = config.get("sink.database") or config.get("database", "")
    collection = config.get("collection") or config.get("collection.name.format") or "${topic}"

    def named(topic: str) -> Name | None:
        name = collection.replace("${topic}", topic)
        return (
            canonical_dataset(namespace, f"{database}.{name}") if namespace and database and "${" not in name else None
        )

    return named


def _objects(bucket_keys: Sequence[str], make: Callable[[str, str], Name]) -> Callable[[Config], Target]:
    def of(config: Config) -> Target:
        bucket = next((config[key] for key in bucket_keys if config.get(key)), "")
        aiven = config.get("file.name.prefix", config.get("aws.s3.prefix", config.get("aws.s3.prefix.template")))
        folder = aiven if aiven is not None else config.get("topics.dir", "topics")

        def prefix(topic: str) -> Name | None:
            return make(bucket, "/".join(part for part in (folder.strip("/"), topic) if part)) if bucket else None

        return prefix

    return of


def _search(scheme: str) -> Callable[[Config], Target]:
    def of(config: Config) -> Target:
        authorities = sorted({_authority(url) for url in _list(config.get("connection.url", ""))} - {""})
        namespace = f"{scheme}://{','.join(authorities)}" if authorities else ""
        return lambda topic: Name(namespace, topic.lower()) if namespace else None

    return of


def _authority(url: str) -> str:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        return f"{parts.hostname}:{parts.port or 9200}" if parts.hostname and "${" not in url else ""
    except ValueError:
        return ""


_SINKS: Final[Mapping[str, Callable[[Config], Target]]] = {
    "JdbcSinkConnector": _jdbc_sink,
    "MongoDbSinkConnector": _mongodb,
    "MongoSinkConnector": _mongodb,
    "S3SinkConnector": _objects(("s3.bucket.name", "aws.s3.bucket.name", "aws_s3_bucket"), s3_object),
    "GcsSinkConnector": _objects(("gcs.bucket.name",), gcs_object),
    "ElasticsearchSinkConnector": _search("elasticsearch"),
    "OpensearchSinkConnector": _search("opensearch"),
}
