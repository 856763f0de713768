"""What a consumer has read of each partition, from its positions and its client's statistics. Pure; not thread-safe.

librdkafka counts what it fetched (`rxmsgs`, `rxbytes`) and knows what the application was handed (`app_offset`). Records
read are therefore the offsets that the application moved by, but never more than were fetched: compaction leaves offsets
without records. (The marks that end transactions are counted as records: librdkafka fetches them as such.) Bytes are
the records read times the mean size of those fetched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from headwater_schemas.events import Measure

Place = tuple[str, int]
"""Topic and partition."""

_FETCHING: Final = "active"


@dataclass(slots=True)
class _Stretch:
    """One partition from the time it was assigned, or sought in, until it goes."""

    rx_base: int
    rxbytes_base: int
    start: int = -1
    """The first offset of the stretch; -1: not known yet."""
    told: int = -1
    """Up to where it was told (exclusive)."""
    at: int = -1
    """The next offset that the application will be handed."""
    end: int = -1
    """The end of the partition as the client knows it."""
    rows: int = 0
    rows_told: int = 0
    mean_bytes: float = -1.0
    """Of the records fetched, read or not."""
    bytes_told: int = 0
    lag_told: int = -1

    def begin(self, offset: int) -> None:
        """The first record, or the place where it will be, is known."""
        self.start = self.told = self.at = offset

    @property
    def bytes(self) -> int:
        """Read so far; -1: no statistics have told yet how large records are."""
        return round(self.rows * self.mean_bytes) if self.mean_bytes >= 0 else -1

    @property
    def lag(self) -> int:
        """Records not read yet; -1: not known."""
        return max(0, self.end - self.at) if self.end >= 0 and self.at >= 0 else -1


class Reading:
    """Positions of the partitions that a consumer has, and what of them was not told yet."""

    def __init__(self) -> None:
        self._stretches: dict[Place, _Stretch] = {}
        self._fetched: dict[Place, tuple[int, int]] = {}
        self._left: list[tuple[str, Measure]] = []
        self.unseen: set[Place] = set()
        """Partitions whose first record is still to come: the only ones for which records are looked at."""

    def begin(self, places: Iterable[Place]) -> None:
        """These were assigned, or are to be read from elsewhere. Tell of them first (`news`) if they were read before."""
        for place in places:
            self.end([place])
            self._stretches[place] = _Stretch(*self._fetched.get(place, (0, 0)))
            self.unseen.add(place)

    def end(self, places: Iterable[Place]) -> None:
        """These went; what of them was not told is kept for `news`."""
        for place in places:
            stretch = self._stretches.pop(place, None)
            self.unseen.discard(place)
            if stretch is not None and (measure := _measure(place, stretch)) is not None:
                self._left.append((place[0], measure))

    def places(self) -> list[Place]:
        """The partitions that the consumer has."""
        return list(self._stretches)

    def saw(self, topic: str, partition: int, offset: int) -> None:
        """A record came. Only the first of each partition counts."""
        place = (topic, partition)
        if place in self.unseen:
            self.unseen.discard(place)
            self._stretches[place].begin(offset)

    def moved(self, place: Place, position: int, end: int = -1) -> None:
        """The application has been handed everything before `position`; `end` as known, -1: unknown."""
        stretch = self._stretches.get(place)
        if stretch is None or position < 0:
            return
        if stretch.start < 0:
            return  # where it began is not known, so neither is how far it came
        if position > stretch.at:
            stretch.rows += position - stretch.at
            stretch.at = position
        stretch.end = end if end >= 0 else stretch.end

    def observe(self, topics: Mapping[str, Any]) -> None:
        """Take the member `topics` of librdkafka's statistics."""
        for topic, said in topics.items():
            for number, facts in said["partitions"].items():
                place = (topic, int(number))
                stretch = self._stretches.get(place)
                if stretch is not None:
                    self._observe(place, stretch, facts)
                if place[1] >= 0:
                    self._fetched[place] = (facts["rxmsgs"], facts["rxbytes"])

    def _observe(self, place: Place, stretch: _Stretch, facts: Mapping[str, Any]) -> None:
        fetched = facts["rxmsgs"] - stretch.rx_base
        if fetched < 0:  # the client forgot the partition in between
            stretch.rx_base = stretch.rxbytes_base = 0
            fetched = facts["rxmsgs"]
        end = facts["ls_offset"] if facts["ls_offset"] >= 0 else facts["hi_offset"]
        stretch.end = max(end, -1)
        if fetched > 0:
            stretch.mean_bytes = (facts["rxbytes"] - stretch.rxbytes_base) / fetched
        position = facts["app_offset"]
        if position < 0:
            idle = fetched == 0 and end >= 0 and facts["fetch_state"] == _FETCHING
            if idle and stretch.start < 0:
                self.unseen.discard(place)
                stretch.begin(facts["next_offset"])
            return
        if stretch.start < 0:
            return  # its first record is under way to `saw`
        if position >= stretch.at:
            stretch.at = position
            stretch.rows = min(position - stretch.start, fetched)

    def news(self) -> Iterator[tuple[str, Measure]]:
        """What was read since it was asked last, a measure a partition, and the lag of those that have one."""
        yield from self._left
        self._left = []
        for place, stretch in self._stretches.items():
            measure = _measure(place, stretch)
            if measure is not None:
                yield place[0], measure

    @property
    def progress(self) -> bool:
        """Whether `news` would tell of records, or of a lag that changed."""
        return bool(self._left) or any(
            stretch.at > stretch.told or stretch.lag != stretch.lag_told for stretch in self._stretches.values()
        )


def _measure(place: Place, stretch: _Stretch) -> Measure | None:
    lag = stretch.lag_told = stretch.lag
    if stretch.at <= stretch.told:
        return None if lag < 0 else Measure(place[1], lag=lag)
    rows = max(0, stretch.rows - stretch.rows_told)
    size = max(0, stretch.bytes - stretch.bytes_told) if stretch.bytes >= 0 else -1
    measure = Measure(place[1], stretch.told, stretch.at - 1, rows, size, lag)
    stretch.told = stretch.at
    stretch.rows_told = max(stretch.rows, stretch.rows_told)
    stretch.bytes_told = max(stretch.bytes, stretch.bytes_told)
    return measure
