"""Each reason for which a partition stops has the words and commands that help against it, and no others."""

from __future__ import annotations

import pytest

from headwater_processor.core import stops

RESUME = stops.resume_command(3)
TOO_BAD = "more than 5% of the records of partition 3 before offset 900 cannot be read"
"""As the engine says it."""
OUT_OF_RANGE = "the log no longer holds the offset to read next (fetch failed due to requested offset not available)"
"""As the consumer says it."""


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (TOO_BAD, ("headwater deadletter list", f"{RESUME}")),
        (stops.empty_state(3, 77), ("--redis", f"{RESUME} --skip-lost", "processor.on_empty_state=earliest")),
        (stops.state_ahead(90, 10), ("--kafka", "--domain", "processor.on_empty_state=earliest")),
        (stops.other_topic("abc"), ("--kafka", "--domain", "processor.on_empty_state=earliest")),
        (stops.lost_records(5, 10), ("retention", f"{RESUME} --skip-lost")),
        (OUT_OF_RANGE, ("retention", f"{RESUME} --skip-lost")),
        ("something new", (f"then: {RESUME}",)),
    ],
)
def test_a_stop_has_the_commands_that_help_against_its_cause(reason: str, words: tuple[str, ...]) -> None:
    said = stops.remedy(reason, RESUME)
    assert all(word in said for word in words), said
    assert ("deadletter" in said) == (reason == TOO_BAD)


def test_the_loss_of_records_is_never_accepted_where_none_was() -> None:
    for reason in (TOO_BAD, stops.state_ahead(90, 10), "something new"):
        assert "--skip-lost" not in stops.remedy(reason, RESUME)


def test_resuming_is_not_offered_where_it_would_stop_again_at_once() -> None:
    assert RESUME not in stops.remedy(stops.state_ahead(90, 10), RESUME)


def test_a_reason_says_the_numbers_that_it_knows() -> None:
    assert "records 5 to 9 " in stops.lost_records(5, 10)
    assert "(77)" in stops.empty_state(3, 77)
    assert "offset 90, the log ends at 10" in stops.state_ahead(90, 10)
