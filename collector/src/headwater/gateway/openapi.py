"""The gateway's own OpenAPI 3.1 document. What an event is, is OpenLineage's specification; here is how to send it."""

from __future__ import annotations

from typing import Any, Final

import orjson

from headwater import __version__

_SPEC: Final = "https://openlineage.io/spec/2-0-2/OpenLineage.json"
_TEXT: Final = {"type": "string"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "RFC 9457. `reason` is a short code, `path` the part of the event at fault (`run.runId`, `inputs[2].name`).",
    "properties": {
        "type": _TEXT, "title": _TEXT, "status": {"type": "integer"}, "detail": _TEXT, "reason": _TEXT, "path": _TEXT,
    },
    "required": ["type", "title", "status", "detail", "reason"],
    "additionalProperties": False,
}  # fmt: skip
_FAILED: Final = {
    "type": "object",
    "properties": {"index": _COUNT, "reason": _TEXT, "retriable": {"type": "boolean"}},
    "required": ["index", "reason", "retriable"],
    "additionalProperties": False,
}
_SUMMARY: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "status": {"enum": ["success", "partial_success"]},
        "summary": {
            "type": "object",
            "properties": dict.fromkeys(("received", "successful", "failed", "retriable", "non_retriable"), _COUNT),
            "required": ["received", "successful", "failed"],
        },
        "failed_events": {"type": "array", "items": _FAILED},
    },
    "required": ["status", "summary"],
}
_EVENT: Final[dict[str, Any]] = {
    "type": "object",
    "description": f"A RunEvent, JobEvent or DatasetEvent of {_SPEC}. Only what is required here is asked for.",
    "properties": {
        "eventTime": {"type": "string", "description": "ISO 8601; without a zone it is UTC"},
        "eventType": {"type": ["string", "null"]},
        "producer": {"type": ["string", "null"]},
        "schemaURL": {"type": ["string", "null"], "description": "Never fetched."},
        "run": {"type": ["object", "null"]},
        "job": {"type": ["object", "null"]},
        "dataset": {"type": ["object", "null"]},
        "inputs": {"type": ["array", "null"], "maxItems": 1000},
        "outputs": {"type": ["array", "null"], "maxItems": 1000},
    },
    "required": ["eventTime"],
}
_MEANINGS: Final = {
    "400": "The body is no JSON, or not the right kind.",
    "401": "A token is missing or no good.",
    "403": "The token may not do this, or not in this namespace.",
    "413": "Too large.",
    "415": "A Content-Encoding other than gzip and zstd.",
    "422": "Not an OpenLineage event; `path` says where.",
    "503": "Not durable; send it again after Retry-After.",
}


def document(body_bytes: int) -> bytes:
    """The document as JSON."""
    return orjson.dumps(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Headwater's OpenLineage gateway",
                "version": __version__,
                "summary": "OpenLineage events by HTTP into Kafka.",
                "description": f"2xx means durable. A body has at most {body_bytes} bytes, unpacked.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "paths": {
                "/api/v1/lineage": {
                    "post": _post("postEvent", "Send one event.", {"$ref": "#/components/schemas/Event"}, _ONE)
                },
                "/api/v1/lineage/batch": {
                    "post": _post(
                        "postBatch",
                        "Send several events.",
                        {"type": "array", "items": {"$ref": "#/components/schemas/Event"}, "maxItems": 10_000},
                        _MANY,
                    )
                },
                "/healthz": {"get": _get("getHealth", "Whether the process lives.", "text/plain")},
                "/readyz": {"get": _get("getReadiness", "Whether events are taken now.", "text/plain", "503")},
                "/metrics": {"get": _get("getMetrics", "Metrics for Prometheus.", "text/plain")},
                "/openapi.json": {"get": _get("getOpenapi", "This document.", "application/json")},
            },
            "components": {
                "schemas": {"Event": _EVENT, "Problem": _PROBLEM, "Summary": _SUMMARY},
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            },
        }
    )


_ONE: Final[dict[str, Any]] = {
    "200": {
        "description": "The event is durable: Kafka acknowledged it, or it is synced to the spool.",
        "headers": {"headwater-event-id": {"schema": {"type": "string", "format": "uuid"}}},
    }
}
_MANY: Final[dict[str, Any]] = {
    "204": {"description": "Every event is durable."},
    "200": {
        "description": "Some events are not durable; the summary names them.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Summary"}}},
    },
}


def _post(operation: str, summary: str, schema: dict[str, Any], good: dict[str, Any]) -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    bad = {status: {"description": meaning, "content": problem} for status, meaning in _MEANINGS.items()}
    bad["503"]["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    return {
        "operationId": operation,
        "summary": summary,
        "security": [{}, {"token": []}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": good | bad,
    }


def _get(operation: str, summary: str, content_type: str, bad: str = "") -> dict[str, Any]:
    content = {content_type: {"schema": {} if content_type == "application/json" else _TEXT}}
    responses = {"200": {"description": "As asked.", "content": content}}
    if bad:
        responses[bad] = {"description": "No; the body says why.", "content": content}
    return {"operationId": operation, "summary": summary, "responses": responses}
