"""What the doors for OpenLineage documents have in common: a converter with the rules of the settings."""

from __future__ import annotations

from confluent_kafka.admin._metadata import ClusterMetadata

from headwater.cdc.names import Servers, given_server
from headwater.cdc.normalising import Rules
from headwater.doors.clusters import KAFKA, Cluster, ClusterBook, cluster_of
from headwater.openlineage.records import Converter
from headwater.runtime.errors import UsageError
from headwater.runtime.models import Settings
from headwater_schemas.naming import canonical_dataset


def converter_of(settings: Settings, book: ClusterBook) -> Converter:
    """Documents into records under the names that the settings want. `book`: what the door learns of clusters.

    Raises:
        UsageError: `cdc.sources` has something that names no server.
    """
    servers = []
    for text in settings.cdc.sources:
        server = given_server(text)
        if server is None:
            raise UsageError(
                f"cdc.sources has {text.partition('://')[0]!r}, which names no server",
                remedy="write it as PREFIX=postgres://host:5432/database (or mysql, sqlserver, oracle, mongodb …)",
            )
        servers.append(server)
    known = Servers(servers)
    brokers = settings.cdc.bootstrap_servers or settings.kafka.bootstrap_servers
    namespace = canonical_dataset(settings.cdc.kafka_namespace or f"{KAFKA}{brokers}", "-").namespace

    def debezium() -> Rules:
        own = frozenset(namespace.removeprefix(KAFKA).split(","))
        return Rules(known, namespace, own | book.clusters.addresses_of(book.clusters.of(namespace)))

    return Converter(rules=settings.doors.rules(book), debezium=debezium)


def told_cluster(found: ClusterMetadata, bootstrap_servers: str, *, loopback: bool) -> Cluster | None:
    """The cluster that tells of itself; None for an id that says nothing. `loopback`: as for `cluster_of`."""
    brokers = [(str(broker.host), broker.port) for broker in found.brokers.values()]
    return cluster_of(found.cluster_id, brokers, bootstrap_servers, loopback=loopback)
