"""Heartbeats: a run that is silent for long says that it lives, and proves nothing."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from tests.support.processes import wait_until

from headwater import Emitter, EventType, Lifecycle, Processing, Run
from headwater.heartbeat import HEART, Heart
from headwater.run import abort_open_runs
from headwater.testing import MemoryTransport


class Clock:
    def __init__(self) -> None:
        self.now_s = time.monotonic()

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def transport() -> MemoryTransport:
    return MemoryTransport()


@pytest.fixture
def emitter(transport: MemoryTransport) -> Iterator[Emitter]:
    with Emitter(transport, job="orders") as emitter:
        yield emitter


def _types(emitter: Emitter, transport: MemoryTransport) -> list[str]:
    assert emitter.flush() == 0
    return [event.event_type.value for event in transport.events]


def _started(emitter: Emitter, heart: Heart) -> Run:
    run = emitter.run(processing=Processing.STREAMING)
    run.start()
    heart.watch(run)
    return run


def test_a_heartbeat_names_datasets_and_proves_no_write(emitter: Emitter, transport: MemoryTransport) -> None:
    with emitter.run() as run:
        run.reads("kafka://b", "orders", rows=5, lag=0)
        run.writes("s3://lake", "daily", rows=5)
        run.writes("s3://lake", "old", lifecycle=Lifecycle.DROP)
        run.writes("s3://lake", "new", lifecycle=Lifecycle.CREATE)
        assert run.heartbeat()
        run.running()
    assert not run.heartbeat()
    assert _types(emitter, transport) == ["START", "RUNNING", "RUNNING", "COMPLETE"]
    beat, running = transport.events[1:3]
    assert [use.name for use in (*beat.inputs, *beat.outputs)] == ["orders", "daily", "new"]
    assert not any(use.measures or use.lifecycle is not Lifecycle.NONE for use in (*beat.inputs, *beat.outputs))
    # What was measured and changed waited for the event that may prove it.
    assert [use.measures[0].rows for use in (*running.inputs, *running.outputs) if use.measures] == [5, 5]
    assert [use.lifecycle for use in running.outputs[1:]] == [Lifecycle.DROP, Lifecycle.CREATE]


def test_a_run_beats_only_when_it_was_silent_for_long(emitter: Emitter, transport: MemoryTransport) -> None:
    clock = Clock()
    heart = Heart(clock, in_background=False)
    run = _started(emitter, heart)
    clock.now_s += 59
    assert heart.beat() == pytest.approx(run.beat_due_s())
    assert _types(emitter, transport) == ["START"]
    clock.now_s += 2
    heart.beat()
    assert _types(emitter, transport) == ["START", "RUNNING"]
    run.complete()
    clock.now_s += 200
    assert heart.beat() == float("inf")
    assert _types(emitter, transport) == ["START", "RUNNING", "COMPLETE"]


def test_a_run_that_was_thrown_away_falls_silent(emitter: Emitter, transport: MemoryTransport) -> None:
    clock = Clock()
    heart = Heart(clock, in_background=False)
    _started(emitter, heart)
    gc.collect()
    clock.now_s += 120
    assert heart.beat() == float("inf")
    assert _types(emitter, transport) == ["START"]


def test_the_beat_of_a_closed_emitter_stops(transport: MemoryTransport) -> None:
    clock = Clock()
    heart = Heart(clock, in_background=False)
    emitter = Emitter(transport, job="orders")
    run = _started(emitter, heart)
    emitter.close()
    clock.now_s += 120
    assert heart.beat() == float("inf")
    assert not run.ended
    assert emitter.stats().dropped == {}


def test_one_thread_beats_for_all_runs_until_they_end(emitter: Emitter, transport: MemoryTransport) -> None:
    runs = [emitter.run(f"job-{at}", heartbeat_s=0.01) for at in range(20)]
    for run in runs:
        run.start()

    def all_beat_twice() -> bool:
        beats = [event.job.name for event in transport.events if event.event_type is EventType.RUNNING]
        return all(beats.count(run.job.name) >= 2 for run in runs)

    wait_until(all_beat_twice, within_s=20, what="two heartbeats of each run")
    assert sum(thread.name == "headwater-heartbeat" and thread.is_alive() for thread in threading.enumerate()) >= 1
    for run in runs:
        run.complete()
    assert emitter.flush() == 0
    last = {event.job.name: event.event_type for event in transport.events}
    assert set(last.values()) == {EventType.COMPLETE}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_that_is_forked_while_a_lock_is_held_does_not_wait_for_it(emitter: Emitter) -> None:
    run = emitter.run()
    run.start()
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with run._lock:
            held.set()
            release.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    child = os.fork()
    if child == 0:
        signal.alarm(10)  # ends the child if it waits for ever
        run.reads("s3://lake", "orders")
        os._exit(0 if run not in _watched() else 1)
    release.set()
    holder.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    run.complete()


def test_a_run_can_do_without(emitter: Emitter) -> None:
    with emitter.run(heartbeat_s=0) as run:
        assert run.beat_due_s() == float("inf")
    with emitter.run() as run:
        assert run in _watched()
    assert run not in _watched()


@pytest.mark.parametrize(
    ("environ", "silent_s"),
    [({}, 60.0), ({"HEADWATER_HEARTBEAT_S": "7.5"}, 7.5), ({"HEADWATER_HEARTBEAT_S": "0"}, None)],
)
def test_how_long_a_run_may_be_silent_is_said_by_the_environment_and_the_run_knows_better(
    environ: dict[str, str], silent_s: float | None
) -> None:
    environ |= {"HEADWATER_TRANSPORT": "memory", "HEADWATER_JOB": "orders"}
    before_s = time.monotonic()
    with Emitter.from_env(environ) as emitter, emitter.run() as run, emitter.run(heartbeat_s=3.0) as other:
        after_s = time.monotonic()
        if silent_s is None:
            assert run.beat_due_s() == float("inf")
        else:
            assert before_s <= run.beat_due_s() - silent_s <= after_s
        assert before_s <= other.beat_due_s() - 3.0 <= after_s


def test_runs_that_are_open_can_be_aborted_together(emitter: Emitter, transport: MemoryTransport) -> None:
    with Emitter(MemoryTransport(), job="other") as other, other.run() as untouched:
        with emitter.run("one"), emitter.run("two", heartbeat_s=0):
            abort_open_runs(emitter, "ended by SIGTERM")
        assert not untouched.ended
    assert _types(emitter, transport) == ["START", "START", "ABORT", "ABORT"]
    assert transport.events[-1].error == "ended by SIGTERM"


def _watched() -> set[Run]:
    return set(HEART.runs())
