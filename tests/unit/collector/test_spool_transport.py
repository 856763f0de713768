"""The spool behind a way out: what an outage does to events, and what the end of it does."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.support.descriptors import no_file_can_be_opened
from tests.support.gate import Gate
from tests.support.processes import wait_until

from headwater import DeliveryError, Emitter, EventType, LineageEvent, Name
from headwater.testing import MemoryTransport
from headwater.transports import spool
from headwater.transports.base import Encoded
from headwater.transports.spool import SpoolTransport
from headwater_schemas.events import NIL_UUID

_LONG_S = 30.0
"""What is waited for takes a fraction of a second, on a machine with nothing else to do."""
_MANY = 200


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that a test can wait for."""
    monkeypatch.setattr(spool, "_FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(spool, "_LONGEST_PAUSE_S", 0.05)
    monkeypatch.setattr(spool, "_LOOK_FOR_ORPHANS_S", 0.05)


def _event(name: str) -> LineageEvent:
    return LineageEvent(NIL_UUID, 0, EventType.RUNNING, job=Name("shop", name))


def _emit(emitter: Emitter, begin: int, count: int) -> list[str]:
    names = [f"{at:04d}" for at in range(begin, begin + count)]
    for name in names:
        assert emitter.emit(_event(name))
    return names


def _balanced(emitter: Emitter) -> bool:
    stats = emitter.stats()
    ends = stats.delivered + stats.spooled + stats.failed + stats.pending + sum(stats.dropped.values())
    return stats.offered == ends


@pytest.mark.parametrize("state", ["refusing", "holding"])
def test_an_outage_loses_nothing_and_keeps_the_order(tmp_path: Path, state: str) -> None:
    gate = Gate()
    with Emitter(SpoolTransport(gate, tmp_path, patience_s=0.1), job="j") as emitter:
        names = _emit(emitter, 0, 100)
        assert emitter.flush(_LONG_S) == 0
        gate.state = "refusing" if state == "refusing" else "holding"
        names += _emit(emitter, 100, 500)
        assert emitter.flush(_LONG_S) == 0  # on disk is settled
        assert emitter.stats().spooled == 500
        assert list(tmp_path.glob("*/*.spool"))
        gate.state = "open"
        wait_until(lambda: emitter.stats().transport.get("replayed") == 500, within_s=_LONG_S, what="the replay")
        names += _emit(emitter, 600, 10)
        assert emitter.flush(_LONG_S) == 0
        assert _balanced(emitter)
        assert emitter.stats().dropped == {}
    assert gate.names == names
    assert list(tmp_path.iterdir()) == []


def test_events_that_come_while_the_disk_is_emptied_go_behind_what_is_there(tmp_path: Path) -> None:
    gate = Gate("refusing")
    with Emitter(SpoolTransport(gate, tmp_path), job="j") as emitter:
        names = _emit(emitter, 0, 1_000)
        assert emitter.flush(_LONG_S) == 0
        gate.state = "open"
        names += _emit(emitter, 1_000, 1_000)
        wait_until(lambda: len(gate.arrived) >= 2_000, within_s=_LONG_S, what="all events")
    assert gate.names == names


def test_what_is_left_at_close_is_on_disk_and_the_next_process_sends_it(tmp_path: Path) -> None:
    closed, opened = Gate("holding"), Gate()
    first = Emitter(SpoolTransport(closed, tmp_path), job="j")
    names = _emit(first, 0, 300)
    began_s = time.monotonic()
    first.close(2.0)
    assert time.monotonic() - began_s < 4
    assert first.stats().spooled == 300
    assert _balanced(first)
    with Emitter(SpoolTransport(opened, tmp_path), job="j") as second:
        wait_until(lambda: len(opened.arrived) >= 300, within_s=_LONG_S, what="what the first one left")
        assert second.stats().transport == {"adopted": 1, "replayed": 300}
        assert second.stats().delivered == 0  # they are none of its own
    assert opened.names == names
    assert list(tmp_path.iterdir()) == []


def test_a_busy_emitter_still_sends_what_a_dead_process_left(tmp_path: Path) -> None:
    dead, opened = Gate("refusing"), Gate()
    left = Emitter(SpoolTransport(dead, tmp_path), job="j")
    _emit(left, 0, 1_000)
    assert left.flush(_LONG_S) == 0
    left.close(1.0)
    emitter = Emitter(SpoolTransport(opened, tmp_path), job="j")
    deadline, at = time.monotonic() + _LONG_S, 1_000
    while emitter.stats().transport.get("replayed", 0) < 1_000 and time.monotonic() < deadline:
        if emitter.flush(0.02) < _MANY:  # always some on their way, and no more than are sent
            _emit(emitter, at, 20)
            at += 20
    assert emitter.flush(_LONG_S) == 0
    emitter.close()
    assert len({encoded.event.event_id for encoded in opened.arrived}) == len(opened.arrived) == at


def test_while_no_file_can_be_opened_what_is_on_disk_waits_and_what_comes_goes_on(tmp_path: Path) -> None:
    bound = 128 * 1024  # so that 500 events are several segments, of which the first is read at once
    left = Emitter(SpoolTransport(Gate("refusing"), tmp_path, max_bytes=bound), job="j")
    names = _emit(left, 0, 500)
    assert left.flush(_LONG_S) == 0
    left.close(1.0)
    gate = Gate("refusing")
    emitter = Emitter(SpoolTransport(gate, tmp_path, max_bytes=bound), job="j")
    wait_until(lambda: emitter.stats().transport.get("adopted") == 1, within_s=_LONG_S, what="what a dead process left")
    with no_file_can_be_opened():
        gate.state = "open"
        wait_until(lambda: "replayed" in emitter.stats().transport, within_s=_LONG_S, what="the first of them")
        names += _emit(emitter, 500, 100)
        wait_until(lambda: "cannot be read now" in emitter.stats().last_error, within_s=_LONG_S, what="the error")
        assert emitter.flush(_LONG_S) == 0
        assert set(names[500:]) < set(gate.names) < set(names)
    wait_until(lambda: len(gate.arrived) == len(names), within_s=_LONG_S, what="what was on disk")
    emitter.close()
    assert sorted(gate.names) == names
    assert emitter.stats().dropped == {}


def test_an_event_that_the_way_out_refuses_for_good_is_not_kept(tmp_path: Path) -> None:
    gate = Gate("holding", DeliveryError("too large for me"))
    with Emitter(SpoolTransport(gate, tmp_path, patience_s=0.05), job="j") as emitter:
        _emit(emitter, 0, 3)
        assert emitter.flush(_LONG_S) == 0
        stats = emitter.stats()
        assert (stats.failed, stats.spooled, stats.failures) == (3, 0, {"delivery": 3})
        gate.state = "open"


def test_when_the_spool_is_full_events_are_dropped_and_counted(tmp_path: Path) -> None:
    gate = Gate("refusing")
    with Emitter(SpoolTransport(gate, tmp_path, max_bytes=64 * 1024), job="j", capacity=10_000) as emitter:
        _emit(emitter, 0, 2_000)
        assert emitter.flush(_LONG_S) == 0
        stats = emitter.stats()
        assert stats.dropped["spool_full"] == 2_000 - stats.spooled > 0
        assert stats.spooled > 100
        gate.state = "open"
        wait_until(lambda: len(gate.arrived) == stats.spooled, within_s=_LONG_S, what="what was kept")


def test_saving_puts_on_disk_what_is_on_its_way_and_goes_on(tmp_path: Path) -> None:
    gate = Gate("holding")
    with Emitter(SpoolTransport(gate, tmp_path, patience_s=60), job="j") as emitter:
        _emit(emitter, 0, 50)
        assert emitter.flush(0.1) == 50
        assert emitter.rescue(2.0) == 0
        assert emitter.stats().spooled == 50
        gate.state = "open"
        wait_until(lambda: len(gate.arrived) == 50, within_s=_LONG_S, what="the replay")


def test_an_idle_emitter_still_tries_again(tmp_path: Path) -> None:
    gate = Gate("refusing")
    with Emitter(SpoolTransport(gate, tmp_path), job="j") as emitter:
        _emit(emitter, 0, 1)
        assert emitter.flush(_LONG_S) == 0
        gate.state = "open"
        wait_until(lambda: len(gate.arrived) == 1, within_s=_LONG_S, what="the second try")


def test_a_way_out_that_works_leaves_the_folder_empty(tmp_path: Path) -> None:
    memory = MemoryTransport()
    with Emitter(SpoolTransport(memory, tmp_path), job="j") as emitter:
        _emit(emitter, 0, 100)
        assert emitter.flush(_LONG_S) == 0
        assert emitter.stats().transport == {}
        assert list(tmp_path.glob("*/*.spool")) == []
    assert len(memory.events) == 100


def test_an_hour_without_a_broker_stays_within_its_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In virtual time: the clock of the transport moves a second a batch, 3,600 times; what is held does not grow."""
    clock = Hand()
    monkeypatch.setattr(spool, "time", clock)
    monkeypatch.setattr("headwater.transports.link.time", clock)
    gate, ends = Gate("holding"), Counter[str]()
    transport = SpoolTransport(gate, tmp_path, max_bytes=256 * 1024)

    def settle(count: int, error: DeliveryError | None, _lost: Sequence[Encoded] = (), /) -> None:
        ends["delivered" if error is None else error.reason] += count

    batch = [Encoded(b"shop/orders", bytes(500))] * 10
    most_held = 0
    for _ in range(3_600):
        assert transport.send(batch, settle) == 10
        transport.poll(0.0)
        clock.now_s += 1
        most_held = max(most_held, len(gate.held))
    assert most_held <= 10 * 7  # the patience of five seconds, and nothing after it
    assert ends["spooled"] + ends["spool_full"] == 36_000
    assert sum(file.stat().st_size for file in tmp_path.glob("*/*.spool")) <= 256 * 1024
    gate.state = "open"
    transport.close(0.0)


class Hand:
    """Stands for the module `time`: a clock that is moved by hand."""

    now_s = 1_000.0

    def monotonic(self) -> float:
        return self.now_s
