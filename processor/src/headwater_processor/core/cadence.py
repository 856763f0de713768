"""How often a dataset is written, learned from a ring of 5-minute slots over 14 days.

A ring is 508 bytes: the newest slot (u32, big-endian), then 504 bytes in which slot `s` is bit `s % 4032`, that is bit
`s % 8` of byte `s % 4032 // 8`. Only slots in `(newest - 4032, newest]` are in a ring. Merging two rings is a set union
cut to the window of the newer one, so rings join in any order and any number of times (SEMANTICS.md, key `cad`).

Of the gaps between written slots the deadline takes the one at the 95th percentile *of time*, not of their number: the
gap that a random moment of the history lies in, in 95 of 100 cases, at most. A job that writes in 30 slots in a row
every night has 29 gaps of five minutes for each gap of a day; counted by number its p95 is five minutes, and it would
be called stale every morning. By time it is a day. For an even cadence both are the same.

What rests at night is first seen to rest in its first night. So a history of less than a day (from the first written slot
to the last) allows a day at least, whatever its gaps.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable
from itertools import pairwise
from typing import Final

import numpy as np

SLOT_US: Final = 300_000_000
SLOTS: Final = 4032
RING_BYTES: Final = 4 + SLOTS // 8
LEARN_SLOTS: Final = 8
LEAST_AGE_US: Final = 900_000_000
DAY_SLOTS: Final = 288
FIRST_DAY_US: Final = SLOT_US * DAY_SLOTS
"""Allowed at least while less than a day is known."""
SPAN_US: Final = SLOT_US * SLOTS

_NEWEST: Final = struct.Struct(">I")
_SLOT_MAX: Final = 0xFFFF_FFFF
_ALL: Final = (1 << SLOTS) - 1


def slot_of(time_us: int) -> int:
    """The slot in which a time lies."""
    return time_us // SLOT_US


def add(ring: bytes | None, slot: int) -> bytes:
    """The ring with one more slot written; a slot older than the window changes nothing.

    Raises ValueError for a slot that does not fit 32 bits or a ring of the wrong size.
    """
    if not 0 <= slot <= _SLOT_MAX:
        raise ValueError(f"slot {slot} is no 5-minute slot since the epoch: pass time_us // {SLOT_US}")
    one = _pack(slot, 1 << slot % SLOTS)
    return one if not ring else merge(ring, one)


def merge(a: bytes, b: bytes) -> bytes:
    """What both rings know: commutative, associative, idempotent. Raises ValueError if one has the wrong size."""
    (newest_a, bits_a), (newest_b, bits_b) = _unpack(a), _unpack(b)
    if newest_a < newest_b:
        newest_a, bits_a, newest_b, bits_b = newest_b, bits_b, newest_a, bits_a
    return _pack(newest_a, bits_a | bits_b & ~_window(newest_b + 1, newest_a))


def slots(ring: bytes | None) -> list[int]:
    """The written slots, ascending."""
    if not ring:
        return []
    newest, _ = _unpack(ring)
    at = np.flatnonzero(np.unpackbits(np.frombuffer(ring, dtype=np.uint8, offset=4), bitorder="little"))
    written: list[int] = np.sort(newest - (newest - at) % SLOTS).tolist()
    return written


def progress(ring: bytes | None) -> tuple[int, int]:
    """How many slots are known, and how many are needed before the cadence is learned."""
    return min(LEARN_SLOTS, _unpack(ring)[1].bit_count() if ring else 0), LEARN_SLOTS


def learned_max_age_us(ring: bytes | None, blind: Collection[int] = ()) -> int | None:
    """How old the dataset may become: three times the p95 gap (by time), at least 15 min, and a day while less than a day is
    known; None before 8 slots.

    `blind` are slots in which we were down ourselves: they are taken out of the gaps, for nobody knows what was
    written.
    """
    if progress(ring)[0] < LEARN_SLOTS:
        return None
    written = slots(ring)
    least_us = FIRST_DAY_US if written[-1] - written[0] < DAY_SLOTS else LEAST_AGE_US
    return max(3 * _p95_by_time(_gaps(written, blind)) * SLOT_US, least_us)


def _gaps(written: list[int], blind: Iterable[int]) -> list[int]:
    """Lengths, in slots, between neighbours, less the blind slots between them; never below one."""
    unseen = sorted(set(blind) - set(written))
    if not unseen:
        return [after - before for before, after in pairwise(written)]
    gaps, at = [], 0
    for before, after in pairwise(written):
        while at < len(unseen) and unseen[at] < before:
            at += 1
        start = at
        while at < len(unseen) and unseen[at] < after:
            at += 1
        gaps.append(max(1, after - before - (at - start)))
    return gaps


def _p95_by_time(gaps: list[int]) -> int:
    """The smallest gap such that gaps up to it cover at least 95 % of the time."""
    total, covered = sum(gaps), 0
    for gap in sorted(gaps):
        covered += gap
        if covered * 100 >= total * 95:
            return gap
    raise ValueError("no gaps: at least two written slots are needed")


def _window(first: int, last: int) -> int:
    """A mask of the bits of the slots first … last (at most a whole ring)."""
    length = last - first + 1
    if length <= 0:
        return 0
    if length >= SLOTS:
        return _ALL
    mask = ((1 << length) - 1) << first % SLOTS
    return (mask & _ALL) | (mask >> SLOTS)


def _pack(newest: int, bits: int) -> bytes:
    return _NEWEST.pack(newest) + bits.to_bytes(SLOTS // 8, "little")


def _unpack(ring: bytes) -> tuple[int, int]:
    if len(ring) != RING_BYTES:
        raise ValueError(f"a cadence ring has {RING_BYTES} bytes, not {len(ring)}: was it written by another layout?")
    return _NEWEST.unpack_from(ring)[0], int.from_bytes(ring[4:], "little")
