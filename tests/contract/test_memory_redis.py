"""The Redis in memory answers as a real one does: the same commands and scripts, the same answers, the same keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import redis
from tests.support.model.server import MemoryRedis

COMMANDS: Sequence[tuple[Any, ...]] = [
    ("HSET", "h", "a", "1", "b", "2"), ("HSET", "h", "a", "3", "c", "4"), ("HMGET", "h", "a", "x", "c"), ("HGET", "h", "x"),
    ("HSETNX", "h", "a", "9"), ("HSETNX", "h", "n", "9"), ("HDEL", "h", "a", "x"), ("HGET", "nothing", "a"),
    ("ZADD", "z", 5, "m", 1, "n"), ("ZADD", "z", "GT", 4, "m", 7, "n", 2, "o"), ("ZADD", "z", "LT", 1, "m", 9, "n"),
    ("ZADD", "z", "XX", "LT", 0, "p", 0, "o"), ("ZSCORE", "z", "m"), ("ZMSCORE", "z", "m", "n", "o", "p"), ("ZRANGE", "z", 0, -1),
    ("ZRANGE", "z", 0, -1, "WITHSCORES"), ("ZRANGEBYSCORE", "z", "-inf", 1, "LIMIT", 0, 1), ("ZRANGEBYSCORE", "z", 1, 7),
    ("ZADD", "big", 1_740_787_200_000_001, "m"), ("ZSCORE", "big", "m"), ("ZREM", "z", "m", "x"), ("ZREM", "nothing", "m"),
    ("ZADD", "lex", 0, "aa", 0, "ab", 0, "b"), ("ZRANGEBYLEX", "lex", "[a", "(b", "LIMIT", 0, 10), ("ZLEXCOUNT", "lex", "[ab", "+"),
    ("RPUSH", "l", "1", "2", "3", "4"), ("LRANGE", "l", 1, 2), ("LRANGE", "l", 0, -2), ("LINDEX", "l", 0), ("LINDEX", "l", 9),
    ("LLEN", "l"), ("LPOP", "l"), ("LPOP", "l", 2), ("LTRIM", "l", 1, -1), ("LLEN", "l"), ("LPOP", "l"), ("LPOP", "l", 2),
    ("SADD", "s", "a", "b", "a"), ("SREM", "s", "a", "x"), ("SMEMBERS", "s"), ("UNLINK", "s", "nothing"),
]  # fmt: skip
SCRIPTS: Sequence[tuple[str, Sequence[str], Sequence[Any]]] = [
    ("return redis.call('HGET', KEYS[1], 'b')", ["h"], []),
    ("return redis.call('HMGET', KEYS[1], 'b', 'x')[2] == false and 1 or 0", ["h"], []),
    ("return {1, 'two', {3, 'four'}, false, 5}", [], []),
    ("return {ARGV[1] + 1, #ARGV, KEYS[1]}", ["k"], ["41", b"\xff\0"]),
    ("return cmsgpack.pack({1, 'a', {-5, 1790000000000000, 'b'}})", [], []),
    ("local t = cmsgpack.unpack(ARGV[1]); return {t[1], t[2][1], #t}", [], [b"\x93\x07\x92\xa1a\x02\xa1c"]),
    ("return struct.pack('>dI4', 1.5, 7)", [], []),
    (
        "local a, b, at = struct.unpack('>dI4', ARGV[1]); return {tostring(a), b, at}",
        [],
        [b"\x3f\xf8" + bytes(9) + b"\x07"],
    ),
    ("return bit.bor(5, bit.lshift(1, 3))", [], []),
    ("return redis.call('ZADD', KEYS[1], 'GT', 1740787200000003, 'm')", ["big"], []),
    ("return redis.call('ZSCORE', KEYS[1], 'm')", ["big"], []),
    ("return redis.error_reply('ARITY')", [], []),
    ("return 3.7", [], []),
]


def answer(ask: Callable[[], Any]) -> Any:
    """What it says; an error by its kind."""
    try:
        found = ask()
    except redis.RedisError as error:
        return type(error).__name__
    return sorted(found) if isinstance(found, set) else found


def asker(client: redis.Redis) -> Callable[..., Any]:
    """Commands on a connection of the client, whose answers nobody reads anything into."""
    made: Any = redis.Connection  # untyped
    connection = made(**client.get_connection_kwargs() | {"protocol": 2})

    def ask(*command: Any) -> Any:
        connection.send_command(*command)
        return connection.read_response()

    return ask


def test_commands_are_answered_as_by_a_real_one(redis_client: redis.Redis) -> None:
    memory, real = MemoryRedis(), asker(redis_client)
    for command in COMMANDS:
        mine = answer(lambda: memory.call(*command))  # noqa: B023 - asked at once
        theirs = answer(lambda: real(*command))  # noqa: B023 - as above
        if command[0] == "SMEMBERS":
            mine, theirs = sorted(mine), sorted(theirs)
        assert mine == theirs, command


@pytest.mark.parametrize("script", SCRIPTS, ids=[text for text, _, _ in SCRIPTS])
def test_scripts_are_run_as_by_a_real_one(
    script: tuple[str, Sequence[str], Sequence[Any]], redis_client: redis.Redis
) -> None:
    text, keys, args = script
    memory, real = MemoryRedis(), asker(redis_client)
    for each in (memory.call, real):
        each("HSET", "h", "b", "2")
        each("ZADD", "big", 1_740_787_200_000_001, "m")
    sha = memory.load(text)
    assert real("SCRIPT", "LOAD", text) == sha.encode()
    assert answer(lambda: memory.call("EVALSHA", sha, len(keys), *keys, *args)) == answer(
        lambda: real("EVALSHA", sha, len(keys), *keys, *args)
    )


def test_an_unknown_script_and_an_unknown_command_are_errors(redis_client: redis.Redis) -> None:
    memory = MemoryRedis()
    for each in (memory.call, asker(redis_client)):
        assert answer(lambda: each("EVALSHA", "0" * 40, 0)) == "NoScriptError"  # noqa: B023 - asked at once
        assert answer(lambda: each("NOSUCH")) == "ResponseError"  # noqa: B023 - as above
