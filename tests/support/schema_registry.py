"""A tiny Schema Registry over real HTTP: `GET /schemas/ids/{id}` and nothing else."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class RegistryServer:
    """What it serves, by id, and what it was asked for. `status` other than 200 is the answer to everything."""

    url: str = ""
    schemas: dict[int, dict[str, Any]] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)
    status: int = 200

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        """Status and body for a path."""
        schema_id = int(path.partition("?")[0].rpartition("/")[2])
        self.asked.append(schema_id)
        if self.status != 200:
            return self.status, {"error_code": self.status * 100 + 1, "message": "as told"}
        if schema_id not in self.schemas:
            return 404, {"error_code": 40403, "message": "Schema not found"}
        return 200, self.schemas[schema_id]


@contextmanager
def registry_server() -> Iterator[RegistryServer]:
    """A server on a free port of this host, for as long as the block lasts."""
    state = RegistryServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = state.answer(self.path)
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class has it
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
