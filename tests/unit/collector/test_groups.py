"""Several ways out: the first that works, or all of them; and those that write lines."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from tests.support.gate import Gate
from tests.support.processes import wait_until

from headwater import ConfigError, DeliveryError, Emitter, EventType, LineageEvent, Name
from headwater.eventjson import from_json
from headwater.transports import composite
from headwater.transports.composite import CompositeTransport
from headwater.transports.console import ConsoleTransport
from headwater.transports.fallback import FallbackTransport
from headwater.transports.file import FileTransport
from headwater.transports.spool import SpoolTransport
from headwater_schemas.events import NIL_UUID


def _emit(emitter: Emitter, begin: int, count: int) -> list[str]:
    names = [str(at) for at in range(begin, begin + count)]
    for name in names:
        emitter.emit(LineageEvent(NIL_UUID, 0, EventType.RUNNING, job=Name("shop", name)))
    return names


class Hand:
    """A clock that is moved by hand."""

    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def test_the_second_way_takes_over_and_the_first_is_tried_again_after_a_pause() -> None:
    first, second, clock = Gate(), Gate(), Hand()
    with Emitter(FallbackTransport([("first", first), ("second", second)], now_s=clock)) as emitter:
        _emit(emitter, 0, 10)
        assert emitter.flush(30) == 0
        first.state = "refusing"
        _emit(emitter, 10, 10)
        assert emitter.flush(30) == 0
        first.state = "open"
        _emit(emitter, 20, 10)
        assert emitter.flush(30) == 0
        clock.now_s += 60
        _emit(emitter, 30, 10)
        assert emitter.flush(30) == 0
        stats = emitter.stats()
    assert first.names == [str(at) for at in (*range(10), *range(30, 40))]
    assert second.names == [str(at) for at in range(10, 30)]
    assert stats.transport == {"by_first": 20, "by_second": 20, "passed_over": 1}
    assert (stats.delivered, stats.failed) == (40, 0)


def test_what_a_way_holds_without_a_sign_of_life_goes_the_next_way() -> None:
    first, second, clock = Gate("holding"), Gate(), Hand()
    transport = FallbackTransport([("first", first), ("second", second)], patience_s=5, now_s=clock)
    with Emitter(transport) as emitter:
        names = _emit(emitter, 0, 100)
        wait_until(lambda: len(first.held) == 100, within_s=30, what="all held")
        assert emitter.flush(0.1) == 100
        clock.now_s += 6
        assert emitter.flush(30) == 0
    assert second.names == names


def test_a_job_that_ends_at_once_still_falls_back() -> None:
    first, second = Gate("holding"), Gate()
    emitter = Emitter(FallbackTransport([("first", first), ("second", second)]))
    names = _emit(emitter, 0, 10)
    emitter.close(1.0)
    assert second.names == names
    assert emitter.stats().delivered == 10


def test_when_no_way_works_events_wait_and_an_event_that_is_refused_for_good_does_not() -> None:
    first, second, clock = Gate("refusing"), Gate("refusing"), Hand()
    with Emitter(FallbackTransport([("first", first), ("second", second)], now_s=clock)) as emitter:
        names = _emit(emitter, 0, 10)
        assert emitter.flush(0.1) == 10
        second.state = "open"
        clock.now_s += 60
        assert emitter.flush(30) == 0
        assert second.names == names
        first.error, first.state = DeliveryError("malformed"), "refusing"
        clock.now_s += 60
        _emit(emitter, 10, 1)
        assert emitter.flush(30) == 0
        assert emitter.stats().failed == 1


def test_a_spool_keeps_what_no_way_takes(tmp_path: Path) -> None:
    first, second = Gate("refusing"), Gate("refusing")
    chain = FallbackTransport([("first", first), ("second", second)])
    with Emitter(SpoolTransport(chain, tmp_path)) as emitter:
        _emit(emitter, 0, 50)
        assert emitter.flush(30) == 0
        assert emitter.stats().spooled == 50


def test_all_ways_get_every_event_and_one_that_is_away_holds_up_none() -> None:
    good, away = Gate(), Gate("refusing")
    with Emitter(CompositeTransport([("good", good), ("away", away)])) as emitter:
        names = _emit(emitter, 0, 100)
        wait_until(lambda: good.names == names, within_s=30, what="the good way")
        assert emitter.stats().delivered == 0  # not everywhere yet
        away.state = "open"
        assert emitter.flush(30) == 0
        assert away.names == names
        stats = emitter.stats()
    assert stats.delivered == 100
    assert (stats.transport["good_delivered"], stats.transport["away_delivered"]) == (100, 100)


def test_a_way_too_far_behind_loses_events_and_they_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composite, "BACKLOG", 64)
    good, away = Gate(), Gate("refusing")
    emitter = Emitter(CompositeTransport([("good", good), ("away", away)]))
    _emit(emitter, 0, 100)
    wait_until(lambda: len(good.arrived) == 100, within_s=30, what="the good way")
    emitter.close(1.0)
    wait_until(lambda: not emitter.stats().pending, within_s=30, what="what waits for the other way is given up")
    stats = emitter.stats()
    assert stats.transport["behind_away"] == 36
    assert (stats.delivered, stats.failed, stats.pending) == (0, 100, 0)


def test_each_way_may_have_a_spool_of_its_own(tmp_path: Path) -> None:
    good, away = Gate(), Gate("refusing")
    ways = [("good", SpoolTransport(good, tmp_path / "good")), ("away", SpoolTransport(away, tmp_path / "away"))]
    with Emitter(CompositeTransport(ways)) as emitter:
        names = _emit(emitter, 0, 100)
        assert emitter.flush(30) == 0
        stats = emitter.stats()
        assert (stats.spooled, stats.delivered, stats.transport["good_delivered"]) == (100, 0, 100)
        away.state = "open"
        wait_until(lambda: away.names == names, within_s=30, what="the replay")
    assert good.names == names


@pytest.mark.parametrize("group", [FallbackTransport, CompositeTransport])
def test_a_group_of_nothing_is_a_config_error(group: type[FallbackTransport] | type[CompositeTransport]) -> None:
    with pytest.raises(ConfigError):
        group([])


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_the_console_gets_one_json_line_an_event(stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    monkeypatch.setattr(sys, stream, said)
    with Emitter(ConsoleTransport(stream)) as emitter:
        names = _emit(emitter, 0, 3)
    assert [from_json(line).job.name for line in said.getvalue().splitlines()] == names


def test_a_console_that_is_closed_fails_and_the_job_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    with Emitter(ConsoleTransport("stdout")) as emitter:
        _emit(emitter, 0, 3)
        assert emitter.flush(30) == 0
        assert emitter.stats().failed == 3
    with pytest.raises(ConfigError, match="stdin"):
        ConsoleTransport("stdin")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_file_on_a_full_disk_drops_and_counts() -> None:
    with Emitter(FileTransport("/dev/full")) as emitter:
        _emit(emitter, 0, 3)
        assert emitter.flush(30) == 0
        assert emitter.stats().dropped == {"disk_full": 3}
