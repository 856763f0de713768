"""The emitter: what it promises to the job, and how it keeps its books."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from headwater import (
    BrokerUnavailable,
    BufferFull,
    ConfigError,
    DatasetUse,
    DeliveryError,
    Emitter,
    EventError,
    EventType,
    LineageEvent,
    Measure,
    Name,
    Runtime,
)
from headwater.testing import ManualClock, MemoryTransport
from headwater.transports.base import Encoded, Settle
from headwater_schemas.events import NIL_UUID
from headwater_schemas.ids import partition_key


def event(**members: Any) -> LineageEvent:
    return LineageEvent(
        **{"event_id": NIL_UUID, "event_time_us": 0, "event_type": EventType.OTHER, "job": Name("ns", "job"), **members}
    )


class Stubborn(MemoryTransport):
    """A transport that says no in a way of the test's choosing until it is told to work."""

    def __init__(self, answer: Callable[[], int]) -> None:
        super().__init__()
        self.answer = answer
        self.works = threading.Event()

    def send(self, batch: Sequence[Encoded], settle: Settle) -> int:
        return super().send(batch, settle) if self.works.is_set() else self.answer()


def _raising(error: Exception) -> Callable[[], int]:
    def answer() -> int:
        raise error

    return answer


def _balanced(emitter: Emitter) -> bool:
    stats = emitter.stats()
    return stats.offered == stats.delivered + stats.spooled + stats.failed + stats.pending + sum(stats.dropped.values())


def test_an_event_is_stamped_with_what_it_does_not_say() -> None:
    transport, clock = MemoryTransport(), ManualClock()
    here = Runtime(pod="orders-7d9", k8s_namespace="shop")
    with Emitter(transport, job="orders", namespace="shop", runtime=here, clock_us=clock) as emitter:
        assert emitter.emit(event())
    (sent,) = transport.events
    assert sent.event_id != NIL_UUID
    assert sent.event_time_us == clock.now_us
    assert sent.runtime == here
    assert sent.emitter == "sdk:shop/orders"
    assert sent.producer.startswith("https://")
    assert transport.sent[0].key == partition_key(sent) == b"ns/job"


def test_what_an_event_says_itself_is_left_alone() -> None:
    transport = MemoryTransport()
    said = event(event_id=bytes(range(16)), event_time_us=1_700_000_000_000_000, emitter="me", producer="p:/x")
    with Emitter(transport) as emitter:
        emitter.emit(said)
    (sent,) = transport.events
    assert (sent.event_id, sent.event_time_us) == (said.event_id, said.event_time_us)
    assert (sent.emitter, sent.producer) == ("me", "p:/x")


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ({"job": Name("", "")}, "neither a job nor a dataset"),
        ({"job": Name("ns", "")}, "empty name"),
        ({"inputs": (DatasetUse("", "orders"),)}, "inputs[0] has an empty namespace"),
        ({"inputs": (DatasetUse("n" * 4000, "orders" * 100),)}, "longer than"),
        ({"event_time_us": 1_700_000_000}, "microseconds"),
        ({"nominal_end_us": 1_700_000_000_000_000_000}, "microseconds"),
        ({"run_id": b"short"}, "16 bytes"),
        ({"outputs": (DatasetUse("n", "d", measures=(Measure(rows=-5),)),)}, "-5"),
        ({"outputs": (DatasetUse("n", "d", measures=(Measure(data_through_us=5),)),)}, "data_through_us"),
        ({"outputs": (DatasetUse("n", "d"),) * 1001}, "1001"),
        ({"facets": b"x" * 600_000}, "facets"),
    ],
)
def test_an_event_that_says_nothing_usable_is_counted_not_raised(members: dict[str, Any], complaint: str) -> None:
    with Emitter(MemoryTransport()) as emitter:
        assert not emitter.emit(event(**members))
        assert sum(emitter.stats().dropped.values()) == 1
        assert _balanced(emitter)
    with Emitter(MemoryTransport(), strict=True) as emitter, pytest.raises(EventError) as caught:
        emitter.emit(event(**members))
    assert complaint in str(caught.value)


def test_whatever_is_emitted_the_job_goes_on() -> None:
    garbage: Any = None
    with Emitter(MemoryTransport()) as emitter:
        assert not emitter.emit(garbage)
        assert emitter.emit(event(job=Name("ns", "\ud800")))  # only found out when it is encoded
        assert emitter.flush() == 0
        assert emitter.stats().dropped == {"invalid": 2}


def test_an_event_too_large_for_kafka_is_dropped_and_the_next_one_is_not() -> None:
    transport = MemoryTransport()
    huge = tuple(DatasetUse("n" * 1000, f"{'d' * 1500}{at}") for at in range(600))
    with Emitter(transport) as emitter:
        emitter.emit(event(inputs=huge))
        emitter.emit(event())
        assert emitter.flush() == 0
        assert emitter.stats().dropped == {"too_large": 1}
    assert len(transport.events) == 1


