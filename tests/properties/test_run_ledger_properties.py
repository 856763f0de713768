"""Whatever a run is told, in whatever portions: the parts it reports add up to the whole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headwater.ledger import Ledger
from headwater.openlineage import convert
from headwater_schemas.codec import encode_single_object
from headwater_schemas.events import DatasetUse, LineageEvent, Measure

_calls = st.lists(
    st.tuples(st.integers(0, 2), st.integers(-1, 2), st.integers(0, 1000), st.booleans()), min_size=1, max_size=30
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_members = st.sampled_from(
    [
        *(
            "run",
            "job",
            "dataset",
            "inputs",
            "outputs",
            "eventTime",
            "eventType",
            "producer",
            "facets",
            "namespace",
            "name",
        ),
        *(
            "parent",
            "root",
            "runId",
            "nominalTime",
            "jobType",
            "schema",
            "fields",
            "symlinks",
            "identifiers",
            "lineage",
        ),
        *(
            "entries",
            "columnLineage",
            "inputFields",
            "lifecycleStateChange",
            "previousIdentifier",
            "errorMessage",
            "message",
        ),
        *("outputStatistics", "rowCount", "size", "integration", "processingType", "nominalEndTime"),
    ]
)
_documents = st.recursive(
    _json | st.just("2026-03-01T12:00:00Z"),
    lambda inner: st.dictionaries(_members, inner, max_size=6) | st.lists(inner, max_size=3),
    max_leaves=20,
)


@given(_calls)
def test_the_rows_of_all_reports_are_the_rows_of_the_whole(calls: list[tuple[int, int, int, bool]]) -> None:
    ledger, reported = Ledger(), 0
    for dataset, partition, rows, report in calls:
        ledger.writes(DatasetUse("n", f"d{dataset}"), Measure(partition=partition, rows=rows))
        if report:
            reported += sum(measure.rows for use in ledger.since_last()[1] for measure in use.measures)
    reported += sum(measure.rows for use in ledger.since_last()[1] for measure in use.measures)
    whole = sum(measure.rows for use in ledger.everything()[1] for measure in use.measures)
    assert whole == reported == sum(rows for _, _, rows, _ in calls)


@given(_documents)
def test_no_document_makes_the_converter_raise_and_every_event_can_be_written(document: object) -> None:
    outcome = convert(document)  # type: ignore[arg-type]  # whatever JSON holds may be handed in
    if isinstance(outcome, LineageEvent):
        assert encode_single_object(outcome)


@given(st.dictionaries(_members, _documents, max_size=5))
def test_no_event_makes_the_converter_raise(members: dict[str, object]) -> None:
    whole = {
        "eventTime": "2026-03-01T12:00:00Z",
        "run": {"runId": "r", "facets": members},
        "job": {"namespace": "n", "name": "j", "facets": members},
        "outputs": [{"namespace": "n", "name": "d", "facets": members, "outputFacets": members}],
    }
    outcome = convert({**whole, **members})
    if isinstance(outcome, LineageEvent):
        assert encode_single_object(outcome)
