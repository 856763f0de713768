"""What a producer has written to each partition, from its client's statistics and a sample of delivery reports. Pure.

librdkafka counts what was acknowledged, but its statistics hold no offsets of a producer. Those come with delivery
reports, of which a sample is enough: the first of each interval, then one in so many. Not thread-safe.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from headwater_schemas.events import Measure

EVERY_RECORD: Final = 1_000
"""So many records after each statistics have their delivery reported: a small job's offsets are exact."""
ONE_IN: Final = 61
"""Beyond that one record in so many (a prime: no partition is left out by a job that takes turns). The last offset told
may be as far behind the true one, in records of the producer."""


@dataclass(slots=True)
class _Written:
    rows: int = 0
    rows_told: int = 0
    bytes: int = 0
    bytes_told: int = 0
    low: int = -1
    high: int = -1


class Writing:
    """Counts and offsets by partition, and what of them was not told yet.

    Args:
        idempotent: the client numbers its records, so that the statistics say how many were acknowledged. Else those are
            counted that are no longer waiting, and were sent.
    """

    def __init__(self, *, idempotent: bool) -> None:
        self._idempotent = idempotent
        self._written: dict[tuple[str, int], _Written] = {}

    def acknowledged(self, topic: str, partition: int, offset: int) -> None:
        """A delivery report that was sampled."""
        if offset >= 0:
            written = self._written.setdefault((topic, partition), _Written())
            written.low = offset if written.low < 0 else min(written.low, offset)
            written.high = max(written.high, offset)

    def observe(self, topics: Mapping[str, Any]) -> None:
        """Take the member `topics` of librdkafka's statistics."""
        for topic, said in topics.items():
            for number, facts in said["partitions"].items():
                done = facts["msgs"] - facts["msgq_cnt"] - facts["xmit_msgq_cnt"] - facts["msgs_inflight"]
                if int(number) >= 0 and facts["msgs"] > 0:
                    written = self._written.setdefault((topic, int(number)), _Written())
                    rows = facts["acked_msgid"] if self._idempotent else min(done, facts["txmsgs"])
                    written.rows = max(written.rows, rows)
                    written.bytes = max(written.bytes, facts["txbytes"] * rows // max(1, facts["txmsgs"]))

    def counted(self) -> int:
        """How many records are written by the last statistics. Those that fail are never among them."""
        return sum(each.rows for each in self._written.values())

    @property
    def progress(self) -> bool:
        """Whether `news` would tell something."""
        return any(each.rows > each.rows_told or each.high >= 0 for each in self._written.values())

    def news(self) -> Iterator[tuple[str, Measure]]:
        """What was written since it was asked last, a measure a partition."""
        for (topic, partition), each in self._written.items():
            rows, size = each.rows - each.rows_told, each.bytes - each.bytes_told
            if rows > 0 or each.high >= 0:
                counted = (rows, size) if rows > 0 else (-1, -1)
                yield topic, Measure(partition, each.low, each.high, *counted)
            each.rows_told, each.bytes_told = each.rows, each.bytes
            each.low = each.high = -1
