"""The gateway and the bridge as tests use them: as processes, and the gateway as an application that is called."""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from confluent_kafka import Consumer, Message, TopicPartition
from tests.support.processes import ChildServer

from headwater.gateway.application import Gateway
from headwater_schemas.codec import decode
from headwater_schemas.events import LineageEvent
from headwater_schemas.registry import SchemaStore

if sys.version_info >= (3, 14):
    from compression import zstd as zstd
else:
    from backports import zstd as zstd

DEBEZIUM = "https://github.com/debezium/debezium/tree/v3.5.0.Final/debezium-openlineage"
RUN_ID = "0195511c-3c00-7000-8000-000000000001"


def run_event(**members: Any) -> dict[str, Any]:
    """A small RunEvent."""
    return {
        "eventType": "COMPLETE",
        "eventTime": "2026-03-01T12:00:00Z",
        "producer": "https://github.com/acme/jobs/tree/1.4.2/etl",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": RUN_ID},
        "job": {"namespace": "etl", "name": "orders"},
        "inputs": [{"namespace": "postgres://db:5432", "name": "shop.public.orders"}],
        "outputs": [{"namespace": "s3://lake", "name": "orders/daily"}],
        **members,
    }


def debezium_event(
    *,
    inputs: list[tuple[str, str]] | None = None,
    outputs: list[tuple[str, str]] | None = None,
    configs: list[str] | None = None,
    kind: str = "RUNNING",
    job: str = "shop",
    at: str = "2026-03-01T12:00:00Z",
) -> dict[str, Any]:
    """What a connector of Debezium sends; `configs`: its settings, as its facet has them."""
    facets = {} if configs is None else {"debezium_config": {"configs": configs}}
    return {
        "eventType": kind,
        "eventTime": at,
        "producer": DEBEZIUM,
        "run": {"runId": "0195511c-3c00-7000-8000-0000000000aa", "facets": facets},
        "job": {"namespace": job, "name": f"{job}.0", "facets": {"jobType": {"integration": "DEBEZIUM"}}},
        "inputs": [{"namespace": namespace, "name": name} for namespace, name in inputs or []],
        "outputs": [{"namespace": namespace, "name": name} for namespace, name in outputs or []],
    }


def flood(count: int, job: str = "shop") -> list[dict[str, Any]]:
    """What a sink of Debezium sends for so many records of a topic, whose cluster it does not know: equal but for the time."""
    inputs = [("kafka://unknown:unknown", "orders")]
    return [
        debezium_event(
            inputs=inputs,
            job=job,
            configs=["connector.class=io.debezium.connector.jdbc.JdbcSinkConnector", "topics=orders"],
            at=f"2026-03-01T12:{at // 60 % 60:02}:{at % 60:02}.{at // 3_600:06}Z",
        )
        for at in range(count)
    ]


@dataclass(slots=True)
class Reply:
    """What was answered; names of headers in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class Door(ChildServer):
    """A command of Headwater as a child that says one line of JSON when it is ready."""

    said: dict[str, Any] = field(default_factory=dict)

    def __init__(self, folder: Path, command: str, *arguments: str) -> None:
        log = folder / f"{command}.log"
        ChildServer.__init__(
            self, [sys.executable, "-m", "headwater.cli", "--output", "json", command, *arguments], log
        )
        self.said = {}

    def __enter__(self) -> Door:
        self.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def begin(self) -> None:
        """Start, and wait for its first word."""
        self.log.unlink(missing_ok=True)
        self.start(self._has_spoken, within_s=20)

    def _has_spoken(self) -> bool:
        text = self.log.read_text()
        start, end = text.find("{"), text.find("}")
        if start < 0 or end < 0:
            return False
        self.said = json.loads(text[start : end + 1])
        return True

    @property
    def url(self) -> str:
        """Where the gateway listens."""
        return str(self.said["url"])

    def post(self, document: Any, *, path: str = "/api/v1/lineage", headers: Mapping[str, str] | None = None) -> Reply:
        """Post JSON, or bytes as they are."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.ask("POST", path, body, headers)

    def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Reply:
        """One request on a connection of its own."""
        parts = urlsplit(self.url)
        with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=15)) as connection:
            connection.request(method, path, body or None, {"Content-Type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


async def call(
    gateway: Gateway,
    body: bytes | Iterable[bytes] = b"",
    *,
    path: str = "/api/v1/lineage",
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Call the application as a server would; a body in parts comes in parts."""
    parts = [body] if isinstance(body, bytes) else list(body)
    messages = [
        {"type": "http.request", "body": part, "more_body": at < len(parts) - 1} for at, part in enumerate(parts)
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    await gateway({"type": "http", "path": path, "method": method, "headers": raw}, receive, send)
    start, end = sent
    told = {name.decode(): value.decode() for name, value in start["headers"]}
    return Reply(start["status"], told, end["body"])


def records_of(bootstrap_servers: str, topic: str) -> list[Message]:
    """Everything that is on a topic now."""
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "reader", "log_level": 0})
    try:
        partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
        places = [TopicPartition(topic, partition, 0) for partition in sorted(partitions)]
        ends = [consumer.get_watermark_offsets(place, timeout=20)[1] for place in places]
        consumer.assign(places)
        found: list[Message] = []
        while len(found) < sum(ends):
            messages = consumer.consume(sum(ends) - len(found), 20)
            assert messages, f"{len(found)} of {sum(ends)} records of {topic} came"
            found += [message for message in messages if message.error() is None]
        return found
    finally:
        consumer.close()


def events_of(bootstrap_servers: str, topic: str) -> list[LineageEvent]:
    """The events that are on a topic now."""
    found = [decode(message.value() or b"", SchemaStore()) for message in records_of(bootstrap_servers, topic)]
    events = [event for event in found if isinstance(event, LineageEvent)]
    assert len(events) == len(found)
    return events
