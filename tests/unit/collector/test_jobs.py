"""`@headwater.job`: each call of a function is a run, whatever kind of function it is."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import headwater
from headwater import ConfigError, Name
from headwater.testing import Recorder, recording


@pytest.fixture
def lineage() -> Iterator[Recorder]:
    with recording() as recorder:
        yield recorder


def _told(lineage: Recorder) -> list[str]:
    return [f"{event.job.name} {event.event_type.value}" for event in lineage.events]


def test_a_call_is_a_run_with_the_datasets_that_are_known(lineage: Recorder) -> None:
    @headwater.job("load", reads=[("postgres://db", "orders")], writes=[Name("s3://lake", "daily")])
    def load(day: str) -> str:
        headwater.current_run().writes("s3://lake", "daily", rows=3)
        return day

    assert load("monday") == load(day="monday") == "monday"
    assert _told(lineage) == ["load START", "load COMPLETE"] * 2
    start = lineage.events[0]
    assert [use.name for use in (*start.inputs, *start.outputs)] == ["orders", "daily"]
    lineage.assert_writes("load", ("s3://lake", "daily"), rows=6)
    assert load.__name__ == "load"
    assert list(inspect.signature(load).parameters) == ["day"]


def test_a_job_is_named_by_its_argument_else_by_the_process_else_by_the_function(lineage: Recorder) -> None:
    @headwater.job
    def plain() -> None: ...

    @headwater.job(namespace="shop")
    def placed() -> None: ...

    plain()
    placed()
    with recording(job="process") as other:
        plain()
    names = {str(event.job) for event in lineage.events}
    stem = "test_a_job_is_named_by_its_argument_else_by_the_process_else_by_the_function"
    assert names == {f"test/{stem}.plain", f"shop/{stem}.placed"}
    assert {str(event.job) for event in other.events} == {"test/process"}


def test_exceptions_go_on_unchanged_and_are_told(lineage: Recorder) -> None:
    error = ValueError("password=hunter2 is wrong")

    @headwater.job("load")
    def load() -> None:
        raise error

    with pytest.raises(ValueError, match="hunter2") as caught:
        load()
    assert caught.value is error
    assert error.__cause__ is error.__context__ is None
    lineage.assert_failed(
        "load", match=r"^ValueError: password=\*\*\* is wrong\n  at .*load\(\) in .*test_jobs\.py:\d+"
    )


def test_methods_are_jobs_too(lineage: Recorder) -> None:
    class Loader:
        @headwater.job("method")
        def load(self) -> Loader:
            return self

        @classmethod
        @headwater.job("class method")
        def make(cls) -> type[Loader]:
            return cls

    loader = Loader()
    assert loader.load() is loader
    assert Loader.make() is Loader
    lineage.assert_completed("method")
    lineage.assert_completed("class method")


def test_a_coroutine_function_stays_one_and_its_run_lasts_until_it_returns(lineage: Recorder) -> None:
    @headwater.job("load")
    async def load(which: str) -> str:
        headwater.current_run().reads("s3://lake", which)
        await asyncio.sleep(0)
        headwater.current_run().writes("s3://lake", f"{which}-out")
        return which

    async def both() -> list[str]:
        return list(await asyncio.gather(load("a"), load("b")))

    assert inspect.iscoroutinefunction(load)
    assert asyncio.run(both()) == ["a", "b"]
    ends = [event for event in lineage.events if event.event_type.value == "COMPLETE"]
    assert [(event.inputs[0].name, event.outputs[0].name) for event in ends] == [("a", "a-out"), ("b", "b-out")]


def test_threads_have_runs_of_their_own(lineage: Recorder) -> None:
    barrier = threading.Barrier(4)

    @headwater.job("load")
    def load(which: str) -> None:
        barrier.wait(10)
        headwater.current_run().writes("s3://lake", which)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(load, "abcd"))
    ends = [event for event in lineage.events if event.event_type.value == "COMPLETE"]
    assert sorted(use.name for event in ends for use in event.outputs) == ["a", "b", "c", "d"]
    assert len({event.run_id for event in ends}) == 4


def test_the_run_of_a_generator_lasts_as_long_as_the_iteration(lineage: Recorder) -> None:
    @headwater.job("rows")
    def rows() -> Generator[int, str, str]:
        run = headwater.current_run()
        sent = yield 1
        assert headwater.current_run() is run
        run.reads("s3://lake", sent)
        try:
            yield 2
        except KeyError:
            yield 3
        return "done"

    assert inspect.isgeneratorfunction(rows)
    iterating = rows()
    assert _told(lineage) == []
    assert next(iterating) == 1
    assert headwater.current_run().job.name == ""  # the one who iterates is in no run
    assert iterating.send("orders") == 2
    assert iterating.throw(KeyError("x")) == 3
    with pytest.raises(StopIteration) as end:
        next(iterating)
    assert end.value.value == "done"
    assert _told(lineage) == ["rows START", "rows COMPLETE"]
    lineage.assert_reads("rows", ("s3://lake", "orders"))


def test_a_generator_that_is_closed_before_its_end_is_aborted(lineage: Recorder) -> None:
    closed = []

    @headwater.job("rows")
    def rows() -> Iterator[int]:
        try:
            yield from range(10)
        finally:
            closed.append(headwater.current_run().job.name)

    for row in rows():
        if row == 1:
            break
    gc.collect()
    assert closed == ["rows"]
    assert _told(lineage) == ["rows START", "rows ABORT"]


def test_a_generator_may_say_itself_that_it_was_enough(lineage: Recorder) -> None:
    @headwater.job("rows")
    def rows() -> Iterator[int]:
        try:
            yield from range(10)
        except GeneratorExit:
            headwater.current_run().complete()
            raise

    iterating = rows()
    next(iterating)
    iterating.close()  # type: ignore[attr-defined]  # an iterator by its type, a generator by its making
    assert _told(lineage) == ["rows START", "rows COMPLETE"]


def test_a_generator_that_fails_says_so(lineage: Recorder) -> None:
    @headwater.job("rows")
    def rows() -> Iterator[int]:
        yield 1
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        list(rows())
    lineage.assert_failed("rows", match="OSError: disk")


def test_an_asynchronous_generator_is_a_run_of_the_same_kind(lineage: Recorder) -> None:
    @headwater.job("stream")
    async def stream(most: int) -> AsyncIterator[int]:
        for at in range(most):
            headwater.current_run().reads("kafka://b:9092", "orders", rows=1)
            yield at

    async def all_of_it() -> list[int]:
        seen = []
        async for at in stream(3):
            assert headwater.current_run().job.name == ""  # the one who iterates is in no run
            seen.append(at)
        return seen

    async def a_part() -> None:
        iterating = stream(3)
        assert await anext(iterating) == 0
        await iterating.aclose()  # type: ignore[attr-defined]  # as above

    assert inspect.isasyncgenfunction(stream)
    assert asyncio.run(all_of_it()) == [0, 1, 2]
    lineage.assert_reads("stream", ("kafka://b:9092", "orders"), rows=3)
    asyncio.run(a_part())
    assert _told(lineage) == ["stream START", "stream COMPLETE", "stream START", "stream ABORT"]


def test_asynchronous_generators_that_are_left_lying_are_aborted_when_the_loop_ends(lineage: Recorder) -> None:
    left = []

    @headwater.job("stream")
    async def stream() -> AsyncIterator[int]:
        yield 1
        yield 2

    async def main() -> None:
        iterating = stream()
        left.append(iterating)
        await anext(iterating)

    asyncio.run(main())
    assert _told(lineage) == ["stream START", "stream ABORT"]


def test_what_cannot_be_a_job_is_said_when_the_module_is_loaded() -> None:
    with pytest.raises(ConfigError, match="directly over a function"):
        headwater.job("x")(property(lambda self: self))  # type: ignore[type-var]  # that is what is tested
    with pytest.raises(ConfigError, match="below @staticmethod"):
        headwater.job("x")(staticmethod(print))
    with pytest.raises(ConfigError, match="reads holds"):
        headwater.job("x", reads=["s3://lake/orders"])  # type: ignore[list-item]  # as above
    with pytest.raises(ConfigError, match="writes holds"):
        headwater.job("x", writes=("s3://lake", "orders"))  # type: ignore[arg-type]  # as above


def test_the_emitter_of_the_process_is_made_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("HEADWATER_FILE", f"{tmp_path}/lineage.jsonl")
    before = headwater.set_default_emitter(None)
    try:
        emitter = headwater.default_emitter()
        assert emitter.enabled
        assert headwater.default_emitter() is emitter
        emitter.close()
    finally:
        headwater.set_default_emitter(before)


def test_wrong_settings_switch_the_emitter_of_the_process_off_and_are_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HEADWATER_TRANSPROT", "kafka")
    before = headwater.set_default_emitter(None)

    @headwater.job("load")
    def load() -> int:
        return 42

    try:
        assert load() == 42
    finally:
        headwater.set_default_emitter(before)
    assert "did you mean HEADWATER_TRANSPORT?" in caplog.text


def test_outside_of_a_run_there_is_a_silent_one_and_one_warning(
    lineage: Recorder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headwater.jobs._told_outside", False)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            headwater.current_run().reads("s3://lake", "orders")
    assert caplog.text.count("outside of a run") == 1
    assert lineage.events == []
