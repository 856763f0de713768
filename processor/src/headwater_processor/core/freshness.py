"""Is this dataset as fresh as it should be? Facts, policy and as-of in, a verdict out.

Rules, the first that applies
-----------------------------
1. Dropped, never proven to be written, no policy and no learned cadence: **unknown**, with the reason. As-of unknown:
   the same.
2. The deadline is last write + the age that a policy allows, else + the learned one. Before it: **fresh**.
3. Behind it, but a reader that was caught up has been idle within the age: **idle**. Nothing was there to be written.
4. Behind it, and the emitter of its last write covers two datasets or more, or is a connector's (`cdc:…`), and was itself
   silent for longer than max(`emitter_silent_us`, half the age): **no data**. The emitter has one alert, its datasets have
   none. Half the age, so that the nightly job that spoke two hours ago and failed is not mistaken for a dead collector; the
   emitter is judged on the as-of of the *whole* topic, for it may speak on any partition. When it speaks again, a dataset
   of a learned age has this age anew: what rests at this hour did not miss anything (its alert machine remembers until
   when there was no data).
5. Behind a *learned* deadline, and no job is known that writes it (applications do; only that it was written was seen):
   **idle**. What is quiet there is nobody's fault that we know of.
6. Behind a *learned* deadline, and nothing that the jobs that write it read was written since: **idle**, for there was nothing
   to be made of. Was something written, its deadline is that time + the age. So the silence of what stands first is told
   once, there, and not again by everything that comes after. Two five-minute slots are let pass, for who reads and who
   writes tell of it at different moments. An input whose writes are not proven explains nothing, nor does a source of which
   only the same emitter tells: what a connector does not capture it does not see there either.
7. Behind it: **late** while the alert is pending, **stale** when it fires. **Recovered** is fresh, while the alert
   clears.

A target that a person gave holds whatever the reason: rules 5 and 6 are only of what was learned.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from headwater_processor.core import cadence
from headwater_processor.core.alerts import Finding, Machine, State
from headwater_processor.core.judge_settings import (
    HOUR_US,
    AsOf,
    JudgeSettings,
    resolve_as_of,
    shown,
    span,
    time_said,
    when,
)
from headwater_processor.core.policies import Effective
from headwater_schemas.alerts import Severity
from headwater_schemas.deltas import FreshnessState
from headwater_schemas.events import Name

CONNECTOR: Final = "cdc:"
"""How the emitters begin that speak of one connector."""
LET_PASS_SLOTS: Final = 2
QUIET_LOOK_US: Final = 6 * HOUR_US
"""What is quiet because its inputs are is looked at again after half of its age, at most this long: news of them wake it not."""

_TARGET: Final = re.compile(r"last write (\S+ \S+ UTC), allowed age .*, so due by (\S+ \S+ UTC)")
"""What `_target` writes."""


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """What the state knows of a dataset, or of a class of aliases (`merge_class`). Times are microseconds, 0 unknown.

    `written_by` and `emitter` are of the last proven write; `emitter_seen_us` is when that emitter was last heard, by
    any event; `emitter_datasets` how many datasets it covers. `partitions` of the topic have written the dataset (none:
    judge by all). `cadence_slots` is the ring of `core.cadence`. `touched_by` is the job that named it first. `members`
    are all names of its class, itself included; empty: only itself. `writer_known`: some job is known to write it.
    """

    name: Name
    present: bool = True
    asserted_us: int = 0
    first_seen_us: int = 0
    first_read_us: int = 0
    first_written_us: int = 0
    retracted_us: int = 0
    last_write_us: int = 0
    data_through_us: int = 0
    last_failure_us: int = 0
    idle_through_us: int = 0
    written_by: Name | None = None
    emitter: str = ""
    emitter_seen_us: int = 0
    emitter_datasets: int = 0
    partitions: tuple[int, ...] = ()
    cadence_slots: bytes | None = None
    touched_by: Name | None = None
    members: tuple[Name, ...] = ()
    stated_owner: str = ""
    """Owners that producers state; a policy has the last word."""
    writer_known: bool = True


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of a dataset's freshness, before (`judge_freshness`) or after (`settle`) its alert machine.

    `deadline_us` 0: it never breaches. `next_look_us` 0: only news can change the verdict. `max_age_us` is the age that
    was allowed, `learned` whether nobody but the history says so. `as_of_us` 0: unknown, so nothing was judged.
    `wants_inputs`: what the dataset is made of was not given, and may explain why it is late (rule 6).
    """

    state: FreshnessState
    reason: str
    finding: Finding
    as_of_us: int
    deadline_us: int = 0
    max_age_us: int = 0
    learned: bool = False
    severity: Severity = Severity.TICKET
    next_look_us: int = 0
    wants_inputs: bool = False

    @property
    def breached(self) -> bool:
        """True if the dataset is overdue and the alert machine is to know."""
        return self.finding is Finding.BREACHED


