"""A run: its events, in order, with what was read and written."""

from __future__ import annotations

import asyncio
import os
import threading
import uuid
from collections.abc import Iterator

import pytest

from headwater import (
    ConfigError,
    Emitter,
    EventError,
    EventType,
    Lifecycle,
    Measure,
    Name,
    ParentRun,
    Processing,
    current_run,
)
from headwater.testing import MemoryTransport
from headwater_schemas.events import Completeness, DatasetUse, LineageEvent


@pytest.fixture
def transport() -> MemoryTransport:
    return MemoryTransport()


@pytest.fixture
def emitter(transport: MemoryTransport) -> Iterator[Emitter]:
    with Emitter(transport, job="orders", namespace="shop", strict=True) as emitter:
        yield emitter


def _events(emitter: Emitter, transport: MemoryTransport) -> list[LineageEvent]:
    assert emitter.flush() == 0
    return transport.events


def _types(events: list[LineageEvent]) -> list[str]:
    return [event.event_type.value for event in events]


def test_a_run_that_ends_well_says_start_and_complete(emitter: Emitter, transport: MemoryTransport) -> None:
    with emitter.run() as run:
        run.reads("kafka://b:9092", "orders", partition=0, first_offset=10, last_offset=19, rows=10)
        run.writes("s3://lake", "daily", rows=10)
    start, complete = _events(emitter, transport)
    assert (start.event_type, complete.event_type) == (EventType.START, EventType.COMPLETE)
    assert start.run_id == complete.run_id == run.id.bytes
    assert complete.job == Name("shop", "orders")
    assert (start.inputs, start.outputs) == ((), ())
    assert complete.inputs[0].measures == (Measure(0, 10, 19, 10),)
    assert complete.outputs == (DatasetUse("s3://lake", "daily", measures=(Measure(rows=10),)),)


def test_start_says_what_is_known_before_the_block(emitter: Emitter, transport: MemoryTransport) -> None:
    run = emitter.run("early")
    run.reads("kafka://b:9092", "orders")
    with run:
        pass
    start, complete = _events(emitter, transport)
    assert start.inputs == complete.inputs == (DatasetUse("kafka://b:9092", "orders"),)


def test_what_is_said_again_adds_up_by_partition(emitter: Emitter, transport: MemoryTransport) -> None:
    with emitter.run() as run:
        run.reads("kafka://b", "orders", partition=0, first_offset=10, last_offset=19, rows=10, lag=7)
        run.reads("kafka://b", "orders", partition=0, first_offset=20, last_offset=29, rows=10, lag=0)
        run.reads("kafka://b", "orders", partition=1, last_offset=5)
        run.reads("kafka://b", "orders", aliases=[Name("x", "y")], schema_version="2")
    (use,) = _events(emitter, transport)[-1].inputs
    assert use.measures == (Measure(0, 10, 29, 20, lag=0), Measure(1, -1, 5))
    assert (use.schema_version, use.aliases) == ("2", (Name("x", "y"),))


def test_running_says_what_is_new_and_complete_says_everything(emitter: Emitter, transport: MemoryTransport) -> None:
    with emitter.run(processing=Processing.STREAMING) as run:
        run.writes("s3://lake", "daily", rows=3)
        run.running()
        run.running()
        run.writes("s3://lake", "daily", rows=4)
    _, first, silent, complete = _events(emitter, transport)
    assert first.outputs[0].measures == (Measure(rows=3),)
    assert silent.outputs == (DatasetUse("s3://lake", "daily"),)  # named, but no proof of a write
    assert complete.outputs[0].measures == (Measure(rows=7),)
    assert {event.processing for event in (first, complete)} == {Processing.STREAMING}


