"""The alert machine, and the picture of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater_processor.core.alerts import (
    TRANSITIONS,
    Finding,
    Machine,
    Observation,
    Signal,
    State,
    Transition,
    alert_id,
    decode,
    encode,
    fingerprint,
    incident_id,
    step,
    to_mermaid,
)
from headwater_schemas.alerts import AlertState, Severity

FP = fingerprint("DatasetStale", "dataset", "kafka://b:9092", "orders")
PICTURE = Path(__file__).parents[3] / "processor" / "alert-machine.md"
B, OK, HOLD, GONE = Finding.BREACHED, Finding.OK, Finding.HOLD, Finding.GONE


def walk(
    *findings: tuple[Finding, int, int], for_us: int = 0, clear_us: int = 0, machine: Machine | None = None
) -> tuple[Machine, list[Transition], int]:
    """Step through (finding, as-of, deadline), and give the machine, all transitions and the last next look."""
    said: list[Transition] = []
    look_us = 0
    for finding, at_us, deadline_us in findings:
        taken = step(machine, Observation(FP, finding, at_us, deadline_us, for_us, clear_us, Severity.PAGE))
        machine, look_us = taken.machine, taken.next_look_us
        said += taken.transitions
    assert machine is not None
    return machine, said, look_us


def states(said: list[Transition]) -> list[AlertState]:
    return [transition.state for transition in said]


def test_a_breach_without_a_for_duration_fires_at_once() -> None:
    machine, said, look_us = walk((B, 101, 100))
    assert machine.state is State.FIRING
    assert states(said) == [AlertState.FIRING]
    assert (said[0].deadline_us, said[0].at_us, said[0].severity, look_us) == (100, 101, Severity.PAGE, 0)


def test_a_breach_waits_for_its_for_duration_counted_from_the_deadline() -> None:
    machine, said, look_us = walk((B, 101, 100), for_us=50)
    assert (machine.state, said, look_us) == (State.PENDING, [], 150)
    machine, said, _ = walk((B, 150, 100), for_us=50, machine=machine)
    assert (machine.state, states(said)) == (State.FIRING, [AlertState.FIRING])


def test_a_breach_that_ends_while_pending_is_never_mentioned() -> None:
    machine, said, look_us = walk((B, 101, 100), (OK, 120, 200), for_us=50)
    assert (machine.state, said, look_us) == (State.QUIET, [], 201)


def test_a_firing_alert_resolves_after_it_has_been_well_for_long_enough() -> None:
    machine, said, look_us = walk((B, 101, 100), (OK, 120, 200), clear_us=30)
    assert (machine.state, states(said), look_us) == (State.CLEARING, [AlertState.FIRING], 150)
    machine, said, _ = walk((OK, 150, 200), clear_us=30, machine=machine)
    assert (machine.state, states(said)) == (State.QUIET, [AlertState.RESOLVED])


def test_a_breach_while_clearing_is_the_same_incident_and_fires_no_second_time() -> None:
    machine, said, _ = walk((B, 101, 100), (OK, 120, 200), (B, 201, 200), (OK, 220, 300), (OK, 260, 300), clear_us=30)
    assert machine.state is State.QUIET
    assert states(said) == [AlertState.FIRING, AlertState.RESOLVED]
    assert len({transition.incident_id for transition in said}) == 1


def test_after_a_resolved_incident_the_next_one_has_another_id() -> None:
    _, said, _ = walk((B, 101, 100), (OK, 120, 200), (B, 201, 200), (OK, 220, 300))
    assert states(said) == [AlertState.FIRING, AlertState.RESOLVED] * 2
    assert len({transition.incident_id for transition in said}) == 2


def test_a_deadline_that_comes_back_after_its_incident_was_resolved_is_a_new_incident() -> None:
    _, said, _ = walk((B, 101, 100), (GONE, 120, 0), (B, 130, 100), (GONE, 140, 0), (B, 150, 90))
    assert states(said) == [AlertState.FIRING, AlertState.RESOLVED] * 2 + [AlertState.FIRING]
    assert len({transition.incident_id for transition in said}) == 3


@pytest.mark.parametrize("before", [((B, 101, 100),), ((B, 101, 100), (OK, 120, 200))])
def test_what_is_gone_resolves_at_once(before: tuple[tuple[Finding, int, int], ...]) -> None:
    machine, said, _ = walk(*before, (GONE, 121, 0), clear_us=1_000)
    assert (machine.state, states(said)) == (State.QUIET, [AlertState.FIRING, AlertState.RESOLVED])


def test_firing_the_same_incident_twice_says_the_same_ids() -> None:
    _, first, _ = walk((B, 101, 100))
    _, again, _ = walk((B, 190, 100))
    assert [(t.incident_id, t.alert_id) for t in first] == [(t.incident_id, t.alert_id) for t in again]
    assert first[0].alert_id == alert_id(incident_id(FP, 100), AlertState.FIRING)


def test_an_observation_older_than_the_machine_changes_nothing() -> None:
    machine, _, _ = walk((B, 101, 100))
    for finding in Finding:
        taken = step(machine, Observation(FP, finding, 100, 50))
        assert (taken.machine, taken.transitions, taken.next_look_us) == (machine, (), 102)


def test_a_breach_is_not_taken_while_as_of_stands_still_but_a_recovery_is() -> None:
    machine, said, look_us = walk((OK, 101, 200), (B, 101, 100))
    assert (machine.state, said, look_us) == (State.QUIET, [], 102)
    machine, said, _ = walk((B, 101, 100), (OK, 101, 200))
    assert states(said) == [AlertState.FIRING, AlertState.RESOLVED]


def test_time_without_a_judgement_does_not_count_towards_the_for_duration() -> None:
    machine, said, _ = walk((B, 101, 100), (HOLD, 140, 100), (B, 160, 100), for_us=50)
    assert (machine.state, said) == (State.PENDING, [])
    machine, said, _ = walk((B, 190, 100), for_us=50, machine=machine)
    assert states(said) == [AlertState.FIRING]


def test_holding_leaves_a_firing_alert_firing() -> None:
    machine, said, _ = walk((B, 101, 100), (HOLD, 140, 100))
    assert (machine.state, states(said)) == (State.FIRING, [AlertState.FIRING])


def test_severity_stays_what_it_was_when_it_fired() -> None:
    machine, _, _ = walk((B, 101, 100))
    taken = step(machine, Observation(FP, GONE, 120, severity=Severity.TICKET))
    assert taken.transitions[0].severity is Severity.PAGE


def test_a_machine_survives_its_bytes_and_is_small() -> None:
    machine, _, _ = walk((B, 1_700_000_000_000_000, 1_600_000_000_000_000))
    assert decode(encode(machine)) == machine
    assert len(encode(machine)) < 60
    assert decode(encode(Machine())) == Machine()


def test_every_state_can_be_left_and_every_signal_but_hold_is_in_the_table() -> None:
    assert {state for state, _ in TRANSITIONS} == set(State)
    assert {signal for _, signal in TRANSITIONS} == set(Signal)


def test_fingerprints_of_different_subjects_differ() -> None:
    assert fingerprint("K", "dataset", "a|b", "c") != fingerprint("K", "dataset", "a", "b|c")
    assert fingerprint("K", "dataset", "a%7Cb", "c") != fingerprint("K", "dataset", "a|b", "c")


def test_the_picture_beside_the_readme_is_current() -> None:
    text = PICTURE.read_text(encoding="utf-8")
    picture = text.partition("```mermaid\n")[2].partition("```")[0]
    assert picture == to_mermaid(), f"{PICTURE.name} is old: put the output of core.alerts.to_mermaid() into it"
