"""Which event ids a partition has seen: the owner's replica of the packed log in Redis.

The log in Redis is, for each bucket of event time, a list of 64-bit keyed hashes. The replica holds the same hashes as
a few sorted arrays (8 bytes an id) and one small set of the newest ones, so a batch is looked up by binary search in
order, and an id costs no more than its eight bytes once it has settled.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]

HOT_MAX: Final = 16_384
"""Ids in the set before they settle: a set entry costs 60+ bytes, sorting 16k costs 1 ms."""
FANOUT: Final = 8
"""A settled run is merged into the next one while it is at least 1/8 of it: every id is copied log8(n) times."""

_MULTIPLIERS: Final = (0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93)
_M1: Final = np.uint64(_MULTIPLIERS[0])
_M2: Final = np.uint64(_MULTIPLIERS[1])
_S32: Final = np.uint64(32)
_S29: Final = np.uint64(29)


def hash_ids(ids: bytes, secret: tuple[int, int]) -> U64:
    """64-bit hashes of packed 16-byte ids, keyed by the domain's secret (multiply-xorshift, as in splitmix64).

    The key keeps a producer from choosing ids that collide; 10^8 live ids give a false duplicate a chance of
    5e-12 for each event.
    """
    words = np.frombuffer(ids, "<u8").reshape(-1, 2)
    h = (words[:, 0] ^ np.uint64(secret[0])) * _M1
    h ^= h >> _S32
    h *= _M2  # twice before the second word: after one round the top bits of both words can be chosen to cancel out
    h ^= h >> _S29
    h += words[:, 1] ^ np.uint64(secret[1])
    h *= _M2
    h ^= h >> _S29
    h *= _M1
    h ^= h >> _S32
    return h


def _first_of_equals(ordered: U64) -> npt.NDArray[np.bool_]:
    """For hashes in ascending order, of which at least one: which differ from the one before."""
    first = np.empty(len(ordered), np.bool_)
    first[0] = True
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return first


_MASK: Final = (1 << 64) - 1


def hash_id(ident: bytes, secret: tuple[int, int]) -> int:
    """The same of one id: for a few of them arrays cost more than they save."""
    h = ((int.from_bytes(ident[:8], "little") ^ secret[0]) * _MULTIPLIERS[0]) & _MASK
    h ^= h >> 32
    h = (h * _MULTIPLIERS[1]) & _MASK
    h ^= h >> 29
    h = (h + (int.from_bytes(ident[8:], "little") ^ secret[1])) & _MASK
    h = (h * _MULTIPLIERS[1]) & _MASK
    h ^= h >> 29
    h = (h * _MULTIPLIERS[0]) & _MASK
    return h ^ (h >> 32)


class SeenBucket:
    """The ids of one bucket of event time."""

    __slots__ = ("hot", "runs")

    def __init__(self) -> None:
        self.hot: set[int] = set()
        self.runs: list[U64] = []

    def __len__(self) -> int:
        return len(self.hot) + sum(len(run) for run in self.runs)

    def settled(self, sorted_hashes: U64) -> npt.NDArray[np.bool_]:
        """For hashes in ascending order: which are in the settled runs (the hot set is not looked at)."""
        found = np.zeros(len(sorted_hashes), np.bool_)
        for run in self.runs:
            at = np.searchsorted(run, sorted_hashes)
            at[at == len(run)] = len(run) - 1
            found |= run[at] == sorted_hashes
        return found

    def admit_many(self, hashes: U64) -> tuple[list[int], U64]:
        """By record 1 if its hash is new here, else 0 (of equal ones the first is new); and the new ones, sorted. They are
        kept."""
        self._settle_hot()
        order = np.argsort(hashes)  # a stable one takes five times as long
        ordered = hashes[order]
        starts = np.flatnonzero(_first_of_equals(ordered))
        added: U64 = ordered[starts]
        first = np.minimum.reduceat(order, starts)
        if self.runs:
            new = ~self.settled(added)
            added, first = added[new], first[new]
        if len(added):
            self._settle(added)
        by_record = np.zeros(len(hashes), np.int8)
        by_record[first] = 1
        verdicts: list[int] = by_record.tolist()
        return verdicts, added

    def contains(self, value: int) -> bool:
        """One hash, for batches too small for arrays."""
        if value in self.hot:
            return True
        needle = np.uint64(value)
        for run in self.runs:
            at = int(run.searchsorted(needle))
            if at < len(run) and run[at] == needle:
                return True
        return False

    def load(self, packed: bytes) -> None:
        """Take over a piece of the log (packed little-endian u64)."""
        if packed:
            hashes = np.frombuffer(packed, "<u8").astype(np.uint64)
            hashes.sort()
            self._settle(
                hashes[_first_of_equals(hashes)]
            )  # np.unique hashes them first (numpy 2.3) and takes a second a million

    def settle_if_large(self) -> None:
        """Move the hot ids into the sorted runs when there are many."""
        if len(self.hot) >= HOT_MAX:
            self._settle_hot()

    def _settle_hot(self) -> None:
        if self.hot:
            self._settle(np.sort(np.fromiter(self.hot, np.uint64, len(self.hot))))
            self.hot = set()

    def _settle(self, run: U64) -> None:
        while self.runs and len(self.runs[-1]) <= len(run) * FANOUT:
            merged = np.concatenate((self.runs.pop(), run))
            merged.sort(kind="stable")  # two sorted halves: radix or tim sort does this in one pass
            run = merged
        self.runs.append(run)


class Seen:
    """All live buckets of a partition: `F…` names are future buckets, the others are numbers."""

    __slots__ = ("buckets", "future", "total")

    def __init__(self) -> None:
        self.buckets: dict[int, SeenBucket] = {}
        self.future: dict[int, SeenBucket] = {}
        self.total = 0

    def bucket(self, number: int) -> SeenBucket:
        """The live bucket of this number, made when it is new."""
        found = self.buckets.get(number)
        if found is None:
            found = self.buckets[number] = SeenBucket()
        return found

    def future_bucket(self, number: int) -> SeenBucket:
        """The same for events from the future, named by the broker's time."""
        found = self.future.get(number)
        if found is None:
            found = self.future[number] = SeenBucket()
        return found

    def in_future(self, value: int, floor: int) -> bool:
        """Whether any live future bucket holds this hash."""
        return any(bucket.contains(value) for number, bucket in self.future.items() if number >= floor)

    def drop_below(self, floor: int) -> list[int]:
        """Forget whole buckets below `floor`; returns their numbers."""
        gone = [number for number in self.buckets if number < floor]
        for number in gone:
            self.total -= len(self.buckets.pop(number))
        return gone

    def drop_future_below(self, floor: int) -> list[int]:
        """The same for future buckets, which are named by the broker's time."""
        gone = [number for number in self.future if number < floor]
        for number in gone:
            self.total -= len(self.future.pop(number))
        return gone

    def settle(self, names: Iterable[str]) -> None:
        """Let the named buckets (as in the log: `F…` of the future) move new ids into sorted runs when there are many."""
        for name in names:
            found = self.future.get(int(name[1:])) if name[0] == "F" else self.buckets.get(int(name))
            if found is not None:
                found.settle_if_large()
