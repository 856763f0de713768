"""Whatever is observed: firing and resolved alternate, one of each for an incident, and repetition changes nothing."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from headwater_processor.core.alerts import Finding, Machine, Observation, State, Transition, decode, encode, step
from headwater_schemas.alerts import AlertState

OBSERVATION = st.builds(
    Observation,
    fingerprint=st.just("f"),
    finding=st.sampled_from(Finding),
    at_us=st.integers(1, 60),
    deadline_us=st.integers(0, 60),
    for_us=st.integers(0, 10),
    clear_us=st.integers(0, 10),
)
SEQUENCE = st.lists(OBSERVATION, max_size=40)
IN_TIME = SEQUENCE.map(lambda seen: sorted(seen, key=lambda observation: observation.at_us))


def run(observations: list[Observation]) -> tuple[Machine | None, list[Transition]]:
    machine: Machine | None = None
    said: list[Transition] = []
    for observation in observations:
        taken = step(machine, observation)
        machine = decode(encode(taken.machine))
        said += taken.transitions
    return machine, said


@given(IN_TIME)
def test_firing_and_resolved_alternate_beginning_with_firing(observations: list[Observation]) -> None:
    machine, said = run(observations)
    expected = [AlertState.FIRING, AlertState.RESOLVED] * len(said)
    assert [transition.state for transition in said] == expected[: len(said)]
    is_on = machine is not None and machine.state in (State.FIRING, State.CLEARING)
    assert is_on == (len(said) % 2 == 1)


@given(IN_TIME)
def test_an_incident_fires_once_and_resolves_once_at_most(observations: list[Observation]) -> None:
    _, said = run(observations)
    assert max(Counter(transition.alert_id for transition in said).values(), default=1) == 1
    incidents = [transition.incident_id for transition in said]
    assert incidents[1::2] == incidents[: len(incidents) // 2 * 2 : 2]


@given(IN_TIME)
def test_each_observation_may_be_repeated(observations: list[Observation]) -> None:
    twice = [observation for observation in observations for _ in range(2)]
    assert run(twice) == run(observations)


@given(IN_TIME, st.data())
def test_an_old_observation_replayed_changes_nothing(observations: list[Observation], data: st.DataObject) -> None:
    machine, _ = run(observations)
    if machine is None:
        return
    old = data.draw(st.sampled_from(observations))
    if old.at_us < machine.seen_us:
        assert step(machine, old).machine == machine
        assert step(machine, old).transitions == ()


@given(SEQUENCE)
def test_a_breach_takes_effect_only_when_as_of_advances(observations: list[Observation]) -> None:
    machine: Machine | None = None
    for observation in observations:
        taken = step(machine, observation)
        fired = any(transition.state is AlertState.FIRING for transition in taken.transitions)
        assert not fired or machine is None or observation.at_us > machine.seen_us
        assert machine is None or taken.machine.seen_us >= machine.seen_us
        machine = taken.machine


@given(IN_TIME, OBSERVATION)
def test_looking_again_when_told_is_enough(observations: list[Observation], last: Observation) -> None:
    """Between an observation and its next look, time alone changes nothing."""
    machine, _ = run(observations)
    taken = step(machine, last)
    if last.finding is Finding.HOLD or taken.machine.seen_us > last.at_us:
        return
    horizon_us = taken.next_look_us or last.at_us + 30
    for at_us in range(last.at_us + 1, horizon_us):
        finding = last.finding
        if finding is Finding.OK and 0 < last.deadline_us < at_us:
            break
        later = Observation("f", finding, at_us, last.deadline_us, last.for_us, last.clear_us)
        assert step(taken.machine, later).transitions == ()
        assert step(taken.machine, later).machine.state is taken.machine.state
