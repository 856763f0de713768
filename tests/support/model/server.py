"""A Redis of plain Python dicts that runs the product's Lua scripts: for models that need thousands of calls a second.

It knows the commands that the processor uses and nothing else; a command it does not know is an error. Scripts run in
LuaJIT (`lupa`) with `redis`, `cmsgpack`, `struct` and `bit` as Redis has them. `tests/contract/test_memory_redis.py` asks it and a
real Redis the same things. `save` and `restore` copy everything, so a model can set the state back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final

from redis.exceptions import NoScriptError, ResponseError
from tests.support.model.lua import Interpreter

Command = Sequence[Any]


class Hash(dict[bytes, bytes]):
    """Field to value."""


class Zset(dict[bytes, float]):
    """Member to score."""

    def ranked(self) -> list[bytes]:
        """Members by score, then by bytes."""
        return sorted(self, key=lambda member: (self[member], member))


def encode(value: Any) -> bytes:
    """An argument as the server sees it; Lua's numbers as Redis writes them."""
    if type(value) is bytes:
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, float):
        return b"%d" % int(value) if value.is_integer() else b"%.17g" % value
    return b"%d" % value


def _score(text: bytes) -> float:
    return float(text)


def _number(score: float) -> bytes:
    return b"%d" % int(score) if score.is_integer() else b"%.17g" % score