def test_credentials_in_a_dataset_namespace_do_not_leave_the_job() -> None:
    transport = MemoryTransport()
    with Emitter(transport) as emitter:
        emitter.emit(event(inputs=(DatasetUse("postgres://me:s3cret@db:5432", "a.b.c"),)))
    assert transport.events[0].inputs[0].namespace == "postgres://db:5432"
    assert b"s3cret" not in transport.sent[0].value


@pytest.mark.parametrize(("on_full", "kept"), [("drop_newest", [0, 1]), ("drop_oldest", [3, 4])])
def test_a_full_buffer_drops_by_its_policy_and_counts(on_full: str, kept: list[int]) -> None:
    holding, released = threading.Event(), threading.Event()

    def hold() -> int:
        holding.set()
        released.wait(10)
        return 0

    transport = Stubborn(hold)
    with Emitter(transport, capacity=2, on_full=on_full) as emitter:
        emitter.emit(event(job=Name("ns", "in-flight")))
        assert holding.wait(10)
        for at in range(5):
            emitter.emit(event(job=Name("ns", str(at))))
        assert emitter.stats().dropped == {"buffer_full": 3}
        assert _balanced(emitter)
        transport.works.set()
        released.set()
        assert emitter.flush() == 0
    assert [sent.job.name for sent in transport.events] == ["in-flight", *map(str, kept)]


def test_a_strict_emitter_raises_when_its_buffer_is_full() -> None:
    transport = Stubborn(lambda: 0)
    emitter = Emitter(transport, capacity=1, strict=True)

    def overfill() -> None:
        for _ in range(200):
            emitter.emit(event())

    with pytest.raises(BufferFull):
        overfill()
    transport.works.set()
    emitter.close()


def test_what_the_transport_cannot_take_now_is_offered_again() -> None:
    unavailable = BrokerUnavailable("no broker", remedy="start one")
    for answer in (lambda: 0, _raising(unavailable)):
        transport = Stubborn(answer)
        with Emitter(transport) as emitter:
            for _ in range(100):
                emitter.emit(event())
            assert emitter.flush(0.1) == 100
            transport.works.set()
            assert emitter.flush() == 0
        assert len(transport.events) == 100


def test_what_the_transport_refuses_for_good_is_counted_as_failed() -> None:
    with Emitter(Stubborn(_raising(DeliveryError("forbidden: password=x")))) as emitter:
        emitter.emit(event())
        assert emitter.flush() == 0
        stats = emitter.stats()
    assert (stats.failed, stats.delivered) == (1, 0)
    assert stats.last_error == "forbidden: password=***"


def test_a_bug_in_a_transport_ends_in_the_books() -> None:
    emitter = Emitter(Stubborn(_raising(ZeroDivisionError("oops"))))
    emitter.emit(event())
    assert emitter.flush() == 0
    emitter.emit(event())
    emitter.close()
    stats = emitter.stats()
    assert (stats.failed, stats.pending) == (2, 0)
    assert "ZeroDivisionError" in stats.last_error
    assert _balanced(emitter)


def test_close_gives_up_in_time_and_counts_what_is_left() -> None:
    emitter = Emitter(Stubborn(lambda: 0))
    for _ in range(500):
        emitter.emit(event())
    closer = threading.Thread(target=emitter.close, args=(1.0,))
    closer.start()
    closer.join(2.0)
    assert not closer.is_alive()
    assert emitter.stats().dropped == {"unsent": 500}
    assert not emitter.emit(event())
    assert emitter.stats().dropped == {"unsent": 500, "closed": 1}
    assert _balanced(emitter)


def test_events_of_many_threads_all_arrive() -> None:
    transport = MemoryTransport()
    with Emitter(transport) as emitter:
        threads = [threading.Thread(target=lambda: [emitter.emit(event()) for _ in range(500)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert emitter.flush() == 0
    assert len({sent.event_id for sent in transport.events}) == 4_000
    assert emitter.stats().delivered == 4_000


def test_closing_sends_what_is_still_buffered_and_a_second_close_does_nothing() -> None:
    transport = MemoryTransport()
    emitter = Emitter(transport)
    for _ in range(1_000):
        emitter.emit(event())
    emitter.close()
    emitter.close()
    assert len(transport.events) == 1_000
    assert transport.closed


def test_losses_are_logged_at_most_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), Emitter(MemoryTransport()) as emitter:
        for _ in range(50):
            emitter.emit(event(job=Name("", "")))
        assert len(caplog.records) == 1


def test_an_emitter_without_a_transport_is_switched_off() -> None:
    with Emitter(None) as emitter:
        assert not emitter.emit(event())
        with emitter.run(job="quiet"):
            pass
    assert emitter.stats().dropped == {"disabled": 1}  # a run says nothing at all then


def test_wrong_options_are_said_at_once() -> None:
    with pytest.raises(ConfigError):
        Emitter(None, on_full="explode")
    with pytest.raises(ConfigError):
        Emitter(None, capacity=0)
    with pytest.raises(ConfigError):
        Emitter(None, on_sigterm="die")
    with Emitter(MemoryTransport()) as nameless, pytest.raises(ConfigError, match="HEADWATER_JOB"):
        nameless.run()
