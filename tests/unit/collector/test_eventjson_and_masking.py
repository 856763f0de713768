"""The file's form of an event, and what is taken out of texts."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater import DatasetUse, DirectEdge, EventError, EventType, Lifecycle, LineageEvent, Measure, Name, Runtime
from headwater.eventjson import from_json, to_json
from headwater.masking import bounded, mask
from headwater_schemas import masking

FULL = LineageEvent(
    event_id=bytes(range(16)),
    event_time_us=1_772_366_400_000_000,
    event_type=EventType.FAIL,
    run_id=b"r" * 16,
    job=Name("shop", "orders"),
    inputs=(DatasetUse("n", "i", "v1", (Name("a", "b"),), measures=(Measure(0, 1, 2, 3, 4, 5, 6),)),),
    outputs=(DatasetUse("n", "o", lifecycle=Lifecycle.RENAME, previous=Name("n", "before")),),
    edges=(DirectEdge(Name("n", "i"), Name("n", "o")),),
    parent_run_id=b"p" * 16,
    parent_job=Name("airflow", "dag"),
    trace_id=b"t" * 16,
    span_id=b"s" * 8,
    runtime=Runtime(pod="p-1"),
    transaction_ids=("tx",),
    error="why",
    facets=b'{"b":1, "a":2}',
)


def test_an_event_survives_the_file() -> None:
    assert from_json(to_json(FULL)) == FULL
    small = LineageEvent(b"e" * 16, 5, EventType.OTHER)
    assert from_json(to_json(small)) == small
    assert b"\n" not in to_json(FULL)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"event_id": "x", "event_time_us": 1, "event_type": "START"}', "event.event_id"),
        ('{"event_time_us": 1, "event_type": "START"}', "event_id"),
        ('{"input": []}', "unknown member 'input'"),
        ('{"event_type": "BEGIN"}', "START"),
        ('{"event_time_us": "now"}', "event.event_time_us is not of type int"),
        ('{"inputs": [{"namespace": "n", "name": 5}]}', "event.inputs[0].name"),
        ('{"inputs": {}}', "not an array"),
        ('{"trace_id": "aa"}', "16"),
    ],
)
def test_a_line_that_is_no_event_is_refused_with_its_place(line: str, complaint: str) -> None:
    with pytest.raises(EventError) as caught:
        from_json(line)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgres://me:s3cret@db/x", "postgres://me:***@db/x"),
        ("postgres://me:s3/cr@et@db:5432/x", "postgres://me:***@db:5432/x"),
        ("redis://:s3cret@h", "redis://:***@h"),
        ("https://ghp_0123456789abcdef@github.com/x", "https://***@github.com/x"),
        ("password=s3cret, user=me", "password=***, user=me"),
        ('{"api_key": "s3cret", "n": 1}', '{"api_key": ***, "n": 1}'),
        ("AWS_SECRET_ACCESS_KEY=s3cret rest", "AWS_SECRET_ACCESS_KEY=*** rest"),
        ("Authorization: Bearer abc.def.ghi", "Authorization: Bearer ***"),
        ("kafka://b:9092/orders costs 5 @ noon", "kafka://b:9092/orders costs 5 @ noon"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_secrets_are_taken_out_and_the_rest_is_left(text: str, masked: str) -> None:
    assert mask(text) == masked


def test_masking_hostile_text_takes_time_in_proportion_to_its_length() -> None:
    began_s = time.perf_counter()
    for word in ("token", "a://", "a://u:", "password=", "Bearer ", '"'):
        mask(word * 10_000 + "@=:")
    assert time.perf_counter() - began_s < 5.0


PIECES = st.sampled_from(
    ["password", "PASSWD", "pwd", "ſecret", "toKen", "apı_key", "acceſſ-key", "prıvate_key", "credentıals", "IDENTIFIED by",
     "ıdentified by", "sasl.jaas.config", "db.", "_x", "=", ": ", " ", "'", '"', "s3cret", "incident", "select"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=8).map("".join))
def test_looking_for_signs_first_overlooks_nothing(text: str) -> None:
    assert masking.mask_assignments(text) == masking._ASSIGNMENT.sub(r"\g<key>\g<between>***", text)
    whole = masking._SQL_SECRET.sub(r"\g<key>\g<between>'***'", masking.mask_assignments(text))
    assert mask(text) == whole


def test_what_is_cut_is_said() -> None:
    assert bounded("x" * 100, 50).endswith("more characters]")
    assert len(bounded("x" * 100, 50)) <= 50
