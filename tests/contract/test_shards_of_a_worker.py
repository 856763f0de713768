"""The shards' thread on a real Redis: when the engine has to wait, and what a worker that slept does not say."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import redis
from tests.support.processes import wait_until
from tests.support.set_back import everything, set_back
from tests.support.state_writer import StateWriter

from headwater_processor.adapters.shard_store import ShardStore
from headwater_processor.core.judge_settings import JudgeSettings
from headwater_processor.core.knowledge import minute_end
from headwater_processor.core.policies import PolicySet
from headwater_processor.engine.shards import Shards, ShardSettings
from headwater_processor.state.layout import DatasetRecord
from headwater_schemas.alerts import Alert, AlertState
from headwater_schemas.codec import decode_alert, decode_delta
from headwater_schemas.deltas import GraphDelta
from headwater_schemas.events import Name

SHARDS = 2
DOMAIN = "crowded"
OUTBOX_MAX = 1_000


T = 1_740_787_200_000_000  # the beginning of a minute


class Nowhere:
    """A publisher to nobody."""

    def begin(self, ours: Callable[[], bool]) -> None:
        pass

    def delta(self, key: str, value: bytes) -> None:
        pass

    alert = delta

    def flush(self, deadline_s: float) -> bool:
        return True


SETTINGS = ShardSettings(SHARDS, DOMAIN, "events", 0.05, 0.05, 30.0, 1.0, OUTBOX_MAX, JudgeSettings())


def test_a_worker_that_owns_no_shard_waits_for_the_outboxes_of_others_and_goes_on_after_them(
    redis_client: redis.Redis, redis_db: str
) -> None:
    told: list[bool] = []
    store = ShardStore(redis.Redis.from_url(redis_db), DOMAIN, SHARDS)
    shards = Shards(store, Nowhere(), SETTINGS, on_crowded=told.append)
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


def test_after_a_standstill_the_group_has_to_say_first_whose_the_shards_are(
    redis_client: redis.Redis, redis_db: str
) -> None:
    store = ShardStore(redis.Redis.from_url(redis_db), DOMAIN, SHARDS)
    settings = replace(SETTINGS, asleep_s=0.5, woken_s=0.5)
    shards = Shards(store, Nowhere(), settings, on_crowded=lambda _: None)
    shards.assign({0}, 1)
    shards.start()
    try:
        wait_until(lambda: shards.owned() == [0, 1], within_s=10, what="both shards are ours")
        epochs = [redis_client.hget(f"{{hw:{DOMAIN}}}:sf:{shard}", "epoch") for shard in range(SHARDS)]
        redis_client.client_pause(1500, all=True)  # a process that is stopped stands still just so
        wait_until(lambda: shards.owned() == [], within_s=10, what="they count as lost")
        wait_until(lambda: shards.owned() == [0, 1], within_s=10, what="they are taken over anew")
    finally:
        shards.close()
    assert shards.failed is None
    assert all(
        redis_client.hget(f"{{hw:{DOMAIN}}}:sf:{shard}", "epoch") != before for shard, before in enumerate(epochs)
    )


class Kept(Nowhere):
    """A publisher that keeps what it was given."""

    def __init__(self) -> None:
        self.deltas: dict[str, GraphDelta] = {}

    def delta(self, key: str, value: bytes) -> None:
        self.deltas[key] = decode_delta(value)


def test_a_dataset_that_comes_back_in_the_minute_of_its_removal_brings_its_edges(
    redis_client: redis.Redis, redis_db: str
) -> None:
    orders, flow = Name("kafka://b1:9092", "orders"), Name("jobs", "flow")
    state = StateWriter(redis_client, DOMAIN)
    key = state.dataset(orders, asserted_us=T + 5, record=DatasetRecord(T, retracted_us=T + 4))
    state.job(flow, asserted_us=T)
    state.reads(orders, flow, asserted_us=minute_end(T))
    kept = Kept()
    shards = Shards(
        ShardStore(redis.Redis.from_url(redis_db), DOMAIN, SHARDS), kept, SETTINGS, on_crowded=lambda _: None
    )
    redis_client.rpush(f"{{hw:{DOMAIN}}}:o:{key[0] % SHARDS}", b"d" + key)  # no event named the edge again
    shards.assign({0}, 1)
    shards.start()
    try:
        wait_until(lambda: len(kept.deltas) == 2, within_s=10, what="two images")
        wait_until(lambda: not redis_client.keys(f"{{hw:{DOMAIN}}}:o:*"), within_s=10, what="empty outboxes")
    finally:
        shards.close()
    assert {name: image.present for name, image in kept.deltas.items()} == {
        "DATASET|CORE|kafka://b1:9092|orders": True,
        "EDGE|READS|kafka://b1:9092|orders|jobs|flow": True,
    }


def test_names_that_come_again_after_the_state_was_set_back_are_published(
    redis_client: redis.Redis, redis_db: str
) -> None:
    state, kept = StateWriter(redis_client, DOMAIN), Kept()
    orders = state.dataset(Name("kafka://b1:9092", "orders"), asserted_us=T)
    flow = state.job(Name("jobs", "flow"), asserted_us=T)
    outbox = f"{{hw:{DOMAIN}}}:o:{orders[0] % SHARDS}"
    settings = replace(SETTINGS, interval_s=3600.0)
    shards = Shards(
        ShardStore(redis.Redis.from_url(redis_db), DOMAIN, SHARDS), kept, settings, on_crowded=lambda _: None
    )
    redis_client.rpush(outbox, b"f" + orders)
    shards.assign({0}, 1)
    shards.start()
    try:
        wait_until(lambda: not redis_client.exists(outbox), within_s=10, what="it is published at once")
        saved = everything(redis_client)
        redis_client.rpush(outbox, b"f" + orders)
        wait_until(lambda: taken(shards) == [1], within_s=10, what="the second one waits for its interval")
        set_back(redis_client, saved, lambda pipe: pipe.rpush(outbox, b"j" + flow))
        wait_until(lambda: "JOB|CORE|jobs|flow" in kept.deltas, within_s=10, what="what was named since")
    finally:
        shards.close()
    assert shards.failed is None


def taken(shards: Shards) -> list[int]:
    """Of each shard of the worker that has some, how many entries are read and still wait."""
    return [judge.shard.taken for judge in list(shards._judges.values()) if judge.shard.taken]


class Heard(Nowhere):
    """A publisher that keeps the alerts about partitions."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []

    def alert(self, key: str, value: bytes) -> None:
        if key.startswith("PartitionStopped"):
            self.alerts.append(decode_alert(value))