class MemoryRedis:
    """The server. `now_us` is its clock; it moves a little each time it is asked, and when a model moves it."""

    def __init__(self, now_us: int = 1_700_000_000_000_000) -> None:
        self.data: dict[bytes, Any] = {}
        self.scripts: dict[str, bytes] = {}
        self.now_us = now_us
        self.commands = 0
        self._lua = Interpreter(self.call)
        self._table: dict[bytes, Callable[[Sequence[bytes]], Any]] = {
            name[1:].upper().encode(): getattr(self, name)
            for name in dir(self)
            if name.startswith("_") and name[1:].islower() and name[1:] in COMMANDS
        }

    # ---- as a server -----------------------------------------------------------------------------------------------

    def call(self, *parts: Any) -> Any:
        """One command, atomic; the raw answer: bytes, int, list or None."""
        self.commands += 1
        name = encode(parts[0]).upper()
        handler = self._table.get(name)
        if handler is None:
            raise ResponseError(f"unknown command {name!r}")
        return handler([part if type(part) is bytes else encode(part) for part in parts[1:]])

    def save(self) -> dict[bytes, Any]:
        """Everything, as it is now."""
        return {key: type(value)(value) for key, value in self.data.items()}

    def restore(self, saved: dict[bytes, Any]) -> None:
        """Set everything back; the clock goes on."""
        self.data = {key: type(value)(value) for key, value in saved.items()}

    def _at(self, key: bytes, kind: Any) -> Any:
        found = self.data.get(key)
        if found is None:
            found = self.data[key] = kind()
        elif type(found) is not kind:
            raise ResponseError("WRONGTYPE")
        return found

    def _trim(self, key: bytes) -> None:
        if not self.data[key]:
            del self.data[key]

    # ---- commands --------------------------------------------------------------------------------------------------

    def _time(self, _: Sequence[bytes]) -> list[bytes]:
        self.now_us += 1
        return [b"%d" % (self.now_us // 1_000_000), b"%d" % (self.now_us % 1_000_000)]

    def _hget(self, a: Sequence[bytes]) -> bytes | None:
        found: bytes | None = self.data.get(a[0], {}).get(a[1])
        return found

    def _hmget(self, a: Sequence[bytes]) -> list[bytes | None]:
        get = self.data.get(a[0], {}).get
        return [get(field) for field in a[1:]]

    def _hgetall(self, a: Sequence[bytes]) -> list[bytes]:
        return [part for pair in self.data.get(a[0], {}).items() for part in pair]

    def _hkeys(self, a: Sequence[bytes]) -> list[bytes]:
        return list(self.data.get(a[0], {}))

    def _hlen(self, a: Sequence[bytes]) -> int:
        return len(self.data.get(a[0], {}))

    def _hset(self, a: Sequence[bytes]) -> int:
        if len(a) < 3 or len(a) % 2 == 0:
            raise ResponseError("wrong number of arguments for 'hset'")
        table = self._at(a[0], Hash)
        before = len(table)
        table.update(zip(a[1::2], a[2::2], strict=True))
        return len(table) - before

    def _hsetnx(self, a: Sequence[bytes]) -> int:
        table = self._at(a[0], Hash)
        return 0 if a[1] in table else self._hset(a)

    def _hdel(self, a: Sequence[bytes]) -> int:
        return self._remove(a, Hash)

    def _remove(self, a: Sequence[bytes], kind: Any) -> int:
        table = self._at(a[0], kind)
        gone = sum(table.pop(field, None) is not None for field in dict.fromkeys(a[1:]))
        self._trim(a[0])
        return gone

    def _hscan(self, a: Sequence[bytes]) -> list[Any]:
        return [b"0", self._hgetall(a)]

    def _zscan(self, a: Sequence[bytes]) -> list[Any]:
        table = self.data.get(a[0], Zset())
        return [b"0", [part for member in table.ranked() for part in (member, _number(table[member]))]]

    def _zadd(self, a: Sequence[bytes]) -> int:
        at, flags = 1, set()
        while a[at] in (b"GT", b"LT", b"XX"):
            flags.add(a[at])
            at += 1
        if at == len(a) or (len(a) - at) % 2:
            raise ResponseError("syntax error")
        pairs = [(_score(a[i]), a[i + 1]) for i in range(at, len(a), 2)]
        table = self._at(a[0], Zset)
        before = len(table)
        for score, member in pairs:
            known = table.get(member)
            if known is None:
                if b"XX" not in flags:
                    table[member] = score
            elif not ((b"GT" in flags and score <= known) or (b"LT" in flags and score >= known)):
                table[member] = score
        added = len(table) - before
        self._trim(a[0])
        return added

    def _zrem(self, a: Sequence[bytes]) -> int:
        return self._remove(a, Zset)

    def _zscore(self, a: Sequence[bytes]) -> bytes | None:
        found = self.data.get(a[0], {}).get(a[1])
        return None if found is None else _number(found)

    def _zmscore(self, a: Sequence[bytes]) -> list[bytes | None]:
        table = self.data.get(a[0], {})
        return [None if (found := table.get(member)) is None else _number(found) for member in a[1:]]

    def _zrange(self, a: Sequence[bytes]) -> list[bytes]:
        table = self.data.get(a[0], Zset())
        members = _part(table.ranked(), a[1], a[2])
        if len(a) == 3:
            return members
        return [part for member in members for part in (member, _number(table[member]))]

    def _zrangebyscore(self, a: Sequence[bytes]) -> list[bytes]:
        table = self.data.get(a[0], Zset())
        low, high = float(a[1]), float(a[2])
        return _limited([member for member in table.ranked() if low <= table[member] <= high], a[3:])

    def _zrangebylex(self, a: Sequence[bytes]) -> list[bytes]:
        return _limited(self._lex(a), a[3:])

    def _zlexcount(self, a: Sequence[bytes]) -> int:
        return len(self._lex(a))

    def _lex(self, a: Sequence[bytes]) -> list[bytes]:
        low, high = a[1], a[2]
        return [
            member
            for member in self.data.get(a[0], Zset()).ranked()
            if (low == b"-" or member > low[1:] or (low[:1] == b"[" and member == low[1:]))
            and (high == b"+" or member < high[1:] or (high[:1] == b"[" and member == high[1:]))
        ]

    def _rpush(self, a: Sequence[bytes]) -> int:
        found = self._at(a[0], list)
        found.extend(a[1:])
        return len(found)

    def _lrange(self, a: Sequence[bytes]) -> list[bytes]:
        return _part(self.data.get(a[0], []), a[1], a[2])

    def _lindex(self, a: Sequence[bytes]) -> bytes | None:
        found, at = self.data.get(a[0], []), int(a[1])
        return found[at] if -len(found) <= at < len(found) else None

    def _llen(self, a: Sequence[bytes]) -> int:
        return len(self.data.get(a[0], []))

    def _ltrim(self, a: Sequence[bytes]) -> bytes:
        if a[0] in self.data:
            self.data[a[0]] = _part(self.data[a[0]], a[1], a[2])
            self._trim(a[0])
        return b"OK"

    def _lpop(self, a: Sequence[bytes]) -> Any:
        found = self.data.get(a[0])
        if found is None:
            return None
        count = int(a[1]) if len(a) > 1 else 1
        popped = found[:count]
        del found[:count]
        self._trim(a[0])
        return popped if len(a) > 1 else popped[0]

    def _sadd(self, a: Sequence[bytes]) -> int:
        found = self._at(a[0], set)
        before = len(found)
        found.update(a[1:])
        return len(found) - before

    def _srem(self, a: Sequence[bytes]) -> int:
        found = self._at(a[0], set)
        gone = len(found & set(a[1:]))
        found.difference_update(a[1:])
        self._trim(a[0])
        return gone

    def _smembers(self, a: Sequence[bytes]) -> list[bytes]:
        return sorted(self.data.get(a[0], ()))

    def _unlink(self, a: Sequence[bytes]) -> int:
        return sum(self.data.pop(key, None) is not None for key in a)

    def _exists(self, a: Sequence[bytes]) -> int:
        return sum(key in self.data for key in a)

    def _evalsha(self, a: Sequence[bytes]) -> Any:
        text = self.scripts.get(a[0].decode())
        if text is None:
            raise NoScriptError("NOSCRIPT No matching script")
        count = int(a[1])
        return self._lua.run(text, a[2 : 2 + count], a[2 + count :])

    def load(self, text: str) -> str:
        """SCRIPT LOAD."""
        sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        self.scripts[sha] = text.encode()
        return sha


COMMANDS: Final = frozenset(
    [
        "time",
        "hget",
        "hmget",
        "hgetall",
        "hkeys",
        "hlen",
        "hset",
        "hsetnx",
        "hdel",
        "hscan",
        "zscan",
        "zadd",
        "zrem",
        "zscore",
        "zmscore",
        "zrange",
        "zrangebyscore",
        "zrangebylex",
        "zlexcount",
        "rpush",
        "lrange",
        "lindex",
        "llen",
        "ltrim",
        "lpop",
        "sadd",
        "srem",
        "smembers",
        "unlink",
        "exists",
        "evalsha",
    ]
)


def _part(items: list[bytes], first: bytes, last: bytes) -> list[bytes]:
    low, high = int(first), int(last)
    low = max(0, low + len(items)) if low < 0 else low
    high = high + len(items) if high < 0 else high
    return items[low : high + 1]


def _limited(items: list[bytes], limit: Sequence[bytes]) -> list[bytes]:
    if not limit:
        return items
    first, count = int(limit[1]), int(limit[2])
    return items[first:] if count < 0 else items[first : first + count]
