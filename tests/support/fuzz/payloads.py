"""Sessions of batches of hostile payloads, each decided by its seed and number alone.

A payload is a good event, or one spoiled by a way of `WAYS` (they know where each field lies), or by one of the oracle's
ways. A session draws its events from few tails, so the decoder meets the same tail again under good and under bad heads.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from tests.support.fuzz.writers import HEADERS, LONGS, Good, Span, foreign, good, tail_fields
from tests.support.oracle import hostile
from tests.support.oracle.contract import encode_tail, varint

BATCHES: Final = 24
SIZES: Final = (1, 2, 5, 11, 12, 13, 14, 30, 80, 250)
TAILS: Final = 24
EVENTS: Final = 72
GOOD_SHARE: Final = 0.25
BIG_SHARE: Final = 1 / 8000
BAD_TEXTS: Final = (
    b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\x80", b"a\xf0\x9f\x98", b"\xf8\x88\x80\x80\x80",
)  # fmt: skip
EVIL: Final = (
    b"\x80\x00", b"\x81\x00", b"\x82\x80\x00", b"\x80" * 7 + b"\x00", b"\x80" * 8 + b"\x00", b"\x80" * 9 + b"\x00",
    b"\x80" * 10 + b"\x00", b"\xff" * 9 + b"\x01", b"\xff" * 9 + b"\x02", b"\xff" * 9 + b"\x7f", b"\xff" * 10, b"\x80" * 60,
    b"\xff\xff\xff\xff\x0f", b"\xff\xff\xff\xff\x10", b"\xff\xff\xff\xff\x8f\x00", b"\x80\x80\x80\x80\x80\x00",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Payload:
    """A record value (None: a tombstone), and which way made it."""

    value: bytes | None
    way: str


Way = Callable[[random.Random, Good, list[Good]], bytes | None]


def sessions(seed: int, first: int = 0) -> Iterator[tuple[int, list[list[Payload]]]]:
    """Without end: the number of each session and its batches."""
    number = first
    while True:
        yield number, session(seed, number)
        number += 1


def session(seed: int, number: int) -> list[list[Payload]]:
    """One session: the same for the same seed and number, on every machine and whatever came before it."""
    rng = random.Random(f"{seed}:{number}")
    tails = [encode_tail(**tail_fields(rng)) for _ in range(TAILS)]
    pool = [good(rng, rng.choice(tails)) for _ in range(EVENTS)] + [foreign(rng) for _ in range(EVENTS // 8)]
    return [[payload(rng, pool) for _ in range(rng.choice(SIZES))] for _ in range(BATCHES)]


def payload(rng: random.Random, pool: list[Good]) -> Payload:
    """One payload from the events of `pool`."""
    base = rng.choice(pool)
    chance = rng.random()
    if chance < GOOD_SHARE:
        return Payload(_fresh_id(rng, base), "good")
    if chance > 1 - BIG_SHARE:
        way: Way = rng.choice(BIG_WAYS)
        return Payload(way(rng, base, pool), way.__name__)
    if chance < GOOD_SHARE + 0.15:
        theirs = rng.choice(hostile.WAYS)
        return Payload(theirs(rng, base.value), f"oracle_{theirs.__name__}")
    way = rng.choice(WAYS)
    value = way(rng, base, pool)
    if value and rng.random() < 0.1:
        way = rng.choice(TWICE)
        value = way(rng, Good(value, base.datum_at, base.tail_at, ()), pool)
        return Payload(value, "two_ways")
    return Payload(value, way.__name__)


def _fresh_id(rng: random.Random, base: Good) -> bytes:
    at = base.datum_at
    return base.value[:at] + rng.randbytes(4) + base.value[at + 4 :]


def _splice(value: bytes, span: Span, instead: bytes) -> bytes:
    return value[: span.start] + instead + value[span.end :]


def _pick(rng: random.Random, base: Good, *kinds: str) -> Span | None:
    found = [span for span in base.spans if span.kind in kinds]
    return rng.choice(found) if found else None


def _in_place_of(rng: random.Random, base: Good, kinds: tuple[str, ...], instead: bytes) -> bytes:
    span = _pick(rng, base, *kinds)
    return base.value if span is None else _splice(base.value, span, instead)


NUMBERS: Final = ("int", "long", "enum", "union", "count", "length")


def bits_flipped(rng: random.Random, base: Good, _pool: list[Good]) -> bytes:
    out = bytearray(base.value)
    for _ in range(rng.choice((1, 1, 2, 8))):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def head_damaged(rng: random.Random, base: Good, _pool: list[Good]) -> bytes:
    """Bytes of time, type and links, where the fast road looks."""
    out = bytearray(base.value)
    for _ in range(rng.choice((1, 1, 2, 4))):
        out[min(base.datum_at + rng.randrange(16, 52), len(out) - 1)] = rng.choice(
            (0, 1, 2, 3, 10, 11, 12, 127, 128, 129, 255)
        )
    return bytes(out)


def cut_at_a_field(rng: random.Random, base: Good, _pool: list[Good]) -> bytes:
    span = _pick(rng, base, *NUMBERS, "fixed", "string", "boolean")
    return base.value[: rng.randrange(len(base.value))] if span is None else base.value[: span.start]


def cut_anywhere(rng: random.Random, base: Good, _pool: list[Good]) -> bytes:
    return base.value[: rng.randrange(len(base.value) + 1)]


def evil_number(rng: random.Random, base: Good, _pool: list[Good]) -> bytes:
    """Overlong, of too many bits, without an end."""
    return _in_place_of(rng, base, NUMBERS, rng.choice(EVIL))


def edge_number(rng: random.Random, base: Good, _pool: list[Good]) -> bytes:
    return _in_place_of(rng, base, ("int", "long"), varint(rng.choice(LONGS)))


def padded_number(rng: random.Random, base: Good, _pool: list[Good]) -> bytes:
    """The same number in more bytes than it needs: allowed, as long as it is not too many."""
    span = _pick(rng, base, *NUMBERS)
    if span is None:
        return base.value
    raw = base.value[span.start : span.end]
    padding = b"\x80" * rng.randrange(9)
    return _splice(base.value, span, raw[:-1] + bytes((raw[-1] | 0x80,)) + padding + b"\x00")


def count_odd(rng: random.Random, base: Good, _pool: list[Good]) -> bytes:
    return _in_place_of(
        rng, base, ("count",), varint(rng.choice(LONGS)) + rng.choice((b"", b"\x00", varint(rng.choice(LONGS))))
    )


def count_negative(rng: random.Random, base: Good, _pool: list[Good]) -> bytes:
    """A block of no items of a size, or of one item and a size that may or may not be right."""
    count = varint(-rng.choice((1, 1, 2, 65_536, 65_537, 1 << 62)))
    return _in_place_of(rng, base, ("count",), count + varint(rng.choice((0, 1, 8, 30, -1, 1 << 40, -(1 << 63)))))


def length_odd(rng: random.Random, base: Good, _pool: list[Good]) -> bytes:
    rest = len(base.value)
    return _in_place_of(rng, base, ("length",), varint(rng.choice((*LONGS, rest, rest - 1, rest // 2, 2, 3))))


def text_not_utf8(rng: random.Random, base: Good, _pool: list[Good]) -> bytes:
    bad = rng.choice(BAD_TEXTS)
    return _in_place_of(rng, base, ("length",), varint(len(bad)) + bad)


def text_damaged(rng: random.Random, base: Good, _pool: list[Good]) -> bytes:
    span = _pick(rng, base, "string")
    if span is None:
        return base.value
    return _splice(base.value, Span("", span.start, span.start + 1), bytes((rng.randrange(256),)))


def union_odd(rng: random.Random, base: Good, _pool: list[Good]) -> bytes:
    return _in_place_of(
        rng, base, ("union",), rng.choice((b"\x01", b"\x02", b"\x03", b"\x04", b"\x80\x00", varint(1 << 40)))
    )


def enum_odd(rng: random.Random, base: Good, _pool: list[Good]) -> bytes:
    return _in_place_of(
        rng, base, ("enum", "boolean"), rng.choice((b"\x01", b"\x02", b"\x0a", b"\x0c", b"\x0e", b"\x82\x00", b"\xff"))
    )


def id_of_no_bytes(rng: random.Random, base: Good, _pool: list[Good]) -> bytes:
    return _in_place_of(rng, base, ("fixed",), rng.choice((b"", b"\x00", bytes(15), bytes(17))))


def field_gone(rng: random.Random, base: Good, _pool: list[Good]) -> bytes:
    return _in_place_of(rng, base, (*NUMBERS, "string", "boolean"), b"")


def field_twice(rng: random.Random, base: Good, _pool: list[Good]) -> bytes:
    span = _pick(rng, base, *NUMBERS, "string", "fixed")
    return base.value * 2 if span is None else base.value[: span.end] + base.value[span.start :]


def spliced(rng: random.Random, base: Good, pool: list[Good]) -> bytes:
    """The first part of one event and the last part of another, mostly where a field ends."""
    other = rng.choice(pool)
    here, there = _pick(rng, base, *NUMBERS), _pick(rng, other, *NUMBERS)
    at = rng.randrange(len(base.value)) if here is None else here.start
    then = rng.randrange(len(other.value)) if there is None else there.start
    return base.value[:at] + other.value[then:]


def other_tail(rng: random.Random, base: Good, pool: list[Good]) -> bytes:
    other = rng.choice(pool)
    return base.value[: base.tail_at] + other.value[other.tail_at :]


def tail_twice(_rng: random.Random, base: Good, _pool: list[Good]) -> bytes:
    return base.value + base.value[base.tail_at :]


def tail_alone(rng: random.Random, base: Good, _pool: list[Good]) -> bytes:
    """A tail that is known, where another head or none stands."""
    return base.value[: base.datum_at] + rng.randbytes(rng.choice((0, 40, 41, 47, 48, 49))) + base.value[base.tail_at :]


def trailing(rng: random.Random, base: Good, _pool: list[Good]) -> bytes:
    return base.value + rng.choice(
        (b"\x00", b"\xff", bytes(8), rng.randbytes(3), bytes(70_000) if rng.random() < 0.01 else b"\x00\x00")
    )


def other_header(rng: random.Random, base: Good, _pool: list[Good]) -> bytes:
    """The datum of one schema under the fingerprint of another."""
    return rng.choice(HEADERS) + base.value[base.datum_at :]


def unknown_header(rng: random.Random, base: Good, _pool: list[Good]) -> bytes:
    return b"\xc3\x01" + rng.randbytes(8) + base.value[base.datum_at :]


def confluent_id(rng: random.Random, base: Good, _pool: list[Good]) -> bytes:
    number = rng.choice((0, 1, 2, 3, 11, 255, (1 << 31) - 1, 1 << 31, (1 << 32) - 1))
    return b"\x00" + number.to_bytes(4, "big") + base.value[base.datum_at :]


def bytes_before(rng: random.Random, base: Good, _pool: list[Good]) -> bytes:
    return rng.choice((b"\x00", b"\xc3", b"\xc3\x01", b"\xef\xbb\xbf", b"{")) + base.value


def header_alone(rng: random.Random, base: Good, _pool: list[Good]) -> bytes:
    return base.value[: rng.randrange(base.datum_at + 1)]


def nothing_or_zeros(rng: random.Random, _base: Good, _pool: list[Good]) -> bytes | None:
    return rng.choice((None, b"", b"\x00", bytes(5), bytes(58), bytes(300), b"\xff" * 300))


def some_items(rng: random.Random, base: Good, _pool: list[Good]) -> bytes:
    return _array(rng, base, rng.choice((9, 60, 200)))


def many_items(rng: random.Random, base: Good, _pool: list[Good]) -> bytes:
    return _array(rng, base, rng.choice((5_000, 16_000, 65_000, 65_536, 65_537)))


def _array(rng: random.Random, base: Good, count: int) -> bytes:
    """Items of zero bytes each, as large as arrays can be made of little."""
    span = _pick(rng, base, "count")
    if span is None:
        return base.value
    return _splice(base.value, span, varint(count) + bytes(rng.choice((1, 4, 8)) * count) + b"\x00")


def long_text(rng: random.Random, base: Good, _pool: list[Good]) -> bytes:
    size = rng.choice((64_000, 65_000, 300_000, 1_000_000, 1_048_576))
    begin = rng.choice((b"", b"kafka://", b"s3://", b"postgres://a", b"kafka://a,"))
    text = begin + rng.choice((b"/", b" ", b",", b":", b"@", b"x", b"\x00", b"a:/", b"a://")) * size
    return _in_place_of(rng, base, ("length",), varint(size) + text[:size])


WAYS: Final[tuple[Way, ...]] = (
    bits_flipped, bits_flipped, head_damaged, head_damaged, cut_at_a_field, cut_anywhere, evil_number, evil_number, edge_number,
    padded_number, count_odd, count_negative, length_odd, text_not_utf8, text_damaged, union_odd, enum_odd, id_of_no_bytes,
    field_gone, field_twice, spliced, spliced, other_tail, other_tail, tail_twice, tail_alone, trailing, other_header,
    unknown_header, confluent_id, bytes_before, header_alone, nothing_or_zeros, some_items,
)  # fmt: skip
TWICE: Final[tuple[Way, ...]] = (
    bits_flipped,
    cut_anywhere,
    tail_twice,
    trailing,
    bytes_before,
    other_header,
    confluent_id,
)
BIG_WAYS: Final[tuple[Way, ...]] = (many_items, long_text)
