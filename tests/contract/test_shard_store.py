"""What a shard's owner relies on: its versions are above those of the owner before, and a full Redis does all or nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from redis.exceptions import OutOfMemoryError
from tests.support.driving import Worker
from tests.support.flow import DOMAIN, SHARDS, T, said
from tests.support.services import RedisService
from tests.support.set_back import everything, set_back

from headwater_processor.adapters.shard_store import Settlement, ShardStore, Writes
from headwater_schemas.events import EventType

A_ROUND = 100_000
"""More images than a round of a shard has."""


@pytest.fixture
def store(url: str) -> Iterator[ShardStore]:
    store = ShardStore(redis.Redis.from_url(url), DOMAIN, SHARDS)
    yield store
    store.close()


def test_an_owner_publishes_above_all_that_the_owner_before_may_still_be_publishing(store: ShardStore) -> None:
    before = store.acquire(0)
    assert before.version > store.now_us()
    in_its_round = max(before.version + 1, store.now_us()) + A_ROUND
    after = store.acquire(0)
    assert after.version > in_its_round
    assert store.settle([Settlement(before, 0, in_its_round, (), ())]) == [False]
    assert store.acquire(0).version > after.version + A_ROUND


@pytest.mark.parametrize("step", ["take", "settle", "judge"])
def test_an_owner_learns_at_its_next_step_that_the_state_was_set_back(
    store: ShardStore, redis_client: redis.Redis, step: str
) -> None:
    fence = store.acquire(0)
    outbox = store.keys("o", 0)
    redis_client.rpush(outbox, b"a")
    assert store.take([(fence, 0)], 10) == [[b"a"]]
    saved = everything(redis_client)
    redis_client.rpush(outbox, b"b")
    assert store.take([(fence, 1)], 10) == [[b"b"]]
    set_back(redis_client, saved)
    redis_client.rpush(outbox, b"c")  # what is read again: where `b` was
    before = everything(redis_client)
    if step == "take":
        assert store.take([(fence, 2)], 10) == [None]
    elif step == "settle":
        assert store.settle([Settlement(fence, 2, fence.version + 1, (), ())]) == [False]
    else:
        assert store.judge(fence, 1, Writes(machines=[b"f", b"machine"])) == 0
    assert everything(redis_client) == before
    assert store.take([(store.acquire(0), 0)], 10) == [[b"a", b"c"]]


def test_a_look_at_an_empty_outbox_writes_nothing(store: ShardStore, redis_client: redis.Redis) -> None:
    fence = store.acquire(0)
    before = everything(redis_client)
    assert store.take([(fence, 0)], 10) == [[]]
    assert everything(redis_client) == before


def test_what_is_taken_at_once_is_bounded_over_all_shards(store: ShardStore, redis_client: redis.Redis) -> None:
    fences = [store.acquire(shard) for shard in range(3)]
    for fence, count in zip(fences, (2, 3, 4), strict=True):
        redis_client.rpush(store.keys("o", fence.shard), *(f"{fence.shard}.{n}" for n in range(count)))
    assert store.take([(fence, 0) for fence in fences], 4) == [[b"0.0", b"0.1"], [b"1.0", b"1.1"], []]
    other = store.acquire(0)
    assert store.take([(fences[2], 0), (fences[0], 2), (fences[1], 2)], 3) == [[b"2.0", b"2.1", b"2.2"], None, []]
    assert store.take([(other, 2), (fences[1], 2), (fences[2], 3)], 10) == [[], [b"1.2"], [b"2.3"]]


def test_a_redis_that_forgot_its_scripts_is_given_them_again(store: ShardStore, redis_client: redis.Redis) -> None:
    fence = store.acquire(0)
    redis_client.rpush(store.keys("o", 0), b"a")
    assert store.take([(fence, 0)], 10) == [[b"a"]]
    redis_client.script_flush()
    redis_client.rpush(store.keys("o", 0), b"b")
    assert store.take([(fence, 1)], 10) == [[b"b"]]


@pytest.fixture
def full(url: str, redis_server: RedisService) -> Iterator[redis.Redis]:
    """A client; the Redis takes nothing more once `fill` of the test has set its bound. Taken back at the end."""
    with redis.Redis.from_url(url) as client:
        yield client
        client.config_set("maxmemory", 0)


def test_a_full_redis_changes_no_byte_of_a_judgement(store: ShardStore, full: redis.Redis) -> None:
    fence = store.acquire(0)
    assert store.judge(fence, 1, Writes(machines=[b"f", b"machine"], looks=[b"1", b"dx"])) == 1
    before = everything(full)
    full.config_set("maxmemory", 1)
    with pytest.raises(OutOfMemoryError):
        store.judge(fence, 1, Writes(machines_gone=[b"f"], members_gone=[b"dx"], alerts=[b"fired"]))
    full.config_set("maxmemory", 0)
    assert everything(full) == before


def test_a_full_redis_changes_no_byte_of_a_settlement(store: ShardStore, full: redis.Redis) -> None:
    fence = store.acquire(0)
    full.rpush(store.keys("o", 0), b"name")
    before = everything(full)
    full.config_set("maxmemory", 1)
    with pytest.raises(OutOfMemoryError):
        store.settle([Settlement(fence, 1, fence.version + 1, (), ())])
    full.config_set("maxmemory", 0)
    assert everything(full) == before


def test_a_full_redis_changes_no_byte_of_a_call_that_only_lets_go(worker: Worker, full: redis.Redis) -> None:
    worker.apply(0, [said(n, EventType.COMPLETE, run=n, at_us=T + n) for n in range(1, 4)])
    before = everything(full)
    full.config_set("maxmemory", 1)
    plan = worker.plan(0, [said(1, EventType.COMPLETE, run=1, at_us=T + 1)])  # a duplicate: nothing grows
    worker.store.send([worker.call(plan)])
    worker.store.closing = True  # else it would wait for memory
    with pytest.raises(Exception, match="stopping"):
        worker.store.receive()
    full.config_set("maxmemory", 0)
    assert everything(full) == before
