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
from headwater_processor.core.alerts import Finding, Machine, Observation, State, Transition, fingerprint, step
from headwater_processor.core.aliases import Candidates, Role
from headwater_processor.core.freshness import (
    DatasetFacts,
    Verdict,
    allowed_age_us,
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
    loose_dataset,
    loose_job,
    lost_runs,
)
from headwater_processor.core.wording import Case
from headwater_schemas.alerts import Alert, AlertState
from headwater_schemas.deltas import FreshnessState, Status
from headwater_schemas.events import Name

LOOK_FOR_CANDIDATES_US = 3_600_000_000
"""A loose dataset without any candidate is looked at again after this long: the right name may have come since."""


@dataclass(frozen=True, slots=True)
class EmitterFacts:
    """An emitter, when it was last heard, the datasets it wrote last (each as a class, see `freshness.merge_class`), and how
    many it covers at all, if they are more."""

    name: str
    seen_us: int = 0
    datasets: tuple[DatasetFacts, ...] = ()
    covers: int = 0


@dataclass(frozen=True, slots=True)
class Judgement:
    """What follows from the facts. `status` is None where the subject has no image of it (emitters, domains). `max_age_us` is
    the age that a dataset was allowed, 0 if none."""

    status: Status | None
    alerts: tuple[Alert, ...]
    machines: Mapping[str, Machine | None]
    next_look_us: int
    max_age_us: int = 0


def judge_dataset(
    facts: DatasetFacts,
    policies: PolicySet,
    as_of: AsOf,
    machines: Mapping[str, Machine],
    settings: JudgeSettings,
    candidates: Candidates | None = None,
    previous: Status | None = None,
    blind: Sequence[int] = (),
) -> Judgement:
    """Judge one dataset: freshness and looseness.

    `facts` are of its whole class of aliases (`merge_class`) under its own name. Of a class only the member that sorts
    first raises alerts; the others show the same state. `previous` is the last status (for `since` and for candidates
    found already), `blind` are slots of our own downtime (see `cadence`).
    """
    members = facts.members or (facts.name,)
    policy = policies.for_class(members)
    speaks = facts.name == min(members, key=lambda n: (n.namespace, n.name))
    verdict = judge_freshness(facts, policy, as_of, settings, blind)
    desk = _Desk(machines, verdict.as_of_us, policy, settings)
    verdict = _step_freshness(desk, facts, verdict, speaks)
    # Who reads or writes it may say so on any partition, so looseness is judged by the as-of of all.
    domain_us = resolve_as_of(as_of)[0]
    kind, found = _step_looseness(desk, facts, domain_us, candidates, previous, speaks)
    return desk.judgement(_status(verdict, kind, found, policy, previous), verdict.max_age_us)


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
    desk = _Desk(machines, as_of_us, policy, settings)
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
    desk = _Desk(machines, as_of_us, policy, settings)
    lost, look_us = lost_runs(runs, facts.last_complete_us, as_of_us, settings)
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
) -> Judgement:
    """Judge whether a whole emitter went silent.

    It is silent exactly when one of its datasets is NO_DATA for it, or when a policy on the emitter itself gives an
    age.
    """
    policy = policies.for_emitter(facts.name)
    as_of_us = resolve_as_of(as_of)[0]
    desk = _Desk(machines, as_of_us, policy, settings)
    deadlines = _emitter_deadlines(facts, policies, policy, settings, blind)
    finding, deadline_us = Finding.GONE, 0
    if deadlines and facts.seen_us:
        deadline_us = min(deadlines)[0]
        finding = Finding.BREACHED if as_of_us > deadline_us else Finding.OK
        desk.look(deadline_us + 1 if finding is Finding.OK else 0)
    overdue = [critical for due_us, critical in deadlines if as_of_us > due_us]
    desk.step(
        wording.emitter_silent(facts.name, facts.seen_us, len(overdue), any(overdue), policy, as_of_us),
        finding,
        deadline_us,
    )
    return desk.judgement(None)


def judge_blind(
    domain: str,
    frozen_since_us: int,
    unjudged_critical: int,
    why: str,
    now_us: int,
    machines: Mapping[str, Machine],
    settings: JudgeSettings,
) -> Judgement:
    """Judge Headwater itself: nothing is judged while as-of stands still. Times are of the state's clock, not as-of.

    `frozen_since_us` is when as-of last moved; `unjudged_critical` how many datasets with criticality HIGH or CRITICAL
    wait for it.
    """
    desk = _Desk(machines, now_us, Effective(), settings)
    deadline_us = frozen_since_us + settings.blind_after_us
    finding = Finding.BREACHED if now_us > deadline_us else Finding.OK
    desk.look(deadline_us + 1 if finding is Finding.OK else 0)
    desk.step(wording.blind(domain, frozen_since_us, unjudged_critical, why, now_us), finding, deadline_us)
    return desk.judgement(None)


def judge_partition(
    topic: str,
    partition: int,
    stopped_since_us: int,
    reason: str,
    resume: str,
    now_us: int,
    machines: Mapping[str, Machine],
) -> Judgement:
    """The alert of a partition that was stopped (0: it runs). `resume` is the command that lets it go on."""
    desk = _Desk(machines, now_us, Effective(), JudgeSettings())
    finding = Finding.BREACHED if stopped_since_us else Finding.OK
    desk.step(wording.partition_stopped(topic, partition, stopped_since_us, reason, resume), finding, stopped_since_us)
    return desk.judgement(None)