def test_an_exception_is_reported_masked_and_goes_on_its_way(emitter: Emitter, transport: MemoryTransport) -> None:
    def failing() -> None:
        with emitter.run() as run:
            run.writes("s3://lake", "daily")
            raise ConnectionError("postgres://me:s3cret@db refused; password=hunter2 " + "x" * 5000)

    with pytest.raises(ConnectionError, match="s3cret"):
        failing()
    fail = _events(emitter, transport)[-1]
    assert fail.event_type is EventType.FAIL
    assert fail.error is not None
    assert fail.error.startswith("ConnectionError: postgres://me:***@db refused; password=*** x")
    assert "more characters" in fail.error
    assert len(fail.error.splitlines()[0]) <= 2_000
    assert "at test_an_exception_is_reported_masked_and_goes_on_its_way" in fail.error.splitlines()[1]
    assert fail.outputs == (DatasetUse("s3://lake", "daily"),)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (KeyboardInterrupt(), "ABORT"),
        (SystemExit(1), "ABORT"),
        (SystemExit("bad"), "ABORT"),
        (SystemExit(0), "COMPLETE"),
        (SystemExit(None), "COMPLETE"),
        (ValueError(), "FAIL"),
    ],
)
def test_how_the_block_is_left_decides_the_last_event(
    emitter: Emitter, transport: MemoryTransport, error: BaseException, kind: str
) -> None:
    with pytest.raises(type(error)), emitter.run():
        raise error
    assert _types(_events(emitter, transport)) == ["START", kind]


def test_an_exception_that_cannot_say_its_message_is_reported_too(emitter: Emitter, transport: MemoryTransport) -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    with pytest.raises(MuteError), emitter.run():
        raise MuteError
    assert "MuteError" in str(_events(emitter, transport)[-1].error)


def test_a_child_names_its_parent_and_the_root(emitter: Emitter, transport: MemoryTransport) -> None:
    scheduler = ParentRun(uuid.UUID(int=7), Name("airflow", "shop"))
    with emitter.run("outer", parent=scheduler) as outer, emitter.run("inner", parent=outer):
        pass
    inner = next(event for event in _events(emitter, transport) if event.job.name == "inner")
    assert (inner.parent_run_id, inner.parent_job) == (outer.id.bytes, Name("shop", "outer"))
    assert (inner.root_run_id, inner.root_job) == (scheduler.id.bytes, scheduler.job)


def test_a_lifecycle_change_is_told_once_and_not_before_it_happened(
    emitter: Emitter, transport: MemoryTransport
) -> None:
    run = emitter.run()
    run.writes("s3://lake", "old", lifecycle=Lifecycle.DROP)
    with run:
        run.running()
        run.writes("s3://lake", "new", lifecycle=Lifecycle.RENAME, previous=Name("s3://lake", "before"))
    start, running, complete = _events(emitter, transport)
    assert start.outputs == ()
    assert [use.lifecycle for use in running.outputs] == [Lifecycle.DROP]
    assert [(use.name, use.lifecycle) for use in complete.outputs] == [("new", Lifecycle.RENAME)]
    assert complete.outputs[0].previous == Name("s3://lake", "before")


def test_stated_edges_trace_and_correlation_travel(emitter: Emitter, transport: MemoryTransport) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with emitter.run(traceparent=trace, nominal_end_us=1_700_000_000_000_000, backfill=True) as run:
        run.derives(Name("postgresql://db:5432", "a"), Name("s3a://lake", "b"))
        run.correlate(transaction_id="tx1", file_id="f1")
    event = _events(emitter, transport)[-1]
    assert str(event.edges[0].source) == "postgres://db:5432/a"
    assert event.trace_id == bytes.fromhex("0af7651916cd43dd8448eb211c80319c")
    assert event.span_id == bytes.fromhex("b7ad6b7169203331")
    assert (event.transaction_ids, event.file_ids) == (("tx1",), ("f1",))
    assert (event.backfill, event.nominal_end_us) == (True, 1_700_000_000_000_000)


def test_a_broken_trace_context_is_said_at_once(emitter: Emitter) -> None:
    for broken in ("nonsense", "00-12-34-01", "00-zz-zz-01"):
        with pytest.raises(ConfigError, match="traceparent"):
            emitter.run(traceparent=broken)


