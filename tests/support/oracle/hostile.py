"""Bytes that must not hurt: each way takes a good record value and returns one that is odd, mostly undecodable.

Some stay decodable (a length byte that happens to fit, a random bit in a number): the oracle's own decoder decides what
each is, not its name.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from tests.support.oracle.contract import FINGERPRINTS, NIL, Draft, encode_datum, encode_tail, frame, varint
from tests.support.oracle.wire import SINGLE_OBJECT

Way = Callable[[random.Random, bytes], bytes | None]

HEADER_BYTES: Final = 10
ID_BYTES: Final = 16


def nothing(_rng: random.Random, _value: bytes) -> bytes:
    return b""


def tombstone(_rng: random.Random, _value: bytes) -> None:
    return None


def noise(rng: random.Random, _value: bytes) -> bytes:
    return rng.randbytes(rng.randint(1, 300))


def noise_behind_a_good_header(rng: random.Random, value: bytes) -> bytes:
    return value[:HEADER_BYTES] + rng.randbytes(rng.randint(0, 200))


def cut(rng: random.Random, value: bytes) -> bytes:
    return value[: rng.randrange(len(value))]


def extended(rng: random.Random, value: bytes) -> bytes:
    return value + rng.randbytes(rng.randint(1, 40))


def two_in_one(_rng: random.Random, value: bytes) -> bytes:
    return value + value


def flipped(rng: random.Random, value: bytes) -> bytes:
    """One byte changed anywhere: often a length."""
    at = rng.randrange(len(value))
    return value[:at] + bytes([value[at] ^ (1 << rng.randrange(8))]) + value[at + 1 :]


def wrong_framing(_rng: random.Random, value: bytes) -> bytes:
    return b"\xc3\x02" + value[2:]


def bare_datum(_rng: random.Random, value: bytes) -> bytes:
    return value[HEADER_BYTES:]


def negative_enum(rng: random.Random, _value: bytes) -> bytes:
    datum = bytearray(_datum(rng))
    datum[_type_at(datum)] = 0x01  # zigzag of -1
    return frame(bytes(datum))


def enum_past_the_end(rng: random.Random, _value: bytes) -> bytes:
    datum = bytearray(_datum(rng))
    datum[_type_at(datum)] = 0x0C
    return frame(bytes(datum))


def long_varint(rng: random.Random, _value: bytes) -> bytes:
    datum = _datum(rng)
    return frame(datum[:ID_BYTES] + b"\xff" * 10 + b"\x01" + datum[_type_at(datum) :])


def endless_varint(rng: random.Random, _value: bytes) -> bytes:
    return frame(_datum(rng)[:ID_BYTES] + b"\x80" * 400)


def negative_array(rng: random.Random, _value: bytes) -> bytes:
    """A negative count with a size, and nothing behind it."""
    datum = _datum(rng)
    return frame(datum[: _measures_at(datum)] + varint(-(1 << 40)) + varint(1 << 50))


def huge_array(rng: random.Random, _value: bytes) -> bytes:
    datum = _datum(rng)
    return frame(datum[: _measures_at(datum)] + varint(1 << 62) + datum[_measures_at(datum) :])


def bad_utf8(rng: random.Random, _value: bytes) -> bytes:
    tail = encode_tail(job={"namespace": "jobs-0", "name": "flow.0"}, producer="https://example.com/AAAA")
    return frame(_datum(rng, tail).replace(b"AAAA", b"\xff\xfe\xc0\x80"))


def surrogate_utf8(rng: random.Random, _value: bytes) -> bytes:
    tail = encode_tail(job={"namespace": "jobs-0", "name": "flow.0"}, file_ids=["AAA"])
    return frame(_datum(rng, tail).replace(b"AAA", b"\xed\xa0\x80"))


def measure_out_of_range(rng: random.Random, _value: bytes) -> bytes:
    index = rng.choice([-1, 1, 5, 1 << 30])
    return frame(_datum(rng, measures=[(index, 0, 1, 2, 3, -1, -1, 0)]))


def measure_without_datasets(rng: random.Random, _value: bytes) -> bytes:
    tail = encode_tail(job={"namespace": "jobs-0", "name": "flow.0"})
    return frame(_datum(rng, tail, measures=[(0, 0, 1, 2, 3, -1, -1, 0)]))


def no_time(rng: random.Random, _value: bytes) -> bytes:
    return frame(_datum(rng, time_us=rng.choice([0, -1, -(1 << 60)])))


WAYS: Final[tuple[Way, ...]] = (
    nothing,
    tombstone,
    noise,
    noise_behind_a_good_header,
    cut,
    cut,
    extended,
    two_in_one,
    flipped,
    flipped,
    wrong_framing,
    bare_datum,
    negative_enum,
    enum_past_the_end,
    long_varint,
    endless_varint,
    negative_array,
    huge_array,
    bad_utf8,
    surrogate_utf8,
    measure_out_of_range,
    measure_without_datasets,
    no_time,
)
_MAY_BE_GOOD: Final = (cut, extended, flipped, noise_behind_a_good_header)
ALWAYS_BAD: Final = tuple(way for way in WAYS if way not in _MAY_BE_GOOD)
"""Ways that leave nothing to decide."""


def unknown_fingerprint(rng: random.Random, value: bytes) -> bytes:
    """A schema that nobody registered."""
    return SINGLE_OBJECT + bytes(byte ^ 0x5A for byte in FINGERPRINTS["ours"]) + value[HEADER_BYTES:]


_ANY_TAIL: Final = encode_tail(
    job={"namespace": "jobs-0", "name": "flow.0"}, inputs=[{"namespace": "kafka://b1:9092", "name": "hostile"}]
)
_ANY_TIME_US: Final = 1_740_787_200_000_000


def _datum(
    rng: random.Random,
    tail: bytes = _ANY_TAIL,
    measures: list[tuple[int, int, int, int, int, int, int, int]] | None = None,
    time_us: int = _ANY_TIME_US,
) -> bytes:
    return encode_datum(Draft(rng.randbytes(16), time_us, "RUNNING", tail, run_id=NIL, measures=measures or []))


def _type_at(datum: bytes | bytearray) -> int:
    at = ID_BYTES
    while datum[at] & 0x80:
        at += 1
    return at + 1


def _measures_at(datum: bytes) -> int:
    """Behind type, run id and the four empty unions."""
    return _type_at(datum) + 1 + 16 + 4
