"""Which edges of the names of one dataset say the same."""

from __future__ import annotations

from headwater_processor.engine.census import duplicates
from headwater_schemas.ids import DERIVES, READS, WRITES, edge_key

A, B, OTHER, TWIN, JOB, JOB2 = (bytes([n]) * 12 for n in range(1, 7))
GROUP = frozenset((A, B))


def count(*edges: tuple[bytes, bytes, bytes]) -> int:
    """Of edges of A and B, which are one dataset, as OTHER and TWIN are."""
    return duplicates([edge_key(*edge) for edge in edges], GROUP, lambda key: OTHER if key == TWIN else key)


def test_one_edge_is_said_once() -> None:
    assert count((READS, A, JOB), (WRITES, JOB, A), (DERIVES, A, OTHER)) == 0


def test_the_same_edge_under_two_names_is_one_too_many() -> None:
    assert count((READS, A, JOB), (READS, B, JOB)) == 1
    assert count((WRITES, JOB, A), (WRITES, JOB, B)) == 1
    assert count((DERIVES, OTHER, A), (DERIVES, OTHER, B)) == 1


def test_another_job_or_direction_is_another_edge() -> None:
    assert count((READS, A, JOB), (READS, B, JOB2)) == 0
    assert count((READS, A, JOB), (WRITES, JOB, B)) == 0
    assert count((DERIVES, OTHER, A), (DERIVES, B, OTHER)) == 0


def test_an_edge_between_two_names_of_one_dataset_says_nothing_and_a_self_loop_is_data() -> None:
    assert count((DERIVES, A, B)) == 1
    assert count((DERIVES, A, A)) == 0


def test_where_the_source_has_several_names_too_the_target_counts_it() -> None:
    assert count((DERIVES, OTHER, A), (DERIVES, TWIN, A)) == 1
    assert count((DERIVES, A, OTHER), (DERIVES, A, TWIN)) == 0
