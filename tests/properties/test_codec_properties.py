"""The codec, over any event: nothing is lost, and both writers write the same bytes."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from tests.support.sample_events import events

from headwater_schemas import codec
from headwater_schemas.codec import Rejected, decode, encode
from headwater_schemas.events import EventType, LineageEvent
from headwater_schemas.registry import SchemaStore
from headwater_schemas.schema import LINEAGE_EVENT

STORE = SchemaStore()


@given(events())
def test_any_event_comes_back_as_it_was(event: LineageEvent) -> None:
    assert decode(codec.encode_single_object(event), STORE) == event


@given(events())
def test_the_hand_written_encoder_writes_what_fastavro_writes(event: LineageEvent) -> None:
    assert encode(event) == codec._write(codec._written(LINEAGE_EVENT), codec.to_record(event))


@given(events(), st.data())
def test_a_record_cut_anywhere_is_rejected(event: LineageEvent, data: st.DataObject) -> None:
    value = codec.encode_single_object(event)
    outcome = decode(value[: data.draw(st.integers(0, len(value) - 1))], STORE)
    assert isinstance(outcome, Rejected)


@given(events(), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_bytes_never_raise_and_always_have_a_known_reason(
    event: LineageEvent, damage: list[tuple[int, int]]
) -> None:
    value = bytearray(codec.encode_single_object(event))
    for place, byte in damage:
        value[place % len(value)] = byte
    outcome = decode(bytes(value), STORE)
    assert isinstance(outcome, LineageEvent) or (outcome.reason in codec.REASONS and outcome.reason != "unreadable")


@given(st.binary(max_size=300))
@example(bytes(40))
def test_what_the_walker_takes_the_decoder_can_read(data: bytes) -> None:
    # The id, the time and the type of an event that is good, and anything behind them.
    payload = encode(LineageEvent(bytes(16), 1, EventType.OTHER))[:18] + data
    outcome = decode(codec.frame(payload), STORE)
    assert isinstance(outcome, LineageEvent) or outcome.reason != "unreadable"
