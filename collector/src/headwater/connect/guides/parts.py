"""What guides are made of, and the forms in which settings are written. Pure.

What is parsed by a machine is written by the writer of its form (YAML, JSON), never put together by hand; holes that the
reader has to fill are `<in pointed brackets>`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from headwater.connect import security
from headwater.connect.places import DEFAULT_PREFIX, Installation
from headwater_schemas.events import Name

Json = Any  # what JSON can hold

HTTP: Final = "http"
KAFKA: Final = "kafka"
WAYS: Final = (HTTP, KAFKA)
EXAMPLE_JOB: Final = Name("shop", "load-orders")
TOKEN: Final = "<token>"  # noqa: S105 - a hole
_SERIALIZER: Final = "org.apache.kafka.common.serialization.StringSerializer"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the reader has. `ways`: how documents get to Headwater; `platform`: of functions, empty for all."""

    job: Name = EXAMPLE_JOB
    ways: tuple[str, ...] = WAYS
    platform: str = ""


@dataclass(frozen=True, slots=True)
class Snippet:
    """One thing to set: where it goes, in which form, and the text itself."""

    where: str
    form: str
    text: str


@dataclass(frozen=True, slots=True)
class Guide:
    """All there is to set for a subject. `speaks`: when its first event comes; `remarks`: what one has to know besides."""

    title: str
    snippets: tuple[Snippet, ...]
    speaks: str
    remarks: tuple[str, ...] = ()


def as_yaml(value: Json) -> str:
    """YAML, keys in the order given."""
    return str(yaml.safe_dump(value, sort_keys=False, default_flow_style=False, width=1_000, allow_unicode=True))


def as_json(value: Json) -> str:
    """JSON, keys in the order given."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def as_properties(values: Mapping[str, str]) -> str:
    """Java's properties, which Spark and Debezium Server read."""
    return "".join(f"{key}={value.replace(chr(92), chr(92) * 2)}\n" for key, value in values.items())


def as_variables(values: Mapping[str, str]) -> str:
    """Variables as a shell sets them."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in values.items())


def python_transport(place: Installation, way: str) -> dict[str, Json]:
    """`transport` as OpenLineage's Python client takes it (Airflow, dbt, scripts)."""
    if way == HTTP:
        return _http(place)
    config = {"bootstrap.servers": place.servers, "acks": "all", **place.security}
    return {"type": "kafka", "topic": place.documents, "config": config, "flush": True}


def java_transport(place: Installation, way: str) -> dict[str, Json]:
    """`transport` as OpenLineage's Java client takes it (Debezium, Spark, Flink)."""
    if way == HTTP:
        return _http(place)
    secured, _unknown = security.java(dict(place.security))
    properties = {
        "bootstrap.servers": place.servers,
        "acks": "all",
        "key.serializer": _SERIALIZER,
        "value.serializer": _SERIALIZER,
        **secured,
    }
    return {"type": "kafka", "topicName": place.documents, "properties": properties}


def _http(place: Installation) -> dict[str, Json]:
    found: dict[str, Json] = {"type": "http", "url": place.gateway}
    return found | ({"auth": {"type": "api_key", "apiKey": TOKEN}} if place.gateway_wants_token else {})


def sdk_variables(place: Installation, job: Name, way: str = KAFKA, *, in_files: bool = True) -> dict[str, str]:
    """The variables of the SDK: where its events go, and which job speaks. `in_files`: secrets are read from files."""
    found: dict[str, str] = {}
    if way == HTTP:
        found["HEADWATER_HTTP_URL"] = place.gateway
        if place.gateway_wants_token:
            found["HEADWATER_HTTP_TOKEN"] = TOKEN
    else:
        found["HEADWATER_KAFKA_BOOTSTRAP_SERVERS"] = place.servers
        if place.topic_prefix != DEFAULT_PREFIX:
            found["HEADWATER_TOPIC_PREFIX"] = place.topic_prefix
        found |= security.variables(dict(place.security), in_files=in_files)
    return found | {"HEADWATER_NAMESPACE": job.namespace, "HEADWATER_JOB": job.name}


def about_gateway(place: Installation) -> list[str]:
    """What has to be known of the gateway's address and its tokens."""
    said = ["The gateway has to run: headwater gateway (2xx from it means that Kafka has the event)."]
    if place.gateway_is_here:
        said.append(
            f"{place.gateway} is this machine only. Name what the others see with --gateway https://host, or for good as"
            " gateway.url in the settings; gateway.host says where it listens."
        )
    if place.gateway_wants_token:
        said.append(f"{TOKEN}: headwater gateway token --name NAME makes one; or a JWT where gateway.jwks_url is set.")
    return said


def about_documents(place: Installation, *, in_java: bool) -> list[str]:
    """What has to be known of documents that come by Kafka."""
    said = [
        f"By Kafka the bridge has to run: headwater bridge (reads {place.documents} as the group {place.bridge_group}).",
        f"Who sends them needs: {_rights(place, place.documents)}",
    ]
    if in_java and (unknown := security.java(dict(place.security))[1]):
        said.append(f"No counterpart in Java's client for {', '.join(unknown)}: look up what it is called there.")
    return said


def about_events(place: Installation) -> str:
    """The right that a job needs."""
    return f"It needs: {_rights(place, place.topics['events'])}"


def _rights(place: Installation, topic: str) -> str:
    if not place.security:
        return f"Write on {topic}, if the brokers have ACLs."
    return (
        f"kafka-acls.sh --bootstrap-server {place.servers} --add --allow-principal User:NAME --operation Write "
        f"--topic {topic}"
    )