def watchdog(domain: str, now_us: int) -> Alert:
    """The alert that always fires. Its ids never change; only `as_of_us` moves, and whoever misses it knows we are
    dead.
    """
    case = wording.watchdog(domain)
    fired = step(None, Observation(case.fingerprint, Finding.BREACHED, 1, severity=case.severity)).transitions[0]
    return _alert(case, replace(fired, at_us=now_us), -1)


class _Desk:
    """One judgement in the making: steps machines, and gathers what changed, what is to be said, when to look again."""

    def __init__(self, machines: Mapping[str, Machine], at_us: int, policy: Effective, settings: JudgeSettings) -> None:
        self._machines = machines
        self._at_us = at_us
        self.policy = policy
        self.settings = settings
        self._changed: dict[str, Machine | None] = {}
        self._alerts: list[Alert] = []
        self._looks: list[int] = []

    @property
    def for_us(self) -> int:
        return self.policy.for_us or self.settings.for_us

    @property
    def clear_us(self) -> int:
        return self.policy.clear_us or self.settings.clear_us

    def look(self, at_us: int) -> None:
        if at_us > 0:
            self._looks.append(at_us)

    def idle(self, kind: str, subject_kind: str, name: Name, finding: Finding) -> bool:
        """Whether this alert has no machine and needs none: then nothing is to be said, and no words are made."""
        if finding is not Finding.OK and finding is not Finding.GONE:
            return False
        return fingerprint(kind, subject_kind, name.namespace, name.name) not in self._machines

    def step(
        self,
        case: Case,
        finding: Finding,
        deadline_us: int,
        for_us: int | None = None,
        clear_us: int | None = None,
        at_us: int | None = None,
    ) -> Machine:
        """Step the machine of this case; one that does not exist and has nothing to remember is not made.

        Durations and as-of are those of the desk unless given.
        """
        for_us = self.for_us if for_us is None else for_us
        clear_us = self.clear_us if clear_us is None else clear_us
        machine = self._machines.get(case.fingerprint)
        at_us = self._at_us if at_us is None else at_us
        if finding is Finding.GONE and machine:
            # Not a matter of as-of: what was dropped is dropped, though as-of has fallen behind.
            at_us = max(at_us, machine.seen_us)
        if machine is None and (finding in (Finding.OK, Finding.GONE) or (finding is Finding.HOLD and not for_us)):
            return Machine()
        if at_us <= 0:
            return machine or Machine()
        taken = step(
            machine, Observation(case.fingerprint, finding, at_us, deadline_us, for_us, clear_us, case.severity)
        )
        self._alerts.extend(_alert(case, t, self.policy.version) for t in taken.transitions)
        self.look(taken.next_look_us)
        if taken.machine != machine:
            self._changed[case.fingerprint] = None if _forgettable(taken.machine) else taken.machine
        return taken.machine

    def judgement(self, status: Status | None, max_age_us: int = 0) -> Judgement:
        return Judgement(status, tuple(self._alerts), self._changed, min(self._looks, default=0), max_age_us)


def _forgettable(machine: Machine) -> bool:
    """True if the machine is as good as none: quiet, and it never fired."""
    return machine.state is State.QUIET and not machine.highest_us and not machine.held_us


def _step_freshness(desk: _Desk, facts: DatasetFacts, verdict: Verdict, speaks: bool) -> Verdict:
    desk.look(verdict.next_look_us)
    finding = verdict.finding if speaks else Finding.GONE
    machine = Machine()
    if not desk.idle("DatasetStale", "dataset", facts.name, finding):
        machine = desk.step(wording.stale(facts, verdict, desk.policy), finding, verdict.deadline_us)
    if not speaks and verdict.breached:
        desk.look(verdict.deadline_us + desk.for_us if verdict.as_of_us < verdict.deadline_us + desk.for_us else 0)
    return settle(verdict, machine, None if speaks else desk.for_us)


def _step_looseness(
    desk: _Desk,
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
        if loose and loose.raised:
            raised = loose.kind
            found = mine = _candidates(loose, facts, candidates, previous)
            desk.look(as_of_us + LOOK_FOR_CANDIDATES_US if not mine and candidates is not None else 0)
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
    """Names it may have been meant to be. Those found once stay: looking again costs milliseconds."""
    if previous and previous.unlinked == loose.kind and previous.candidates:
        return previous.candidates
    if candidates is None:
        return ()
    role = Role.WRITTEN if loose.kind == READ_NEVER_WRITTEN else Role.READ
    return tuple(str(name) for name, _ in candidates.suggest(facts.name, role=role, exclude=facts.members))


def _status(
    verdict: Verdict, unlinked: str, found: tuple[str, ...], policy: Effective, previous: Status | None
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
    if max(facts.covers, len(facts.datasets)) < 2:
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


def _alert(case: Case, transition: Transition, policy_version: int) -> Alert:
    resolved = transition.state is AlertState.RESOLVED
    return Alert(
        alert_id=transition.alert_id,
        fingerprint=transition.fingerprint,
        incident_id=transition.incident_id,
        kind=case.kind,
        state=transition.state,
        severity=transition.severity,
        subject_kind=case.subject_kind,
        namespace=case.name.namespace,
        name=case.name.name,
        owner=case.owner,
        summary=case.resolved if resolved else case.summary,
        reason=case.reason,
        remedy="" if resolved else case.remedy,
        since_us=transition.deadline_us,
        deadline_us=transition.deadline_us,
        as_of_us=transition.at_us,
        policy_version=policy_version,
        candidates=case.candidates,
    )
