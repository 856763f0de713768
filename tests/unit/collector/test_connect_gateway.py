"""How a gateway is asked, and what its metrics tell of refusals."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.support.processes import free_port

from headwater.connect.gateway import ask_gateway, refusals
from headwater.gateway.openapi import document

METRICS = """\
# HELP headwater_gateway_requests_total Requests by path, status and reason.
# TYPE headwater_gateway_requests_total counter
headwater_gateway_requests_total{path="/api/v1/lineage",reason="ok",status="200"} 7.0
headwater_gateway_requests_total{path="/api/v1/lineage",reason="unauthorized",status="401"} 3.0
headwater_gateway_requests_total{path="/api/v1/lineage/batch",reason="unauthorized",status="401"} 1.0
headwater_gateway_requests_total{path="other",reason="no_such_path",status="404"} 2.0
headwater_gateway_requests_total{path="/readyz",reason="not_ready",status="503"} 9.0
headwater_gateway_events_total{outcome="acknowledged"} 1.2e+03
"""


def test_refusals_of_lineage_are_counted_by_status_and_reason() -> None:
    refused, events = refusals(METRICS)
    assert refused == Counter({(401, "unauthorized"): 4, (404, "no_such_path"): 2})
    assert events == Counter(acknowledged=1200)
    assert refusals("nothing of ours {") == (Counter(), Counter())


@pytest.fixture
def answers() -> Iterator[dict[str, tuple[int, bytes]]]:
    """What a server answers, by path; under `url` where it is."""
    told: dict[str, tuple[int, bytes]] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = told.get(self.path, (404, b""))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class has it
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told["url"] = server.server_port, b""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield told
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_a_gateway_says_how_it_is(answers: dict[str, tuple[int, bytes]]) -> None:
    url = f"http://127.0.0.1:{answers['url'][0]}"
    answers |= {"/readyz": (200, b"ok\n"), "/openapi.json": (200, document(1)), "/metrics": (200, METRICS.encode())}
    asked = ask_gateway(url)
    assert (asked.is_reached, asked.is_ready, asked.is_ours, asked.why) == (True, True, True, "")
    assert asked.version
    assert asked.refused is not None
    assert asked.refused.total() == 6
    answers |= {"/readyz": (503, b"Kafka is away; password=hunter2\n"), "/metrics": (401, b"")}
    asked = ask_gateway(url)
    assert (asked.is_ready, asked.why) == (False, "503: Kafka is away; password=***")
    assert asked.refused is None


def test_what_is_no_gateway_is_told_from_one(answers: dict[str, tuple[int, bytes]]) -> None:
    url = f"http://127.0.0.1:{answers['url'][0]}"
    answers |= {"/readyz": (200, b"\xff" * 5_000), "/openapi.json": (200, b'{"info": {"title": "Marquez"}}')}
    asked = ask_gateway(url)
    assert (asked.is_reached, asked.is_ours) == (True, False)
    for body in (b"[]", b"nonsense", b'{"info": 5}'):
        answers["/openapi.json"] = (200, body)
        assert not ask_gateway(url).is_ours


def test_one_that_is_not_there_is_not_reached() -> None:
    asked = ask_gateway(f"http://127.0.0.1:{free_port()}", 1.0)
    assert not asked.is_reached
    assert "cannot be reached" in asked.why
