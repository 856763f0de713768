"""What `ports.StateStore` promises of fences, ownership and as-of, asked of RedisStore on a real Redis."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from tests.support.driving import Worker, state
from tests.support.flow import DOMAIN, HOUR_US, SHARDS, T, after, outcome, said

from headwater_processor.adapters.redis_store import LayoutError, RedisStore
from headwater_processor.core.plan import Rules
from headwater_processor.core.runs import status
from headwater_processor.ports import Applied, EmptyStateError, Refusal, TopicChangedError
from headwater_schemas.events import EventType

# --- a call under a wrong fence changes nothing ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [
        ({"epoch": "1:somebody"}, Refusal.FENCED),
        ({"epoch": ""}, Refusal.FENCED),
        ({"topic": "another"}, Refusal.TOPIC),
        ({"topic": ""}, Refusal.TOPIC),
        ({"gen": "7"}, Refusal.GEN),
    ],
)
def test_a_call_under_a_wrong_fence_changes_no_byte(worker: Worker, wrong: dict[str, Any], refusal: Refusal) -> None:
    worker.apply(0, [said(1)])
    call = worker.call(worker.plan(0, [said(2, EventType.COMPLETE, at_us=T + HOUR_US, writes="other")]), as_of_us=T)
    before = after(worker)
    assert outcome(worker, dataclasses.replace(call, fence=dataclasses.replace(call.fence, **wrong))) is refusal
    assert after(worker) == before
    assert isinstance(outcome(worker, call), Applied)


@pytest.mark.parametrize("expected", [-1, 0, 2, 10])
def test_a_call_that_does_not_continue_what_is_stored_changes_no_byte(worker: Worker, expected: int) -> None:
    worker.apply(0, [said(1)])
    plan = worker.plan(0, [said(2)])
    before = after(worker)
    wrong = dataclasses.replace(plan, expected=expected, next=50)
    assert outcome(worker, worker.call(wrong)) is Refusal.NEXT
    assert after(worker) == before


def test_a_call_of_the_owner_before_changes_no_byte(worker: Worker) -> None:
    worker.apply(0, [said(1)])
    late = worker.call(worker.plan(0, [said(2)]))
    worker.store.acquire(0, late.fence.topic, None)
    before = after(worker)
    assert outcome(worker, late) is Refusal.FENCED
    assert after(worker) == before


def test_a_rebuilt_state_refuses_every_owner_before_it(worker: Worker) -> None:
    call = worker.call(worker.plan(0, [said(1)]))
    worker.client.hincrby(worker.store.keys("meta"), "gen", 1)
    before = after(worker)
    assert outcome(worker, call) is Refusal.GEN
    assert after(worker) == before


def test_of_several_calls_only_those_of_the_lost_partition_are_refused(worker: Worker) -> None:
    calls = [worker.call(worker.plan(partition, [said(partition + 1)])) for partition in (0, 1)]
    worker.store.acquire(0, calls[0].fence.topic, None)
    worker.store.send(calls)
    refused, applied = worker.receive(calls)
    assert refused is Refusal.FENCED
    assert isinstance(applied, Applied)


# --- what a call does -------------------------------------------------------------------------------------------------


def test_a_call_moves_fence_counters_and_as_of_at_once(worker: Worker) -> None:
    plan = worker.plan(0, [said(1), said(1), said(2, at_us=T - HOUR_US)])
    assert isinstance(outcome(worker, worker.call(plan, as_of_us=T)), Applied)
    fence: Any = worker.client.hgetall(worker.store.keys("f", 0))
    counted = {name: int(fence[name.encode()]) for name in ("next", "mx", "applied", "dup", "late", "bad")}
    assert counted == {"next": 3, "mx": T, "applied": 2, "dup": 1, "late": 1, "bad": 0}
    assert worker.client.hget(worker.store.keys("asof"), "0") == str(T).encode()


def test_the_log_of_ids_comes_back_as_it_was_written(worker: Worker) -> None:
    history = [said(n, at_us=T + (n % 3) * HOUR_US) for n in range(1, 200)]
    for begin in range(0, len(history), 20):
        worker.apply(0, history[begin : begin + 20])
    before = {number: len(bucket) for number, bucket in worker.planners[0].seen.buckets.items()}
    worker.forget()
    planner = worker.planners[0]
    assert {number: len(bucket) for number, bucket in planner.seen.buckets.items()} == before
    assert planner.seen.total == len(history)
    worker.apply(0, history)
    assert planner.counters.dup == len(history)


def test_a_log_longer_than_one_piece_is_read_whole(worker: Worker) -> None:
    key = worker.store.keys("s", 0, "5")
    elements = [n.to_bytes(8, "little") for n in range(1300)]
    worker.client.rpush(key, *elements)
    pieces = list(worker.store.load_seen(0, "5"))
    assert len(pieces) > 1
    assert b"".join(pieces) == b"".join(elements)
    assert list(worker.store.load_seen(0, "6")) == []


def test_buckets_behind_the_horizon_leave_with_the_call_that_passes_it(worker: Worker) -> None:
    worker.apply(0, [said(1)])
    worker.apply(0, [said(2, at_us=T + 26 * HOUR_US)])
    live = {str((T + 26 * HOUR_US) // HOUR_US).encode()}
    assert worker.client.smembers(worker.store.keys("sb", 0)) == live
    assert worker.client.exists(worker.store.keys("s", 0, T // HOUR_US)) == 0


# --- closed runs --------------------------------------------------------------------------------------------------------


def runs_kept(worker: Worker) -> set[int]:
    return {int.from_bytes(key[12:], "big") for key in state(worker.client, DOMAIN).runs}


def test_closed_runs_beyond_their_bound_leave_oldest_first(url: str) -> None:
    worker = Worker(url, DOMAIN, 1, Rules(shards=SHARDS, closed_runs_max=10))
    for run in range(1, 31):
        worker.apply(0, [said(run, EventType.COMPLETE, run=run, at_us=T + run)])
    worker.apply(0, [said(100, EventType.START, run=100)])
    assert runs_kept(worker) == {*range(21, 31), 100}
    assert worker.client.llen(worker.store.keys("rc", 0)) == 10
    worker.close()


def test_closed_runs_leave_with_the_horizon_and_open_ones_stay(worker: Worker) -> None:
    worker.apply(0, [said(1, EventType.COMPLETE, run=1), said(2, EventType.START, run=2)])
    worker.apply(0, [said(3, EventType.COMPLETE, run=3, at_us=T + 25 * HOUR_US)])
    assert runs_kept(worker) == {2, 3}


def test_a_closed_run_that_was_spoken_of_later_leaves_by_that_time(worker: Worker) -> None:
    worker.apply(0, [said(1, EventType.FAIL, run=1)])
    worker.apply(0, [said(2, EventType.COMPLETE, run=1, at_us=T + 20 * HOUR_US)])
    worker.apply(0, [said(3, EventType.COMPLETE, run=3, at_us=T + 25 * HOUR_US)])
    assert runs_kept(worker) == {1, 3}
    worker.apply(0, [said(4, EventType.COMPLETE, run=4, at_us=T + 50 * HOUR_US)])
    assert runs_kept(worker) == {4}


def test_a_run_that_opened_again_stays_when_the_time_of_its_failure_is_forgotten(worker: Worker) -> None:
    worker.apply(0, [said(1, EventType.FAIL, run=1, restartable=True)])
    worker.apply(0, [said(2, EventType.RUNNING, run=1, at_us=T + HOUR_US, restartable=True)])
    worker.apply(0, [said(3, EventType.COMPLETE, run=3, at_us=T + 26 * HOUR_US)])
    assert runs_kept(worker) == {1, 3}


def test_more_runs_than_lua_can_hold_on_its_stack_may_close_in_one_call(worker: Worker) -> None:
    count = 9000  # of one job, so of one shard
    worker.apply(0, [said(n, EventType.START, run=n) for n in range(1, count)])
    worker.apply(0, [said(n + count, EventType.COMPLETE, run=n) for n in range(1, count)])
    found = state(worker.client, DOMAIN)
    assert {status(run) for run in found.runs.values()} == {"complete"}
    assert len(found.runs) == count - 1
    assert found.alive == {}


# --- ownership -----------------------------------------------------------------------------------------------------------


def test_every_acquisition_raises_the_epoch_and_keeps_the_rest(worker: Worker) -> None:
    worker.apply(0, [said(1), said(1)])
    fences = [worker.store.acquire(0, "topic-id", None) for _ in range(3)]
    counts = [int(fence.epoch.partition(":")[0]) for fence in fences]
    assert counts == [counts[0], counts[0] + 1, counts[0] + 2]
    assert len({fence.epoch for fence in fences}) == 3
    assert {(fence.next, fence.mx_us, fence.counters.applied, fence.counters.dup) for fence in fences} == {(2, T, 1, 1)}
    assert fences[0].buckets == (str(T // HOUR_US),)


def test_a_partition_without_a_fence_begins_only_where_somebody_says(worker: Worker) -> None:
    before = after(worker)
    with pytest.raises(EmptyStateError):
        worker.store.acquire(7, "topic-id", None)
    assert after(worker) == before
    assert worker.store.acquire(7, "topic-id", 40).next == 40
    assert worker.store.acquire(7, "topic-id", 0).next == 40  # where it stands counts, not where it might begin


def test_another_topic_under_the_same_name_is_refused_and_changes_nothing(worker: Worker) -> None:
    before = after(worker)
    with pytest.raises(TopicChangedError, match="topic-id"):
        worker.store.acquire(0, "another-id", 0)
    assert after(worker) == before
    assert worker.store.acquire(0, "", None).topic == "topic-id"  # a broker that names no ids


def test_a_stop_is_seen_by_the_next_owner_until_it_is_taken_back(worker: Worker) -> None:
    fence = worker.fences[0]
    assert worker.store.stop(fence, "too many bad records")
    assert worker.store.acquire(0, "topic-id", None).stopped == "too many bad records"
    assert not worker.store.stop(fence, "from the owner before")
    assert worker.store.is_stopped(0) == "too many bad records"
    worker.store.resume(0, 99)
    resumed = worker.store.acquire(0, "topic-id", None)
    assert (resumed.stopped, resumed.pass_bad_until) == ("", 99)
    assert worker.store.is_stopped(0) == ""


def test_a_domain_of_another_layout_or_other_shards_is_refused(worker: Worker) -> None:
    def other(shards: int) -> RedisStore:
        return RedisStore(worker.client, DOMAIN, shards=shards, closed_runs_max=1, horizon_us=1)

    with pytest.raises(LayoutError, match="4 shards, this worker was told 8"):
        other(8).open(2)
    worker.client.hset(worker.store.keys("meta"), "layout", "99")
    with pytest.raises(LayoutError, match="layout 99"):
        other(SHARDS).open(2)


def test_everybody_who_joins_a_domain_gets_the_same_secret(worker: Worker, url: str) -> None:
    other = Worker(url, DOMAIN)
    assert other.store.secret == worker.store.secret != (0, 0)
    assert other.store.born_us == worker.store.born_us
    other.close()


def test_a_domain_that_was_emptied_under_a_worker_is_opened_again_with_its_secret(worker: Worker, url: str) -> None:
    before = worker.store.secret
    worker.client.flushdb()
    worker.store.open(2)
    joined = Worker(url, DOMAIN)
    assert joined.store.secret == worker.store.secret == before
    joined.close()


# --- as-of ---------------------------------------------------------------------------------------------------------------


def as_of(worker: Worker) -> dict[bytes, bytes]:
    found: Any = worker.client.hgetall(worker.store.keys("asof"))
    return dict(found)


def test_as_of_is_proven_for_the_owner_who_has_applied_everything(worker: Worker) -> None:
    worker.apply(0, [said(1), said(2)])
    zero, one = worker.fences[0], worker.fences[1]
    stranger = dataclasses.replace(zero, epoch="1:somebody")
    assert worker.store.prove([]) == []
    assert worker.store.prove([(zero, 3, T), (stranger, 2, T)]) == [False, False]
    assert as_of(worker) == {}
    assert worker.store.prove([(zero, 2, T), (one, 1, T)]) == [True, False]
    assert worker.store.prove([(zero, 1, T + 1), (one, 0, T + 2)]) == [True, True]
    assert as_of(worker) == {b"0": str(T + 1).encode(), b"1": str(T + 2).encode()}


def test_the_owner_before_proves_nothing(worker: Worker) -> None:
    before = worker.fences[0]
    worker.store.acquire(0, "topic-id", None)
    assert worker.store.prove([(before, 0, T)]) == [False]
    assert as_of(worker) == {}
