"""What the transport hands to the engine: whole polls, cut by partition."""

from __future__ import annotations

from collections.abc import Sequence

from headwater_processor.ports import RawRecord


class PartBatch:
    """The records of one partition in one poll.

    `previous` is the position before it and `session` the ownership it was read under: a batch is taken only if it
    continues what was taken before, whatever was dropped or reordered on the way.
    """

    __slots__ = ("first", "next", "partition", "previous", "records", "session")

    def __init__(self, partition: int, session: int, previous: int, records: Sequence[RawRecord]) -> None:
        self.partition = partition
        self.session = session
        self.previous = previous
        self.records = records
        self.first = records[0].offset() or 0
        self.next = (records[-1].offset() or 0) + 1


class Poll:
    """One poll of the consumer: a batch for each partition that had something."""

    __slots__ = ("parts", "size", "submitted")

    def __init__(self, parts: list[PartBatch]) -> None:
        self.parts = parts
        self.submitted = False
        self.size = sum(len(part.records) for part in parts)
