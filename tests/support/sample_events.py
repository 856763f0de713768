"""Events for tests of the contract: hypothesis strategies that reach every field."""

from __future__ import annotations

from hypothesis import strategies as st

from headwater_schemas.events import (
    Completeness,
    DatasetUse,
    DirectEdge,
    EventType,
    Lifecycle,
    LineageEvent,
    Measure,
    Name,
    Processing,
    Runtime,
)

LONGS = st.integers(-(1 << 63), (1 << 63) - 1)
INTS = st.integers(-(1 << 31), (1 << 31) - 1)
TEXTS = st.text(max_size=80)
NAMES = st.builds(Name, TEXTS, TEXTS)
UUIDS = st.binary(min_size=16, max_size=16)
MEASURES = st.lists(st.builds(Measure, INTS, LONGS, LONGS, LONGS, LONGS, LONGS, LONGS), max_size=3).map(tuple)
ALIASES = st.lists(NAMES, max_size=2).map(tuple)
INPUTS = st.builds(DatasetUse, TEXTS, TEXTS, TEXTS, ALIASES, measures=MEASURES)
# A previous name of two empty strings is how the wire says that there is none.
PREVIOUS = st.none() | NAMES.filter(lambda name: bool(name.namespace or name.name))
OUTPUTS = st.builds(DatasetUse, TEXTS, TEXTS, TEXTS, ALIASES, st.sampled_from(Lifecycle), PREVIOUS, MEASURES)


def events() -> st.SearchStrategy[LineageEvent]:
    """Any event that can be written and is not refused for its time."""
    return st.builds(
        LineageEvent,
        event_id=UUIDS,
        event_time_us=st.integers(1, (1 << 63) - 1),
        event_type=st.sampled_from(EventType),
        run_id=UUIDS,
        job=NAMES,
        inputs=st.lists(INPUTS, max_size=3).map(tuple),
        outputs=st.lists(OUTPUTS, max_size=3).map(tuple),
        edges=st.lists(st.builds(DirectEdge, NAMES, NAMES), max_size=2).map(tuple),
        processing=st.sampled_from(Processing),
        restartable=st.booleans(),
        backfill=st.booleans(),
        completeness=st.sampled_from(Completeness),
        emitter=TEXTS,
        producer=TEXTS,
        parent_run_id=st.none() | UUIDS,
        parent_job=st.none() | NAMES,
        root_run_id=st.none() | UUIDS,
        root_job=st.none() | NAMES,
        trace_id=st.none() | UUIDS,
        span_id=st.none() | st.binary(min_size=8, max_size=8),
        nominal_start_us=LONGS,
        nominal_end_us=LONGS,
        runtime=st.none() | st.builds(Runtime, *[TEXTS] * 9),
        transaction_ids=st.lists(TEXTS, max_size=2).map(tuple),
        file_ids=st.lists(TEXTS, max_size=2).map(tuple),
        error=st.none() | TEXTS,
        facets=st.none() | st.binary(max_size=200),
    )