def test_what_was_said_in_a_time_that_redis_lost_still_counts(redis_client: redis.Redis, redis_db: str) -> None:
    state, heard = StateWriter(redis_client, DOMAIN, partitions=1), Heard()
    state.meta(born_us=str(T))
    fence = f"{{hw:{DOMAIN}}}:f:0"
    state.partition(0, as_of_us=T, stopped="too much that cannot be read", stopped_at=str(T))
    store = ShardStore(redis.Redis.from_url(redis_db), DOMAIN, SHARDS)
    shards = Shards(store, heard, SETTINGS, on_crowded=lambda _: None)
    shards.use_policies(PolicySet([], 1))
    shards.assign({0}, 1)
    shards.start()
    try:
        wait_until(lambda: len(heard.alerts) == 1, within_s=10, what="it fires")
        wait_until(lambda: not redis_client.keys(f"{{hw:{DOMAIN}}}:ao:*"), within_s=10, what="that is settled")
        saved = everything(redis_client)
        redis_client.hset(fence, "stopped", "")
        wait_until(lambda: len(heard.alerts) == 2, within_s=10, what="it is resolved")
        wait_until(lambda: not redis_client.keys(f"{{hw:{DOMAIN}}}:ao:*"), within_s=10, what="that is settled")
        # To when it fired; and it stops again.
        set_back(redis_client, saved, lambda pipe: pipe.hset(fence, "stopped_at", str(T + 1_000_000)))
        wait_until(lambda: len(heard.alerts) == 3, within_s=10, what="it fires again: it was called resolved")
    finally:
        shards.close()
    assert shards.failed is None
    assert [alert.state for alert in heard.alerts] == [AlertState.FIRING, AlertState.RESOLVED, AlertState.FIRING]
    assert len({alert.alert_id for alert in heard.alerts}) == 3


class Slow(Kept):
    """A publisher whose images are acknowledged when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.waits, self.go = threading.Event(), threading.Event()

    def flush(self, deadline_s: float) -> bool:
        self.waits.set()
        return self.go.wait(deadline_s)


def test_a_shard_that_is_let_go_is_let_go_when_nothing_of_it_is_on_its_way(
    redis_client: redis.Redis, redis_db: str
) -> None:
    """Who takes it over says newer things at once: what this worker has in hand must not come after them."""
    state, slow = StateWriter(redis_client, DOMAIN), Slow()
    jobs = [state.job(Name("jobs", f"flow-{number}"), asserted_us=T) for number in range(20)]
    leaving = [key for key in jobs if key[0] % SHARDS == 0]
    staying = [key for key in jobs if key[0] % SHARDS == 1]
    shards = Shards(
        ShardStore(redis.Redis.from_url(redis_db), DOMAIN, SHARDS), slow, SETTINGS, on_crowded=lambda _: None
    )
    redis_client.rpush(f"{{hw:{DOMAIN}}}:o:0", b"j" + leaving[0])
    shards.assign({0, 1}, 2)
    shards.start()
    try:
        assert slow.waits.wait(10)
        assert not shards.release({0}, deadline_s=0.2)  # an image of it is not acknowledged yet
        redis_client.rpush(f"{{hw:{DOMAIN}}}:o:0", b"j" + leaving[1])
        redis_client.rpush(f"{{hw:{DOMAIN}}}:o:1", b"j" + staying[0])
        slow.go.set()
        assert shards.release({0}, deadline_s=10)
        wait_until(lambda: shards.owned() == [1], within_s=10, what="the other shard stays")
        wait_until(lambda: not redis_client.exists(f"{{hw:{DOMAIN}}}:o:1"), within_s=10, what="its names are published")
    finally:
        slow.go.set()
        shards.close()
    assert shards.failed is None
    assert len(slow.deltas) == 2
    assert redis_client.llen(f"{{hw:{DOMAIN}}}:o:0") == 1  # for the next owner
