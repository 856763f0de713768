"""Events by HTTP, to a real server in a thread: what is tried again, what is not, and what is never waited for."""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from tests.support.processes import free_port

from headwater import ConfigError, Emitter, EventType, LineageEvent, Name
from headwater.openlineage import convert
from headwater.transports.http import HttpTransport


class Server:
    """Answers with what the test has put into `answers`, then with 201; keeps what it was sent."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.connections: set[tuple[str, int]] = set()
        self.silent = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
                outer.connections.add(self.client_address)
                outer.requests.append((self.path, dict(self.headers), json.loads(body)))
                if outer.silent.is_set():
                    time.sleep(1.0)
                status, headers = outer.answers.pop(0) if outer.answers else (201, {})
                self.send_response(status)
                for key, value in {"Content-Length": "2", **headers}.items():
                    self.send_header(key, value)
                with contextlib.suppress(ConnectionError):  # whoever asked a silent server has gone
                    self.end_headers()
                    self.wfile.write(b"{}")

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.close()


def _emit(emitter: Emitter, count: int, **members: Any) -> None:
    for at in range(count):
        emitter.emit(LineageEvent(bytes(16), 0, EventType.START, bytes([1] * 16), Name("shop", str(at)), **members))


def test_events_arrive_as_openlineage_documents_over_one_connection(server: Server) -> None:
    with Emitter(HttpTransport(server.url, token="s3cret")) as emitter:  # noqa: S106 - made up
        _emit(emitter, 20)
        assert emitter.flush() == 0
        assert emitter.stats().delivered == 20
    assert len(server.connections) == 1
    path, headers, document = server.requests[0]
    assert (path, headers["Authorization"]) == ("/api/v1/lineage", "Bearer s3cret")
    assert headers["Content-Type"] == "application/json"
    event = convert(document)
    assert isinstance(event, LineageEvent)
    assert event.job == Name("shop", "0")
    assert [document["job"]["name"] for _, _, document in server.requests] == [str(at) for at in range(20)]


def test_large_bodies_are_compressed_when_asked_for(server: Server) -> None:
    with Emitter(HttpTransport(f"{server.url}/in?kind=x", compress=True)) as emitter:
        _emit(emitter, 1, error="e" * 5_000)
    path, headers, document = server.requests[0]
    assert path == "/in?kind=x"
    assert headers["Content-Encoding"] == "gzip"
    assert document["run"]["facets"]["errorMessage"]["message"] == "e" * 5_000


def test_what_may_pass_is_tried_again(server: Server) -> None:
    server.answers = [(503, {}), (429, {"Retry-After": "1"}), (500, {"Connection": "close"})]
    began_s = time.monotonic()
    with Emitter(HttpTransport(server.url)) as emitter:
        _emit(emitter, 1)
        assert emitter.flush(10) == 0
        stats = emitter.stats()
    assert stats.delivered == 1
    assert stats.transport == {"http_retries": 3}
    assert time.monotonic() - began_s > 1.0  # the server's own word


@pytest.mark.parametrize(
    ("status", "reason"), [(400, "delivery"), (422, "delivery"), (401, "unauthorized"), (302, "delivery")]
)
def test_what_will_not_pass_is_not_tried_again(server: Server, status: int, reason: str) -> None:
    server.answers = [(status, {})]
    with Emitter(HttpTransport(server.url)) as emitter:
        _emit(emitter, 2)
        assert emitter.flush() == 0
        stats = emitter.stats()
    assert (stats.delivered, dict(stats.failures)) == (1, {reason: 1})
    assert str(status) in stats.last_error
    assert len(server.requests) == 2


def test_a_server_that_does_not_answer_is_given_up_and_neither_emit_nor_close_waits_for_it(server: Server) -> None:
    server.silent.set()
    emitter = Emitter(HttpTransport(server.url, timeout_s=0.4, give_up_s=0.5))
    began_s = time.monotonic()
    _emit(emitter, 100)
    assert time.monotonic() - began_s < 0.4  # not one of them waited for an answer
    emitter.close(1.0)
    assert time.monotonic() - began_s < 2.0
    stats = emitter.stats()
    assert (stats.delivered, stats.failed, stats.pending) == (0, 100, 0)


def test_no_server_at_all_is_said_with_its_remedy() -> None:
    with Emitter(HttpTransport(f"http://127.0.0.1:{free_port()}", give_up_s=0.1)) as emitter:
        _emit(emitter, 1)
        assert emitter.flush() == 0
        assert emitter.stats().failures == {"broker_unavailable": 1}
        assert "check the address" in emitter.stats().last_error


def test_an_event_that_is_recalled_is_settled_once(server: Server) -> None:
    server.silent.set()
    ends: list[int] = []
    transport = HttpTransport(server.url, timeout_s=2.0)
    from headwater.transports.base import Encoded

    event = LineageEvent(bytes(16), 1_700_000_000_000_000, EventType.START, bytes([1] * 16), Name("shop", "x"))
    transport.send([Encoded(b"", b"", event)], lambda count, error, lost=(): ends.append(count))
    deadline = time.monotonic() + 5
    while not server.requests and time.monotonic() < deadline:
        transport.poll(0.01)
    transport.recall()
    transport.close(2.0)
    assert ends == [1]


def test_a_token_that_no_header_may_hold_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="token") as caught:
        HttpTransport("http://host", token="a\nb")  # noqa: S106 - made up
    assert "a\nb" not in str(caught.value)
