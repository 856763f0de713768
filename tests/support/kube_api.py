"""A small API server of Kubernetes that replays recorded lists and watch streams of pods."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]
RECORDED: list[Json] = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "corpus" / "kubernetes" / "watch.jsonl").read_text().splitlines()
]
"""A watch stream with five ends of pods that no job could tell."""
Stream = Sequence[Json | threading.Event]


class KubeApi:
    """Lists `pods`; each watch gets the next of `streams`, and after the last one a stream that says nothing and stays open.

    A stream is lines of recorded events, or a status code, with which the request is refused; it pauses at a `threading.Event`
    until that is set. `asked` are the queries of all requests.
    """

    def __init__(self, pods: Iterable[Json] = (), streams: Iterable[Stream | int] = (), *, refuse: int = 0) -> None:
        self.pods = list(pods)
        self.streams = list(streams)
        self.refuse = refuse
        self.asked: list[dict[str, str]] = []
        self.paths: list[str] = []
        self._over = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                outer.paths.append(url.path)
                outer.asked.append(query)
                if outer.refuse:
                    self._answer(outer.refuse, {"kind": "Status", "code": outer.refuse})
                elif "watch" not in query:
                    self._answer(200, {"kind": "PodList", "metadata": {"resourceVersion": "100"}, "items": outer.pods})
                else:
                    self._watch(outer.streams.pop(0) if outer.streams else None)

            def _watch(self, stream: Stream | int | None) -> None:
                if isinstance(stream, int):
                    self._answer(stream, {"kind": "Status", "code": stream})
                    return
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for event in stream or ():
                    if isinstance(event, threading.Event):
                        event.wait(60)
                    else:
                        self._chunk(json.dumps(event).encode() + b"\n")
                if stream is None:
                    outer._over.wait(60)
                self._chunk(b"")

            def _chunk(self, data: bytes) -> None:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

            def _answer(self, code: int, document: Json) -> None:
                body = json.dumps(document).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def kubeconfig(self, folder: Path) -> Path:
        """A kubeconfig that leads here."""
        path = folder / "kubeconfig"
        here = {"name": "here", "cluster": {"server": self.url}}
        context = {"name": "here", "context": {"cluster": "here", "user": "me"}}
        users = [{"name": "me", "user": {"token": "t"}}]
        whole = {"clusters": [here], "contexts": [context], "users": users, "current-context": "here"}
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **whole}))
        return path

    def close(self) -> None:
        """End all streams, and the server."""
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
