"""Runs join in any order, and the Lua of the fenced call joins as Python does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.lua_merge import LuaMerge
from tests.support.services import RedisService

from headwater_processor.core.runs import OFFSETS_MAX, Run, decode_run, encode_run, join, join_offsets, status

# Few of everything, so that ties happen; and bytes on both sides of 0x80, for the order must be that of unsigned bytes.
TIMES = st.sampled_from([0, 1, 2, 1_740_787_200_000_000, 2**53 - 1])
IDS = st.sampled_from([b"", bytes(16), b"\x7f" * 16, b"\x80" * 16, b"\xff" * 16])
KEYS = st.sampled_from([bytes([n]) * 12 for n in (0, 1, 0x7F, 0x80, 0xFF)])
SETS = st.sets(KEYS, max_size=4).map(lambda keys: b"".join(sorted(keys)))
TEXTS = st.sampled_from([b"", b"a", b"a\x80", b"a\x7f", b"\xc3\xa9", b"aa"])
OFFSETS = st.dictionaries(
    st.builds(
        lambda side, key, at: side + key + at, st.sampled_from([b"i", b"o"]), KEYS, st.binary(min_size=2, max_size=2)
    ),
    st.tuples(TIMES, TIMES),
    max_size=5,
).map(lambda found: [part for key in sorted(found) for part in (key, *found[key])])
NOBODY_COMPLETED, NOBODY_FAILED = (0, b""), (0, 0, b"", b"")

RUNS = st.builds(
    Run,
    first=TIMES,
    started=TIMES,
    seen=TIMES,
    running=TIMES,
    complete=st.just(NOBODY_COMPLETED) | st.tuples(TIMES, IDS),
    credit=st.tuples(TIMES, IDS, st.just(b"") | KEYS),
    failed=st.just(NOBODY_FAILED) | st.tuples(TIMES, st.integers(0, 2), IDS, TEXTS),
    flags=st.integers(0, 3),
    idle=TIMES,
    inputs=SETS,
    outputs=SETS,
    runtime=st.tuples(TIMES, IDS, TEXTS),
    parent=st.tuples(TIMES, IDS, IDS, st.just(b"") | KEYS),
    offsets=OFFSETS,
)


@given(RUNS, RUNS)
def test_join_is_commutative(a: Run, b: Run) -> None:
    assert join(a, b) == join(b, a)


@given(RUNS, RUNS, RUNS)
def test_join_is_associative(a: Run, b: Run, c: Run) -> None:
    assert join(join(a, b), c) == join(a, join(b, c))


@given(RUNS, RUNS)
def test_join_is_idempotent_and_absorbs_what_it_joined(a: Run, b: Run) -> None:
    joined = join(a, b)
    assert join(a, a) == a
    assert join(joined, a) == join(joined, b) == joined


@given(RUNS)
def test_joining_what_says_nothing_changes_nothing(a: Run) -> None:
    assert join(a, Run()) == join(Run(), a) == a


@given(RUNS)
def test_a_run_comes_back_from_its_bytes(a: Run) -> None:
    assert decode_run(encode_run(a)) == a


@given(st.lists(RUNS, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_status_does_not_depend_on_the_order_of_what_was_said(said: list[Run], rng: object) -> None:
    forward, backward = Run(), Run()
    for one in said:
        forward = join(forward, one)
    for one in reversed(said):
        backward = join(backward, one)
    assert status(forward) == status(backward)


@given(st.integers(0, 3 * OFFSETS_MAX), st.integers(0, 3 * OFFSETS_MAX), st.integers(0, 600))
def test_offsets_are_in_order_and_never_more_than_the_bound(a: int, b: int, shift: int) -> None:
    def flat(begin: int, count: int) -> list[bytes | int]:
        return [part for n in range(begin, begin + count) for part in (b"i" + n.to_bytes(14, "big"), n, n + 1)]

    joined = join_offsets(flat(0, min(a, OFFSETS_MAX)), flat(shift, b))
    keys = joined[::3]
    assert keys == sorted(keys, key=bytes)
    assert len(keys) == len(set(keys)) <= OFFSETS_MAX


@pytest.fixture(scope="module")
def lua(redis_server: RedisService) -> Iterator[LuaMerge]:
    redis_server.flush()
    with redis.Redis.from_url(redis_server.url) as client:
        yield LuaMerge(client)


@settings(max_examples=300, deadline=None)
@given(RUNS, RUNS)
def test_the_call_joins_two_owners_records_as_python_does(lua: LuaMerge, a: Run, b: Run) -> None:
    assert decode_run(lua.run(encode_run(a), encode_run(b))) == join(a, b)


@settings(deadline=None)
@given(RUNS, RUNS)
def test_what_the_call_joined_can_be_joined_again_and_is_the_same(lua: LuaMerge, a: Run, b: Run) -> None:
    once = lua.run(encode_run(a), encode_run(b))
    assert decode_run(lua.run(once, encode_run(a))) == decode_run(lua.run(encode_run(b), once)) == join(a, b)


def test_the_call_keeps_the_bound_of_offsets_as_python_does(lua: LuaMerge) -> None:
    def flat(begin: int, count: int) -> list[bytes | int]:
        return [part for n in range(begin, begin + count) for part in (b"i" + n.to_bytes(14, "big"), n, n + 1)]

    a, b = Run(first=1, offsets=flat(100, 200)), Run(first=1, offsets=flat(0, 256))
    assert decode_run(lua.run(encode_run(a), encode_run(b))) == join(a, b)
