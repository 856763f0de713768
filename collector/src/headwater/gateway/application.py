"""The gateway as an ASGI application: a request in, an answer out when what it brought is durable."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError
from prometheus_client import CollectorRegistry

from headwater.gateway import openapi
from headwater.gateway.access import METRICS, WRITE, Access, Principal
from headwater.gateway.answers import ALL_ACCEPTED, CLOSE, Answer, Failed, Problem, accepted, partly, sized
from headwater.gateway.bodies import GoneError, Held, Receive, read, unpacked
from headwater.gateway.durable import Durable, Sending, is_too_large
from headwater.gateway.flooding import FloodGate
from headwater.gateway.metrics import GatewayCollector, Stats
from headwater.gateway.spooling import Spool
from headwater.openlineage.records import Converter, Record, parsed
from headwater.openlineage.values import Rejected
from headwater.runtime.http import HealthServer

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LINEAGE: Final = "/api/v1/lineage"
BATCH: Final = "/api/v1/lineage/batch"
OPENAPI: Final = "/openapi.json"
_AT_A_TIME: Final = 50
"""Events of a batch after which other requests get their turn."""
_TOO_LARGE: Final = "Kafka takes no event of this size: max.message.bytes of its topic is less"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may bring, and how much may be held for all of them together."""

    body_bytes: int = 16 * 1024 * 1024
    batch_events: int = 10_000
    pending_bytes: int = 128 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Reachable:
    """Whether Kafka answers and has the topic, why (not), and when (monotonic) it was asked."""

    so: bool
    why: str
    asked_at: float


