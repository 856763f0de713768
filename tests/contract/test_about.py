"""What is said of nodes, by events in any order, to the table, the outbox, the image and the owner of an alert."""

from __future__ import annotations

import dataclasses
import json
from itertools import permutations
from typing import Any

import pytest
import redis
from tests.contract.test_shards_of_a_worker import DOMAIN, SETTINGS, SHARDS, Kept
from tests.support.driving import Said, Worker, forget_domain, state
from tests.support.flow import HOUR_US, JOB, SECOND_US, T, said
from tests.support.processes import wait_until
from tests.support.state_writer import StateWriter

from headwater_processor.adapters.shard_store import ShardStore
from headwater_processor.core.policies import compile_policies
from headwater_processor.engine.facts import FactReader
from headwater_processor.engine.images import parse_names
from headwater_processor.engine.names import NameBook
from headwater_processor.engine.shards import Shards
from headwater_processor.state import StateReader
from headwater_processor.state.layout import DatasetRecord
from headwater_schemas.events import EventType, Lifecycle, Name
from headwater_schemas.ids import dataset_key, job_key

DAILY = Name("kafka://b1:9092", "daily")
D, J = dataset_key(DAILY), job_key(JOB)


def with_facets(of: Said, *, job: dict[str, Any] | None = None, daily: dict[str, Any] | None = None) -> Said:
    found: dict[str, Any] = {"job": job or {}}
    if daily is not None:
        found["outputs"] = [{"namespace": DAILY.namespace, "name": DAILY.name, "facets": daily}]
    return Said(dataclasses.replace(of.event, facets=json.dumps(found).encode()), of.append_us)


def owned(name: str) -> dict[str, Any]:
    return {"ownership": {"owners": [{"name": name}]}}


def about(worker: Worker) -> dict[bytes, bytes]:
    found: Any = worker.client.hgetall(worker.store.keys("about"))
    return {field: value[24:] for field, value in found.items()}


def named(worker: Worker) -> set[bytes]:
    """What the outboxes name; they are emptied."""
    found: set[bytes] = set()
    for shard in range(worker.rules.shards):
        entries: Any = worker.client.lrange(worker.store.keys("o", shard), 0, -1)
        found |= {name for entry in entries for name in parse_names(entry)}
        worker.client.delete(worker.store.keys("o", shard))
    return found


def test_each_fact_is_that_of_its_last_event_whatever_the_order_and_the_partition(url: str) -> None:
    gone = {"ownership": {"_deleted": True}}
    events = [
        with_facets(said(1, at_us=T), job={**owned("team:a"), "sql": {"query": "select 1"}}, daily=owned("team:d")),
        with_facets(said(2, at_us=T + SECOND_US), job=owned("team:b"), daily=gone),
        with_facets(said(3, at_us=T + 2 * SECOND_US), job={"documentation": {"description": "Daily"}}),
        with_facets(said(4, at_us=T + SECOND_US), job=owned("team:c")),  # at equal times the larger id
    ]
    expected = {J + b"o": b"team:c", J + b"q": b"select 1", J + b"d": b"Daily", D + b"O": b""}
    for number, order in enumerate(permutations(events)):
        worker = Worker(url, f"about-{number}", 2, seed=number)
        for at, event in enumerate(order):
            worker.apply((at + number) % 2, [event])
        assert about(worker) == expected
        assert {b"bj" + J, b"bd" + D} <= state(worker.client, f"about-{number}").named
        forget_domain(worker.client, f"about-{number}")
        worker.close()


def test_only_another_text_is_named_again(worker: Worker) -> None:
    worker.apply(0, [with_facets(said(1), job=owned("team:a"))])
    assert b"bj" + J in named(worker)
    worker.apply(0, [with_facets(said(2, at_us=T + HOUR_US), job=owned("team:a"))])
    assert b"bj" + J not in named(worker)
    worker.apply(0, [with_facets(said(3, at_us=T + HOUR_US), job=owned("team:b"))])
    assert b"bj" + J in named(worker)


def test_with_a_dataset_that_is_dropped_and_one_that_comes_back_what_is_said_of_it_is_named(worker: Worker) -> None:
    worker.apply(0, [with_facets(said(1), daily=owned("team:a"))])
    named(worker)
    worker.apply(0, [said(2, at_us=T + SECOND_US, lifecycle=Lifecycle.DROP)])
    assert b"bd" + D in named(worker)
    worker.apply(0, [said(3, EventType.COMPLETE, at_us=T + 2 * SECOND_US)])
    assert b"bd" + D in named(worker)
    assert about(worker) == {D + b"O": b"team:a"}


def test_a_call_under_a_wrong_fence_says_nothing(worker: Worker) -> None:
    call = worker.call(worker.plan(0, [with_facets(said(1), job=owned("team:a"))]))
    wrong = dataclasses.replace(call, fence=dataclasses.replace(call.fence, epoch="1:somebody"))
    worker.store.send([wrong])
    worker.receive([wrong])
    assert about(worker) == {}


@pytest.mark.usefixtures("worker")
def test_facets_that_are_no_json_harm_nobody(worker: Worker) -> None:
    worker.apply(0, [Said(dataclasses.replace(said(1).event, facets=b"{\xff"), T)])
    assert about(worker) == {}
    assert worker.planners[0].counters.applied == 1


def test_an_image_of_its_own_shows_it_and_readers_see_the_same(redis_client: redis.Redis, redis_db: str) -> None:
    writer = StateWriter(redis_client, DOMAIN)
    key = writer.dataset(DAILY, asserted_us=T, record=DatasetRecord(T))
    writer.said(key, {"O": "team:a", "T": "pii"})
    kept = Kept()
    store = ShardStore(redis.Redis.from_url(redis_db), DOMAIN, SHARDS)
    shards = Shards(store, kept, SETTINGS, on_crowded=lambda _: None)
    redis_client.rpush(f"{{hw:{DOMAIN}}}:o:{key[0] % SHARDS}", b"bd" + key)
    shards.assign({0}, 1)
    shards.start()
    try:
        wait_until(lambda: bool(kept.deltas), within_s=10, what="the image")
    finally:
        shards.close()
    (image,) = kept.deltas.values()
    assert (image.key, image.present) == ("DATASET|ABOUT|kafka://b1:9092|daily", True)
    assert json.loads(image.about or "") == StateReader(redis_client, DOMAIN).dataset(DAILY).about.as_object()


def test_the_judge_is_told_who_owns_a_dataset_and_a_job(redis_client: redis.Redis, redis_db: str) -> None:
    writer = StateWriter(redis_client, DOMAIN)
    key = writer.dataset(DAILY, asserted_us=T, record=DatasetRecord(T))
    writer.said(key, {"O": "team:a\nteam:b"})
    job = writer.job(JOB, asserted_us=T)
    writer.said(job, {"o": "team:etl"})
    store = ShardStore(redis.Redis.from_url(redis_db), DOMAIN, SHARDS)
    names = NameBook(lambda keys: store.many([("HMGET", store.keys("names"), *keys)])[0])
    reader = FactReader(store, names)
    assert reader.datasets([key], compile_policies((), 1))[key].stated_owner == "team:a, team:b"
    assert reader.jobs([job])[job].stated_owner == "team:etl"
