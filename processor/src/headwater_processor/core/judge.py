"""From facts to what people read: the status image, the alerts, the machines, and when to look again.

Everything here is a function of its arguments. The caller reads facts and machines from the state, calls, and writes
back what changed, in one step: `Judgement.machines` holds only machines that changed (None: forget it), `alerts` only
transitions. `next_look_us` is the as-of at which time alone can change something; 0: only news can.

Severity: a page needs a freshness target that a person gave *and* criticality HIGH or CRITICAL; any other staleness, a
learned cadence above all, is a ticket; loose ends are information.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from headwater_processor.core import wording
from headwater_processor.core.alerts import Finding, Machine
from headwater_processor.core.aliases import Candidates, Role, meant
from headwater_processor.core.desk import CANDIDATES, DOWNSTREAM, INPUTS, Desk, Judgement
from headwater_processor.core.freshness import (
    DatasetFacts,
    Verdict,
    allowed_age_us,
    explains,
    judge_freshness,
    settle,
    silence_us,
)
from headwater_processor.core.judge_settings import AsOf, JudgeSettings, resolve_as_of
from headwater_processor.core.policies import Effective, PolicySet
from headwater_processor.core.unlinked import (
    DATASET_KINDS,
    JOB_KINDS,
    READ_NEVER_WRITTEN,
    JobFacts,
    Loose,
    OpenRun,
    kind_of,
    loose_dataset,
    loose_job,
    lost_runs,
)
from headwater_schemas.deltas import FreshnessState, Status

LOOK_AT_LOOSE_US = 3_600_000_000
"""A loose dataset is looked at again after this long: the right name may have come since, or what it lacks under an alias."""
LOOK_AT_SOURCES_US = 6 * LOOK_AT_LOOSE_US
"""So is a source, of which there may be as many as tables: most have no other name to be found."""

ALIAS_LOOK_US = 60_000_000
"""What has several names and is not simply well is looked at so often: news come under one of its names, and wake only that."""


@dataclass(frozen=True, slots=True)
class EmitterFacts:
    """An emitter, when it was last heard, the datasets it wrote last (each as a class, see `freshness.merge_class`), and how
    many it covers at all, if they are more."""

    name: str
    seen_us: int = 0
    datasets: tuple[DatasetFacts, ...] = ()
    covers: int = 0


def judge_dataset(
    facts: DatasetFacts,
    policies: PolicySet,
    as_of: AsOf,
    machines: Mapping[str, Machine],
    settings: JudgeSettings,
    candidates: Candidates | None = None,
    previous: Status | None = None,
    blind: Sequence[int] = (),
    inputs: Sequence[DatasetFacts] | None = None,
) -> Judgement:
    """Judge one dataset: freshness and looseness.

    `facts` are of its whole class of aliases (`merge_class`) under its own name. Of a class only the member that sorts
    first raises alerts; the others show the same state. `previous` is the last status (for `since` and for candidates
    found already), `blind` are slots of our own downtime (see `cadence`). `candidates` and `inputs` (see `judge_freshness`)
    are dear to read: without them `Judgement.wants` says whether they matter.
    """
    members = facts.members or (facts.name,)
    policy = policies.for_class(members)
    speaks = facts.name == min(members, key=lambda n: (n.namespace, n.name))
    verdict = judge_freshness(facts, policy, as_of, settings, blind, inputs)
    desk = Desk(machines, verdict.as_of_us, policy, settings)
    if verdict.wants_inputs:
        desk.want(INPUTS)
    verdict = _step_freshness(desk, facts, verdict, speaks)
    # Who reads or writes it may say so on any partition, so looseness is judged by the as-of of all.
    domain_us = resolve_as_of(as_of)[0]
    unlinked, found = _step_looseness(desk, facts, domain_us, candidates, previous, speaks)
    kind = "" if unlinked else kind_of(facts, policy)
    if len(members) > 1 and verdict.state is not FreshnessState.FRESH:
        desk.look(verdict.as_of_us + ALIAS_LOOK_US if verdict.as_of_us else 0)
    return desk.judgement(_status(verdict, unlinked, found, kind, policy, previous), verdict.max_age_us)


def judge_job(
    facts: JobFacts,
    policies: PolicySet,
    as_of: AsOf,
    machines: Mapping[str, Machine],
    settings: JudgeSettings,
    previous: Status | None = None,
) -> Judgement:
    """Judge whether a job hangs loose. Its status says nothing of freshness."""
    policy = policies.for_job(facts.name)
    as_of_us = resolve_as_of(as_of)[0]
    desk = Desk(machines, as_of_us, policy, settings)
    raised: Loose | None = None
    for row in JOB_KINDS:
        loose = loose_job(row, facts, policy, as_of_us, settings)
        raised = loose if loose and loose.raised else raised
        finding, deadline_us = _looseness(loose)
        if not desk.idle(row.alert, "job", facts.name, finding):
            desk.step(wording.loose_job(row, facts, loose, policy), finding, deadline_us, for_us=0, clear_us=0)
        desk.look(loose.next_look_us if loose else 0)
    kind = raised.kind if raised else ""
    if not as_of_us and previous:
        kind = previous.unlinked  # nothing is known now: what was said stands
    since_us = raised.since_us if raised else facts.first_seen_us
    return desk.judgement(
        Status(since_us=since_us, unlinked=kind, owner=policy.owner, policy_version=policies.version)
        if not previous or previous.unlinked != kind or previous.owner != policy.owner
        else replace(previous, policy_version=policies.version)
    )


def judge_run_lost(
    facts: JobFacts,
    runs: Sequence[OpenRun],
    policies: PolicySet,
    as_of: AsOf,
    machines: Mapping[str, Machine],
    settings: JudgeSettings,
) -> Judgement:
    """Judge the open runs of a job: one alert for the job, however many of its runs never ended."""
    policy = policies.for_job(facts.name)
    as_of_us = resolve_as_of(as_of)[0]
    desk = Desk(machines, as_of_us, policy, settings)
    lost, look_us = lost_runs(runs, facts.alive_us, as_of_us, settings)
    finding = Finding.BREACHED if lost else Finding.OK
    deadline_us = lost[0].seen_us + settings.run_timeout_us if lost else 0
    desk.step(wording.run_lost(facts, lost, policy), finding, deadline_us)
    desk.look(look_us)
    return desk.judgement(None)


def judge_emitter(
    facts: EmitterFacts,
    policies: PolicySet,
    as_of: AsOf,
    machines: Mapping[str, Machine],
    settings: JudgeSettings,
    blind: Sequence[int] = (),
    downstream: int | None = None,
) -> Judgement:
    """Judge whether a whole emitter went silent.

    It is silent exactly when one of its datasets is NO_DATA for it, or when a policy on the emitter itself gives an
    age. `downstream` is how many datasets of others are made of what it writes; `Judgement.wants` says whether it matters.
    """
    policy = policies.for_emitter(facts.name)
    as_of_us = resolve_as_of(as_of)[0]
    desk = Desk(machines, as_of_us, policy, settings)
    deadlines = _emitter_deadlines(facts, policies, policy, settings, blind)
    finding, deadline_us = Finding.GONE, 0
    if deadlines and facts.seen_us:
        deadline_us = min(deadlines)[0]
        finding = Finding.BREACHED if as_of_us > deadline_us else Finding.OK
        # While it is silent it is looked at now and then: what it wrote may have got another emitter meanwhile.
        desk.look(deadline_us + 1 if finding is Finding.OK else as_of_us + settings.emitter_silent_us)
    overdue = [critical for due_us, critical in deadlines if as_of_us > due_us]
    case = wording.emitter_silent(
        facts.name, facts.seen_us, len(overdue), any(overdue), policy, as_of_us, downstream or 0
    )
    if finding is Finding.BREACHED and downstream is None and not desk.fires(case):
        desk.want(DOWNSTREAM)
    desk.step(case, finding, deadline_us)
    return desk.judgement(None)


def _step_freshness(desk: Desk, facts: DatasetFacts, verdict: Verdict, speaks: bool) -> Verdict:
    desk.look(verdict.next_look_us)
    finding = verdict.finding if speaks else Finding.GONE
    machine = Machine()
    for_us = desk.for_us
    if not desk.idle("DatasetStale", "dataset", facts.name, finding):
        case = wording.stale(facts, verdict, desk.policy)
        if verdict.learned and (finding is Finding.HOLD or desk.held_us(case) > verdict.deadline_us):
            for_us = max(for_us, verdict.max_age_us)
        machine = desk.step(case, finding, verdict.deadline_us, for_us)
    if not speaks and verdict.breached:
        desk.look(verdict.deadline_us + for_us if verdict.as_of_us < verdict.deadline_us + for_us else 0)
    return settle(verdict, machine, None if speaks else for_us)


def _step_looseness(
    desk: Desk,
    facts: DatasetFacts,
    as_of_us: int,
    candidates: Candidates | None,
    previous: Status | None,
    speaks: bool,
) -> tuple[str, tuple[str, ...]]:
    """The kind of looseness that is raised, if any, and its candidates."""
    raised = ""
    found: tuple[str, ...] = ()
    for row in DATASET_KINDS:
        loose = loose_dataset(row, facts, desk.policy, as_of_us, desk.settings)
        mine: tuple[str, ...] = ()
        if loose and loose.right and row.kind != READ_NEVER_WRITTEN:
            loose = None
        if loose and loose.raised:
            mine = _candidates(loose, facts, candidates, previous)
            if not mine and candidates is None:
                desk.want(CANDIDATES)
            else:
                desk.look(as_of_us + (LOOK_AT_SOURCES_US if loose.right else LOOK_AT_LOOSE_US))
            if loose.right and not mine:
                loose = None
            else:
                raised, found = loose.kind, mine
        desk.look(loose.next_look_us if loose else 0)
        finding, deadline_us = _looseness(loose) if speaks else (Finding.GONE, 0)
        if not desk.idle(row.alert, "dataset", facts.name, finding):
            desk.step(wording.loose_dataset(row, facts, loose, mine, desk.policy), finding, deadline_us, 0, 0, as_of_us)
    if not as_of_us and previous:
        return previous.unlinked, previous.candidates  # nothing is known now: what was said stands
    return raised, found


def _looseness(loose: Loose | None) -> tuple[Finding, int]:
    if loose is None:
        return Finding.OK, 0
    return (Finding.BREACHED if loose.raised else Finding.OK), loose.deadline_us


def _candidates(
    loose: Loose, facts: DatasetFacts, candidates: Candidates | None, previous: Status | None
) -> tuple[str, ...]:
    """Names it may have been meant to be. Those found once stay: looking again costs milliseconds.

    Where nothing need be missing (a source) only a name that was probably meant is one.
    """
    if previous and previous.unlinked == loose.kind and previous.candidates:
        return previous.candidates
    if candidates is None:
        return ()
    role = Role.WRITTEN if loose.kind == READ_NEVER_WRITTEN else Role.READ
    names = [name for name, _ in candidates.suggest(facts.name, role=role, exclude=facts.members)]
    return tuple(str(name) for name in names if not loose.right or meant(facts.name, name))


def _status(
    verdict: Verdict, unlinked: str, found: tuple[str, ...], kind: str, policy: Effective, previous: Status | None
) -> Status:
    status = Status(
        state=verdict.state,
        reason=verdict.reason,
        since_us=_since_us(verdict),
        deadline_us=verdict.deadline_us,
        unlinked=unlinked,
        candidates=found,
        owner=policy.owner,
        policy_version=policy.version,
        kind=kind,
    )
    if previous and previous.state is status.state:
        return replace(status, since_us=previous.since_us or status.since_us)
    return status


def _since_us(verdict: Verdict) -> int:
    overdue = verdict.state in (FreshnessState.LATE, FreshnessState.STALE)
    return verdict.deadline_us if overdue else verdict.as_of_us


def _emitter_deadlines(
    facts: EmitterFacts, policies: PolicySet, policy: Effective, settings: JudgeSettings, blind: Sequence[int]
) -> list[tuple[int, bool]]:
    """When each dataset will be NO_DATA for this emitter, and whether somebody should be woken for it."""
    deadlines = [(facts.seen_us + policy.max_age_us, policy.critical)] if policy.explicit else []
    if not explains(facts.name, max(facts.covers, len(facts.datasets))):
        return deadlines
    for dataset in facts.datasets:
        if not dataset.present or not dataset.last_write_us or dataset.emitter != facts.name:
            continue
        of_dataset = policies.for_class(dataset.members or (dataset.name,))
        age_us, learned = allowed_age_us(dataset, of_dataset, blind)
        if age_us:
            due_us = max(dataset.last_write_us, dataset.idle_through_us) + age_us
            silent_us = facts.seen_us + silence_us(age_us, settings)
            deadlines.append((max(due_us, silent_us), of_dataset.critical and not learned))
    return deadlines
