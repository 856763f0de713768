"""What an alert says: a summary for a person who has just been woken, the reason, and the command to begin with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from headwater_processor.core import stops
from headwater_processor.core.alerts import fingerprint
from headwater_processor.core.freshness import DatasetFacts, Verdict
from headwater_processor.core.judge_settings import quoted, quoted_text, shown, span, when
from headwater_processor.core.policies import Effective
from headwater_processor.core.unlinked import READ_NEVER_WRITTEN, DatasetKind, JobFacts, JobKind, Loose, OpenRun
from headwater_schemas.alerts import Severity
from headwater_schemas.deltas import FreshnessState
from headwater_schemas.events import Name


@dataclass(frozen=True, slots=True)
class Case:
    """One alert's words for both of its ends; `resolved` is the summary of the second."""

    kind: str
    subject_kind: str
    name: Name
    severity: Severity
    summary: str
    resolved: str
    reason: str = ""
    remedy: str = ""
    owner: str = ""
    candidates: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """The identity of the alert: kind and subject."""
        return fingerprint(self.kind, self.subject_kind, self.name.namespace, self.name.name)


def stale(facts: DatasetFacts, verdict: Verdict, policy: Effective) -> Case:
    """DatasetStale."""
    name = shown(facts.name)
    ago = span(verdict.as_of_us - facts.last_write_us)
    by = f" The last proven write came from job {shown(facts.written_by)}." if facts.written_by else ""
    well = verdict.state is FreshnessState.FRESH or verdict.state is FreshnessState.IDLE
    how = f"written again at {when(facts.last_write_us)}" if well else f"not judged any more: {verdict.reason}"
    if well and verdict.state is FreshnessState.IDLE:
        how = "well: there was nothing to be written"
    return Case(
        kind="DatasetStale",
        subject_kind="dataset",
        name=facts.name,
        severity=verdict.severity,
        summary=f"{name} is stale: last proven write {ago} ago, allowed {span(verdict.max_age_us)}.",
        resolved=f"{name} is {how}.",
        reason=verdict.reason,
        remedy=f"See who should write it: headwater trace {quoted(facts.name)} --upstream --depth 3.{by}",
        owner=policy.owner or facts.stated_owner,
    )


def loose_dataset(
    row: DatasetKind, facts: DatasetFacts, loose: Loose | None, candidates: Sequence[str], policy: Effective
) -> Case:
    """ReadNeverWritten and WrittenNeverRead."""
    name, argument = shown(facts.name), quoted(facts.name)
    read = row.kind == READ_NEVER_WRITTEN
    missing, flag, way = ("written", "source", "--downstream") if read else ("read", "sink", "--upstream")
    since = f"{'read' if read else 'written'} since {when(loose.since_us)}" if loose else ""
    first = f", first by {loose.touched_by}" if loose and loose.touched_by else ""
    meant = f" Did they mean {candidates[0]}?" if candidates else ""
    return Case(
        kind=row.alert,
        subject_kind="dataset",
        name=facts.name,
        severity=Severity.INFO,
        summary=f"{name} is {'read' if read else 'written'}, but nobody {'writes' if read else 'reads'} it.{meant}",
        resolved=f"{name} is {missing} now, or was declared, or is gone.",
        reason=f"{since}{first}, never {missing}" if since else "",
        remedy=f"See who: headwater trace {argument} {way}. If it is right, declare it a {flag} in a policy.",
        owner=policy.owner or facts.stated_owner,
        candidates=tuple(candidates),
    )


_MISSING = {
    (True, False): ("reads nothing", "declare it a source"),
    (False, True): ("writes nothing", "declare it a sink"),
    (True, True): ("neither reads nor writes anything", "declare it a source and a sink"),
}


def loose_job(row: JobKind, facts: JobFacts, loose: Loose | None, policy: Effective) -> Case:
    """JobWithoutInputs, JobWithoutOutputs and JobUnlinked."""
    name = shown(facts.name)
    what, declare = _MISSING[row.missing]
    told = f", told by {facts.emitter}" if facts.emitter else ""
    return Case(
        kind=row.alert,
        subject_kind="job",
        name=facts.name,
        severity=Severity.INFO,
        summary=f"Job {name} {what} that we know of.",
        resolved=f"Job {name} is linked now, or was declared, or hangs loose in another way.",
        reason=f"known since {when(loose.since_us)}{told}" if loose else "",
        remedy=f"Look at its runs: headwater status --job {quoted(facts.name)}. If it is right, {declare} in a policy.",
        owner=policy.owner or facts.stated_owner,
    )


