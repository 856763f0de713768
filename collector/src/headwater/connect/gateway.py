"""Asking a gateway how it is: `/readyz`, its version, and what it refused, out of `/metrics`."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import orjson

from headwater.cdc.http import Answer, HttpError, Service, get, service_at
from headwater.masking import bounded, mask

ASK_S: Final = 3.0
_REQUESTS: Final = "headwater_gateway_requests_total"
_EVENTS: Final = "headwater_gateway_events_total"
_SAMPLE: Final = re.compile(r"^(\w+)(?:\{([^}]*)\})? ([0-9.eE+-]+)(?: [0-9.]+)?$", re.MULTILINE)
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class GatewayAnswer:
    """How a gateway is. `why` says why it is not reached or not ready. `is_ours`: it is a gateway of Headwater at all.

    `refused` counts requests by status and reason, `events` events by outcome; both None where the metrics cannot be read.
    """

    url: str
    is_reached: bool = False
    is_ready: bool = False
    is_ours: bool = False
    why: str = ""
    version: str = ""
    refused: Counter[tuple[int, str]] | None = None
    events: Counter[str] | None = field(default=None)


def ask_gateway(url: str, timeout_s: float = ASK_S) -> GatewayAnswer:
    """How the gateway at a URL is. Never raises for what it answers, or does not.

    Raises:
        UsageError: it is no URL.
    """
    service = service_at(url, "gateway.url")
    try:
        ready = get(service, "/readyz", accept="*/*", timeout_s=timeout_s)
    except HttpError as error:
        return GatewayAnswer(url, why=error.message)
    said = bounded(mask(ready.body[:1_000].decode("utf-8", "replace").strip()), 300)
    version = _version(service, timeout_s)
    refused, events = _counted(service, timeout_s)
    return GatewayAnswer(
        url,
        is_reached=True,
        is_ready=ready.status == 200,
        is_ours=bool(version),
        why="" if ready.status == 200 else f"{ready.status}: {said}",
        version=version,
        refused=refused,
        events=events,
    )


def _version(service: Service, timeout_s: float) -> str:
    """The gateway's version by its own description; empty: it is something else that answers there."""
    answer = _tried(service, "/openapi.json", timeout_s)
    try:
        told = orjson.loads(answer.body) if answer is not None and answer.status == 200 else {}
    except ValueError:
        return ""
    info = told.get("info") if isinstance(told, dict) else None
    if not isinstance(info, dict) or "Headwater" not in str(info.get("title", "")):
        return ""
    return str(info.get("version", "?"))[:64]


def _counted(service: Service, timeout_s: float) -> tuple[Counter[tuple[int, str]] | None, Counter[str] | None]:
    answer = _tried(service, "/metrics", timeout_s)
    if answer is None or answer.status != 200:
        return None, None
    return refusals(answer.body.decode("utf-8", "replace"))


def refusals(text: str) -> tuple[Counter[tuple[int, str]], Counter[str]]:
    """Refused requests by status and reason, and events by outcome, in the text of `/metrics`. Pure."""
    refused: Counter[tuple[int, str]] = Counter()
    events: Counter[str] = Counter()
    for name, labels, value in _SAMPLE.findall(text):
        told = dict(_LABEL.findall(labels))
        if name == _EVENTS:
            events[told.get("outcome", "")] += round(float(value))
        elif name == _REQUESTS and _is_refusal(told.get("path", ""), told.get("status", "")):
            refused[int(told["status"]), told.get("reason", "")] += round(float(value))
    return refused, events


def _is_refusal(path: str, status: str) -> bool:
    """`other` is a path that the gateway does not have: a client whose URL is wrong is counted there."""
    return status.isdigit() and int(status) >= 400 and (path == "other" or "lineage" in path)


def _tried(service: Service, path: str, timeout_s: float) -> Answer | None:
    try:
        return get(service, path, accept="*/*", timeout_s=timeout_s)
    except HttpError:
        return None
