"""Debezium and Kafka Connect. Pure.

Names and versions as in Debezium's code and documentation (integrations/openlineage.adoc at 3.2 and at 3.5): sources speak from
3.2 on; sinks, Debezium Server's outputs and `openlineage.integration.dataset.kafka.bootstrap.servers` came with 3.3; from
3.6.1 on secrets are masked before names are made of settings.
"""

from __future__ import annotations

from typing import Final

from headwater.connect.guides.parts import (
    HTTP,
    KAFKA,
    Guide,
    Snippet,
    Wanted,
    about_documents,
    about_events,
    about_gateway,
    as_json,
    as_properties,
    as_yaml,
    java_transport,
)
from headwater.connect.places import Installation

ENABLED: Final = "openlineage.integration.enabled"
CONFIG_FILE: Final = "openlineage.integration.config.file.path"
DATASET_SERVERS: Final = "openlineage.integration.dataset.kafka.bootstrap.servers"
HISTORY_SERVERS: Final = "schema.history.internal.kafka.bootstrap.servers"
TRANSFORM: Final = "io.debezium.transforms.openlineage.OpenLineage"
FILE: Final = "/etc/headwater/openlineage.yml"
"""An example of a path; it has to be there on every worker."""

_LIBRARIES: Final = """\
curl -fLO https://repo1.maven.org/maven2/io/debezium/debezium-openlineage-core/<version>/debezium-openlineage-core-<version>-libs.tar.gz
tar -xzf debezium-openlineage-core-<version>-libs.tar.gz --strip-components 1 -C <folder of the Debezium plugin>
"""
_SPEAKS: Final = (
    "Debezium speaks when a task starts, for each captured table and each new topic: restart the connector now"
    " (POST /connectors/NAME/restart?includeTasks=true). headwater cdc speaks at its first look."
)
_VERSIONS: Final = (
    "Debezium before 3.2 has no OpenLineage: headwater cdc is the way.",
    (
        f"Debezium 3.2: sources only, not sinks; it does not know {DATASET_SERVERS} and takes the first of"
        f" {HISTORY_SERVERS}, without which its topics are called kafka://unknown:unknown and are left without lineage."
    ),
    f"From 3.3 on sinks too (JDBC, MongoDB; leave the transform out, but {DATASET_SERVERS} is required), and Debezium Server.",
    (
        "Up to 3.6.0 user and password of mongodb.connection.string stand in dataset names, and travel so; Headwater masks them"
        " before anything is stored. From 3.6.1 on such a name is ********, and only headwater cdc knows the server."
    ),
    (
        "openlineage.integration.tags and .owners, as in Debezium's examples, are not read: they are"
        " openlineage.integration.job.tags and openlineage.integration.job.owners."
    ),
    (
        "These events prove no write, for they come when a schema changes and not when a row is written: run headwater cdc"
        " beside them for freshness. Both tell of the same job."
    ),
)


def debezium(place: Installation, wanted: Wanted) -> Guide:
    """Debezium's own OpenLineage output, and the way without it."""
    snippets = [Snippet("the libraries, into the plugin folder of Debezium on every worker", "sh", _LIBRARIES)]
    for way in wanted.ways:
        where = {HTTP: "by the gateway", KAFKA: "by Kafka and the bridge"}[way]
        either = "or " if way != wanted.ways[0] else ""
        text = as_yaml({"transport": java_transport(place, way)})
        snippets.append(Snippet(f"{either}{FILE} on every worker, {where}", "yaml", text))
    snippets += [
        Snippet(
            "settings to add to each source connector (PUT /connectors/NAME/config; if it has transforms, put this one last)",
            "json",
            as_json(connector_settings(place)),
        ),
        Snippet(
            "settings to add to each Debezium sink connector",
            "json",
            as_json(connector_settings(place, is_source=False)),
        ),
        Snippet(
            "or, for Debezium Server, lines of application.properties (3.3 and later tell the outputs too)",
            "properties",
            as_properties({f"debezium.source.{key}": value for key, value in server_settings(place).items()}),
        ),
        Snippet("or without all this: headwater cdc reads the topics' ends and Kafka Connect", "sh", _cdc(place)),
    ]
    remarks = list(_VERSIONS)
    remarks += about_gateway(place) if HTTP in wanted.ways else []
    remarks += about_documents(place, in_java=True) if KAFKA in wanted.ways else []
    return Guide("Debezium, by its own OpenLineage output", tuple(snippets), _SPEAKS, tuple(remarks))


