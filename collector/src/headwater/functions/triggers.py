"""What calls a function, and with what: the handler's arguments in, datasets and files out. Pure, and never raises.

| trigger | input | file id |
|---|---|---|
| S3, also through SQS, SNS or EventBridge | `s3://<bucket>`, the key | `s3://<bucket>/<key>#<version id, else etag>` |
| Cloud Storage (CloudEvent, or the older form) | `gs://<bucket>`, the name | `gs://<bucket>/<name>#<generation, else etag>` |
| Azure Blob Storage (`InputStream`, Event Grid) | `abfss://<container>@<account>.dfs…`, the path | `<url>#<etag>` |
| Kafka (MSK, self-managed) | `kafka://<servers>`, the topic, partitions with offsets | |
| SQS, Kinesis, DynamoDB streams | `arn:aws:<service>:<region>:<account>`, the resource | |
| Pub/Sub | `pubsub`, `topic:<project>:<topic>` | |
| any other CloudEvent | the source, its type | |

What is none of these is a call without inputs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_plus, urlsplit

Json = Any  # what a platform hands to a handler

MOST_INPUTS: Final = 1_000
_DEEPEST: Final = 4
"""SNS in SQS in … : more wrappings than this are not opened."""


@dataclass(frozen=True, slots=True)
class Input:
    """One thing that a function was called for. -1 and empty: unknown."""

    namespace: str
    name: str
    file_id: str = ""
    schema: str = ""
    bytes: int = -1
    rows: int = -1
    partition: int = -1
    first_offset: int = -1
    last_offset: int = -1


def inputs_of(event: Json) -> list[Input]:
    """What the first argument of a handler names; empty where it names nothing that is understood."""
    try:
        return _merged(_found(event, 0))
    except Exception:  # noqa: BLE001 - whatever was sent to the function is its own business
        return []


def deliveries(event: Json) -> int:
    """How often the messages in it were delivered before, as far as the trigger says; 0 for never, or not known."""
    try:
        counts = [int(record["attributes"]["ApproximateReceiveCount"]) for record in _records(event)]
        return max(0, max(counts, default=1) - 1)
    except (KeyError, TypeError, ValueError):
        return 0


def _found(event: Json, depth: int) -> Iterator[Input]:
    if depth > _DEEPEST:
        return
    event = _plain(event)
    if _is_blob(event):
        yield _blob(str(event.uri), str(getattr(event, "name", "")), _etag(event), getattr(event, "length", None))
    elif isinstance(event, list):  # Event Grid and CloudEvents come in batches too
        for each in event:
            yield from _found(each, depth + 1)
    elif isinstance(event, Mapping):
        if isinstance(event.get("records"), Mapping):
            yield from _kafka(event)
        elif _records(event):
            for record in _records(event):
                yield from _aws(record, depth)
        elif "detail-type" in event and isinstance(event.get("detail"), Mapping):
            yield from _eventbridge(event)
        elif "specversion" in event or ("eventType" in event and "data" in event):
            yield from _cloud_event(event)
        elif "bucket" in event and "name" in event:  # the older form of Cloud Functions: the object itself
            yield _gcs(event)


def _plain(event: Json) -> Json:
    """A CloudEvent object of a framework as the mapping that it is in JSON; everything else as it is."""
    get_attributes = getattr(event, "get_attributes", None)  # cloudevents, as functions-framework hands it over
    if callable(get_attributes):
        return {**get_attributes(), "data": getattr(event, "data", None) or _call(event, "get_data")}
    if callable(getattr(event, "get_json", None)) and hasattr(event, "event_type"):  # azure.functions.EventGridEvent
        return {"eventType": event.event_type, "subject": event.subject, "data": event.get_json()}
    return event


def _call(event: Json, name: str) -> Json:
    method = getattr(event, name, None)
    return method() if callable(method) else None


def _records(event: Json) -> list[Mapping[str, Json]]:
    records = event.get("Records") if isinstance(event, Mapping) else None
    return [record for record in records if isinstance(record, Mapping)] if isinstance(records, list) else []


def _aws(record: Mapping[str, Json], depth: int) -> Iterator[Input]:
    source = record.get("eventSource") or record.get("EventSource")
    if source == "aws:s3":
        bucket, thing = record["s3"]["bucket"]["name"], record["s3"]["object"]
        yield _s3(bucket, unquote_plus(thing["key"]), thing)
    elif source == "aws:sns":
        yield from _found(_json(record["Sns"].get("Message")), depth + 1)
    elif source in {"aws:sqs", "aws:kinesis", "aws:dynamodb"}:
        inner = list(_found(_unwrapped(_json(record.get("body"))), depth + 1)) if source == "aws:sqs" else []
        yield from inner or [_arn(record["eventSourceARN"])]


def _unwrapped(body: Json) -> Json:
    """The message of an SNS topic that feeds a queue."""
    if isinstance(body, Mapping) and body.get("Type") == "Notification":
        return _json(body.get("Message"))
    return body


def _eventbridge(event: Mapping[str, Json]) -> Iterator[Input]:
    detail = event["detail"]
    if event.get("source") == "aws.s3":
        yield _s3(detail["bucket"]["name"], detail["object"]["key"], detail["object"])


def _s3(bucket: str, key: str, thing: Mapping[str, Json]) -> Input:
    version = thing.get("versionId") or thing.get("version-id") or thing.get("eTag") or thing.get("etag") or ""
    return Input(f"s3://{bucket}", key, _file_id(f"s3://{bucket}/{key}", version), bytes=_number(thing.get("size")))


def _gcs(thing: Mapping[str, Json]) -> Input:
    bucket, name = thing["bucket"], thing["name"]
    version = thing.get("generation") or thing.get("etag") or ""
    return Input(f"gs://{bucket}", name, _file_id(f"gs://{bucket}/{name}", version), bytes=_number(thing.get("size")))


def _arn(arn: str) -> Input:
    """`arn:aws:sqs:eu-west-1:123:orders` is the resource `orders` of `arn:aws:sqs:eu-west-1:123`."""
    parts = arn.split(":", 5)
    return Input(":".join(parts[:5]), parts[5].removeprefix("stream/"))


def _kafka(event: Mapping[str, Json]) -> Iterator[Input]:
    servers = str(event.get("bootstrapServers") or "unknown")
    for records in event["records"].values():
        offsets = [record["offset"] for record in records]
        first = records[0]
        size = sum(len(record.get("value") or "") * 3 // 4 for record in records)  # base64
        yield Input(
            f"kafka://{servers}",
            first["topic"],
            "",
            "",
            size,
            len(offsets),
            first["partition"],
            min(offsets),
            max(offsets),
        )


def _cloud_event(event: Mapping[str, Json]) -> Iterator[Input]:
    kind = str(event.get("type") or event.get("eventType") or "")
    data = event.get("data") if isinstance(event.get("data"), Mapping) else {}
    schema = str(event.get("dataschema") or "")
    if kind.startswith("google.cloud.storage.object") and isinstance(data, Mapping):
        found = _gcs(data)
    elif kind.startswith("Microsoft.Storage.Blob") and isinstance(data, Mapping):
        found = _blob(str(data["url"]), "", str(data.get("eTag") or ""), data.get("contentLength"))
    elif kind.startswith("google.cloud.pubsub"):
        _, _, path = str(event.get("source") or "").partition("/projects/")
        project, _, topic = path.partition("/topics/")
        found = Input("pubsub", f"topic:{project}:{topic}")
    elif event.get("source"):
        found = Input(str(event["source"]), kind or "event")
    else:
        return
    yield Input(found.namespace, found.name, found.file_id, schema, found.bytes, found.rows)


def _is_blob(event: Json) -> bool:
    """`azure.functions.blob.InputStream`, known by what it has."""
    return isinstance(getattr(event, "uri", None), str) and hasattr(event, "length")


def _etag(event: Json) -> str:
    properties = getattr(event, "blob_properties", None) or {}
    return str(properties.get("ETag") or properties.get("Etag") or "") if isinstance(properties, Mapping) else ""


def _blob(url: str, name: str, etag: str, size: Json) -> Input:
    """`https://<account>.blob.core.windows.net/<container>/<path>`; `name` is `<container>/<path>` where it is known."""
    parts = urlsplit(url)
    account = (parts.hostname or "unknown").partition(".")[0]
    container, _, path = (name or parts.path.lstrip("/")).partition("/")
    plain = f"https://{parts.hostname}/{container}/{path}"  # a signature in the query is a secret
    namespace = f"abfss://{container}@{account}.dfs.core.windows.net"
    return Input(namespace, path, _file_id(plain, etag.strip('"')), bytes=_number(size))


def _file_id(place: str, version: Json) -> str:
    return f"{place}#{version}" if version else place


def _number(value: Json) -> int:
    try:
        return max(-1, int(value))
    except (TypeError, ValueError):
        return -1


def _json(text: Json) -> Json:
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return None


def _merged(found: Iterable[Input]) -> list[Input]:
    """Each once; only usable ones; not more than an event may name."""
    usable = (each for each in found if each.namespace and isinstance(each.name, str) and each.name)
    return list(dict.fromkeys(usable))[:MOST_INPUTS]
