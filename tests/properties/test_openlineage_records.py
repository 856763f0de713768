"""The converter that remembers shapes gives what the one that remembers nothing gives, for every document."""

from __future__ import annotations

import copy
from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.doors import RUN_ID, run_event

from headwater.openlineage import Rejected, convert
from headwater.openlineage.records import Converter, Record, parsed
from headwater_schemas.codec import encode_single_object
from headwater_schemas.ids import partition_key

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)  # JSON has neither
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=4,
)
TIMES = st.sampled_from(
    [
        "2026-03-01T12:00:00Z",
        "2026-03-01T12:00:00.123456789+01:00",
        "1970-01-01T00:00:01Z",
        "9999-12-31T23:59:59Z",
        "no",
    ]
)
RUN_IDS = st.sampled_from(
    [RUN_ID, RUN_ID.upper(), "0" * 32, "00000000-0000-0000-0000-000000000000", "scheduled", "", 5]
)
MEMBERS = ("eventType", "job", "inputs", "outputs", "producer", "schemaURL", "Aa", "zz")


@st.composite
def documents(draw: st.DrawFn) -> Any:
    """An event with some of its parts replaced or added."""
    document = run_event(eventTime=draw(TIMES))
    document["run"] = {"runId": draw(RUN_IDS)}
    if draw(st.booleans()):
        document["run"]["facets"] = {
            "parent": {"run": {"runId": draw(RUN_IDS)}, "job": {"namespace": "a", "name": "b"}},
            "custom": draw(JSON),
        }
    for member in draw(st.lists(st.sampled_from(MEMBERS), max_size=2)):
        document[member] = draw(JSON | st.just({"runId": RUN_ID}))
    return document


def plainly(document: Any) -> bytes | None:
    """The record without remembering; None where the document is no event or does not fit into one."""
    found = Converter(remembered_bytes=0).record(document)
    event = convert(document)
    if isinstance(found, Rejected):
        return None
    assert not isinstance(event, Rejected)
    assert (found.key, found.value) == (partition_key(event), encode_single_object(event))
    return found.value


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(documents(), min_size=1, max_size=4))
def test_what_is_remembered_changes_no_record(given_documents: list[Any]) -> None:
    remembering = Converter()
    for document in [*given_documents, *copy.deepcopy(given_documents)]:
        found = remembering.record(document)
        expected = plainly(document)
        assert (found.value if isinstance(found, Record) else None) == expected
        raw = orjson.dumps(document)
        again = remembering.record(parsed(raw), nulls=b"null" in raw)
        assert (again.value if isinstance(again, Record) else None) == expected


@given(JSON)
def test_no_json_makes_the_converter_raise(value: Any) -> None:
    found = Converter().record(value)
    assert isinstance(found, Rejected) or found.value


@given(st.binary(max_size=40) | JSON.map(lambda value: orjson.dumps(value)[:-1]))
def test_no_bytes_make_the_reader_raise(raw: bytes) -> None:
    parsed(raw)


def test_repetitions_are_remembered_within_a_bound() -> None:
    converter = Converter(remembered_bytes=20_000)
    for number in range(300):
        converter.record(run_event(eventTime=f"2026-03-01T12:00:{number % 60:02d}Z"))
    assert converter.repeated == 299
    for number in range(300):
        converter.record(run_event(job={"namespace": "n", "name": f"job-{number}"}))
    assert len(converter._young) + len(converter._old) < 60


def test_nan_and_infinity_are_read_as_nothing() -> None:
    raw = orjson.dumps(run_event(run={"runId": RUN_ID, "facets": {"a": {"x": 1.5}}})).replace(b"1.5", b"NaN")
    found = parsed(raw)
    assert not isinstance(found, Rejected)
    assert found["run"]["facets"]["a"] == {"x": None}
    assert isinstance(Converter().record(found), Record)
