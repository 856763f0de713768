"""`/metrics`, `/healthz` and `/readyz` on a thread of their own.

Healthy means that the loops of the process move: a restart helps against nothing else. That Kafka or Redis is away, or
that a rebalance takes long, is not death, and `healthy` must not say so.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from headwater.runtime.errors import UsageError
from headwater.runtime.models import MetricsSettings

log = logging.getLogger(__name__)

Probe = Callable[[], tuple[bool, str]]
"""Whether it is so, and why (not)."""

OFFSET: Final = "HEADWATER_UP_METRICS_OFFSET"
"""Which of several workers of one command this is: its port is that many higher."""

_TEXT: Final = "text/plain; charset=utf-8"
_REQUEST_S: Final = 10.0


class HealthServer:
    """Serves one process's metrics and health.

    Args:
        host, port: where it listens; port 0 takes a free one, which `port` tells after `start`.
        healthy: whether the loops move; a process that says no should be restarted.
        ready: whether it can do its work now.
    """

    def __init__(self, host: str, port: int, *, registry: CollectorRegistry, healthy: Probe, ready: Probe) -> None:
        self.host = host
        self.port = port
        self._registry = registry
        self._probes = {"/healthz": healthy, "/readyz": ready}
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Listen, and answer from daemon threads. Raises OSError if the address cannot be had."""
        server = ThreadingHTTPServer((self.host, self.port), _handler(self))
        server.daemon_threads = True
        self.port = server.server_address[1]
        self._server = server
        threading.Thread(target=server.serve_forever, name="headwater-http", daemon=True).start()

    def close(self) -> None:
        """Stop listening. Harmless when it does not."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def answer(self, path: str, accept: str = "") -> tuple[int, str, bytes]:
        """Status, content type and body for a path."""
        if path == "/metrics":
            encode, content_type = choose_encoder(accept)
            return 200, content_type, encode(self._registry)
        probe = self._probes.get(path)
        if probe is None:
            return 404, _TEXT, b"try /metrics, /healthz or /readyz\n"
        so, reason = probe()
        return (200 if so else 503), _TEXT, f"{reason}\n".encode()


def serve(
    settings: MetricsSettings, collectors: Iterable[Collector], *, healthy: Probe, ready: Probe
) -> HealthServer | None:
    """Start serving as the settings say; None if they switch it off. `close` what is returned.

    A port that somebody chose must be free; where the default is taken, any free port will do, and is logged.

    Raises:
        UsageError: the chosen address cannot be had.
    """
    if not settings.enabled:
        return None
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    port = settings.port and settings.port + int(os.environ.get(OFFSET, "0"))
    server = HealthServer(settings.host, port, registry=registry, healthy=healthy, ready=ready)
    try:
        server.start()
    except OSError as error:
        if {"host", "port"} & settings.model_fields_set:
            raise UsageError(
                f"metrics cannot be served on {settings.host}:{port}: {error.strerror}",
                remedy="choose another metrics.port, 0 for a free one",
            ) from error
        server.port = 0
        server.start()
    log.info("metrics and health on http://%s:%d", server.host, server.port)
    return server


def _handler(owner: HealthServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _REQUEST_S  # a peer that says nothing holds a thread no longer than this

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            try:
                status, content_type, body = owner.answer(path, self.headers.get("Accept", ""))
            except Exception:  # a probe must get an answer, whatever a collector does
                log.exception("answering %s failed", path)
                status, content_type, body = 500, _TEXT, b"see the log\n"
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own signature
            log.debug(format, *args)

    return Handler
