"""A schema registry of three schemas, over HTTP, as Confluent's client asks for them."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final

from tests.support.oracle.contract import BY_ID

_BY_ID: Final = re.compile(r"/schemas/ids/(\d+)(?:\?.*)?")


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        match = _BY_ID.fullmatch(self.path)
        schema = BY_ID.get(int(match[1])) if match else None
        if schema is None:
            self._answer(404, {"error_code": 40403, "message": "Schema not found"})
        else:
            self._answer(200, {"schema": json.dumps(schema), "schemaType": "AVRO"})

    def _answer(self, status: int, body: dict[str, object]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_args: object) -> None:
        """Quiet."""


class Registry:
    """`with Registry() as registry:` answers at `registry.url` with the schemas of `contract.BY_ID`."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="registry", daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Registry:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
