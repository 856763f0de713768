"""Which call this is: the platform's id of it, how often it was tried, how long it may still take. Pure, never raises.

A platform that calls again, because it got no answer or an error, uses the same id: so the run is the same one.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from headwater.functions.triggers import deliveries

CALLS: Final = uuid.UUID("b1f1d2a5-2f0e-5c0e-9c55-6c1b1f6f3c52")
"""The namespace of run ids that follow from a call's id."""

_XRAY_ROOT: Final = re.compile(r"1-([0-9a-f]{8})-([0-9a-f]{24})")
_XRAY_PARENT: Final = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a function. Empty and -1: unknown."""

    platform: str = ""
    """`aws`, `gcp`, `azure` or `knative`."""
    id: str = ""
    function: str = ""
    """Where it is not in the environment: of an Azure app with several."""
    retries: int = 0
    traceparent: str = ""
    left_s: float = float("inf")
    """How long it may still take."""

    def run_id(self, function: str) -> uuid.UUID | None:
        """The run of this call of the function, however often it is tried; None: a new one each time."""
        return uuid.uuid5(CALLS, f"{self.platform}\0{function}\0{self.id}") if self.id else None


def call_of(arguments: tuple[Any, ...], keywords: Mapping[str, Any], environ: Mapping[str, str]) -> Call:
    """What the arguments of a handler and the environment say of the call."""
    values = (*arguments, *keywords.values())
    for read in (_aws, _azure, _cloud_event, _google):
        try:
            call = read(values, environ)
        except Exception:  # noqa: BLE001 - whatever the platform hands over is not worth a failed call
            call = None
        if call is not None:
            return call
    return Call(_platform(environ))


def _platform(environ: Mapping[str, str]) -> str:
    if environ.get("AWS_LAMBDA_FUNCTION_NAME"):
        return "aws"
    if environ.get("FUNCTIONS_WORKER_RUNTIME"):
        return "azure"
    if environ.get("FUNCTION_TARGET") or environ.get("FUNCTION_NAME"):
        return "gcp"
    return "knative" if environ.get("K_SERVICE") else ""


def _aws(values: tuple[Any, ...], environ: Mapping[str, str]) -> Call | None:
    context = _with(values, "aws_request_id")
    if context is None:
        return None
    left_ms: Callable[[], int] | None = getattr(context, "get_remaining_time_in_millis", None)
    return Call(
        "aws",
        str(context.aws_request_id),
        retries=deliveries(values[0]),
        traceparent=_xray(environ.get("_X_AMZN_TRACE_ID", "")),
        left_s=left_ms() / 1_000 if callable(left_ms) else float("inf"),
    )


def _azure(values: tuple[Any, ...], environ: Mapping[str, str]) -> Call | None:
    context = _with(values, "invocation_id")
    if context is None:
        return None
    retry = getattr(getattr(context, "retry_context", None), "retry_count", 0)
    trace = getattr(getattr(context, "trace_context", None), "trace_parent", None) or ""
    return Call(
        "azure", str(context.invocation_id), str(getattr(context, "function_name", "") or ""), int(retry or 0), trace
    )


def _cloud_event(values: tuple[Any, ...], environ: Mapping[str, str]) -> Call | None:
    """A CloudEvent has an id that is its source's, and the extension for tracing."""
    for value in values:
        get_attributes = getattr(value, "get_attributes", None)
        event = get_attributes() if callable(get_attributes) else value
        if isinstance(event, Mapping) and "specversion" in event and event.get("id"):
            call_id = f"{event.get('source', '')} {event['id']}"
            return Call(_platform(environ) or "knative", call_id, traceparent=str(event.get("traceparent") or ""))
    return None


def _google(values: tuple[Any, ...], environ: Mapping[str, str]) -> Call | None:
    """The older form of Cloud Functions, and calls over HTTP (Flask's request), where Cloud Tasks counts its retries."""
    context = _with(values, "event_id")
    if context is not None:
        return Call("gcp", str(context.event_id))
    headers = getattr(_with(values, "headers"), "headers", None)
    if headers is None:
        return None
    retries = int(headers.get("X-CloudTasks-TaskRetryCount") or 0)
    task = headers.get("X-CloudTasks-TaskName") or headers.get("Ce-Id") or ""
    return Call(_platform(environ), str(task), retries=retries, traceparent=str(headers.get("traceparent") or ""))


def _with(values: tuple[Any, ...], attribute: str) -> Any:
    return next((value for value in values if hasattr(value, attribute)), None)


def _xray(header: str) -> str:
    """`Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1` as W3C's traceparent."""
    parts = dict(part.partition("=")[::2] for part in header.split(";"))
    root = _XRAY_ROOT.fullmatch(parts.get("Root", ""))
    parent = _XRAY_PARENT.fullmatch(parts.get("Parent", ""))
    return f"00-{root[1]}{root[2]}-{parent[0]}-0{parts.get('Sampled') == '1':d}" if root and parent else ""
