"""What the gateway answers: a status, headers and a body, made once where they never differ. Pure."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

Headers = list[tuple[bytes, bytes]]

RETRY_AFTER_S: Final = 2
"""What a 503 asks for: OpenLineage's clients retry 503 (and never 429), the first time after less than a second."""

BEARER: Final = (b"www-authenticate", b"Bearer")
CLOSE: Final = (b"connection", b"close")
_JSON: Final = (b"content-type", b"application/json")
_PROBLEM: Final = (b"content-type", b"application/problem+json")
_TITLES: Final = {
    400: "Bad request", 401: "Not authenticated", 403: "Not allowed", 404: "Not found", 405: "Method not allowed",
    413: "Too large", 415: "Unsupported encoding", 422: "Not an OpenLineage event",
    500: "Internal error", 503: "Not now",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP response. `reason` is the short code under which it is counted."""

    status: int
    body: bytes = b""
    headers: Headers = field(default_factory=list)
    reason: str = "ok"


class Problem(Exception):  # noqa: N818 - named as the media type is
    """A request that cannot be served: RFC 9457, with our `reason` and, where one part of the body is at fault, its `path`."""

    def __init__(
        self, status: int, reason: str, detail: str, path: str = "", *, extra: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        super().__init__(status, reason, detail, path)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.path = path
        self.extra = extra

    def answer(self) -> Answer:
        """The problem as a response."""
        said: dict[str, Any] = {
            "type": "about:blank",
            "title": _TITLES[self.status],
            "status": self.status,
            "detail": self.detail,
            "reason": self.reason,
        }
        if self.path:
            said["path"] = self.path
        headers = [_PROBLEM, *self.extra]
        if self.status == 503:
            headers.append((b"retry-after", b"%d" % RETRY_AFTER_S))
        return sized(self.status, orjson.dumps(said), headers, self.reason)


def sized(status: int, body: bytes, headers: Headers, reason: str = "ok") -> Answer:
    """An answer with its content length."""
    return Answer(status, body, [*headers, (b"content-length", b"%d" % len(body))], reason)


def accepted(event_id: bytes) -> Answer:
    """One event is durable. Its id stands in a header: an answer without a body is one write to the socket, not two."""
    return Answer(200, b"", [_EMPTY, (b"headwater-event-id", str(uuid.UUID(bytes=event_id)).encode())])


_EMPTY: Final = (b"content-length", b"0")
ALL_ACCEPTED: Final = Answer(204)
"""Every event of a batch is durable."""


@dataclass(frozen=True, slots=True)
class Failed:
    """One event of a batch that was not taken, and whether the same event may be taken later."""

    index: int
    reason: str
    retriable: bool


def partly(received: int, failed: list[Failed]) -> Answer:
    """A batch of which not all is durable, as OpenLineage's specification says it."""
    retriable = sum(each.retriable for each in failed)
    body = {
        "status": "partial_success",
        "summary": {
            "received": received,
            "successful": received - len(failed),
            "failed": len(failed),
            "retriable": retriable,
            "non_retriable": len(failed) - retriable,
        },
        "failed_events": [{"index": each.index, "reason": each.reason, "retriable": each.retriable} for each in failed],
    }
    return sized(200, orjson.dumps(body), [_JSON], "partial")
