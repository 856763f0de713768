"""How fresh a dataset is, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from headwater_processor.core import cadence
from headwater_processor.core.alerts import Finding, Machine, State
from headwater_processor.core.freshness import DatasetFacts, Verdict, judge_freshness, merge_class, settle
from headwater_processor.core.judge_settings import DAY_US, HOUR_US, MINUTE_US, AsOf, JudgeSettings, span, when
from headwater_processor.core.policies import Effective
from headwater_schemas.alerts import Severity
from headwater_schemas.deltas import FreshnessState
from headwater_schemas.events import Name
from headwater_schemas.policies import Criticality

T0 = 1_772_348_400_000_000  # 2026-03-01 07:00:00 UTC
HOURLY = Effective(max_age_us=HOUR_US, subject="hourly", version=1)
SETTINGS = JudgeSettings()
WRITTEN = DatasetFacts(Name("n", "orders"), first_seen_us=1, first_written_us=1, last_write_us=T0)
COVERED = replace(WRITTEN, emitter="connect", emitter_datasets=3, emitter_seen_us=T0)


def judged(
    facts: DatasetFacts, as_of: AsOf, policy: Effective = HOURLY, inputs: Sequence[DatasetFacts] | None = None
) -> Verdict:
    return judge_freshness(facts, policy, as_of, SETTINGS, inputs=inputs)


def ring(count: int, step: int = 12, last_us: int = T0) -> bytes:
    slots: bytes | None = None
    for back in range(count):
        slots = cadence.add(slots, cadence.slot_of(last_us) - back * step)
    assert slots is not None
    return slots


def test_before_its_deadline_a_dataset_is_fresh_and_looked_at_right_after_it() -> None:
    verdict = judged(WRITTEN, T0 + HOUR_US)
    assert (verdict.state, verdict.finding) == (FreshnessState.FRESH, Finding.OK)
    assert (verdict.deadline_us, verdict.next_look_us) == (T0 + HOUR_US, T0 + HOUR_US + 1)


def test_it_is_late_from_the_first_microsecond_behind_its_deadline() -> None:
    verdict = judged(WRITTEN, T0 + HOUR_US + 1)
    assert (verdict.state, verdict.breached) == (FreshnessState.LATE, True)
    assert verdict.reason == (
        "last write 2026-03-01 07:00:00 UTC, allowed age 1 h (policy hourly), so due by 2026-03-01 08:00:00 UTC"
    )


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (State.PENDING, FreshnessState.LATE),
        (State.FIRING, FreshnessState.STALE),
    ],
)
def test_a_late_dataset_is_stale_when_its_alert_fires(state: State, expected: FreshnessState) -> None:
    assert settle(judged(WRITTEN, T0 + 2 * HOUR_US), Machine(state=state)).state is expected


def test_a_fresh_dataset_has_recovered_while_its_alert_clears() -> None:
    assert settle(judged(WRITTEN, T0 + 1), Machine(state=State.CLEARING)).state is FreshnessState.RECOVERED
    assert settle(judged(WRITTEN, T0 + 1), Machine()).state is FreshnessState.FRESH


def test_a_failure_after_the_last_write_is_told() -> None:
    verdict = judged(replace(WRITTEN, last_failure_us=T0 + HOUR_US), T0 + 2 * HOUR_US)
    assert verdict.reason.endswith("; a run failed at 2026-03-01 08:00:00 UTC")


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (DatasetFacts(Name("n", "d"), first_read_us=1), "no proof of write yet: it was only read"),
        (
            DatasetFacts(Name("n", "d"), first_written_us=1, touched_by=Name("k8s", "loader")),
            "no proof of write yet: it was named as output, first touched by job loader (k8s), but no run",
        ),
        (DatasetFacts(Name("n", "d"), first_written_us=1, last_failure_us=T0), "the last one failed at 2026-03-01"),
        (replace(WRITTEN, present=False, retracted_us=T0), "dropped at 2026-03-01 07:00:00 UTC"),
    ],
)
def test_what_cannot_be_judged_is_unknown_with_its_reason(facts: DatasetFacts, reason: str) -> None:
    verdict = judged(facts, T0 + DAY_US)
    assert (verdict.state, verdict.finding, verdict.deadline_us) == (FreshnessState.UNKNOWN, Finding.GONE, 0)
    assert reason in verdict.reason


def test_without_a_policy_it_is_learning_until_eight_slots_are_known() -> None:
    verdict = judged(replace(WRITTEN, cadence_slots=ring(3)), T0 + HOUR_US, Effective())
    assert verdict.state is FreshnessState.UNKNOWN
    assert verdict.reason.startswith("learning 3/8")


def test_without_a_policy_and_long_silent_there_is_too_little_to_learn_from() -> None:
    verdict = judged(replace(WRITTEN, cadence_slots=ring(3)), T0 + 20 * DAY_US, Effective())
    assert verdict.reason.startswith("no policy and too few writes")


def test_a_learned_cadence_makes_tickets_even_for_what_is_critical() -> None:
    critical = Effective(criticality=Criticality.CRITICAL)
    verdict = judged(replace(WRITTEN, cadence_slots=ring(30)), T0 + 3 * HOUR_US + 1, critical)
    assert (verdict.state, verdict.severity, verdict.learned) == (FreshnessState.LATE, Severity.TICKET, True)
    assert verdict.deadline_us == T0 + 3 * HOUR_US


@pytest.mark.parametrize(
    ("criticality", "severity"),
    [
        (Criticality.NONE, Severity.TICKET),
        (Criticality.MEDIUM, Severity.TICKET),
        (Criticality.HIGH, Severity.PAGE),
        (Criticality.CRITICAL, Severity.PAGE),
    ],
)
def test_only_a_target_for_something_critical_pages(criticality: Criticality, severity: Severity) -> None:
    assert judged(WRITTEN, T0, replace(HOURLY, criticality=criticality)).severity is severity


def test_a_caught_up_reader_of_a_quiet_dataset_makes_it_idle_not_stale() -> None:
    quiet = replace(WRITTEN, idle_through_us=T0 + 2 * HOUR_US)
    verdict = judged(quiet, T0 + 2 * HOUR_US)
    assert (verdict.state, verdict.finding) == (FreshnessState.IDLE, Finding.OK)
    assert (verdict.deadline_us, verdict.next_look_us) == (T0 + 3 * HOUR_US, T0 + 3 * HOUR_US + 1)
    assert judged(quiet, T0 + 3 * HOUR_US + 1).state is FreshnessState.LATE


def test_while_as_of_is_unknown_nothing_is_judged_and_the_partition_is_named() -> None:
    verdict = judged(replace(WRITTEN, partitions=(0, 2)), {0: T0 + DAY_US, 1: T0})
    assert (verdict.state, verdict.finding) == (FreshnessState.UNKNOWN, Finding.HOLD)
    assert verdict.reason == "as-of unknown: partition 2 not read to the end yet"


def test_a_dataset_is_judged_by_the_partitions_that_write_it() -> None:
    as_of = {0: T0 + 2 * HOUR_US, 1: T0}
    assert judged(replace(WRITTEN, partitions=(0,)), as_of).state is FreshnessState.LATE
    assert judged(replace(WRITTEN, partitions=(1,)), as_of).state is FreshnessState.FRESH
    assert judged(WRITTEN, as_of).as_of_us == T0


def test_the_silence_of_a_whole_emitter_is_no_data_and_no_alert_of_the_dataset() -> None:
    verdict = judged(COVERED, T0 + HOUR_US + 1)
    assert (verdict.state, verdict.finding) == (FreshnessState.NO_DATA, Finding.HOLD)
    assert "its emitter connect has said nothing since 2026-03-01 07:00:00 UTC" in verdict.reason


def test_an_emitter_with_one_dataset_explains_nothing() -> None:
    assert judged(replace(COVERED, emitter_datasets=1), T0 + 2 * HOUR_US).state is FreshnessState.LATE


def test_the_silence_of_a_connector_explains_the_one_dataset_that_it_has() -> None:
    connector = replace(COVERED, emitter="cdc:shop", emitter_datasets=1)
    verdict = judged(connector, T0 + 2 * HOUR_US)
    assert verdict.state is FreshnessState.NO_DATA
    assert "its emitter cdc:shop has said nothing since 2026-03-01 07:00:00 UTC, of this dataset" in verdict.reason


LEARNED = replace(WRITTEN, cadence_slots=ring(30), written_by=Name("k8s", "job"))
"""Three hours are allowed."""
LATE_US = T0 + 4 * HOUR_US


def source(last_us: int, name: str = "input") -> DatasetFacts:
    return replace(LEARNED, name=Name("n", name), last_write_us=last_us, cadence_slots=ring(30, last_us=last_us))


def test_what_no_known_job_writes_is_idle_when_it_is_quiet_unless_a_person_gave_an_age() -> None:
    captured = replace(LEARNED, written_by=None, writer_known=False)
    verdict = judged(captured, LATE_US, Effective())
    assert (verdict.state, verdict.finding, verdict.deadline_us) == (FreshnessState.IDLE, Finding.OK, 0)
    assert (
        verdict.reason == "quiet: no job is known that writes it, and no write was seen since 2026-03-01 07:00:00 UTC"
    )
    assert judged(captured, LATE_US).state is FreshnessState.LATE


def test_without_its_inputs_a_late_dataset_asks_for_them_only_if_its_age_was_learned() -> None:
    assert judged(LEARNED, LATE_US, Effective()).wants_inputs
    assert not judged(LEARNED, LATE_US, Effective(), []).wants_inputs
    assert not judged(LEARNED, LATE_US).wants_inputs
    assert not judged(LEARNED, T0 + HOUR_US, Effective()).wants_inputs


def test_what_had_nothing_to_be_made_of_is_idle_and_looked_at_again() -> None:
    verdict = judged(LEARNED, LATE_US, Effective(), [source(T0 - HOUR_US), source(T0 + 9 * MINUTE_US, "other")])
    assert (verdict.state, verdict.finding) == (FreshnessState.IDLE, Finding.OK)
    assert verdict.reason == "nothing was there to be made of: input (n) and other (n) were not written since"
    assert verdict.next_look_us == LATE_US + 90 * MINUTE_US


def test_what_came_later_has_the_learned_age_from_then_on() -> None:
    fed_us = T0 + 2 * HOUR_US
    inputs = [source(T0 - HOUR_US), source(fed_us, "other")]
    waiting = judged(LEARNED, LATE_US, Effective(), inputs)
    # Its ring has a slot every hour back from then on: the first one after the write counts.
    first_us = T0 + HOUR_US
    assert (waiting.state, waiting.next_look_us) == (FreshnessState.IDLE, first_us + 3 * HOUR_US + 1)
    assert "something to be made of came only at 2026-03-01 08:00:00 UTC; last write" in waiting.reason
    late = judged(LEARNED, first_us + 3 * HOUR_US + 1, Effective(), inputs)
    assert (late.state, late.deadline_us) == (FreshnessState.LATE, first_us + 3 * HOUR_US)


@pytest.mark.parametrize(
    "inputs",
    [
        [],
        [source(T0 - HOUR_US), DatasetFacts(Name("n", "only read"), first_read_us=1)],
        [replace(source(T0 - HOUR_US), writer_known=False, emitter="cdc:shop")],
    ],
    ids=["nothing known", "no proof", "only the same emitter tells of the source"],
)
def test_inputs_that_tell_nothing_explain_nothing(inputs: list[DatasetFacts]) -> None:
    told_by = replace(LEARNED, emitter="cdc:shop", emitter_datasets=2, emitter_seen_us=LATE_US)
    assert judged(told_by, LATE_US, Effective(), inputs).state is FreshnessState.LATE


def test_a_source_that_another_emitter_tells_of_explains() -> None:
    told_by = replace(LEARNED, emitter="sdk:x", emitter_datasets=2, emitter_seen_us=LATE_US)
    inputs = [replace(source(T0 - HOUR_US), writer_known=False, emitter="cdc:shop")]
    assert judged(told_by, LATE_US, Effective(), inputs).state is FreshnessState.IDLE


def test_the_silence_of_the_emitter_comes_before_quiet_inputs() -> None:
    silent = replace(LEARNED, emitter="connect", emitter_datasets=3, emitter_seen_us=T0)
    assert judged(silent, LATE_US, Effective(), [source(T0 - HOUR_US)]).state is FreshnessState.NO_DATA


def test_a_nightly_job_that_failed_two_hours_ago_is_late_though_its_emitter_is_quiet() -> None:
    nightly = Effective(max_age_us=26 * HOUR_US, subject="nightly")
    failed = replace(COVERED, emitter_seen_us=T0 + 24 * HOUR_US, last_failure_us=T0 + 24 * HOUR_US)
    assert judged(failed, T0 + 26 * HOUR_US + 1, nightly).state is FreshnessState.LATE


def test_an_emitter_that_may_speak_on_a_lagging_partition_is_not_called_silent() -> None:
    as_of = {0: T0 + 2 * HOUR_US, 1: T0}
    assert judged(replace(COVERED, partitions=(0,)), as_of).state is FreshnessState.LATE


def test_a_late_dataset_is_looked_at_again_when_its_emitter_would_be_silent_for_long_enough() -> None:
    seen_us = T0 + 50 * MINUTE_US
    verdict = judged(replace(COVERED, emitter_seen_us=seen_us), T0 + HOUR_US + 1)
    assert verdict.state is FreshnessState.LATE
    assert verdict.next_look_us == seen_us + 30 * MINUTE_US + 1


def test_a_class_of_aliases_is_as_fresh_as_its_freshest_member() -> None:
    a = replace(WRITTEN, name=Name("n", "a"), first_seen_us=9, partitions=(1,), cadence_slots=ring(4))
    b = replace(
        WRITTEN,
        name=Name("n", "b"),
        last_write_us=T0 + HOUR_US,
        written_by=Name("k8s", "loader"),
        first_read_us=5,
        touched_by=Name("k8s", "first"),
        partitions=(0, 1),
        cadence_slots=ring(2, last_us=T0 + HOUR_US),
    )
    merged = merge_class([a, b])
    assert merged.name == a.name
    assert merged.members == (a.name, b.name)
    assert (merged.last_write_us, merged.written_by) == (T0 + HOUR_US, Name("k8s", "loader"))
    assert (merged.first_seen_us, merged.touched_by, merged.first_read_us) == (1, Name("k8s", "first"), 5)
    assert merged.partitions == (0, 1)
    assert cadence.progress(merged.cadence_slots)[0] == 5
    assert replace(merge_class([b, a]), name=a.name) == merged


def test_a_dropped_member_says_nothing_for_its_class() -> None:
    gone = replace(WRITTEN, name=Name("n", "a"), present=False, last_write_us=T0 + DAY_US)
    assert merge_class([gone, WRITTEN]).last_write_us == T0
    assert merge_class([gone, WRITTEN]).present
    assert not merge_class([gone]).present
    with pytest.raises(ValueError, match="at least one member"):
        merge_class([])


def test_times_and_spans_are_written_for_people() -> None:
    assert when(T0) == "2026-03-01 07:00:00 UTC"
    assert when(-5) == "1970-01-01 00:00:00 UTC"
    assert when(1 << 62).startswith("9999")
    assert [span(us) for us in (0, 90_000_000, HOUR_US, 26 * HOUR_US + 5 * MINUTE_US, DAY_US + MINUTE_US)] == [
        "0 s",
        "1 min 30 s",
        "1 h",
        "1 d 2 h",
        "1 d",
    ]
