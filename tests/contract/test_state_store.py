"""What `ports.StateStore` promises, asked of RedisStore on a real Redis."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from tests.support.driving import Said, Worker, dump, state
from tests.support.processes import free_port, wait_until
from tests.support.redis_server import RedisServer
from tests.support.services import RedisService

from headwater.errors import HeadwaterError
from headwater_processor.adapters.redis_store import LayoutError, RedisStore
from headwater_processor.core.plan import Rules
from headwater_processor.core.runs import status
from headwater_processor.engine.images import parse_names
from headwater_processor.ports import Applied, Call, EmptyStateError, Refusal, StoppingError, TopicChangedError
from headwater_schemas.events import DatasetUse, EventType, Lifecycle, LineageEvent, Name
from headwater_schemas.ids import dataset_key, edge_key, job_key

T = 1_740_787_200_000_000
SECOND_US, HOUR_US = 1_000_000, 3_600_000_000
SHARDS = 4
JOB = Name("jobs", "flow")
DOMAIN = "contract"


def said(
    number: int,
    kind: EventType = EventType.RUNNING,
    *,
    at_us: int = T,
    run: int = 1,
    reads: str = "orders",
    writes: str = "daily",
    lifecycle: Lifecycle = Lifecycle.NONE,
    job: Name = JOB,
) -> Said:
    event = LineageEvent(
        event_id=number.to_bytes(16, "big"),
        event_time_us=at_us,
        event_type=kind,
        run_id=run.to_bytes(16, "big"),
        job=job,
        inputs=(DatasetUse("kafka://b1:9092", reads),) if reads else (),
        outputs=(DatasetUse("kafka://b1:9092", writes, lifecycle=lifecycle),) if writes else (),
        emitter="sdk",
    )
    return Said(event, at_us + SECOND_US)


@pytest.fixture
def url(redis_server: RedisService) -> str:
    redis_server.flush()
    return redis_server.url


@pytest.fixture
def worker(url: str) -> Iterator[Worker]:
    worker = Worker(url, DOMAIN, 2)
    yield worker
    worker.close()


def outcome(worker: Worker, call: Call) -> Applied | Refusal:
    worker.store.send([call])
    return worker.receive([call])[0]


def after(worker: Worker) -> dict[bytes, Any]:
    return dump(worker.client, DOMAIN)


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


def test_more_runs_than_lua_can_hold_on_its_stack_may_close_in_one_call(worker: Worker) -> None:
    count = 9000  # of one job, so of one shard
    worker.apply(0, [said(n, EventType.START, run=n) for n in range(1, count)])
    worker.apply(0, [said(n + count, EventType.COMPLETE, run=n) for n in range(1, count)])
    found = state(worker.client, DOMAIN)
    assert {status(run) for run in found.runs.values()} == {"complete"}
    assert len(found.runs) == count - 1
    assert found.alive == {}


# --- answers that are lost ---------------------------------------------------------------------------------------------


def cut_connections(client: redis.Redis) -> None:
    """Every connection but this one ends, as when a proxy or the network goes away."""
    client.client_kill_filter(_type="normal", skipme=True)


def lose_answers(worker: Worker) -> None:
    """The connection ends with whatever was received on it and not read."""
    worker.store._connection.disconnect()


def stored_next(worker: Worker, partition: int = 0) -> int:
    return int(worker.client.hget(worker.store.keys("f", partition), "next") or -1)


def test_a_call_whose_answer_was_lost_is_settled_as_applied_and_done_once(worker: Worker) -> None:
    worker.apply(0, [said(1)])
    call = worker.call(worker.plan(0, [said(2), said(3)]))
    worker.store.send([call])
    wait_until(lambda: stored_next(worker) == 3, within_s=10, what="the call is applied", pause_s=0.002)
    before = after(worker)
    lose_answers(worker)
    assert isinstance(worker.receive([call])[0], Applied)
    assert after(worker) == before
    worker.apply(0, [said(4)])
    assert stored_next(worker) == 4


def test_two_sends_whose_answers_were_lost_are_settled_in_order(worker: Worker) -> None:
    calls = [[worker.call(worker.plan(p, [said(10 * n + p)])) for p in (0, 1)] for n in (1, 2)]
    for each in calls:
        worker.store.send(each)
    wait_until(lambda: stored_next(worker, 1) == 2, within_s=10, what="the call is applied", pause_s=0.002)
    lose_answers(worker)
    for each in calls:
        assert [type(one) for one in worker.receive(each)] == [Applied, Applied]
    assert (stored_next(worker, 0), stored_next(worker, 1)) == (2, 2)


def test_a_call_whose_answer_was_lost_to_a_new_owner_is_refused(worker: Worker) -> None:
    call = worker.call(worker.plan(0, [said(1)]))
    worker.store.send([call])
    wait_until(lambda: stored_next(worker) == 1, within_s=10, what="the call is applied", pause_s=0.002)
    worker.store.acquire(0, call.fence.topic, None)
    lose_answers(worker)
    assert worker.receive([call]) == [Refusal.FENCED]


def test_calls_sent_while_the_connection_is_gone_are_answered_in_order(worker: Worker) -> None:
    worker.apply(0, [said(1)])
    cut_connections(worker.client)
    calls = [[worker.call(worker.plan(0, [said(n)]))] for n in (2, 3)]
    for each in calls:
        worker.store.send(each)
    for each in calls:
        assert isinstance(worker.receive(each)[0], Applied)
    assert stored_next(worker) == 3


def test_two_outstanding_sends_are_answered_in_order(worker: Worker) -> None:
    first = [worker.call(worker.plan(0, [said(1)]))]
    second = [worker.call(worker.plan(0, [said(2)])), worker.call(worker.plan(1, [said(3)]))]
    worker.store.send(first)
    worker.store.send(second)
    assert len(worker.receive(first)) == 1
    assert len(worker.receive(second)) == 2
    assert (stored_next(worker, 0), stored_next(worker, 1)) == (2, 1)


def test_a_refusal_ahead_of_another_send_refuses_that_one_too(worker: Worker) -> None:
    good, next_one = (worker.call(worker.plan(0, [said(n)])) for n in (1, 2))
    wrong = dataclasses.replace(good, fence=dataclasses.replace(good.fence, gen="9"))
    worker.store.send([wrong])
    worker.store.send([next_one])
    assert worker.receive([wrong]) == [Refusal.GEN]
    assert worker.receive([next_one]) == [Refusal.NEXT]
    assert stored_next(worker) == 0


@pytest.mark.parametrize("outstanding", [1, 2])
def test_scripts_that_the_server_forgot_are_loaded_again(worker: Worker, outstanding: int) -> None:
    worker.apply(0, [said(1)])
    worker.client.script_flush()
    calls = [[worker.call(worker.plan(0, [said(n)]))] for n in range(2, 2 + outstanding)]
    for each in calls:
        worker.store.send(each)
    for each in calls:
        assert isinstance(worker.receive(each)[0], Applied)
    worker.client.script_flush()
    worker.store.acquire(0, calls[0][0].fence.topic, None)
    assert stored_next(worker) == 1 + outstanding


def test_a_server_that_is_gone_for_a_while_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    with RedisServer(appendonly=True) as server:
        pulses: list[int] = []
        worker = Worker(server.url, DOMAIN)

        def pulse() -> None:
            pulses.append(1)
            if len(pulses) == 3:
                server.start()

        worker.store._pulse = pulse
        call = worker.call(worker.plan(0, [said(1)]))
        server.stop()
        with caplog.at_level(logging.WARNING):
            worker.store.send([call])
            assert isinstance(worker.receive([call])[0], Applied)
        assert "trying again" in caplog.text
        assert len(pulses) == 3
        worker.close()


def test_while_closing_a_server_that_is_gone_is_not_waited_for() -> None:
    with RedisServer() as server:
        worker = Worker(server.url, DOMAIN)
        call = worker.call(worker.plan(0, [said(1)]))
        server.kill()
        worker.store.closing = True
        worker.store.send([call])
        with pytest.raises(StoppingError, match="Redis went away while stopping"):
            worker.store.receive()
        worker.close()


def test_a_full_server_is_waited_for_and_nothing_is_half_done() -> None:
    with RedisServer() as server:
        worker = Worker(server.url, DOMAIN)
        worker.apply(0, [said(1)])
        before = after(worker)
        worker.client.config_set("maxmemory", "1")
        waited: list[dict[bytes, Any]] = []

        def pulse() -> None:
            waited.append(after(worker))
            if len(waited) == 3:
                worker.client.config_set("maxmemory", "0")

        worker.store._pulse = pulse
        call = worker.call(worker.plan(0, [said(2)]))
        worker.store.send([call])
        assert isinstance(worker.receive([call])[0], Applied)
        assert waited[:3] == [before] * 3
        worker.close()


def test_a_server_that_became_a_replica_is_waited_for() -> None:
    """As in a failover: the address still answers, and writes nothing any more."""
    with RedisServer() as server:
        worker = Worker(server.url, DOMAIN)
        pulses: list[int] = []

        def pulse() -> None:
            pulses.append(1)
            if len(pulses) == 3:
                worker.client.replicaof("NO", "ONE")

        worker.store._pulse = pulse
        call = worker.call(worker.plan(0, [said(1)]))
        worker.client.replicaof("127.0.0.1", str(free_port()))
        worker.store.send([call])
        assert isinstance(worker.receive([call])[0], Applied)
        assert len(pulses) == 3
        worker.close()


def test_an_error_that_will_not_pass_is_raised_with_its_text(worker: Worker) -> None:
    worker.client.delete(worker.store.keys("names"))
    worker.client.set(worker.store.keys("names"), "not a hash")
    call = worker.call(worker.plan(0, [said(1)]))
    worker.store.send([call])
    with pytest.raises(HeadwaterError, match=r"Redis refused a call: .*WRONGTYPE"):
        worker.store.receive()


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


# --- as-of ---------------------------------------------------------------------------------------------------------------


def as_of(worker: Worker) -> dict[bytes, bytes]:
    found: Any = worker.client.hgetall(worker.store.keys("asof"))
    return dict(found)


def test_as_of_is_proven_for_the_owner_who_has_applied_everything(worker: Worker) -> None:
    worker.apply(0, [said(1), said(2)])
    zero, one = worker.fences[0], worker.fences[1]
    stranger = dataclasses.replace(zero, epoch="1:somebody")
    assert worker.store.prove([]) == 0
    assert worker.store.prove([(zero, 3, T), (stranger, 2, T)]) == 0
    assert as_of(worker) == {}
    assert worker.store.prove([(zero, 2, T), (one, 1, T)]) == 1
    assert worker.store.prove([(zero, 1, T + 1), (one, 0, T + 2)]) == 2
    assert as_of(worker) == {b"0": str(T + 1).encode(), b"1": str(T + 2).encode()}


def test_the_owner_before_proves_nothing(worker: Worker) -> None:
    before = worker.fences[0]
    worker.store.acquire(0, "topic-id", None)
    assert worker.store.prove([(before, 0, T)]) == 0
    assert as_of(worker) == {}


# --- the soft generation --------------------------------------------------------------------------------------------------

ORDERS, DAILY = (dataset_key(Name("kafka://b1:9092", name)) for name in ("orders", "daily"))
FLOW = job_key(JOB)
READS, WRITES = edge_key(b"r", ORDERS, FLOW), edge_key(b"w", FLOW, DAILY)


def named_by(worker: Worker, call: Call) -> set[bytes]:
    boxes = [worker.store.keys("o", shard) for shard in range(SHARDS)]
    worker.client.delete(*boxes)
    assert isinstance(outcome(worker, call), Applied)
    entries: list[Any] = [worker.client.lrange(box, 0, -1) for box in boxes]
    return {name for box in entries for entry in box for name in parse_names(entry)}


def graph_names(names: set[bytes]) -> set[bytes]:
    return {name for name in names if name[:1] in (b"d", b"e")}


def test_within_a_minute_what_is_known_is_not_named_again(worker: Worker) -> None:
    worker.apply(0, [said(1)])
    assert graph_names(named_by(worker, worker.call(worker.plan(0, [said(2, at_us=T + 1)])))) == set()


def test_after_a_removal_by_another_owner_a_call_names_everything_it_touches(worker: Worker, url: str) -> None:
    other = Worker(url, DOMAIN, 2)
    worker.forget()
    other.take(1)
    worker.apply(0, [said(1)])
    other.apply(1, [said(2, EventType.OTHER, at_us=T - 1, reads="", lifecycle=Lifecycle.DROP, run=2)])
    names = named_by(worker, worker.call(worker.plan(0, [said(3, at_us=T + 1)])))
    assert graph_names(names) == {b"d" + ORDERS, b"d" + DAILY, b"e" + READS, b"e" + WRITES}
    # From then on the worker knows, and names what it touches once more, by itself.
    named_by(worker, worker.call(worker.plan(0, [said(4, at_us=T + 2)])))
    assert graph_names(named_by(worker, worker.call(worker.plan(0, [said(5, at_us=T + 3)])))) == set()
    other.close()


def test_a_removal_names_the_dataset_and_its_edges_in_every_shard(worker: Worker) -> None:
    worker.apply(0, [said(1)])
    drop = said(2, EventType.OTHER, at_us=T + 1, reads="", lifecycle=Lifecycle.DROP, run=2)
    call = worker.call(worker.plan(0, [drop]))
    before = int(call.soft)
    named_by(worker, call)
    boxes: list[Any] = [worker.client.lrange(worker.store.keys("o", shard), 0, -1) for shard in range(SHARDS)]
    assert all(b"n" + DAILY in {name for entry in box for name in parse_names(entry)} for box in boxes)
    assert int(worker.client.hget(worker.store.keys("meta"), "soft") or -1) == before + 1


def test_a_call_planned_before_a_removal_and_sent_after_it_names_what_it_touches(worker: Worker) -> None:
    worker.apply(0, [said(1)])
    drop = worker.call(
        worker.plan(1, [said(2, EventType.OTHER, reads="", lifecycle=Lifecycle.DROP, run=2, at_us=T + 5)])
    )
    stale = worker.call(worker.plan(0, [said(3, at_us=T + 9)]))
    outcome(worker, drop)
    assert {b"d" + DAILY, b"e" + WRITES} <= named_by(worker, stale)
