"""A judgement in the making: steps alert machines, and gathers what changed, what is to be said, and when to look again.

Pure: machines come in as they were stored; what is to be stored, and the transitions to be published, come out together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from headwater_processor.core.alerts import Finding, Machine, Observation, State, Transition, fingerprint, step
from headwater_processor.core.judge_settings import JudgeSettings
from headwater_processor.core.policies import Effective
from headwater_processor.core.wording import Case
from headwater_schemas.alerts import Alert, AlertState
from headwater_schemas.deltas import Status
from headwater_schemas.events import Name

CANDIDATES: Final = "candidates"
"""All names of the domain, for "did you mean"."""
INPUTS: Final = "inputs"
"""What the jobs that write a dataset read."""
DOWNSTREAM: Final = "downstream"
"""How many datasets are made of what an emitter writes."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What follows from the facts. `status` is None where the subject has no image of it (emitters, domains). `max_age_us` is
    the age that a dataset was allowed, 0 if none. `wants` names facts that were not given and may change the verdict
    (`CANDIDATES`, `INPUTS`, `DOWNSTREAM`): they cost more to read, and few datasets need them."""

    status: Status | None
    alerts: tuple[Alert, ...]
    machines: Mapping[str, Machine | None]
    next_look_us: int
    max_age_us: int = 0
    wants: frozenset[str] = frozenset()


class Desk:
    """One judgement in the making: steps machines, and gathers what changed, what is to be said, when to look again."""

    def __init__(self, machines: Mapping[str, Machine], at_us: int, policy: Effective, settings: JudgeSettings) -> None:
        self._machines = machines
        self._at_us = at_us
        self.policy = policy
        self.settings = settings
        self._changed: dict[str, Machine | None] = {}
        self._alerts: list[Alert] = []
        self._looks: list[int] = []
        self._wants: set[str] = set()

    @property
    def for_us(self) -> int:
        """How long a breach lasts before it fires."""
        return self.policy.for_us or self.settings.for_us

    @property
    def clear_us(self) -> int:
        """How long a subject is well before its alert resolves."""
        return self.policy.clear_us or self.settings.clear_us

    def want(self, facts: str) -> None:
        """These facts were not given, and may change the verdict."""
        self._wants.add(facts)

    def look(self, at_us: int) -> None:
        """Look again at this as-of (0: not for this)."""
        if at_us > 0:
            self._looks.append(at_us)

    def held_us(self, case: Case) -> int:
        """Until when the subject could not be judged (0: always it could)."""
        machine = self._machines.get(case.fingerprint)
        return machine.held_us if machine else 0

    def fires(self, case: Case) -> bool:
        """Whether the alert fires already: its words were said."""
        machine = self._machines.get(case.fingerprint)
        return machine is not None and machine.state in (State.FIRING, State.CLEARING)

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
        self._alerts.extend(alert_of(case, t, self.policy.version) for t in taken.transitions)
        self.look(taken.next_look_us)
        if taken.machine != machine:
            ahead = finding is Finding.OK and deadline_us > taken.machine.held_us
            self._changed[case.fingerprint] = None if _forgettable(taken.machine, ahead) else taken.machine
        return taken.machine

    def judgement(self, status: Status | None, max_age_us: int = 0) -> Judgement:
        """What came of it."""
        look_us = min(self._looks, default=0)
        return Judgement(status, tuple(self._alerts), self._changed, look_us, max_age_us, frozenset(self._wants))


def _forgettable(machine: Machine, ahead: bool) -> bool:
    """True if the machine is as good as none: quiet, it never fired, and it was always judged, or is well and its deadline is
    `ahead` of when it was not."""
    return machine.state is State.QUIET and not machine.highest_us and (ahead or not machine.held_us)


def alert_of(case: Case, transition: Transition, policy_version: int) -> Alert:
    """The alert that says this transition."""
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
