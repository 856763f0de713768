"""Dead letters as values: identity, what is sent again, and what receipts say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.cli.letters import (
    Filters,
    Headers,
    Letter,
    Receipts,
    headers_to_send,
    hexdump,
    parse_offsets,
    parse_place,
    ranges_text,
)
from headwater.cli.replaying import Choice, Chooser
from headwater.cli.when import duration_ms, time_ms
from headwater.runtime.errors import UsageError
from headwater_schemas.codec import encode_single_object
from headwater_schemas.events import EventType, LineageEvent, Name
from headwater_schemas.explain import explain
from headwater_schemas.registry import SchemaStore

EVENT = LineageEvent(
    event_id=bytes(range(16)), event_time_us=1_790_000_000_000_000, event_type=EventType.COMPLETE, run_id=bytes(16),
    job=Name("airflow", "load"),
)  # fmt: skip
GOOD = encode_single_object(EVENT)


def letter(offset: int = 0, *, value: bytes | None = GOOD, source: int = -1, headers: Headers | None = None) -> Letter:
    at = offset if source < 0 else source
    return Letter(0, offset, 1_000, b"k", value, headers or [], "utf8", "", "events", 3, at, "g", False)


def test_what_the_letter_came_with_goes_back_and_former_replays_are_forgotten() -> None:
    came: Headers = [("traceparent", b"00-1"), ("headwater.replayed.letter", "old/0/1"), ("traceparent", None)]
    sent = headers_to_send(letter(7, headers=came), "dead", 5)
    assert sent[:2] == [("traceparent", b"00-1"), ("traceparent", None)]
    assert dict(sent[2:]) == {
        "headwater.replayed.letter": "dead/0/7",
        "headwater.replayed.source": "events/3/7",
        "headwater.replayed.at": "5",
    }


@given(st.sets(st.integers(0, 200), max_size=60))
def test_a_receipt_names_exactly_the_letters_that_were_sent(offsets: set[int]) -> None:
    receipts = Receipts()
    receipts.add(0, ranges_text(offsets))
    receipts.settle()
    assert {at for at in range(202) if receipts.holds(letter(at))} == offsets


def test_a_receipt_that_cannot_be_read_holds_nothing() -> None:
    receipts = Receipts()
    receipts.add(0, "9-3,x,,-1,2")
    receipts.settle()
    assert [at for at in range(10) if receipts.holds(letter(at))] == [2]


def test_each_source_is_sent_once_and_the_rest_is_left_with_its_reason() -> None:
    receipts = Receipts({0: [(0, 0)]})
    chooser = Chooser(Choice(Filters(), "events"), receipts, SchemaStore())
    letters = [letter(0), letter(1), letter(2, source=1), letter(3, source=0), letter(4, value=b"\xc3\x01")]
    assert [chooser.why_left(one) for one in letters] == ["replayed", "", "twice", "twice", "unreadable"]
    elsewhere = Chooser(Choice(Filters(), "others"), receipts, SchemaStore())
    assert elsewhere.why_left(letter(1)) == "elsewhere"


def test_again_and_unreadable_send_what_else_is_left() -> None:
    chooser = Chooser(Choice(Filters(), "events", again=True, unreadable=True), Receipts({0: [(0, 9)]}), SchemaStore())
    assert [chooser.why_left(one) for one in (letter(0), letter(1, value=None))] == ["", ""]


def test_filters_take_both_ends_of_offsets_and_the_beginning_of_a_time() -> None:
    assert [at for at in range(6) if Filters(offsets=(2, 4)).take(letter(at))] == [2, 3, 4]
    assert Filters(since_ms=1_000, until_ms=1_001).take(letter())
    assert not Filters(until_ms=1_000).take(letter())
    assert not Filters(reasons=("framing",)).take(letter())
    assert not Filters(source_partition=0).take(letter())


@pytest.mark.parametrize("text", ["", "5-3", "x", "1-2,4", "-3"])
def test_what_is_no_range_of_offsets_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="offsets"):
        parse_offsets(text)


def test_a_place_is_taken_as_the_commands_and_as_tail_print_it() -> None:
    assert parse_place("0:12") == parse_place("0@12") == (0, 12)
    with pytest.raises(UsageError, match="no place"):
        parse_place("12")


def test_times_are_ago_or_dates_in_utc() -> None:
    assert time_ms("2h", "--since", 10_000_000) == 10_000_000 - 7_200_000
    assert time_ms("1970-01-02", "--since", 0) == time_ms("1970-01-02T02:00+02:00", "--since", 0) == 86_400_000
    assert duration_ms("15m", "--for") == duration_ms("15min", "--for") == 900_000
    for wrong in ("yesterday", "0h", "99", ""):
        with pytest.raises(UsageError, match="--since"):
            time_ms(wrong, "--since", 0)


def test_the_field_that_cannot_be_read_is_named_and_those_before_it_are_shown() -> None:
    cut = explain(GOOD[:-40], SchemaStore())
    assert (cut.reason, cut.framing) == ("truncated", "single_object")
    assert cut.field
    assert cut.read["event_id"] == EVENT.event_id
    assert cut.field not in cut.read
    assert explain(GOOD, SchemaStore()).reason == ""


@given(st.binary(max_size=300))
def test_whatever_the_bytes_they_are_explained(noise: bytes) -> None:
    assert explain(noise, SchemaStore()).reason
    assert explain(GOOD[:10] + noise, SchemaStore()).framing == "single_object"
    assert sum(len(line.split("|", 1)[0].split("  ", 1)[1].split()) for line in hexdump(noise, 64)) == len(noise[:64])
