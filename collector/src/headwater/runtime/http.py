"""`/metrics`, `/healthz` and `/readyz` on a thread of their own.

Healthy means that the loops of the process move; restarting helps against nothing else. That Kafka or Redis is away,
or that a rebalance takes long, is not death: a loop that waits for them still touches its `Pulse`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from headwater.runtime.errors import UsageError

log = logging.getLogger(__name__)

Ready = Callable[[], tuple[bool, str]]
_TEXT: Final = "text/plain; charset=utf-8"
_REQUEST_S: Final = 10.0


class Pulse:
    """When each loop last moved. A loop that was announced and never moved counts from its announcement.

    Args:
        silent_s: how long a loop may stand still.
        clock_s: a monotonic clock, in seconds.
    """

    def __init__(self, silent_s: float = 30.0, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._silent_s = silent_s
        self._clock_s = clock_s
        self._moved: dict[str, float] = {}

    def touch(self, loop: str) -> None:
        """The loop moves. Cheap; from any thread."""
        self._moved[loop] = self._clock_s()

    def forget(self, loop: str) -> None:
        """The loop has ended as it should."""
        self._moved.pop(loop, None)

    def still(self) -> list[tuple[str, float]]:
        """The loops that stand still, and for how many seconds."""
        now_s = self._clock_s()
        silent = [(loop, now_s - moved_s) for loop, moved_s in self._moved.copy().items()]
        return [(loop, since_s) for loop, since_s in sorted(silent) if since_s > self._silent_s]


class HealthServer:
    """Serves one process's metrics and health.

    Args:
        host, port: where it listens; port 0 takes a free one, which `port` tells after `start`.
        ready: whether the process can do its work now, and the reason if not.

    `start` raises UsageError if the address cannot be had.
    """

    def __init__(self, host: str, port: int, *, registry: CollectorRegistry, pulse: Pulse, ready: Ready) -> None:
        self.host = host
        self.port = port
        self._registry = registry
        self._pulse = pulse
        self._ready = ready
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Listen, and answer from a daemon thread."""
        try:
            server = ThreadingHTTPServer((self.host, self.port), _handler(self))
        except OSError as error:
            raise UsageError(
                f"metrics cannot be served on {self.host}:{self.port}: {error.strerror}",
                remedy="choose another metrics.port, 0 for a free one",
            ) from error
        server.daemon_threads = True
        self.port = server.server_address[1]
        self._server = server
        threading.Thread(target=server.serve_forever, name="headwater-http", daemon=True).start()

    def stop(self) -> None:
        """Stop listening. Harmless when it does not."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def answer(self, path: str, accept: str) -> tuple[int, str, bytes]:
        """Status, content type and body for a path; pure but for the registry and `ready`."""
        if path == "/metrics":
            encode, content_type = choose_encoder(accept)
            return 200, content_type, encode(self._registry)
        if path == "/healthz":
            still = self._pulse.still()
            said = "; ".join(f"{loop} stands still since {since_s:.0f} s" for loop, since_s in still)
            return (503 if still else 200), _TEXT, f"{said or 'the loops move'}\n".encode()
        if path == "/readyz":
            ready, reason = self._ready()
            return (200 if ready else 503), _TEXT, f"{reason or ('ready' if ready else 'not ready')}\n".encode()
        return 404, _TEXT, b"try /metrics, /healthz or /readyz\n"


def _handler(owner: HealthServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _REQUEST_S  # a peer that says nothing holds a thread no longer than this

        def do_GET(self) -> None:
            try:
                status, content_type, body = owner.answer(self.path.partition("?")[0], self.headers.get("Accept", ""))
            except Exception:  # a probe must get an answer, whatever `ready` or a collector does
                log.exception("answering %s failed", self.path.partition("?")[0])
                status, content_type, body = 500, _TEXT, b"see the log\n"
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own signature
            log.debug(format, *args)

    return Handler
