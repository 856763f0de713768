"""How long an event travels to the deltas, and how long an outbox waits."""

from __future__ import annotations

from headwater_processor.engine.travel import Road, Travel

SECOND_US = 1_000_000


class Clocks:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.travel = Travel(wall=lambda: self.now_s, clock=lambda: self.now_s)

    def told(self) -> list[float]:
        """How often something arrived, and the sum of what it took."""
        return [self.travel.to_delta.count, round(self.travel.to_delta.sum, 6)]


def test_the_journey_ends_when_all_that_was_read_is_trimmed() -> None:
    clocks, road = Clocks(), Road()
    travel = clocks.travel
    travel.applied(0b10, 99 * SECOND_US)
    travel.applied(0b11, 98 * SECOND_US)  # its oldest record is older
    clocks.now_s = 101.0
    travel.read([(1, road, 3)], 101.0)
    clocks.now_s = 102.0
    travel.trimmed(road, 2)
    assert clocks.told() == [0, 0.0]
    travel.trimmed(road, 1)
    assert clocks.told() == [1, 4.0]


def test_what_other_shards_were_touched_by_is_not_measured_here() -> None:
    clocks, road = Clocks(), Road()
    clocks.travel.applied(0b100, 99 * SECOND_US)
    clocks.travel.read([(1, road, 1)], 101.0)
    clocks.travel.trimmed(road, 1)
    assert clocks.told() == [0, 0.0]


def test_a_mark_that_comes_after_its_entries_were_published_counts_at_the_next_look() -> None:
    clocks, road = Clocks(), Road()
    clocks.travel.read([(0, road, 1)], 99.0)
    clocks.travel.trimmed(road, 1)
    clocks.travel.applied(1, 99 * SECOND_US)
    clocks.now_s = 100.5
    clocks.travel.read([(0, road, 0)], 100.5)
    assert clocks.told() == [1, 1.5]


def test_a_look_that_began_before_the_call_was_applied_is_not_its() -> None:
    clocks, road = Clocks(), Road()
    clocks.travel.applied(1, 99 * SECOND_US)
    clocks.travel.read([(0, road, 1)], 99.9)
    clocks.travel.trimmed(road, 1)
    assert clocks.told() == [0, 0.0]
    clocks.travel.read([(0, road, 0)], 100.1)
    assert clocks.told()[0] == 1


def test_an_outbox_that_is_read_anew_keeps_its_age_and_its_journeys() -> None:
    clocks, road = Clocks(), Road()
    travel = clocks.travel
    travel.applied(1, 99 * SECOND_US)
    travel.read([(0, road, 2)], 100.0)
    travel.read([(0, road, 1)], 101.0)
    travel.anew(road)
    assert road.since() == 100.0
    travel.read([(0, road, 3)], 105.0)
    assert road.since() == 100.0
    clocks.now_s = 106.0
    travel.trimmed(road, 3)
    assert clocks.told() == [1, 7.0]
    assert road.since() == 0.0


def test_the_age_of_an_outbox_is_that_of_its_oldest_entry() -> None:
    clocks, road = Clocks(), Road()
    assert road.since() == 0.0
    clocks.travel.read([(0, road, 2)], 100.0)
    clocks.travel.read([(0, road, 1)], 103.0)
    clocks.travel.trimmed(road, 2)
    assert road.since() == 103.0


def test_records_without_a_time_and_calls_that_name_nothing_leave_no_mark() -> None:
    clocks, road = Clocks(), Road()
    clocks.travel.applied(1, 0)
    clocks.travel.applied(1, -1000)
    clocks.travel.applied(0, 99 * SECOND_US)
    clocks.travel.read([(0, road, 0)], 101.0)
    assert clocks.told() == [0, 0.0]
