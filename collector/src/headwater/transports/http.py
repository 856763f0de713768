"""Events as OpenLineage documents to a server that takes them by POST, so that a job can feed another lineage system.

One thread sends, one document a request, over one connection that is kept open. What is worth a second try (no answer
in time, 408, 425, 429, 5xx) is tried again after a pause that doubles up to half a minute, or that the server names
(`Retry-After`), until `give_up_s` is over; then it is given back, so that a spool or a fallback can save it. Other
answers of 4xx are about the event and end it. Redirects are not followed, proxies not used.
"""

from __future__ import annotations

import gzip
import http.client
import random
import ssl
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Final, Self
from urllib.parse import SplitResult, urlsplit

import orjson

from headwater import __version__
from headwater.errors import BrokerUnavailable, ConfigError, DeliveryError, Unauthorized
from headwater.masking import error_text
from headwater.openlineage import to_openlineage
from headwater.transports.base import Encoded, Settle

DEFAULT_TIMEOUT_S: Final = 5.0
DEFAULT_GIVE_UP_S: Final = 60.0
CAPACITY: Final = 1_000
_DEFAULT_PATH: Final = "/api/v1/lineage"
_AGAIN: Final = frozenset({408, 425, 429})
_FORBIDDEN: Final = frozenset({401, 403})
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 30.0
_LONGEST_ANSWER_BYTES: Final = 64 * 1024
_WORTH_ZIPPING_BYTES: Final = 1_024


