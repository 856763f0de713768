"""Whatever a batch holds, each record is read exactly as the checked reader reads it alone."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.checked import KnownSchemas, read_checked, readings
from tests.support.oracle import hostile
from tests.support.oracle.contract import CONFLUENT_IDS
from tests.support.sample_events import events

from headwater_processor.core.decode import BatchDecoder
from headwater_schemas.codec import encode_confluent, encode_single_object
from headwater_schemas.events import LineageEvent

SCHEMAS = KnownSchemas()


def encoded(event: LineageEvent, confluent: bool) -> bytes:
    return encode_confluent(event, CONFLUENT_IDS["ours"]) if confluent else encode_single_object(event)


def spoiled(value: bytes, way: hostile.Way, seed: int) -> bytes:
    return way(random.Random(seed), value) or b""


GOOD = st.builds(encoded, events(), st.booleans())
BAD = st.builds(spoiled, GOOD, st.sampled_from(hostile.WAYS), st.integers(0, 1 << 32))
DAMAGE = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=3)


def damaged(value: bytes, damage: list[tuple[int, int]]) -> bytes:
    out = bytearray(value)
    for place, byte in damage:
        out[place % len(out)] = byte
    return bytes(out)


RECORDS = st.one_of(GOOD, GOOD, BAD, st.builds(damaged, GOOD, DAMAGE))


@settings(max_examples=150, deadline=None)
@given(st.lists(RECORDS, max_size=8), st.integers(1, 6))
def test_a_batch_of_anything_equals_its_records_read_one_by_one(values: list[bytes], templates_max: int) -> None:
    decoder = BatchDecoder(SCHEMAS, templates_max)
    expected = [read_checked(value, SCHEMAS) for value in values]
    assert readings(decoder.decode(values), len(values)) == expected  # tails met for the first time
    assert readings(decoder.decode(values), len(values)) == expected  # and known, as far as they are kept
    assert readings(decoder.decode(values[::-1]), len(values)) == expected[::-1]


@settings(max_examples=150, deadline=None)
@given(events(), DAMAGE, st.booleans())
def test_a_damaged_head_before_a_tail_that_is_known_is_read_as_the_checked_reader_does(
    event: LineageEvent, damage: list[tuple[int, int]], confluent: bool
) -> None:
    good = encoded(event, confluent)
    head = [(place % 60, byte) for place, byte in damage]
    decoder = BatchDecoder(SCHEMAS)
    decoder.decode([good, good])
    values = [good, damaged(good, head), good]
    assert readings(decoder.decode(values), 3) == [read_checked(value, SCHEMAS) for value in values]
