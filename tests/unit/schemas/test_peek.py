"""The short way to the times of a freshness image says what the long way says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater_schemas.codec import encode_delta
from headwater_schemas.deltas import Aspect, DatasetCore, EdgeKind, Entity, Freshness, GraphDelta
from headwater_schemas.peek import write_times
from headwater_schemas.walker import Malformed

TIMES = st.integers(-(1 << 62), 1 << 62)
IDS = st.none() | st.binary(min_size=16, max_size=16)


def image(**changes: object) -> GraphDelta:
    values: dict[str, object] = {
        "key": "DATASET|FRESHNESS|n|d",
        "version": 7,
        "entity": Entity.DATASET,
        "aspect": Aspect.FRESHNESS,
        "present": True,
        "as_of_us": 9,
        "freshness": Freshness(1, 2, 3, 4, "job"),
    }
    return GraphDelta(**(values | changes))  # type: ignore[arg-type]  # values of any field


@given(
    st.tuples(TIMES, TIMES, TIMES, TIMES, TIMES, TIMES, TIMES, TIMES),
    st.tuples(IDS, IDS),
    st.tuples(*[st.text(max_size=90)] * 5),
    st.booleans(),
)
def test_it_reads_what_was_written(
    times: tuple[int, ...], ids: tuple[bytes | None, bytes | None], texts: tuple[str, ...], present: bool
) -> None:
    written = image(
        key=texts[0],
        version=times[0],
        as_of_us=times[1],
        present=present,
        event_id=ids[0],
        run_id=ids[1],
        namespace=texts[1],
        name=texts[2],
        to_namespace=texts[3],
        to_name=texts[4],
        first_seen_us=times[2],
        last_seen_us=times[3],
        freshness=Freshness(times[4], times[5], times[6], times[7], texts[1]),
    )
    assert write_times(encode_delta(written)) == (times[0], times[4], times[7])


@pytest.mark.parametrize(
    "other",
    [
        image(aspect=Aspect.CORE, freshness=None, dataset=DatasetCore()),
        image(entity=Entity.EDGE, aspect=Aspect.CORE, edge=EdgeKind.READS, freshness=None),
        image(freshness=None),
    ],
)
def test_another_image_is_refused(other: GraphDelta) -> None:
    with pytest.raises(Malformed):
        write_times(encode_delta(other))


def test_what_is_cut_off_is_refused() -> None:
    whole = encode_delta(image())
    for length in range(len(whole) - len("job") - 4):
        with pytest.raises(Malformed):
            write_times(whole[:length])
