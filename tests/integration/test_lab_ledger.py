"""The laboratory's ledger on a real Redis: every push, byte for byte, and what it does not know it does not claim."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from tests.support.lab.ledger import Excuses, Ledger
from tests.support.processes import wait_until
from tests.support.redis_server import RedisServer

PUSH = "for i = 1, #ARGV do redis.call('RPUSH', KEYS[1], ARGV[i]) end"
OUTBOX = "{hw:shop}:o:3"
KEY = bytes(range(1, 25, 2))


def name(number: int) -> bytes:
    return b"d" + bytes([number]) * 12


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A Redis that may be hurt, and keeps what it was told."""
    try:
        with RedisServer(appendonly=True) as own:
            yield own
    except RuntimeError as error:
        pytest.skip(str(error))


@pytest.fixture
def ledger(server: RedisServer) -> Iterator[Ledger]:
    """A ledger that listens."""
    ledger = Ledger(server.port, "shop")
    ledger.start()
    yield ledger
    ledger.close()


def redis_now_us(client: redis.Redis) -> int:
    seconds, micros = client.time()
    return int(seconds) * 1_000_000 + int(micros)


def test_every_byte_that_a_script_or_a_client_pushes_is_in_the_ledger(server: RedisServer, ledger: Ledger) -> None:
    scripted, direct = [name(number) for number in range(256)], [b"m" + bytes([n]) * 12 for n in range(256)]
    with server.client() as client:
        before = redis_now_us(client)
        client.eval(PUSH, 1, OUTBOX, *scripted)
        client.rpush(OUTBOX, b"".join(direct))
        after = redis_now_us(client)
    pushes = ledger.last_pushes()
    assert pushes.keys() == {*scripted, *direct}
    assert all(before <= at <= after for at in pushes.values())
    assert ledger.odd() == []


def test_a_ledger_that_was_cut_off_says_so_and_goes_on(server: RedisServer, ledger: Ledger) -> None:
    with server.client() as client:
        client.rpush(OUTBOX, name(1))
        assert ledger.last_pushes().keys() == {name(1)}
        client.client_kill_filter(_type="normal", skipme=True)
        wait_until(lambda: bool(ledger.gaps_us), within_s=10, what="the gap is noted")
        client.rpush(OUTBOX, name(2))
    server.kill()
    server.start()
    with server.client() as client:
        client.rpush(OUTBOX, name(3))
    assert ledger.last_pushes().keys() >= {name(1), name(3)}
    assert len(ledger.gaps_us) >= 2
    assert all(since < to for since, to in ledger.gaps_us)


def test_what_redis_refuses_is_not_in_the_ledger(server: RedisServer, ledger: Ledger) -> None:
    with server.client() as client:
        client.config_set("maxmemory", 1)
        with pytest.raises(redis.ResponseError):
            client.rpush(OUTBOX, name(1))
        with pytest.raises(redis.ResponseError):
            client.eval(PUSH, 1, OUTBOX, name(2))
        client.config_set("maxmemory", 0)
    assert ledger.last_pushes() == {}


def test_pushes_that_were_set_back_with_the_data_are_not_demanded(server: RedisServer, ledger: Ledger) -> None:
    with server.client() as client:
        client.rpush(OUTBOX, name(1))
        since = redis_now_us(client)
        client.rpush(OUTBOX, name(1), name(2))
        ledger.set_back(since, redis_now_us(client))
        client.rpush(OUTBOX, name(3))
    pushes = ledger.last_pushes()
    assert pushes.keys() == {name(1), name(3)}
    assert pushes[name(1)] < since


def test_only_what_waits_or_has_nothing_to_show_is_excused(server: RedisServer) -> None:
    names = {letter: letter + KEY for letter in (b"d", b"f", b"j")}
    names |= {b"e": b"er" + KEY + KEY, b"a": b"a" + KEY + KEY, b"r": b"r" + KEY + bytes(16), b"s": b"sd" + KEY}
    tables = {b"d": "ds", b"f": "fr", b"j": "job", b"e": "edge", b"a": "al", b"r": "run", b"s": f"st:{KEY[0] % 16}"}
    with server.client() as client:
        assert Excuses(client, "shop").of(list(names.values())) == set(names.values())
        for letter, table in tables.items():
            client.hset(f"{{hw:shop}}:{table}", names[letter][1:], "a record")
        assert Excuses(client, "shop").of(list(names.values())) == set()
        client.rpush(OUTBOX, names[b"d"] + names[b"r"])
        assert Excuses(client, "shop").of(list(names.values())) == {names[b"d"], names[b"r"]}
