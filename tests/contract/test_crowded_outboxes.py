"""When outboxes are too long the engine waits, and goes on when they are short again, whoever owns their shards."""

from __future__ import annotations

from collections.abc import Callable

import redis
from tests.support.processes import wait_until

from headwater_processor.adapters.shard_store import ShardStore
from headwater_processor.core.judge_settings import JudgeSettings
from headwater_processor.engine.shards import Shards, ShardSettings

SHARDS = 2
DOMAIN = "crowded"
OUTBOX_MAX = 1_000


class Nowhere:
    """A publisher of nothing."""

    def begin(self, ours: Callable[[], bool]) -> None:
        pass

    def delta(self, key: str, value: bytes) -> None:
        raise AssertionError("a worker without shards publishes nothing")

    alert = delta

    def flush(self, deadline_s: float) -> bool:
        return True


def test_a_worker_that_owns_no_shard_waits_for_the_outboxes_of_others_and_goes_on_after_them(
    redis_client: redis.Redis, redis_db: str
) -> None:
    told: list[bool] = []
    settings = ShardSettings(SHARDS, DOMAIN, "events", 0.05, 0.05, 30.0, 1.0, OUTBOX_MAX, JudgeSettings())
    shards = Shards(
        ShardStore(redis.Redis.from_url(redis_db), DOMAIN, SHARDS), Nowhere(), settings, on_crowded=told.append
    )
    outbox = f"{{hw:{DOMAIN}}}:o:0"
    redis_client.rpush(outbox, *[b"name"] * (OUTBOX_MAX + 1))
    shards.assign({3}, 4)  # four partitions, two shards: none of them is ours
    shards.start()
    try:
        wait_until(lambda: told[-1:] == [True], within_s=10, what="the engine is told to wait")
        redis_client.delete(outbox)
        wait_until(lambda: told[-1:] == [False], within_s=10, what="the engine is told to go on")
    finally:
        shards.close()
    assert shards.failed is None