def connector_settings(place: Installation, *, is_source: bool = True) -> dict[str, str]:
    """What is added to a connector's settings in Kafka Connect."""
    found = {ENABLED: "true", CONFIG_FILE: FILE, DATASET_SERVERS: place.connector_servers}
    if is_source:
        found |= {"transforms": "openlineage", "transforms.openlineage.type": TRANSFORM}
    return found


def server_settings(place: Installation) -> dict[str, str]:
    """What Debezium Server wants, without its prefix; it needs no transform."""
    return {ENABLED: "true", CONFIG_FILE: "config/openlineage.yml", DATASET_SERVERS: place.connector_servers}


def connect(place: Installation, wanted: Wanted) -> Guide:
    """`headwater cdc` beside Kafka Connect: nothing is changed on its side."""
    url = _connect_url(place)
    snippets = [
        Snippet("the process that looks; it stays", "sh", _cdc(place)),
        Snippet(
            "or the same as settings (headwater.toml)",
            "toml",
            _toml(place, url),
        ),
        Snippet(
            "what Kafka Connect is asked for; answers it, the rest does too",
            "sh",
            f"curl -fsS '{url}/connectors?expand=info&expand=status'\n",
        ),
        Snippet(
            "settings worth adding to Debezium connectors: a heartbeat proves a quiet table read to its end",
            "json",
            as_json({"heartbeat.interval.ms": "30000"}),
        ),
    ]
    remarks = [
        "Of the REST API only GET is used; of connectors' settings only names are kept, secrets never leave the process.",
        (
            "If the REST API wants a user: https://<user>:<password>@connect:8083, best as the variable HEADWATER_CDC__CONNECT"
            " out of a secret."
        ),
        (
            f"It needs Read on the connectors' topics (on {place.connector_servers}) and Write on {place.topics['events']};"
            f" with --full also Read on the group {place.cdc_group}."
        ),
        about_events(place),
    ]
    if place.connector_servers != place.servers:
        remarks.append(f"The connectors write to {place.connector_servers}, as cdc.bootstrap_servers says.")
    if not place.registry:
        remarks.append("Where topics hold Avro: --set registry.url=http://schema-registry:8081")
    said = "headwater cdc tells of every connector at its first look, and again every cdc.interval_ms (30 s)."
    return Guide("Kafka Connect and its connectors, by headwater cdc", tuple(snippets), said, tuple(remarks))


def _connect_url(place: Installation) -> str:
    return place.connects[0] if place.connects else "http://<connect>:8083"


def _cdc(place: Installation) -> str:
    words = ["headwater cdc", f"--kafka {place.servers}"]
    words += [f"--connect {url}" for url in place.connects or (_connect_url(place),)]
    if place.connector_servers != place.servers:
        words.append(f"--set cdc.bootstrap_servers={place.connector_servers}")
    if place.topic_prefix != "lineage.":
        words.append(f"--set topic_prefix={place.topic_prefix}")
    if place.registry:
        words.append(f"--set registry.url={place.registry}")
    return " ".join(words) + "\n"


def _toml(place: Installation, url: str) -> str:
    lines = ["[cdc]", f'connect = ["{url}"]', "interval_ms = 30_000"]
    if place.connector_servers != place.servers:
        lines.append(f'bootstrap_servers = "{place.connector_servers}"')
    return "\n".join(lines) + "\n"