def test_a_run_over_more_datasets_than_fit_is_marked_partial(emitter: Emitter, transport: MemoryTransport) -> None:
    with emitter.run() as run:
        for at in range(1_200):
            run.reads("s3://lake", f"part-{at}")
    complete = _events(emitter, transport)[-1]
    assert (len(complete.inputs), complete.completeness) == (1_000, Completeness.PARTIAL)


def test_a_run_id_may_come_from_outside(emitter: Emitter, transport: MemoryTransport) -> None:
    given = uuid.uuid4()
    with emitter.run(Name("airflow", "dag.task"), run_id=given):
        pass
    assert {event.run_id for event in _events(emitter, transport)} == {given.bytes}
    assert transport.sent[0].key == b"airflow/dag.task"


def test_an_asynchronous_block_is_a_run_too(emitter: Emitter, transport: MemoryTransport) -> None:
    async def work() -> None:
        async with emitter.run() as run:
            await asyncio.sleep(0)
            run.writes("s3://lake", "daily")

    asyncio.run(work())
    assert _types(_events(emitter, transport)) == ["START", "COMPLETE"]


def test_a_cancelled_task_aborts_its_run(emitter: Emitter, transport: MemoryTransport) -> None:
    async def work() -> None:
        async with emitter.run():
            await asyncio.sleep(60)

    async def cancelled() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert _types(_events(emitter, transport)) == ["START", "ABORT"]


def test_a_run_within_another_is_its_child_also_in_tasks_but_not_in_bare_threads(
    emitter: Emitter, transport: MemoryTransport
) -> None:
    async def child(name: str) -> None:
        with emitter.run(name):
            await asyncio.sleep(0)
            assert current_run().job.name == name

    async def parent() -> None:
        async with emitter.run("parent"):
            await asyncio.gather(child("one"), child("two"), asyncio.to_thread(in_thread, "three"))

    def in_thread(name: str) -> None:
        with emitter.run(name):
            assert current_run().job.name == name

    with emitter.run("parent"):
        bare = threading.Thread(target=in_thread, args=["four"])
        bare.start()
        bare.join()
    asyncio.run(parent())
    parents = {
        event.job.name: event.parent_job.name if event.parent_job else None for event in _events(emitter, transport)
    }
    assert parents == {"parent": None, "one": "parent", "two": "parent", "three": "parent", "four": None}


def test_the_first_end_counts_and_what_is_said_later_is_warned_about(
    emitter: Emitter, transport: MemoryTransport, caplog: pytest.LogCaptureFixture
) -> None:
    with emitter.run() as run:
        run.fail("three rows could not be read")
        run.writes("s3://lake", "daily")
        run.running()
    assert run.ended
    assert _types(_events(emitter, transport)) == ["START", "FAIL"]
    assert "has ended" in caplog.text


def test_wrong_arguments_make_a_run_partial_and_no_job_fail(caplog: pytest.LogCaptureFixture) -> None:
    transport = MemoryTransport()
    with Emitter(transport, job="orders") as emitter, emitter.run() as run:
        run.reads(None, "orders")  # type: ignore[arg-type]  # what a job without a type checker may do
        run.writes("s3://lake", "daily", previous="before")  # type: ignore[arg-type]  # as above
        run.derives("a", "b")  # type: ignore[arg-type]  # as above
    complete = transport.events[-1]
    assert (complete.event_type, complete.completeness) == (EventType.COMPLETE, Completeness.PARTIAL)
    assert caplog.text.count("is incomplete") == 1


def test_a_strict_emitter_raises_what_is_wrong_with_an_argument(emitter: Emitter) -> None:
    with emitter.run() as run, pytest.raises(EventError, match="shop/orders"):
        run.reads(None, "orders")  # type: ignore[arg-type]  # that is what is tested


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_forked_in_a_run_does_not_end_it(emitter: Emitter, transport: MemoryTransport) -> None:
    with emitter.run() as run:
        child = os.fork()
        if child == 0:
            try:
                run.complete()
            finally:
                os._exit(1 if run.ended else 0)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
    assert _types(_events(emitter, transport)) == ["START", "COMPLETE"]
