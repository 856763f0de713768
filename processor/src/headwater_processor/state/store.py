"""Batched reads of the state in Redis: bytes in, bytes out. Every method is a bounded number of pipelined calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

import redis

from headwater_processor.state.layout import Keys
from headwater_schemas.ids import KEY_BYTES, shard_of

BATCH: Final = 1000
"""Fields asked for in one HMGET, nodes in one pipeline: a call stays well under a millisecond of server time."""

_SCAN_COUNT: Final = 1000


def batches(items: Iterable[bytes], size: int = BATCH) -> Iterator[list[bytes]]:
    """The items in lists of up to `size`."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


class StateStore:
    """The tables of one domain, read in batches. The client must return bytes (`decode_responses=False`)."""

    def __init__(self, client: redis.Redis, domain: str) -> None:
        self._redis = client
        self._keys = Keys(domain)

    def meta(self) -> dict[bytes, bytes]:
        """The whole `meta` hash; empty if the domain does not exist."""
        return dict(self._call(("HGETALL", self._keys.table("meta")))[0])

    def hash_of(self, table: str, number: int | None = None) -> dict[bytes, bytes]:
        """A small hash, whole."""
        return dict(self._call(("HGETALL", self._key(table, number)))[0])

    def counts(self, tables: Sequence[tuple[str, str]]) -> list[int]:
        """The sizes of tables, given as (command, table): HLEN for hashes, ZCARD for sorted sets."""
        return [int(n) for n in self._call(*((command, self._keys.table(table)) for command, table in tables))]

    def get_many(self, table: str, fields: Sequence[bytes]) -> dict[bytes, bytes]:
        """Those of the fields of a hash that exist."""
        found: dict[bytes, bytes] = {}
        for batch in batches(fields):
            values = self._call(("HMGET", self._keys.table(table), *batch))[0]
            found.update((field, value) for field, value in zip(batch, values, strict=True) if value is not None)
        return found

    def get_tables(self, tables: Sequence[str], fields: Sequence[bytes]) -> list[dict[bytes, bytes]]:
        """The same fields of several hashes in one pipeline; at most `BATCH` fields."""
        if not fields:
            return [{} for _ in tables]
        replies = self._call(*(("HMGET", self._keys.table(table), *fields) for table in tables))
        return [
            {field: value for field, value in zip(fields, values, strict=True) if value is not None}
            for values in replies
        ]

    def get_sharded(self, table: str, kind: bytes, keys: Sequence[bytes], shards: int) -> dict[bytes, bytes]:
        """Fields `kind + key` of a hash that is kept by shard; the answer is by key."""
        by_shard: dict[int, list[bytes]] = {}
        for key in keys:
            by_shard.setdefault(shard_of(key, shards), []).append(key)
        groups = list(by_shard.items())
        replies = self._call(
            *(("HMGET", self._keys.part(table, shard), *(kind + key for key in group)) for shard, group in groups)
        )
        return {
            key: value
            for (_, group), values in zip(groups, replies, strict=True)
            for key, value in zip(group, values, strict=True)
            if value is not None
        }

    def scores(self, table: str, members: Sequence[bytes]) -> dict[bytes, int]:
        """The scores of those members of a sorted set that exist, as integers."""
        found: dict[bytes, int] = {}
        for batch in batches(members):
            scores = self._call(("ZMSCORE", self._keys.table(table), *batch))[0]
            found.update((m, int(float(score))) for m, score in zip(batch, scores, strict=True) if score is not None)
        return found

    def neighbours(self, ranges: Sequence[tuple[bytes, bytes]], limit: int) -> list[list[bytes]]:
        """For each (node key, edge kind) the edge keys in the adjacency of the node, at most `limit` each."""
        key = self._keys.table("ax")
        found: list[list[bytes]] = []
        for start in range(0, len(ranges), BATCH):
            commands = (
                ("ZRANGEBYLEX", key, b"[" + node + kind, b"(" + node + _successor(kind), "LIMIT", 0, limit)
                for node, kind in ranges[start : start + BATCH]
            )
            found += [[member[KEY_BYTES:] for member in members] for members in self._call(*commands)]
        return found

    def members_after(self, table: str, prefix: bytes, limit: int) -> list[bytes]:
        """What follows the prefix in the members that begin with it, of a sorted set without scores."""
        end = b"(" + prefix + b"\xff" * KEY_BYTES
        command = ("ZRANGEBYLEX", self._keys.table(table), b"[" + prefix, end, "LIMIT", 0, limit)
        return [member[len(prefix) :] for member in self._call(command)[0]]

    def members(self, table: str, number: int | None = None) -> Iterator[list[tuple[bytes, int]]]:
        """All (member, score) of a sorted set, in batches. What changes meanwhile may be seen or not, never twice."""
        key, cursor, seen = self._key(table, number), 0, set[bytes]()
        while True:
            cursor, pairs = self._call(("ZSCAN", key, cursor, "COUNT", _SCAN_COUNT))[0]
            fresh = [(member, int(float(score))) for member, score in pairs if member not in seen]
            seen.update(member for member, _ in fresh)
            for start in range(0, len(fresh), BATCH):
                yield fresh[start : start + BATCH]
            if cursor == 0:
                return

    def fields(self, table: str, number: int | None = None) -> Iterator[tuple[bytes, bytes]]:
        """All (field, value) of a big hash. A field may come twice while the table is being resized."""
        cursor = 0
        while True:
            cursor, pairs = self._call(("HSCAN", self._key(table, number), cursor, "COUNT", _SCAN_COUNT))[0]
            yield from pairs.items()
            if cursor == 0:
                return

    def _key(self, table: str, number: int | None) -> str:
        return self._keys.table(table) if number is None else self._keys.part(table, number)

    def _call(self, *commands: tuple[Any, ...]) -> list[Any]:
        if not commands:
            return []
        # Typed by hand: the client's own types say neither that replies are bytes nor what a command answers.
        pipe: Any = self._redis.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*command)
        return list(pipe.execute())


def _successor(kind: bytes) -> bytes:
    """The smallest byte string after all those that begin with `kind`."""
    return bytes([kind[0] + 1])
