"""One switch turns lineage off, and then nothing is done, looked for, or complained about."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator

import pytest

import headwater
from headwater import ConfigError, Emitter, Name


@pytest.fixture(params=["HEADWATER_DISABLED", "OPENLINEAGE_DISABLED"])
def _off(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(request.param, "true")
    monkeypatch.setenv("HEADWATER_KAFKA_BOOTSTRAP_SERVERS", "localhost:1")
    before = headwater.set_default_emitter(None)
    yield
    headwater.set_default_emitter(before)


@pytest.mark.usefixtures("_off")
def test_the_switch_wins_over_every_other_setting_also_a_wrong_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_CAPACITY", "many")
    monkeypatch.setenv("HEADWATER_NO_SUCH", "thing")
    emitter = Emitter.from_env()
    assert not emitter.enabled
    assert emitter.stats().offered == 0


def test_the_switch_is_on_or_off_and_nothing_else() -> None:
    assert not Emitter.from_env({"HEADWATER_DISABLED": "yes", "HEADWATER_TRANSPORT": "memory"}).enabled
    for on in ({"HEADWATER_DISABLED": "false"}, {"OPENLINEAGE_DISABLED": "1"}, {"OPENLINEAGE_DISABLED": "false"}):
        with Emitter.from_env({"HEADWATER_TRANSPORT": "memory"} | on) as emitter:
            assert emitter.enabled  # OpenLineage's own client knows "true" only
    with pytest.raises(ConfigError, match="HEADWATER_DISABLED"):
        Emitter.from_env({"HEADWATER_DISABLED": "maybe"})


@pytest.mark.usefixtures("_off")
def test_every_kind_of_job_works_as_if_nothing_stood_over_it(caplog: pytest.LogCaptureFixture) -> None:
    @headwater.job("plain", reads=[("s3://lake", "orders")])
    def plain(number: int) -> int:
        headwater.current_run().writes("s3://lake", "daily", rows=1)
        return number

    @headwater.job
    def rows() -> Iterator[int]:
        yield from range(3)

    @headwater.job
    async def coroutine() -> int:
        await asyncio.sleep(0)
        return 1

    @headwater.job
    async def stream() -> AsyncIterator[int]:
        yield 1

    async def all_of_it() -> list[int]:
        return [at async for at in stream()]

    with caplog.at_level(logging.WARNING):
        headwater.default_emitter()
        caplog.clear()
        assert (plain(7), list(rows()), asyncio.run(coroutine()), asyncio.run(all_of_it())) == (7, [0, 1, 2], 1, [1])
        headwater.current_run().reads("s3://lake", "orders")
    assert caplog.records == []


def test_a_silent_run_answers_every_call_and_says_nothing() -> None:
    emitter = Emitter(None)
    run = emitter.run("quiet")
    with run:
        run.reads("a", "b", rows=1)
        run.writes("a", "b")
        run.derives(Name("a", "b"), Name("c", "d"))
        run.correlate(file_id="x")
        run.running()
        assert not run.heartbeat()
        run.fail("x")
        assert run.child_environment() == {}
        assert headwater.current_run() is run
    run.complete()
    run.abort("x")
    assert (str(run.job), run.ended, run.as_parent().id.int) == ("default/quiet", False, 0)
    assert emitter.stats().offered == 0
