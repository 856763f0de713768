"""What `ports.StateStore` promises when answers are lost or late, and of what a call names for those who publish."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import pytest
import redis
from tests.support.driving import Worker
from tests.support.flow import DOMAIN, JOB, SHARDS, T, after, outcome, said
from tests.support.processes import free_port, wait_until
from tests.support.redis_server import RedisServer

from headwater.errors import HeadwaterError
from headwater_processor.engine.images import parse_names
from headwater_processor.ports import Applied, Call, Refusal, StoppingError
from headwater_schemas.events import EventType, Lifecycle, Name
from headwater_schemas.ids import dataset_key, edge_key, job_key

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


# --- what a call names -----------------------------------------------------------------------------------------------

ORDERS, DAILY = (dataset_key(Name("kafka://b1:9092", name)) for name in ("orders", "daily"))
FLOW = job_key(JOB)
READS, WRITES = edge_key(b"r", ORDERS, FLOW), edge_key(b"w", FLOW, DAILY)


def named_by(worker: Worker, call: Call) -> set[bytes]:
    boxes = [worker.store.keys("o", shard) for shard in range(SHARDS)]
    worker.client.delete(*boxes)
    assert isinstance(outcome(worker, call), Applied)
    entries: list[Any] = [worker.client.lrange(box, 0, -1) for box in boxes]
    return {name for box in entries for entry in box for name in parse_names(entry)}


def gone(worker: Worker) -> dict[bytes, bytes]:
    stored: Any = worker.client.hgetall(worker.store.keys("gone"))
    return dict(stored)


def graph_names(names: set[bytes]) -> set[bytes]:
    return {name for name in names if name[:1] in (b"d", b"e")}


def test_within_a_minute_what_is_known_is_not_named_again(worker: Worker) -> None:
    worker.apply(0, [said(1)])
    assert graph_names(named_by(worker, worker.call(worker.plan(0, [said(2, at_us=T + 1)])))) == set()


@pytest.mark.parametrize("partition", [0, 1], ids=["by the same owner", "by another owner"])
def test_a_dataset_that_comes_back_within_the_minute_of_its_removal_is_named(
    worker: Worker, url: str, partition: int
) -> None:
    other = Worker(url, DOMAIN, 2)
    worker.forget()
    other.take(1)
    worker.apply(0, [said(1)])
    remover = other if partition else worker
    remover.apply(partition, [said(2, EventType.OTHER, at_us=T + 5, reads="", lifecycle=Lifecycle.DROP, run=2)])
    # A touch of before the removal changes nothing that an image shows; one past it brings the dataset back.
    assert graph_names(named_by(worker, worker.call(worker.plan(0, [said(3, at_us=T + 4)])))) == set()
    assert gone(worker) == {DAILY: b"%d" % (T + 5)}
    assert graph_names(named_by(worker, worker.call(worker.plan(0, [said(4, at_us=T + 6)])))) == {b"d" + DAILY}
    assert gone(worker) == {}
    assert graph_names(named_by(worker, worker.call(worker.plan(0, [said(5, at_us=T + 7)])))) == set()
    other.close()


def test_a_removal_that_is_older_than_what_is_known_takes_nothing_away(worker: Worker) -> None:
    worker.apply(0, [said(1, at_us=T + 9)])
    worker.apply(0, [said(2, EventType.OTHER, at_us=T + 5, reads="", lifecycle=Lifecycle.DROP, run=2)])
    assert gone(worker) == {}


def test_a_removal_names_the_dataset_and_its_edges_in_every_shard(worker: Worker) -> None:
    worker.apply(0, [said(1)])
    drop = said(2, EventType.OTHER, at_us=T + 1, reads="", lifecycle=Lifecycle.DROP, run=2)
    call = worker.call(worker.plan(0, [drop]))
    named_by(worker, call)
    boxes: list[Any] = [worker.client.lrange(worker.store.keys("o", shard), 0, -1) for shard in range(SHARDS)]
    assert all(b"n" + DAILY in {name for entry in box for name in parse_names(entry)} for box in boxes)
    assert gone(worker) == {DAILY: b"%d" % (T + 1)}


def test_a_call_planned_before_a_removal_and_sent_after_it_names_what_it_touches(worker: Worker) -> None:
    worker.apply(0, [said(1)])
    drop = worker.call(
        worker.plan(1, [said(2, EventType.OTHER, reads="", lifecycle=Lifecycle.DROP, run=2, at_us=T + 5)])
    )
    stale = worker.call(worker.plan(0, [said(3, at_us=T + 9)]))
    outcome(worker, drop)
    assert {b"d" + DAILY} <= named_by(worker, stale)
