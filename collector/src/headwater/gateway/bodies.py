"""Bodies of requests: read within a bound, unpacked within the same bound."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from headwater.gateway.answers import CLOSE, Problem

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


class GoneError(Exception):
    """The client closed the connection before it had sent everything."""


class Held:
    """How many bytes of bodies are in memory, over all requests."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.bytes = 0

    def take(self, size: int) -> None:
        """Hold so many bytes more. Raises Problem: that would be too much."""
        if self.bytes + size > self.most:
            raise Problem(503, "busy", "the gateway holds as much as it may", extra=(CLOSE,))
        self.bytes += size

    def give(self, size: int) -> None:
        """Hold so many bytes less."""
        self.bytes -= size


async def read(receive: Receive, held: Held, most: int) -> bytes:
    """The body. What is returned is held; the caller gives it back. That it comes in time is seen to by `http_limits`.

    Raises:
        Problem: it is larger than `most`, or the gateway holds too much already.
        GoneError: the client is gone.
    """
    message = await receive()
    if message.get("more_body") or message["type"] != "http.request":
        return await _read_on(message, receive, held, most)
    body: bytes = message["body"]
    _check_size(len(body), most)
    held.take(len(body))
    return body


async def _read_on(message: Message, receive: Receive, held: Held, most: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        while True:
            if message["type"] != "http.request":
                raise GoneError
            part: bytes = message["body"]
            _check_size(size + len(part), most)
            held.take(len(part))
            parts.append(part)
            size += len(part)
            if not message.get("more_body"):
                return b"".join(parts)
            message = await receive()
    except BaseException:
        held.give(size)
        raise


def unpacked(body: bytes, encoding: bytes, most: int) -> bytes:
    """The body without its `Content-Encoding`: gzip, zstd or none. Raises Problem."""
    name = encoding.strip().lower()
    if name in (b"", b"identity"):
        return body
    if name in (b"gzip", b"x-gzip"):
        return _gunzipped(body, most)
    if name == b"zstd":
        return _unzstd(body, most)
    raise Problem(415, "encoding", "send Content-Encoding gzip or zstd, or none")


def _gunzipped(body: bytes, most: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        while body:  # a stream may have several members
            unpacker = zlib.decompressobj(wbits=31)
            part = unpacker.decompress(body, most - size + 1)
            size += len(part)
            _check_size(size, most)
            if not unpacker.eof:
                raise Problem(400, "encoding", "the body ends in the middle of its gzip stream")
            parts.append(part)
            body = unpacker.unused_data
    except zlib.error as error:
        raise Problem(400, "encoding", "the body is no gzip") from error
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _unzstd(body: bytes, most: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        while body:  # and several frames
            unpacker = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})
            part = unpacker.decompress(body, most - size + 1)
            size += len(part)
            _check_size(size, most)
            if not unpacker.eof:
                raise Problem(400, "encoding", "the body ends in the middle of its zstd frame")
            parts.append(part)
            body = unpacker.unused_data
    except zstd.ZstdError as error:
        raise Problem(400, "encoding", "the body is no zstd, or its window is over 8 MiB") from error
    return parts[0] if len(parts) == 1 else b"".join(parts)


_WINDOW_LOG: Final = 23  # 8 MiB: what RFC 9659 allows for zstd in HTTP


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise Problem(413, "too_large", f"the body has more than {most} bytes", extra=(CLOSE,))
