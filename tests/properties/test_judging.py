"""Judging over any history: nobody is left without an alert, and looking only when told misses nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from headwater_processor.core import cadence
from headwater_processor.core.alerts import Finding, Machine
from headwater_processor.core.desk import Judgement
from headwater_processor.core.freshness import DatasetFacts, judge_freshness
from headwater_processor.core.growth import Growing, Offender, Tally
from headwater_processor.core.judge import EmitterFacts, judge_dataset, judge_emitter
from headwater_processor.core.judge_settings import HOUR_US, JudgeSettings
from headwater_processor.core.policies import NO_POLICIES, PolicySet, compile_policies
from headwater_schemas.alerts import Alert, AlertState
from headwater_schemas.deltas import FreshnessState, Status
from headwater_schemas.events import Name
from headwater_schemas.policies import Policy

MS = 1_000
SETTINGS = JudgeSettings(emitter_silent_us=10 * MS, domain_grace_us=0, read_grace_us=5 * MS, written_grace_us=5 * MS)
TIMES = st.integers(1, 100).map(lambda ms: ms * MS)


def policies(age_ms: int, for_ms: int, clear_ms: int) -> PolicySet:
    return compile_policies([Policy("p", "*", "*", max_age_ms=age_ms, for_ms=for_ms, clear_ms=clear_ms)], 1)


@given(
    st.lists(TIMES, min_size=2, max_size=4),
    TIMES,
    st.integers(1, 60),
    st.dictionaries(st.integers(0, 2), TIMES, min_size=3, max_size=3),
    st.sets(st.integers(0, 2)),
)
def test_no_dataset_is_without_data_unless_its_emitter_is_called_silent(
    writes: list[int], seen_us: int, age_ms: int, as_of: dict[int, int], partitions: set[int]
) -> None:
    seen_us = max(seen_us, *writes)
    some = DatasetFacts(Name("n", ""), emitter="e", emitter_seen_us=seen_us, emitter_datasets=len(writes))
    datasets = tuple(
        replace(some, name=Name("n", str(i)), last_write_us=us, partitions=tuple(partitions))
        for i, us in enumerate(writes)
    )
    rules = policies(age_ms, 0, 0)
    told = judge_emitter(EmitterFacts("e", seen_us, datasets), rules, as_of, {}, SETTINGS).alerts
    states = [judge_freshness(d, rules.for_dataset(d.name), as_of, SETTINGS).state for d in datasets]
    assert told or FreshnessState.NO_DATA not in states


SLOT_US = cadence.SLOT_US
DAY = 288
NIGHTLY = [DAY * day + slot for day in range(3) for slot in range(10)]


@given(
    st.lists(st.lists(st.integers(2 * DAY, 8 * DAY), min_size=1, max_size=4), min_size=1, max_size=3),
    st.integers(2 * DAY, 9 * DAY),
)
def test_quiet_inputs_excuse_exactly_as_long_as_nothing_was_there_to_be_made_of(
    written: list[list[int]], now_slot: int
) -> None:
    """Against the definition: due is the first slot of any input, past two that are let pass, plus the learned age."""
    mart = DatasetFacts(
        Name("n", "mart"),
        last_write_us=NIGHTLY[-1] * SLOT_US,
        cadence_slots=ring_of(NIGHTLY),
        written_by=Name("j", "j"),
    )
    inputs = [
        DatasetFacts(Name("n", str(at)), last_write_us=max(slots) * SLOT_US, cadence_slots=ring_of(slots))
        for at, slots in enumerate(written)
    ]
    verdict = judge_freshness(mart, NO_POLICIES.for_dataset(mart.name), now_slot * SLOT_US, SETTINGS, inputs=inputs)
    own_due_us = mart.last_write_us + verdict.max_age_us
    fed = [slot for slots in written for slot in slots if slot >= NIGHTLY[-1] + 2]
    due_us = max(own_due_us, min(fed) * SLOT_US + verdict.max_age_us) if fed else 1 << 62
    assert (verdict.state is FreshnessState.LATE) == (now_slot * SLOT_US > due_us)
    assert (verdict.finding is Finding.BREACHED) == (now_slot * SLOT_US > due_us)
    if verdict.state is FreshnessState.IDLE and fed:
        assert verdict.next_look_us == due_us + 1
    elif verdict.state is FreshnessState.IDLE:
        assert verdict.next_look_us > now_slot * SLOT_US


@given(st.permutations(range(40)), st.integers(1, 20))
def test_who_brings_names_is_the_same_in_whatever_order_they_are_found(order: list[int], least: int) -> None:
    def growing(numbers: Iterable[int]) -> dict[Offender, tuple[Growing, ...]]:
        tally = Tally(10 * HOUR_US)
        for number in numbers:
            who = Offender("emitter", Name("", "ab"[number % 2]))
            tally.add("job", Name("n", f"x{number}"), "x*", (8 + number % 3 % 2) * HOUR_US, who)
        return tally.growing(replace(SETTINGS, growth_names=least))

    assert growing(order) == growing(range(40))


def ring_of(slots: Iterable[int]) -> bytes:
    ring: bytes | None = None
    for slot in slots:
        ring = cadence.add(ring, slot)
    assert ring is not None
    return ring


@given(st.sets(TIMES, max_size=8), st.integers(1, 30), st.integers(0, 10), st.integers(0, 10))
def test_looking_when_told_and_at_news_says_the_same_as_looking_all_the_time(
    writes: set[int], age_ms: int, for_ms: int, clear_ms: int
) -> None:
    rules = policies(age_ms, for_ms, clear_ms)
    always = _watched(writes, rules, every_us=MS // 2)
    told = _watched(writes, rules, every_us=0)
    assert [(a.incident_id, a.state) for a in always] == [(a.incident_id, a.state) for a in told]
    expected = [AlertState.FIRING, AlertState.RESOLVED] * len(told)
    for kind in {a.kind for a in told}:
        of_kind = [a.state for a in told if a.kind == kind]
        assert of_kind == expected[: len(of_kind)]


def _watched(writes: set[int], rules: PolicySet, every_us: int) -> list[Alert]:
    machines: dict[str, Machine] = {}
    status = Status()
    said: list[Alert] = []
    look_us = 0
    for at_us in range(MS // 2, 160 * MS, MS // 2):
        known = [us for us in writes if us <= at_us]
        if not (every_us or at_us in writes or 0 < look_us <= at_us):
            continue
        facts = DatasetFacts(
            Name("n", "d"), first_read_us=1, first_written_us=min(known, default=0), last_write_us=max(known, default=0)
        )
        judgement = judge_dataset(facts, rules, at_us, machines, SETTINGS, previous=status)
        _keep(machines, judgement)
        status = judgement.status or status
        look_us = judgement.next_look_us
        said += [alert for alert in judgement.alerts if alert.kind == "DatasetStale"]
    return said


def _keep(machines: dict[str, Machine], judgement: Judgement) -> None:
    for key, machine in judgement.machines.items():
        if machine is None:
            machines.pop(key, None)
        else:
            machines[key] = machine