class Gateway:
    """The application.

    Args:
        protect_metrics: whether `/metrics` asks for a token with the scope `metrics:read`.
        converter: documents into records; if not given, one without rules for names.
    """

    def __init__(
        self,
        durable: Durable,
        *,
        access: Access,
        limits: Limits | None = None,
        spool: Spool | None = None,
        protect_metrics: bool = False,
        converter: Converter | None = None,
    ) -> None:
        self.durable = durable
        self.spool = spool
        self.limits = limits or Limits()
        self.held = Held(self.limits.pending_bytes)
        self.converter = converter or Converter()
        self.flood = FloodGate()
        self.stats = Stats()
        self.reachable = Reachable(False, "Kafka was not asked yet", 0.0)
        self.stopping = False
        self._access = access
        self._protect_metrics = protect_metrics
        registry = CollectorRegistry()
        registry.register(GatewayCollector(self))
        self._health = HealthServer("", 0, registry=registry, healthy=lambda: (True, "ok"), ready=self.ready)
        self._openapi = sized(200, openapi.document(self.limits.body_bytes), [(b"content-type", b"application/json")])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3."""
        if scope["type"] != "http":
            raise ValueError(f"the gateway speaks HTTP, not {scope['type']}")
        path = scope["path"]
        if path not in _METHODS:
            path = path.rstrip("/")
        try:
            answer = await self._answer(path, scope, receive)
        except Problem as problem:
            answer = problem.answer()
        except GoneError:
            self.stats.requests[_shown(path), 499, "gone"] += 1
            return
        except Exception:
            log.exception("answering %s failed", _shown(path))
            answer = Problem(500, "bug", "a bug in the gateway; its log says more").answer()
        self.stats.requests[_shown(path), answer.status, answer.reason] += 1
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        body = answer.body if scope["method"] != "HEAD" else b""
        await send({"type": "http.response.body", "body": body})

    def ready(self) -> tuple[bool, str]:
        """Whether events are taken now, and why (not)."""
        if self.stopping:
            return False, "stopping"
        if self.spool is not None:
            return not self.spool.full, "the spool is full" if self.spool.full else "ok"
        why = self.durable.refusal(0)
        if why:
            return False, f"Kafka: {why}"
        if self.durable.failed_at > self.reachable.asked_at:
            return False, "Kafka did not take the last event"
        return self.reachable.so, self.reachable.why

    async def _answer(self, path: str, scope: Scope, receive: Receive) -> Answer:
        methods = _METHODS.get(path)
        if methods is None:
            raise Problem(404, "path", f"post events to {LINEAGE} or {BATCH}", extra=(CLOSE,))
        if scope["method"] not in methods:
            allow = (b"allow", ", ".join(methods).encode())
            raise Problem(405, "method", f"use {' or '.join(methods)}", extra=(allow, CLOSE))
        if path in _POSTS:
            return await self._post(path, scope["headers"], receive)
        if path == OPENAPI:
            return self._openapi
        if path == "/metrics" and self._protect_metrics:
            await self._access.principal(scope["headers"], METRICS)
        status, content_type, body = self._health.answer(path, _header(scope["headers"], b"accept").decode("latin-1"))
        return sized(status, body, [(b"content-type", content_type.encode())])

    async def _post(self, path: str, headers: list[tuple[bytes, bytes]], receive: Receive) -> Answer:
        principal = await self._access.principal(headers, WRITE)
        length = _header(headers, b"content-length")
        if length.isdigit() and int(length) > self.limits.body_bytes:
            raise Problem(413, "too_large", f"the body has more than {self.limits.body_bytes} bytes", extra=(CLOSE,))
        body = await read(receive, self.held, self.limits.body_bytes)
        began = time.perf_counter()
        held = len(body)
        try:
            encoding = _header(headers, b"content-encoding")
            if encoding:
                body = unpacked(body, encoding, self.limits.body_bytes)
                self.held.take(len(body))
                held += len(body)
            return await (self._one(body, principal) if path == LINEAGE else self._many(body, principal))
        finally:
            self.held.give(held)
            self.stats.answered(time.perf_counter() - began)

    async def _one(self, body: bytes, principal: Principal) -> Answer:
        document = parsed(body)
        if isinstance(document, Rejected):
            raise Problem(400, "json", str(document))
        if isinstance(document, list):
            raise Problem(400, "array", f"post arrays to {BATCH}")
        found = self.converter.record(document, nulls=_may_hold_nulls(body))
        if isinstance(found, Rejected):
            self.stats.events["rejected"] += 1
            raise Problem(422, "event", str(found), found.path)
        if not principal.may_write_to(found.namespace):
            self.stats.events["forbidden"] += 1
            raise Problem(403, "namespace", *_forbidden(principal, found))
        if found.flood:
            return await self._one_of_a_flood(found)
        why = await self._kept(found)
        if why:
            raise _unavailable(why, self.durable.last_error)
        return accepted(found.event_id)

    async def _one_of_a_flood(self, found: Record) -> Answer:
        sent = await self.flood.taken(found)
        if sent is None:
            self.stats.events["coalesced"] += 1
            return accepted(self.flood.said(found).event_id)
        durable = False
        try:
            why = await self._kept(sent)
            durable = not why
        finally:
            self.flood.settled(found.flood, durable=durable)
        if why:
            raise _unavailable(why, self.durable.last_error)
        return accepted(sent.event_id)

    async def _kept(self, record: Record) -> str:
        """Make a record durable; why that cannot be, or "". Raises Problem: it never can."""
        why = self.durable.refusal(len(record.value))
        if not why:
            error = await self.durable.deliver(record)
            if error is None:
                self.stats.events["acknowledged"] += 1
                return ""
            if is_too_large(error):
                self.stats.events["failed"] += 1
                raise Problem(413, "too_large", _TOO_LARGE)
            why = "kafka"
        if self.spool is not None and await self.spool.keep(record) is None:
            self.stats.events["spooled"] += 1
            return ""
        self.stats.events["failed"] += 1
        return why

    async def beat(self, *, last: bool = False) -> None:
        """Send the heartbeats of floods that are due; with `last` all that are owed. What does not arrive is due again."""
        floods = self.flood.floods
        records = floods.drain() if last else floods.due(self.flood.now_ms())
        if not records:
            return
        if self.durable.refusal(sum(len(record.value) for record in records)):
            left = records
        else:
            failed = await self.durable.deliver_all(records)
            left = [records[at] for at in failed]
            self.stats.events["heartbeat"] += len(records) - len(left)
        if left and (self.spool is None or await self.spool.keep_all(left) is not None):
            for record in left:
                floods.owe(record)

    async def _many(self, body: bytes, principal: Principal) -> Answer:
        documents = parsed(body)
        if isinstance(documents, Rejected):
            raise Problem(400, "json", str(documents))
        if not isinstance(documents, list):
            raise Problem(400, "array", f"a batch is a JSON array; post single events to {LINEAGE}")
        if len(documents) > self.limits.batch_events:
            raise Problem(
                413, "too_large", f"the batch has {len(documents)} events; at most {self.limits.batch_events} fit"
            )
        why = self.durable.refusal(len(body))
        if why and self.spool is None:
            self.stats.events["failed"] += len(documents)
            raise _unavailable(why, self.durable.last_error)
        failed = await self._sent(documents, principal, _may_hold_nulls(body), to_kafka=not why)
        if failed and len(failed) == len(documents) and all(each.retriable for each in failed):
            raise _unavailable("kafka", self.durable.last_error)
        return partly(len(documents), sorted(failed, key=lambda each: each.index)) if failed else ALL_ACCEPTED

    async def _sent(self, documents: list[Any], principal: Principal, nulls: bool, *, to_kafka: bool) -> list[Failed]:
        """Convert and send; what is not durable in the end."""
        batch = _Batch(Sending(self.durable) if to_kafka else None)
        failed: list[Failed] = []
        convert = self.converter.record
        try:
            for at, given in enumerate(documents):
                if at % _AT_A_TIME == _AT_A_TIME - 1:
                    await asyncio.sleep(0)
                found = convert(given, nulls=nulls)
                if isinstance(found, Rejected):
                    self.stats.events["rejected"] += 1
                    failed.append(Failed(at, str(found), retriable=False))
                elif not principal.may_write_to(found.namespace):
                    self.stats.events["forbidden"] += 1
                    detail, path = _forbidden(principal, found)
                    failed.append(Failed(at, f"{path}: {detail}", retriable=False))
                elif not found.flood:
                    batch.send(at, found)
                else:
                    self._of_a_flood(at, found, batch)
            not_durable = await self._settled(batch)
        finally:
            for key in batch.floods.values():  # of those that nobody has settled
                self.flood.settled(key, durable=False)
        return failed + not_durable

    def _of_a_flood(self, at: int, found: Record, batch: _Batch) -> None:
        sent, first = self.flood.taken_now(found)
        if sent is not None:
            batch.floods[at] = found.flood
            batch.send(at, sent)
        elif first is not None:
            batch.held[at] = first
        else:
            self.stats.events["coalesced"] += 1

    async def _settled(self, batch: _Batch) -> list[Failed]:
        """Wait for what was sent, here and by others for what is held back; what is not durable."""
        errors = await batch.sending.finished() if batch.sending is not None else {}
        self.stats.events["acknowledged"] += len(batch.records) - len(errors) if batch.sending is not None else 0
        left = sorted(errors) if batch.sending is not None else sorted(batch.records)
        failed = await self._rescued(left, batch.records, errors) if left else []
        lost = {each.index for each in failed}
        for at in list(batch.floods):
            self.flood.settled(batch.floods.pop(at), durable=at not in lost)
        for at, first in batch.held.items():
            if await asyncio.shield(first):
                self.stats.events["coalesced"] += 1
            else:
                self.stats.events["failed"] += 1
                failed.append(Failed(at, "an equal event before it did not arrive", retriable=True))
        return failed

    async def _rescued(
        self, left: list[int], records: dict[int, Record], errors: dict[int, KafkaError]
    ) -> list[Failed]:
        """What Kafka did not take, into the spool if there is one, and if Kafka may take it later."""
        too_large = {at for at, error in errors.items() if is_too_large(error)}
        left = [at for at in left if at not in too_large]
        if left and self.spool is not None and await self.spool.keep_all([records[at] for at in left]) is None:
            self.stats.events["spooled"] += len(left)
            left = []
        failed = [Failed(at, _TOO_LARGE, retriable=False) for at in too_large]
        failed += [
            Failed(at, errors[at].str() if at in errors else "Kafka does not answer", retriable=True) for at in left
        ]
        self.stats.events["failed"] += len(failed)
        return failed


class _Batch:
    """One request with many events: what of it is sent, and what waits for an equal event that is under way."""

    def __init__(self, sending: Sending | None) -> None:
        self.sending = sending
        self.records: dict[int, Record] = {}
        self.floods: dict[int, bytes] = {}
        self.held: dict[int, asyncio.Future[bool]] = {}

    def send(self, at: int, record: Record) -> None:
        self.records[at] = record
        if self.sending is not None:
            self.sending.send(at, record)


_POSTS: Final = frozenset({LINEAGE, BATCH})
_GET: Final = ("GET", "HEAD")
_METHODS: Final = {
    LINEAGE: ("POST",),
    BATCH: ("POST",),
    "/healthz": _GET,
    "/readyz": _GET,
    "/metrics": _GET,
    OPENAPI: _GET,
}


def _shown(path: str) -> str:
    """A path as a label: what people type is not a label."""
    return path if path in _METHODS else "other"


def _header(headers: list[tuple[bytes, bytes]], wanted: bytes) -> bytes:
    for name, value in headers:
        if name == wanted:
            return value
    return b""


def _may_hold_nulls(body: bytes) -> bool:
    return b"null" in body or b"NaN" in body or b"Infinity" in body


def _forbidden(principal: Principal, record: Record) -> tuple[str, str]:
    """What is said of a namespace that somebody may not write to, and where it stands."""
    path = "job.namespace" if record.of_job else "dataset.namespace"
    return f"the token of {principal.name} may not write to the namespace {record.namespace!r}", path


def _unavailable(why: str, error: KafkaError | None) -> Problem:
    said = {
        "busy": "more is under way to Kafka than may be; send again later",
        "stalled": "Kafka does not acknowledge; send again later",
    }
    detail = said.get(why) or f"Kafka did not take it: {error.str() if error else 'no answer'}; send again later"
    return Problem(503, why, detail)
