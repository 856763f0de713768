"""The gateway as a process: uvicorn around the application, Kafka asked in the background, a clean end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import uvicorn
from confluent_kafka import KafkaException
from confluent_kafka.admin._metadata import ClusterMetadata

from headwater.doors.clusters import ClusterBook
from headwater.gateway.access import Access, TokenFile
from headwater.gateway.application import Gateway, Limits, Reachable
from headwater.gateway.durable import Durable, gateway_producer
from headwater.gateway.http_limits import BoundedHttp
from headwater.gateway.jwts import Jwks
from headwater.gateway.spooling import Spool
from headwater.runtime.doors import converter_of, told_cluster
from headwater.runtime.errors import UsageError
from headwater.runtime.kafka import producer_config, translate
from headwater.runtime.models import GatewaySettings, Settings
from headwater_schemas.topics import catalogue

log = logging.getLogger(__name__)

_ASK_EVERY_S: Final = 5.0
_ASK_S: Final = 3.0
_BEAT_EVERY_S: Final = 5.0
_END_S: Final = 8.0
_KEEP_ALIVE_S: Final = 75
_BACKLOG: Final = 2_048
_LOOPBACK: Final = ("127.", "localhost", "::1")


def run(settings: Settings, *, listening: Callable[[str], None] = lambda _url: None) -> None:
    """Serve until SIGINT or SIGTERM; then finish what was begun.

    Args:
        listening: told the URL once requests are answered.

    Raises:
        UsageError: a setting is wrong, the address cannot be had, or Kafka's client refuses its settings.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, listening))


def access_of(settings: GatewaySettings) -> Access:
    """Who may write, as the settings say.

    Raises:
        UsageError: a setting is wrong; or it is there and empty, as a variable that was not filled in: that must not let all in.
    """
    for name in ("tokens_file", "jwks_url"):
        if name in settings.model_fields_set and not getattr(settings, name):
            raise UsageError(
                f"gateway.{name} is empty", remedy="give it a value; or leave it out, then anybody may write"
            )
    file = TokenFile(settings.tokens_file) if settings.tokens_file else None
    jwks = None
    if settings.jwks_url:
        jwks = Jwks(settings.jwks_url, audience=settings.jwt_audience, issuer=settings.jwt_issuer)
    return Access(file, jwks)


async def _serve(settings: Settings, listening: Callable[[str], None]) -> None:
    own = settings.gateway
    access = access_of(own)
    listener = _listener(own)
    scheme = "https" if own.cert_file else "http"
    with contextlib.closing(listener):
        server = _Server(_uvicorn_config(own))
        durable = _durable(settings)
        spool = Spool(own.spool, max_bytes=own.spool_bytes, durable=durable) if own.spool else None
        book = ClusterBook()
        gateway = Gateway(
            durable,
            converter=converter_of(settings, book),
            access=access,
            limits=Limits(own.body_bytes, own.batch_events, own.pending_bytes),
            spool=spool,
            protect_metrics=own.protect_metrics,
        )
        server.config.app = server.config.loaded_app = gateway
        url = f"{scheme}://{own.host}:{listener.getsockname()[1]}"
        if access.open and not own.host.startswith(_LOOPBACK):
            log.warning("anybody who reaches %s may write: set gateway.tokens_file or gateway.jwks_url", url)
        if spool is not None:
            spool.start()
        asking = asyncio.get_running_loop().create_task(_ask(gateway, access, settings, book))
        beating = asyncio.get_running_loop().create_task(_beat(gateway))
        server.told = lambda: listening(url)
        try:
            await server.serve(sockets=[listener])
        finally:
            gateway.stopping = True
            for task in (asking, beating):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            await gateway.beat(last=True)
            if spool is not None:
                await spool.close()
            left = await durable.close(_END_S)
            if left:
                log.warning("%d events were not acknowledged by Kafka; nobody was told that they were", left)


def _durable(settings: Settings) -> Durable:
    own = settings.gateway
    config = gateway_producer(
        producer_config(settings.kafka, client_id="headwater-gateway"),
        answer_ms=own.answer_ms,
        pending_bytes=own.pending_bytes,
    )
    try:
        return Durable(config, catalogue(settings.topic_prefix)["events"].name, pending_bytes=own.pending_bytes)
    except KafkaException as error:
        raise translate(error, settings.kafka.bootstrap_servers) from error


async def _beat(gateway: Gateway) -> None:
    while True:
        await asyncio.sleep(_BEAT_EVERY_S)
        try:
            await gateway.beat()
        except Exception:
            log.exception("heartbeats of floods are not sent; it is tried again")


async def _ask(gateway: Gateway, access: Access, settings: Settings, book: ClusterBook) -> None:
    """Whether Kafka answers and has the topic, and which cluster it is, now and then: readiness must not wait for an event."""
    before = gateway.reachable
    while True:
        asked_at = time.monotonic()
        so, why, told = await asyncio.to_thread(_reachable, gateway.durable, settings.kafka.bootstrap_servers)
        if told is not None:
            # Who reaches a gateway on this machine alone means by localhost what we do.
            loopback = settings.gateway.host.startswith(_LOOPBACK)
            book.learn(told_cluster(told, settings.kafka.bootstrap_servers, loopback=loopback))
        gateway.reachable = Reachable(so, why, asked_at)
        if (so, why) != (before.so, before.why):
            log.log(logging.INFO if so else logging.WARNING, "%s", "Kafka answers" if so else why)
        before = gateway.reachable
        access.refresh()
        await asyncio.sleep(_ASK_EVERY_S)


def _reachable(durable: Durable, servers: str) -> tuple[bool, str, ClusterMetadata | None]:
    try:
        told = durable.producer.list_topics(durable.topic, _ASK_S)
    except KafkaException as error:
        return False, str(translate(error, servers)), None
    refused = told.topics[durable.topic].error
    return (True, "ok", told) if refused is None else (False, str(translate(refused, servers)), told)


class _Server(uvicorn.Server):
    """uvicorn, with signals that end it well: exit code 0, as every command of ours."""

    told: Callable[[], None] = staticmethod(lambda: None)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.told()


def _uvicorn_config(own: GatewaySettings) -> uvicorn.Config:
    config = uvicorn.Config(
        _nobody,
        http=BoundedHttp,
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        limit_concurrency=own.connections,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(_END_S),
        ssl_certfile=own.cert_file or None,
        ssl_keyfile=own.key_file or None,
    )
    if own.key_file and not own.cert_file:
        raise UsageError("gateway.key_file is set and gateway.cert_file is not", remedy="give both")
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"gateway.cert_file {own.cert_file} with gateway.key_file {own.key_file or own.cert_file}: {error}",
            remedy="name a certificate and its key, both PEM",
        ) from error
    return config


async def _nobody(_scope: Any, _receive: Any, _send: Any) -> None:
    """Stands in until the application is there."""


def _listener(own: GatewaySettings) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in own.host else socket.AF_INET
        return socket.create_server((own.host, own.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {own.host}:{own.port}: {error.strerror}",
            remedy="choose another gateway.port, 0 for a free one",
        ) from error


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ModuleNotFoundError:  # it has no wheels for Windows
        return None
    return uvloop.new_event_loop
