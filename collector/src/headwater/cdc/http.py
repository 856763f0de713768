"""JSON over HTTP, asked with the standard library: Kafka Connect's REST API and the Schema Registry.

Credentials may stand in the URL (`https://user:password@connect:8083`); they are sent as basic authentication and
never shown. Answers are bounded in time and size; redirections are not followed to another host.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import ssl
import time
import urllib.parse
from dataclasses import dataclass
from typing import Any, Final

import orjson

from headwater.cdc.avro import RowSchema
from headwater.cdc.envelopes import Refused
from headwater.errors import DeliveryError
from headwater.masking import error_text, mask
from headwater.runtime.errors import UsageError
from headwater_schemas.lint import SchemaRefused

TIMEOUT_S: Final = 10.0
MOST_BYTES: Final = 64 * 1024 * 1024
"""A Connect cluster of a thousand connectors answers with a few megabytes."""
_MOST_SCHEMAS: Final = 1_000
_ASK_AGAIN_S: Final = 60.0


class HttpError(DeliveryError):
    """A service did not answer, or not with what was asked for. `status` is 0 where there was no answer."""

    def __init__(self, message: str, *, status: int = 0, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy, retriable=status in {0, 429} or status >= 500)
        self.status = status


@dataclass(frozen=True, slots=True)
class Service:
    """Where a service is. `shown` is its URL without credentials. Made by `service_at`."""

    scheme: str
    host: str
    port: int
    path: str
    shown: str
    authorization: str = ""


def service_at(url: str, what: str) -> Service:
    """The service at a URL. Raises UsageError, naming `what` it is for, if it is none."""
    parts = urllib.parse.urlsplit(url.strip())
    try:
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if parts.scheme not in {"http", "https"} or not host:
        raise UsageError(f"{what} {mask(url)!r} is no URL", remedy=f"write it as {_with_scheme(url)}")
    authorization = ""
    if parts.username is not None:
        pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
    port = port or (443 if parts.scheme == "https" else 80)
    shown_host = f"[{host}]" if ":" in host else host
    path = parts.path.rstrip("/")
    return Service(parts.scheme, host, port, path, f"{parts.scheme}://{shown_host}:{port}{path}", authorization)


def _with_scheme(url: str) -> str:
    """What was meant, if only the scheme is missing; else an example."""
    if "://" not in url and len(url.split()) == 1:
        with contextlib.suppress(ValueError):  # of a port that is none
            parts = urllib.parse.urlsplit(f"http://{url.strip()}")
            if parts.hostname and parts.port != 0:
                return mask(parts.geturl())
    return "http://host:port"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service answered, whatever the status."""

    status: int
    body: bytes


def get(service: Service, path: str, *, accept: str = "application/json", timeout_s: float = TIMEOUT_S) -> Answer:
    """What the service answers to GET. Raises HttpError: it does not answer, or with too much."""
    connection: http.client.HTTPConnection
    if service.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(service.host, service.port, timeout=timeout_s, context=context)
    else:
        connection = http.client.HTTPConnection(service.host, service.port, timeout=timeout_s)
    headers = {"Accept": accept}
    if service.authorization:
        headers["Authorization"] = service.authorization
    try:
        connection.request("GET", f"{service.path}{path}", headers=headers)
        response = connection.getresponse()
        body = response.read(MOST_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:
        said = error_text(error, 200)
        raise HttpError(f"{service.shown} cannot be reached: {said}", remedy="check its address and network") from error
    finally:
        connection.close()
    if len(body) > MOST_BYTES:
        raise HttpError(f"{service.shown}{path} answers with more than {MOST_BYTES} bytes", status=response.status)
    return Answer(response.status, body)


def get_json(service: Service, path: str, *, timeout_s: float = TIMEOUT_S) -> Any:
    """The JSON document at a path of the service. Raises HttpError."""
    answer = get(service, path, timeout_s=timeout_s)
    if answer.status != http.HTTPStatus.OK:
        remedy = "put user and password into the URL" if answer.status in {401, 403} else ""
        raise HttpError(f"{service.shown}{path} answers {answer.status}", status=answer.status, remedy=remedy)
    try:
        return orjson.loads(answer.body)
    except ValueError as error:
        raise HttpError(f"{service.shown}{path} answers with no JSON", status=answer.status) from error


class RowSchemas:
    """Row schemas by the id of a Schema Registry: each asked for once, a missing one again after a minute.

    Callable, as `headwater.cdc.wire.Schemas` wants it: it never raises; an outage is `Refused("registry_unavailable")`.
    """

    def __init__(self, registry: Service) -> None:
        self._registry = registry
        self._known: dict[int, RowSchema | Refused] = {}
        self._again_s: dict[int, float] = {}

    def __call__(self, schema_id: int) -> RowSchema | Refused:
        known = self._known.get(schema_id)
        if known is not None and self._again_s.get(schema_id, float("inf")) > time.monotonic():
            return known
        if len(self._known) >= _MOST_SCHEMAS:
            oldest = next(iter(self._known))
            del self._known[oldest]
            self._again_s.pop(oldest, None)
        self._known[schema_id] = found = self._asked(schema_id)
        if isinstance(found, Refused) and found.reason != "schema_refused":
            self._again_s[schema_id] = time.monotonic() + _ASK_AGAIN_S
        else:
            self._again_s.pop(schema_id, None)
        return found

    def _asked(self, schema_id: int) -> RowSchema | Refused:
        try:
            answer = get_json(self._registry, f"/schemas/ids/{schema_id}")
        except HttpError as error:
            if error.status == http.HTTPStatus.NOT_FOUND:
                return Refused("unknown_schema", f"the Schema Registry has no schema {schema_id}")
            return Refused("registry_unavailable", error.message)
        if not isinstance(answer, dict) or answer.get("schemaType", "AVRO") != "AVRO" or answer.get("references"):
            return Refused("schema_refused", f"schema {schema_id} is not of Avro, or refers to others")
        try:
            return RowSchema(str(answer.get("schema")))
        except SchemaRefused as error:
            return Refused("schema_refused", f"schema {schema_id}: {error}")