class HttpTransport:
    """Posts events to `url`.

    Args:
        url: `http://` or `https://`; without a path `/api/v1/lineage` is added, as OpenLineage's own client does.
        token: sent as `Authorization: Bearer …`.
        compress: send bodies of a kilobyte and more as gzip.
        timeout_s: for connecting, and for an answer.
        give_up_s: how long one event is tried.

    Raises:
        ConfigError: the URL is none, or holds credentials.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        compress: bool = False,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        give_up_s: float = DEFAULT_GIVE_UP_S,
    ) -> None:
        self._url = _checked(url)
        self._headers = _headers(token)
        self._options = (url, token, compress, timeout_s, give_up_s)
        self._compress = compress
        self._timeout_s = timeout_s
        self._give_up_s = give_up_s
        self._where = f"{self._url.scheme}://{self._url.netloc}{self._path}"
        self._changed = threading.Condition()
        self._waiting: deque[Encoded] = deque()
        self._in_hand: Encoded | None = None
        self._settle: Settle | None = None
        self._closed = False
        self._counts: Counter[str] = Counter()
        self._thread: threading.Thread | None = None
        self._connection: http.client.HTTPConnection | None = None

    def send(self, batch: Sequence[Encoded], settle: Settle) -> int:
        """Queue the batch; what does not fit is left for later."""
        with self._changed:
            if self._closed:
                raise DeliveryError("the HTTP transport is closed", remedy="make a new emitter")
            self._settle = settle
            taken = min(len(batch), max(0, CAPACITY - len(self._waiting)))
            self._waiting += batch[:taken]
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="headwater-http", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return taken

    def poll(self, timeout_s: float) -> None:
        """Wait until something was settled; the thread settles by itself."""
        with self._changed:
            if timeout_s > 0 and self._left():
                self._changed.wait(timeout_s)

    def flush(self, timeout_s: float) -> int:
        """Wait until everything is settled."""
        with self._changed:
            self._changed.wait_for(lambda: not self._left(), timeout_s)
            return self._left()

    def recall(self) -> None:
        """Give back what waits, and what is being sent; that may arrive nevertheless."""
        with self._changed:
            lost = [*((self._in_hand,) if self._in_hand is not None else ()), *self._waiting]
            self._waiting.clear()
            self._in_hand = None
            self._changed.notify_all()
        if lost and self._settle is not None:
            why = BrokerUnavailable(
                f"{self._where} did not answer in time", remedy="look at the server and the network"
            )
            self._settle(len(lost), why, lost)

    def close(self, timeout_s: float) -> None:
        """Wait for answers, then give up what is left: it is reported as failed."""
        self.flush(timeout_s)
        self.recall()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def after_fork(self) -> Self:
        """One with a connection and a thread of its own."""
        url, token, compress, timeout_s, give_up_s = self._options
        return type(self)(url, token=token, compress=compress, timeout_s=timeout_s, give_up_s=give_up_s)

    def counts(self) -> Mapping[str, int]:
        """`http_retries`: requests beyond the first of an event."""
        return dict(self._counts)

    @property
    def _path(self) -> str:
        path = self._url.path.rstrip("/") or _DEFAULT_PATH
        return f"{path}?{self._url.query}" if self._url.query else path

    def _left(self) -> int:
        return len(self._waiting) + (self._in_hand is not None)

    def _work(self) -> None:
        """The thread's life."""
        while (encoded := self._next()) is not None:
            try:
                error = self._delivered(encoded)
            except Exception as bug:  # noqa: BLE001 - one event that cannot be written must not hold up the others
                error = DeliveryError(f"the event cannot be sent by HTTP: {error_text(bug)}")
            self._end(encoded, error)
        self._hang_up()

    def _next(self) -> Encoded | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return None
            self._in_hand = self._waiting.popleft()
            return self._in_hand

    def _end(self, encoded: Encoded, error: DeliveryError | None) -> None:
        with self._changed:
            ours, self._in_hand = self._in_hand is encoded, None if self._in_hand is encoded else self._in_hand
        if ours and self._settle is not None:  # else it was recalled meanwhile, and settled there
            self._settle(1, error, () if error is None else (encoded,))
        with self._changed:
            self._changed.notify_all()

    def _delivered(self, encoded: Encoded) -> DeliveryError | None:
        """Try until it is delivered, refused or given up."""
        body = orjson.dumps(to_openlineage(encoded.event))
        headers = dict(self._headers)
        if self._compress and len(body) >= _WORTH_ZIPPING_BYTES:
            body = gzip.compress(body, 6)
            headers["Content-Encoding"] = "gzip"
        give_up_s, pause_s = time.monotonic() + self._give_up_s, _FIRST_PAUSE_S
        while True:
            error, named_s = self._posted(body, headers)
            if error is None or not error.retriable or isinstance(error, Unauthorized):
                return error
            wait_s = max(pause_s * random.uniform(0.7, 1.3), named_s)  # noqa: S311 - no secret
            if time.monotonic() + wait_s > give_up_s or not self._wait_in_hand(encoded, wait_s):
                return error
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            self._counts["http_retries"] += 1

    def _wait_in_hand(self, encoded: Encoded, wait_s: float) -> bool:
        """Pause before another try; False if the event was recalled meanwhile."""
        with self._changed:
            return not self._changed.wait_for(lambda: self._in_hand is not encoded, wait_s)

    def _posted(self, body: bytes, headers: Mapping[str, str]) -> tuple[DeliveryError | None, float]:
        """One request: why it failed, and how long the server asks us to wait."""
        try:
            status, said, retry_after = self._answer(body, headers)
        except (OSError, http.client.HTTPException) as error:
            self._hang_up()
            why = error_text(error, 200)
            return BrokerUnavailable(
                f"{self._where}: {why}", remedy="check the address, the server and the network"
            ), 0.0
        if 200 <= status < 300:
            return None, 0.0
        return _refused(self._where, status, said), retry_after

    def _answer(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, str, float]:
        if self._connection is None:
            self._connection = self._connected()
        self._connection.request("POST", self._path, body, dict(headers))
        answer = self._connection.getresponse()
        said = answer.read(_LONGEST_ANSWER_BYTES)
        if answer.will_close or not answer.isclosed():
            self._hang_up()
        return (
            answer.status,
            error_text(said.decode("utf-8", "replace"), 200),
            _seconds(answer.getheader("Retry-After")),
        )

    def _connected(self) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._url.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, port, timeout=self._timeout_s, context=context)
        return http.client.HTTPConnection(host, port, timeout=self._timeout_s)

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(
            f"{error_text(url, 200)!r} is no address for lineage events", remedy="give http://host:port or https://…"
        )
    if parts.username or parts.password:
        raise ConfigError("the address for lineage events holds credentials", remedy="give a token instead")
    return parts


def _headers(token: str) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "User-Agent": f"headwater/{__version__}"}
    if not token:
        return headers
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError("the token for lineage events holds a character that no header may", remedy="look at it")
    return headers | {"Authorization": f"Bearer {token}"}


def _refused(where: str, status: int, said: str) -> DeliveryError:
    answer = f"{where} answers {status}" + (f": {said}" if said else "")
    if status in _FORBIDDEN:
        return Unauthorized(answer, remedy="check HEADWATER_HTTP_TOKEN")
    if status in _AGAIN or status >= 500:
        return BrokerUnavailable(answer, remedy="look at the server")
    remedy = "give the address that it redirects to" if 300 <= status < 400 else "see what the server says"
    return DeliveryError(answer, remedy=remedy)


def _seconds(retry_after: str | None) -> float:
    """`Retry-After` in seconds; 0 where it is missing or a date. More than our own longest pause is not waited."""
    given = (retry_after or "").strip()
    return min(float(given), _LONGEST_PAUSE_S) if given.isascii() and given.isdigit() else 0.0
