"""The log of judging: what Redis was told of as-of, fences and writers, in order, and what producers were told and when.

Redis tells of every command (see `ledger`); three of them make up what a judge may know: `HSET asof`, the `next` of a
fence, and the bitmap of the partitions that write a dataset. After a gap in what was heard a fence is unknown until it is
heard of again, which only makes the oracle claim less.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from tests.support.oracle.diff import bounded

_HSET: Final = re.compile(
    rb'\+(\d+)\.(\d{6}) \[\d+ [^"]*\] "HSET" "\{hw:([^}]*)\}:(asof|wp|f:\d+)" (".*")$', re.IGNORECASE
)
_ARGUMENT: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"')


@dataclass(slots=True)
class Proof:
    """As-of of a partition, and the fence that was reached when it was said; None: unknown."""

    as_of_us: int
    next: int | None


@dataclass(slots=True)
class Clocks:
    """What was heard of a domain. `hear` is told every line of MONITOR, by one thread."""

    domain: str
    unescaped: Callable[[bytes], bytes]
    proofs: dict[int, list[Proof]] = field(default_factory=dict)
    writers: dict[bytes, list[tuple[int, bytes]]] = field(default_factory=dict)
    """Dataset key: (Redis' clock, bitmap), in order."""
    _next: dict[int, int] = field(default_factory=dict)
    _said_before: int = -1
    """The partition whose as-of the line before told: a call that applies says as-of, then moves the fence."""

    def deaf(self) -> None:
        """Something may have been missed."""
        self._next.clear()
        self._said_before = -1

    def hear(self, line: bytes) -> None:
        """One line of MONITOR, without its end."""
        found = _HSET.match(line)
        if found is None or found[3] != self.domain.encode():
            self._said_before = -1
            return
        at_us = int(found[1]) * 1_000_000 + int(found[2])
        arguments = [self.unescaped(each[1]) for each in _ARGUMENT.finditer(found[5])]
        table, pairs = found[4], list(zip(arguments[::2], arguments[1::2], strict=True))
        said_before, self._said_before = self._said_before, -1
        if table == b"asof":
            for partition, value in pairs:
                number = int(partition)
                self.proofs.setdefault(number, []).append(Proof(int(value), self._next.get(number)))
                self._said_before = number
        elif table == b"wp":
            for key, bitmap in pairs:
                self.writers.setdefault(key, []).append((at_us, bitmap))
        else:
            self._moved(int(table[2:]), dict(pairs), said_before)

    def _moved(self, partition: int, fields: dict[bytes, bytes], said_before: int) -> None:
        if b"next" in fields:
            self._next[partition] = int(fields[b"next"])
            if said_before == partition:
                self.proofs[partition][-1].next = self._next[partition]

    def writing(self, dataset: bytes, at_us: int) -> list[int]:
        """The partitions that were known to write a dataset at that time of Redis' clock."""
        known = b""
        for when_us, bitmap in self.writers.get(dataset, []):
            if when_us > at_us:
                break
            known = bitmap
        return [number for number in range(8 * len(known)) if known[number // 8] >> number % 8 & 1]

    def applied_by(self, partition: int, as_of_us: int) -> int:
        """Up to where the partition was surely applied for whoever judged by that as-of."""
        first = next((each for each in self.proofs.get(partition, []) if each.as_of_us >= as_of_us), None)
        return 0 if first is None else first.next or 0


@dataclass(slots=True)
class Acknowledged:
    """Every record of which a producer was told that it is safe, and where: partition, offset, and when it was told (µs).

    A record that is sent again because the broker died before its answer is answered as a duplicate, without an offset.
    """

    records: list[tuple[int, int, int]] = field(default_factory=list)

    def note(self, partition: int, offset: int | None, at_us: int) -> None:
        """One of them; called by producers' threads."""
        if offset is not None:
            self.records.append((partition, offset, at_us))


def untrue_proofs(clocks: Clocks, acknowledged: Acknowledged) -> list[str]:
    """As-of says that everything older is in the state: those that were said while an acknowledged record was not."""
    lines: list[str] = []
    for partition, proofs in clocks.proofs.items():
        records = sorted((at_us, offset) for where, offset, at_us in acknowledged.records if where == partition)
        at, newest = 0, -1
        for proof in sorted(proofs, key=lambda each: each.as_of_us):
            while at < len(records) and records[at][0] < proof.as_of_us:
                newest = max(newest, records[at][1])
                at += 1
            if proof.next is not None and newest >= proof.next:
                lines.append(
                    f"as-of: partition {partition} was said to be known up to {proof.as_of_us} when {proof.next} was next,"
                    f" and offset {newest} had been acknowledged"
                )
    return bounded(lines)