def merge_class(facts: Sequence[DatasetFacts]) -> DatasetFacts:
    """Several names of one dataset as one: the latest of everything, the earliest of what was first.

    The name is that of the first; `members` are all names, sorted. Who wrote it last goes with the last write. Raises
    ValueError if there are none.
    """
    if not facts:
        raise ValueError("a class of aliases has at least one member")
    alive = [f for f in facts if f.present] or list(facts)
    last = max(alive, key=lambda f: (f.last_write_us, f.name.namespace, f.name.name))
    first = min(alive, key=lambda f: (f.first_seen_us or 1 << 62, f.name.namespace, f.name.name))
    ring: bytes | None = None
    for f in alive:
        if f.cadence_slots:
            ring = cadence.merge(ring, f.cadence_slots) if ring else f.cadence_slots
    return replace(
        last,
        name=facts[0].name,
        present=any(f.present for f in facts),
        asserted_us=max(f.asserted_us for f in alive),
        first_seen_us=first.first_seen_us,
        touched_by=first.touched_by,
        first_read_us=_earliest(f.first_read_us for f in alive),
        first_written_us=_earliest(f.first_written_us for f in alive),
        retracted_us=max(f.retracted_us for f in facts),
        data_through_us=max(f.data_through_us for f in alive),
        last_failure_us=max(f.last_failure_us for f in alive),
        idle_through_us=max(f.idle_through_us for f in alive),
        partitions=tuple(sorted({p for f in alive for p in f.partitions})),
        cadence_slots=ring,
        stated_owner=next((f.stated_owner for f in facts if f.stated_owner), ""),
        writer_known=any(f.writer_known for f in alive),
        members=tuple(
            sorted({n for f in facts for n in (f.members or (f.name,))}, key=lambda n: (n.namespace, n.name))
        ),
    )


def allowed_age_us(facts: DatasetFacts, policy: Effective, blind: Sequence[int] = ()) -> tuple[int, bool]:
    """How old the dataset may become, and whether that was learned; 0 if nobody says and too little is known."""
    if policy.max_age_us:
        return policy.max_age_us, False
    return cadence.learned_max_age_us(facts.cadence_slots, blind) or 0, True


