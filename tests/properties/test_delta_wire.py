"""The hand-made writer of images writes what fastavro writes."""

from __future__ import annotations

import io

import fastavro
from hypothesis import given
from hypothesis import strategies as st

from headwater_schemas.codec import DELTA, _written, decode_delta, encode_delta
from headwater_schemas.deltas import (
    Aspect,
    DatasetCore,
    EdgeKind,
    Entity,
    Freshness,
    FreshnessState,
    GraphDelta,
    Runs,
    Status,
)
from headwater_schemas.records import DELTAS
from headwater_schemas.wire_delta import write_delta

times = st.integers(0, 1 << 60)
texts = st.text(max_size=20)
cores = st.builds(DatasetCore, times, times, times, times, texts, texts, texts)
fresh = st.builds(Freshness, times, times, times, times, texts)
statuses = st.builds(
    Status,
    st.sampled_from(FreshnessState),
    texts,
    times,
    times,
    texts,
    st.lists(texts, max_size=3).map(tuple),
    texts,
    st.integers(-1, 1 << 40),
)
runs = st.builds(Runs, st.integers(0, 1 << 30), texts, texts, texts, times, st.binary(max_size=50))
deltas = st.builds(
    GraphDelta,
    key=texts,
    version=st.integers(0, 1 << 62),
    entity=st.sampled_from(Entity),
    aspect=st.sampled_from(Aspect),
    present=st.booleans(),
    as_of_us=times,
    event_id=st.none() | st.binary(min_size=16, max_size=16),
    run_id=st.none() | st.binary(min_size=16, max_size=16),
    namespace=texts,
    name=texts,
    to_namespace=texts,
    to_name=texts,
    edge=st.sampled_from(EdgeKind),
    first_seen_us=times,
    last_seen_us=times,
    dataset=st.none() | cores,
    freshness=st.none() | fresh,
    status=st.none() | statuses,
    runs=st.none() | runs,
)


@given(deltas)
def test_an_image_is_written_byte_for_byte_as_fastavro_writes_it(delta: GraphDelta) -> None:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, _written(DELTA), DELTAS.to_record(delta))
    assert write_delta(delta) == out.getvalue()
    assert decode_delta(encode_delta(delta)) == delta
