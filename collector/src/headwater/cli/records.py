"""Records of Headwater's topics as JSON documents and as lines for people. Never raises for what a record holds."""

from __future__ import annotations

import base64
import dataclasses
import enum
import json
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

from confluent_kafka import Message

from headwater.cli.letters import RECEIPT_HEADER
from headwater.eventjson import to_json
from headwater_schemas.codec import Rejected, decode, decode_alert, decode_delta
from headwater_schemas.registry import SchemaStore
from headwater_schemas.walker import Malformed

Document = dict[str, Any]  # Any: what JSON can hold

ROLES: Final = ("deltas", "alerts", "late", "deadletter")
_UUIDS: Final = frozenset({"event_id", "run_id"})
_SHOWN_BYTES: Final = 48


def as_document(role: str, message: Message) -> Document:
    """Where the record stands, and what it says. What cannot be decoded has `undecodable` and the bytes in base64."""
    value = message.value()
    document: Document = {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp_ms": message.timestamp()[1],
        "key": _text(message.key()),
    }
    if role in {"late", "deadletter"}:
        document["headers"] = {name: _text(content) for name, content in _headers(message)}
    if value is None:
        return {**document, "tombstone": True}
    return document | (_raw(value) if role == "deadletter" else _decoded(role, value))


def as_line(role: str, message: Message) -> str:
    """The record for a person."""
    document = as_document(role, message)
    place = f"{_time(document['timestamp_ms'] * 1000)}  {document['partition']}@{document['offset']}"
    if role == "deadletter" and document.get("tombstone"):
        return f"{place}  {_without_value(document['headers'])}"
    if document.get("tombstone"):
        return f"{place}  {document['key']}  taken back"
    if "undecodable" in document:
        return f"{place}  {document['key']}  cannot be decoded: {document['undecodable']}"
    return f"{place}  {_SAYING[role](document)}"


def _headers(message: Message) -> list[tuple[str, bytes | str | None]]:
    headers = message.headers() or []
    return list(headers.items() if isinstance(headers, dict) else headers)


def _decoded(role: str, value: bytes) -> Document:
    try:
        if role == "late":
            event = decode(value, _schemas())
            if isinstance(event, Rejected):
                return {"undecodable": f"{event.reason}: {event.detail}", **_raw(value)}
            found: Document = {"event": json.loads(to_json(event))}
            return found
        return _plain(decode_delta(value) if role == "deltas" else decode_alert(value))
    except (Malformed, ValueError) as error:
        return {"undecodable": str(error), **_raw(value)}


@cache
def _schemas() -> SchemaStore:
    return SchemaStore()


def _raw(value: bytes) -> Document:
    return {"value_bytes": len(value), "value_base64": base64.b64encode(value).decode()}


def _plain(value: Any) -> Document:  # Any: one of the dataclasses of the contract
    members = {}
    for field in dataclasses.fields(value):
        given = getattr(value, field.name)
        if given is not None:
            members[field.name] = _plain_value(field.name, given)
    return members


def _plain_value(name: str, value: Any) -> Any:  # Any: as above, and what JSON can hold
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, bytes):
        return str(uuid.UUID(bytes=value)) if name in _UUIDS and len(value) == 16 else _json_or_text(value)
    if isinstance(value, tuple):
        return list(value)
    return _plain(value) if dataclasses.is_dataclass(value) else value


def _json_or_text(value: bytes) -> Any:  # Any: as above
    try:
        return json.loads(value) if value else None
    except ValueError:
        return _text(value)


def _text(value: bytes | str | None) -> str | None:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def _time(at_us: int) -> str:
    if at_us <= 0:
        return "-"
    return datetime.fromtimestamp(at_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"


def _delta(document: Mapping[str, Any]) -> str:
    names = f"{document['namespace']}/{document['name']}"
    if document["to_name"] or document["to_namespace"]:
        names += f" -> {document['to_namespace']}/{document['to_name']}"
    what = f"{document['entity'].lower()} {document['aspect'].lower()}"
    said = "" if document["present"] else "  gone"
    if freshness := document.get("freshness"):
        said += f"  last write {_time(freshness['last_write_us'])}"
    if status := document.get("status"):
        said += f"  {status['state']}" + (f" ({status['reason']})" if status["reason"] else "")
        said += f"  {status['unlinked'] or status['kind']}" if status["unlinked"] or status["kind"] else ""
    if runs := document.get("runs"):
        said += f"  {runs['open']} open, last {runs['last_state'] or '-'}"
    return f"{what}  {names}{said}"


def _alert(document: Mapping[str, Any]) -> str:
    subject = f"{document['namespace']}/{document['name']}".strip("/") or document["subject_kind"]
    return f"{document['state']:8}  {document['severity']:6}  {document['kind']}  {subject}  {document['summary']}"


def _late(document: Mapping[str, Any]) -> str:
    event = document["event"]
    job = event.get("job", {})
    return (
        f"{event['event_type']}  {job.get('namespace', '')}/{job.get('name', '')}  of {_time(event['event_time_us'])}"
    )


def _dead(document: Mapping[str, Any]) -> str:
    headers = document["headers"]
    source = "@".join(str(headers.get(f"__connect.errors.{part}", "?")) for part in ("partition", "offset"))
    begins = base64.b64decode(document["value_base64"])[:_SHOWN_BYTES].hex()
    reason, why = headers.get("headwater.dlq.reason", "?"), headers.get("__connect.errors.exception.message", "")
    return f"{reason}  from {headers.get('__connect.errors.topic', '?')} {source}  {why}  {begins}"


def _without_value(headers: Mapping[str, Any]) -> str:
    """A letter whose record had no value, or the note that some were sent again."""
    if "headwater.dlq.reason" in headers or RECEIPT_HEADER not in headers:
        return _dead({"headers": headers, "value_base64": ""})
    return f"letters {headers[RECEIPT_HEADER]} of this partition were replayed"


_SAYING: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "deltas": _delta,
    "alerts": _alert,
    "late": _late,
    "deadletter": _dead,
}
