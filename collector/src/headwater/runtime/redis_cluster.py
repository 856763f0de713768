"""Connections to the one node of a Redis Cluster that holds a domain.

All keys of a domain share a hash tag, so they are in one slot, on one node: scripts, transactions and pipelines work as on a
single Redis, and everything that speaks to one (`redis.Redis`, the worker's own connection) goes on as it is. Only where
that node is has to be found, and found again: with each connect a node of the cluster is asked who holds the slot. A node
that has lost it says so (MOVED); that ends the connection as if it had been lost, and the next one goes to the new holder.
While a slot is on its way (ASK, TRYAGAIN) callers wait as they do for a server that is loading.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import redis
from redis.connection import Connection, SSLConnection
from redis.crc import key_slot
from redis.exceptions import AskError, AuthenticationError, MovedError, RedisError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError

Address = tuple[str, int]

_ASK_TIMEOUT_S: Final = 2.0


def slot_of(domain: str) -> int:
    """The slot that holds every key of a domain."""
    return int(key_slot(f"{{hw:{domain}}}:".encode()))


class Finder:
    """Finds the node that holds a slot. Shared by the connections of a pool.

    Args:
        seeds: nodes to ask; those that they name are asked too, later.
        slot: what is looked for.
        options: how to connect to a node: what `redis.Redis` takes.
    """

    def __init__(self, seeds: Sequence[Address], slot: int, options: Mapping[str, Any]) -> None:
        self.slot = slot
        self._seeds = list(seeds)
        self._options = {**options, "socket_timeout": _ASK_TIMEOUT_S, "socket_connect_timeout": _ASK_TIMEOUT_S}
        self._known: list[Address] = []
        self._current: Address | None = None
        self._pool: weakref.ref[redis.ConnectionPool] | None = None
        self._lock = threading.Lock()

    def address(self) -> Address:
        """Where the slot is, as the first node that answers knows it.

        Raises:
            RedisError: no node answers, none has the slot, or the one that answers is no cluster.
        """
        error: RedisError = RedisConnectionError("no node of the cluster is named")
        for node in self._nodes():
            try:
                return self._ask(node)
            except AuthenticationError:
                raise
            except (RedisConnectionError, redis.TimeoutError) as failed:
                error = failed
                self._put_last(node)
        raise error

    def serve(self, pool: redis.ConnectionPool) -> None:
        """Say whose connections are closed when the slot is elsewhere."""
        self._pool = weakref.ref(pool)

    def at(self, address: Address) -> None:
        """A connection is made there. If that is another node than before, what idles in the pool is closed.

        A command without a key would else be answered by the old node: a script loaded there is missing on the new one.
        """
        with self._lock:
            changed, self._current = self._current not in (None, address), address
        if changed:
            self.close_idle()

    def close_idle(self) -> None:
        """Close the connections that nobody uses at the moment."""
        pool = self._pool() if self._pool is not None else None
        if pool is not None:
            pool.disconnect(inuse_connections=False)

    def _nodes(self) -> Iterator[Address]:
        with self._lock:
            nodes = [*self._known, *self._seeds]
        yield from dict.fromkeys(nodes)

    def _put_last(self, node: Address) -> None:
        with self._lock:
            if node in self._known:
                self._known.remove(node)
                self._known.append(node)

    def _ask(self, node: Address) -> Address:
        with redis.Redis(host=node[0], port=node[1], **self._options) as client:
            connection = client.connection_pool.get_connection()
            try:
                connection.send_command("CLUSTER", "SLOTS")
                ranges: Any = connection.read_response()
            finally:
                client.connection_pool.release(connection)
        found: Address | None = None
        known: list[Address] = []
        for first, last, *holders in ranges:
            addresses = [(_text(holder[0]) or node[0], int(holder[1])) for holder in holders]
            known += addresses
            if first <= self.slot <= last:
                found = addresses[0]
        if found is None:
            raise RedisConnectionError(f"no node of the cluster holds slot {self.slot}")
        with self._lock:
            self._known = list(dict.fromkeys(known))
        return found


class SlotConnection(Connection):
    """A connection to the node that holds the finder's slot."""

    def __init__(self, *, finder: Finder, **options: Any) -> None:  # Any: what redis-py's connections take
        super().__init__(**options)  # type: ignore[no-untyped-call]  # redis-py leaves its connections untyped
        self._finder = finder

    def connect(self) -> None:
        """Find the node, then connect to it."""
        if self._sock is None:
            self.host, self.port = self._finder.address()
            self._finder.at((self.host, self.port))
        super().connect()  # type: ignore[no-untyped-call]  # as above

    def read_response(self, *args: Any, **options: Any) -> Any:  # Any: as the method that it stands before
        """An answer. That of a node that has not the slot any more ends the connection: the next one finds who has it."""
        try:
            return super().read_response(*args, **options)
        except MovedError as error:
            self.disconnect()  # type: ignore[no-untyped-call]  # as above
            self._finder.close_idle()
            raise RedisConnectionError(f"slot {self._finder.slot} is held by another node now: {error}") from error
        except AskError as error:
            raise TryAgainError(f"slot {self._finder.slot} is on its way to another node: {error}") from error


class SlotTlsConnection(SlotConnection, SSLConnection):
    """The same over TLS."""


def _text(host: bytes | str | None) -> str:
    """A host as the cluster says it: none, or `?`, means the one that was asked."""
    text = host.decode() if isinstance(host, bytes) else host or ""
    return "" if text == "?" else text


__all__ = ["Address", "Finder", "SlotConnection", "SlotTlsConnection", "slot_of"]