def silence_us(max_age_us: int, settings: JudgeSettings) -> int:
    """How long an emitter must be silent to explain that a dataset with this age is late (rule 4)."""
    return max(settings.emitter_silent_us, max_age_us // 2)


def explains(emitter: str, covers: int) -> bool:
    """Whether the silence of this emitter, which covers so many datasets, explains theirs (rule 4)."""
    return bool(emitter) and (covers > 1 or emitter.startswith(CONNECTOR))


def judge_freshness(
    facts: DatasetFacts,
    policy: Effective,
    as_of: AsOf,
    settings: JudgeSettings,
    blind: Sequence[int] = (),
    inputs: Sequence[DatasetFacts] | None = None,
) -> Verdict:
    """The verdict before the alert machine: UNKNOWN, FRESH, IDLE, NO_DATA or LATE. `settle` tells the rest.

    `inputs` are the datasets that the jobs that write this one read, without itself: None if nobody has looked yet, empty if
    they explain nothing (there is none, one is not known, too many, it feeds itself).
    """
    as_of_us, why_not = resolve_as_of(as_of, facts.partitions)
    max_age_us, learned = allowed_age_us(facts, policy, blind)
    if why := _unjudgeable(facts, max_age_us, as_of_us):
        return Verdict(FreshnessState.UNKNOWN, why, Finding.GONE, as_of_us)
    deadline_us = max(facts.last_write_us, facts.idle_through_us) + max_age_us
    severity = Severity.PAGE if policy.critical and not learned else Severity.TICKET
    target = _target(facts, policy, max_age_us, learned)
    due_us = facts.last_write_us + max_age_us
    verdict = Verdict(
        FreshnessState.FRESH, target, Finding.OK, as_of_us, deadline_us, max_age_us, learned, severity, due_us + 1
    )
    if not as_of_us:
        return replace(
            verdict,
            state=FreshnessState.UNKNOWN,
            reason=f"as-of unknown: {why_not}",
            finding=Finding.HOLD,
            next_look_us=0,
        )
    if as_of_us <= due_us:
        return verdict
    if as_of_us <= deadline_us:
        reason = f"nothing was there to be written: readers caught up until {when(facts.idle_through_us)}; {target}"
        return replace(verdict, state=FreshnessState.IDLE, reason=reason, next_look_us=deadline_us + 1)
    return _overdue(verdict, facts, target, resolve_as_of(as_of)[0], settings, inputs)


def settle(verdict: Verdict, machine: Machine, muted_for_us: int | None = None) -> Verdict:
    """The verdict after the alert machine has taken it: LATE is STALE if it fires, FRESH is RECOVERED if it clears.

    A dataset whose alert another name of its class raises is muted: its machine never fires, so the for-duration
    `muted_for_us` tells.
    """
    if verdict.state is FreshnessState.LATE:
        held = muted_for_us is not None and verdict.as_of_us - verdict.deadline_us >= muted_for_us
        if machine.state is State.FIRING or held:
            return replace(verdict, state=FreshnessState.STALE)
    elif verdict.state is FreshnessState.FRESH and machine.state is State.CLEARING:
        return replace(verdict, state=FreshnessState.RECOVERED)
    return verdict


def _overdue(
    verdict: Verdict,
    facts: DatasetFacts,
    target: str,
    domain_us: int,
    settings: JudgeSettings,
    inputs: Sequence[DatasetFacts] | None,
) -> Verdict:
    alone = not explains(facts.emitter, facts.emitter_datasets) or not facts.emitter_seen_us
    explained_us = max(verdict.deadline_us, facts.emitter_seen_us + silence_us(verdict.max_age_us, settings))
    if not alone and domain_us > explained_us:
        whose = f"none of its {facts.emitter_datasets} datasets" if facts.emitter_datasets > 1 else "this dataset"
        reason = (
            f"its emitter {facts.emitter} has said nothing since {when(facts.emitter_seen_us)}, of {whose}: "
            f"see the alert of the emitter; {target}"
        )
        look_us = verdict.as_of_us + settings.emitter_silent_us
        return replace(verdict, state=FreshnessState.NO_DATA, reason=reason, finding=Finding.HOLD, next_look_us=look_us)
    # The emitter may yet turn out to be silent: its silence is looked at when it would be long enough.
    look_us = 0 if alone else explained_us + 1
    look_us = look_us if look_us > verdict.as_of_us else 0
    if verdict.learned:
        verdict = _excused(verdict, facts, target, look_us, inputs)
        if verdict.state is FreshnessState.IDLE:
            return verdict
    failed = facts.last_failure_us > facts.last_write_us
    tail = f"; a run failed at {when(facts.last_failure_us)}" if failed else ""
    return replace(
        verdict,
        state=FreshnessState.LATE,
        reason=target + tail,
        finding=Finding.BREACHED,
        next_look_us=look_us,
    )


def _excused(
    verdict: Verdict, facts: DatasetFacts, target: str, look_us: int, inputs: Sequence[DatasetFacts] | None
) -> Verdict:
    """Rules 5 and 6: the verdict as IDLE, or as it was, with the deadline that counts."""
    if not facts.writer_known:
        reason = f"quiet: no job is known that writes it, and no write was seen since {when(facts.last_write_us)}"
        return _idle(verdict, reason, 0, look_us)
    if inputs is None:
        return replace(verdict, wants_inputs=True)
    if not inputs or not all(_tells(one, facts) for one in inputs):
        return verdict
    fed_us = _fed_us(facts, inputs)
    if not fed_us:
        reason = f"nothing was there to be made of: {_sources_said(inputs)} written since"
        again_us = verdict.as_of_us + min(max(verdict.max_age_us // 2, cadence.LEAST_AGE_US), QUIET_LOOK_US)
        return _idle(verdict, reason, 0, _sooner(look_us, again_us))
    deadline_us = max(verdict.deadline_us, fed_us + verdict.max_age_us)
    if verdict.as_of_us > deadline_us:
        return replace(verdict, deadline_us=deadline_us)
    reason = f"something to be made of came only at {when(fed_us)}; {target}"
    return _idle(verdict, reason, deadline_us, _sooner(look_us, deadline_us + 1))


def _idle(verdict: Verdict, reason: str, deadline_us: int, look_us: int) -> Verdict:
    return replace(verdict, state=FreshnessState.IDLE, reason=reason, deadline_us=deadline_us, next_look_us=look_us)


def _sooner(a_us: int, b_us: int) -> int:
    """The sooner of two looks, of which 0 is none."""
    return min(a_us, b_us) if a_us and b_us else a_us or b_us


def _tells(one: DatasetFacts, facts: DatasetFacts) -> bool:
    """Whether an input says, by itself, when it was written."""
    return one.last_write_us > 0 and (one.writer_known or one.emitter != facts.emitter)


def _fed_us(facts: DatasetFacts, inputs: Sequence[DatasetFacts]) -> int:
    """When something was written, after the dataset was, that it could be made of: the begin of the first such slot; 0: never."""
    after = cadence.slot_of(max(facts.last_write_us, facts.idle_through_us)) + LET_PASS_SLOTS
    found = [slot for one in inputs for slot in cadence.slots(one.cadence_slots) if slot >= after]
    return min(found, default=0) * cadence.SLOT_US


def _sources_said(inputs: Sequence[DatasetFacts]) -> str:
    names = sorted(shown(one.name) for one in inputs)
    rest = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return f"{' and '.join(names[:2])}{rest} {'was' if len(names) == 1 else 'were'} not"


def _target(facts: DatasetFacts, policy: Effective, max_age_us: int, learned: bool) -> str:
    source = "learned from how often it was written" if learned else f"policy {policy.subject}"
    due_us = facts.last_write_us + max_age_us
    return (
        f"last write {when(facts.last_write_us)}, allowed age {span(max_age_us)} ({source}), so due by {when(due_us)}"
    )


def allowed_age_said(reason: str) -> int:
    """The allowed age that the sentence of `_target` says (µs, to the second); 0 if the reason has none.

    Images of a status carry the deadline as it was at the last look. Whoever follows the writes since then gets the deadline
    of now from the last write and this.
    """
    said = _TARGET.search(reason)
    if said is None:
        return 0
    try:
        return max(0, time_said(said[2]) - time_said(said[1]))
    except ValueError:  # somebody's words that only look like ours
        return 0


def _unjudgeable(facts: DatasetFacts, max_age_us: int, as_of_us: int) -> str:
    """Why there is nothing to judge, or nothing."""
    if not facts.present:
        return f"dropped at {when(facts.retracted_us)}" if facts.retracted_us else "not there any more"
    if not facts.last_write_us:
        return "no proof of write yet: " + _no_proof(facts)
    if max_age_us:
        return ""
    known, needed = cadence.progress(facts.cadence_slots)
    if as_of_us - facts.last_write_us > cadence.SPAN_US:
        return f"no policy and too few writes to learn from: {known} of {needed}, the last {when(facts.last_write_us)}"
    return f"learning {known}/{needed}: no policy, and written in {known} of {needed} five-minute slots"


def _no_proof(facts: DatasetFacts) -> str:
    if not facts.first_written_us:
        return "it was only read"
    if facts.last_failure_us:
        return f"runs named it as output, the last one failed at {when(facts.last_failure_us)}"
    by = f", first touched by job {shown(facts.touched_by)}" if facts.touched_by else ""
    return f"it was named as output{by}, but no run has completed or shown rows"


def _earliest(times_us: Iterable[int]) -> int:
    """The smallest known time, 0 if none is known."""
    return min((t for t in times_us if t), default=0)
