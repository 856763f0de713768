"""The merge of records is a join, and the Lua of the fenced call merges as Python does."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.lua_merge import LuaMerge
from tests.support.services import RedisService

from headwater_processor.core.lattice import ALIAS, DS, FR, JOB, NO_MIN, ONE, invert, merge

SHAPES = {"ds": DS, "sv": ONE, "mv": ONE, "fr": FR, "job": JOB, "edge": ONE, "al": ALIAS, "about": ONE}
DOUBLES = st.sampled_from([NO_MIN, -1_740_787_200_000_000.0, -1.0, 0.0, 1.0, 1_740_787_200_000_000.0, 2.0**53 - 1])
# Bytes on both sides of 0x80 and prefixes of each other: the order must be that of unsigned bytes.
PAYLOADS = st.sampled_from(
    [b"", b"\0", b"\x01", b"\x7f", b"\x80", b"\x80\0", b"\xff", b"\xffa", b"a", b"b", b"a\xc3\xa9"]
)


def records(shape: struct.Struct) -> st.SearchStrategy[bytes]:
    count = shape.size // 8
    return st.builds(lambda numbers, payload: shape.pack(*numbers) + payload, st.tuples(*[DOUBLES] * count), PAYLOADS)


def same_shape(count: int) -> st.SearchStrategy[tuple[str, list[bytes]]]:
    """A table and some records of it."""

    def of(table: str) -> st.SearchStrategy[tuple[str, list[bytes]]]:
        return st.tuples(st.just(table), st.lists(records(SHAPES[table]), min_size=count, max_size=count))

    return st.sampled_from(sorted(SHAPES)).flatmap(of)


@given(same_shape(2))
def test_merge_is_commutative(drawn: tuple[str, list[bytes]]) -> None:
    table, (a, b) = drawn
    assert merge(SHAPES[table], a, b) == merge(SHAPES[table], b, a)


@given(same_shape(3))
def test_merge_is_associative(drawn: tuple[str, list[bytes]]) -> None:
    table, (a, b, c) = drawn
    shape = SHAPES[table]
    assert merge(shape, merge(shape, a, b), c) == merge(shape, a, merge(shape, b, c))


@given(same_shape(2))
def test_merge_is_idempotent_and_absorbs_what_it_merged(drawn: tuple[str, list[bytes]]) -> None:
    table, (a, b) = drawn
    shape = SHAPES[table]
    merged = merge(shape, a, b)
    assert merge(shape, a, a) == a
    assert merge(shape, merged, a) == merge(shape, merged, b) == merged


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16))
def test_inverting_ids_reverses_their_order(a: bytes, b: bytes) -> None:
    assert (a < b) == (invert(a) > invert(b))
    assert invert(invert(a)) == a


@pytest.fixture(scope="module")
def lua(redis_server: RedisService) -> Iterator[LuaMerge]:
    redis_server.flush()
    with redis.Redis.from_url(redis_server.url) as client:
        yield LuaMerge(client)


@settings(max_examples=400, deadline=None)
@given(same_shape(2))
def test_the_call_merges_every_table_as_python_does(lua: LuaMerge, drawn: tuple[str, list[bytes]]) -> None:
    table, (old, new) = drawn
    assert lua.record(table, old, new) == merge(SHAPES[table], old, new)
