"""Lua as Redis runs it: `redis.call`, `cmsgpack`, `struct`; `bit` is LuaJIT's own."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import msgpack
from lupa import luajit21
from redis.exceptions import ResponseError


@cache
def _struct(fmt: bytes) -> struct.Struct:
    return struct.Struct(fmt.decode().replace("I4", "I"))


class Interpreter:
    """The interpreter of one server. Scripts are compiled once."""

    def __init__(self, command: Callable[..., Any]) -> None:
        self._command = command
        runtime: Any = luajit21.LuaRuntime  # its stubs are behind it
        lua = runtime(encoding=None, unpack_returned_tuples=True, register_eval=False)
        self._table = lua.table_from
        g = lua.globals()
        g[b"redis"] = self._table({b"call": self._call, b"error_reply": self._error})
        g[b"cmsgpack"] = self._table({b"pack": self._pack, b"unpack": self._unpack})
        g[b"struct"] = self._table({b"pack": _struct_pack, b"unpack": _struct_unpack})
        self._begin = lua.execute(b"return function(keys, args) KEYS, ARGV = keys, args end")
        self._compile = lua.execute(b"return function(text) return assert(loadstring(text)) end")
        self._compiled: dict[bytes, Any] = {}

    def run(self, text: bytes, keys: Sequence[bytes], args: Sequence[bytes]) -> Any:
        script = self._compiled.get(text)
        if script is None:
            script = self._compiled[text] = self._compile(text)
        self._begin(self._table(keys), self._table(args))
        return self._answer(script())

    def _call(self, *parts: Any) -> Any:
        return self._given(self._command(*parts))

    def _given(self, answer: Any) -> Any:
        if answer is None:
            return False
        if type(answer) is list:
            return self._table([False if each is None else each for each in answer])
        return answer

    @staticmethod
    def _error(text: bytes) -> Any:
        raise ResponseError(text.decode())

    def _answer(self, value: Any) -> Any:
        """What a script returns, as a client gets it."""
        if value is None or value is False:
            return None
        if value is True:
            return 1
        if type(value) in (bytes, int):
            return value
        if isinstance(value, float):
            return int(value)
        return [self._answer(value[i]) for i in range(1, len(value) + 1)]

    def _unpack(self, packed: bytes) -> Any:
        return self._lua_of(msgpack.unpackb(packed, raw=True, strict_map_key=False))

    def _lua_of(self, value: Any) -> Any:
        if type(value) is list:
            if any(type(each) is list for each in value):
                value = [self._lua_of(each) for each in value]
            return self._table(value)
        return value

    def _pack(self, value: Any) -> bytes:
        packed: bytes = msgpack.packb(self._plain(value), use_bin_type=False)
        return packed

    def _plain(self, value: Any) -> Any:
        if isinstance(value, float):
            return int(value) if value.is_integer() else value
        if isinstance(value, (bytes, int)):
            return value
        return [self._plain(value[i]) for i in range(1, len(value) + 1)]


def _struct_pack(fmt: bytes, *values: float) -> bytes:
    return _struct(fmt).pack(*values)


def _struct_unpack(fmt: bytes, packed: bytes) -> tuple[Any, ...]:
    known = _struct(fmt)
    return (*known.unpack_from(packed), known.size + 1)