def run_lost(facts: JobFacts, lost: Sequence[OpenRun], policy: Effective) -> Case:
    """RunNeverEnded."""
    name = shown(facts.name)
    first = lost[0] if lost else OpenRun()
    runs = f"A run of job {name}" if len(lost) < 2 else f"{len(lost)} runs of job {name}"
    return Case(
        kind="RunNeverEnded",
        subject_kind="job",
        name=facts.name,
        severity=Severity.TICKET,
        summary=f"{runs} never ended: last heard {when(first.seen_us)}.",
        resolved=f"Job {name} has no lost run any more: it ended, or a later one ended well.",
        reason=f"run {UUID(bytes=first.run_id)} began {when(first.started_us)}, no end was told" if lost else "",
        remedy=f"Look for its pod (killed, out of memory?): headwater status --job {quoted(facts.name)}.",
        owner=policy.owner or facts.stated_owner,
    )


def emitter_silent(
    emitter: str, seen_us: int, overdue: int, critical: bool, policy: Effective, as_of_us: int, downstream: int = 0
) -> Case:
    """EmitterSilent."""
    affected = f"; {downstream} more {'is' if downstream == 1 else 'are'} made of it" if downstream else ""
    datasets = "1 dataset is" if overdue == 1 else f"{overdue} datasets are"
    return Case(
        kind="EmitterSilent",
        subject_kind="emitter",
        name=Name("", emitter),
        severity=Severity.PAGE if critical else Severity.TICKET,
        summary=f"{emitter} has said nothing for {span(as_of_us - seen_us)}; {datasets} overdue for it{affected}.",
        resolved=f"{emitter} speaks again (last heard {when(seen_us)}), or covers nothing overdue.",
        reason=f"last heard {when(seen_us)}; its datasets show no-data and raise no alerts of their own",
        remedy=f"Is it running, and does it reach Kafka? headwater status --emitter {quoted_text(emitter)}.",
        owner=policy.owner,
    )


def node_growth(
    subject_kind: str, name: Name, new: int, skeletons: Sequence[str], examples: Sequence[str], policy: Effective
) -> Case:
    """NodeGrowth."""
    who = name.name or name.namespace
    like = ", ".join(skeletons[:3]) + (", …" if len(skeletons) > 3 else "")
    return Case(
        kind="NodeGrowth",
        subject_kind=subject_kind,
        name=name,
        severity=Severity.TICKET,
        summary=f"{who} brought {new} new names in an hour, and such in the hour before: {like}.",
        resolved=f"{who} brings few new names again.",
        reason=f"for example {', '.join(examples)}" if examples else "",
        remedy=(
            "Dates, hashes and ids in names make the graph grow for ever. Have them folded where they come in: doors.fold in "
            "the settings of that door (headwater config show --explain says what it takes)."
        ),
        owner=policy.owner,
    )


def blind(domain: str, frozen_since_us: int, unjudged_critical: int, why: str, now_us: int) -> Case:
    """HeadwaterBlind."""
    return Case(
        kind="HeadwaterBlind",
        subject_kind="domain",
        name=Name("", domain),
        severity=Severity.PAGE if unjudged_critical else Severity.TICKET,
        summary=(
            f"Headwater judges nothing in {domain} for {span(now_us - frozen_since_us)}: "
            f"{unjudged_critical} critical datasets may be stale without an alert."
        ),
        resolved=f"Headwater judges {domain} again.",
        reason=why,
        remedy=(
            "Are the workers up, and do they catch up? headwater status names the partition; the log of the workers says "
            "what they wait for (Kafka, Redis, a schema registry)."
        ),
    )


def partition_stopped(topic: str, partition: int, since_us: int, reason: str, resume: str) -> Case:
    """PartitionStopped."""
    return Case(
        kind="PartitionStopped",
        subject_kind="partition",
        name=Name(topic, str(partition)),
        severity=Severity.PAGE,
        summary=f"Partition {partition} of {topic} was stopped at {when(since_us)}: {reason}.",
        resolved=f"Partition {partition} of {topic} is read again.",
        reason=reason,
        remedy=stops.remedy(reason, resume),
    )


def watchdog(domain: str) -> Case:
    """Watchdog."""
    return Case(
        kind="Watchdog",
        subject_kind="domain",
        name=Name("", domain),
        severity=Severity.INFO,
        summary=f"Headwater watches {domain}. This alert always fires; worry when it stops.",
        resolved="",
        remedy="Nothing to do. Let a dead man's switch wake you when it is missing.",
    )
