"""The alert oracle: every staleness that was told, judged again from the log of (as-of, policy version).

An alert names the as-of and the version of the policies by which it was decided. From the policies topic follows what
was allowed at that version; from the log of the clocks, up to where the writers of the dataset were applied for whoever
judged by that as-of; from the events, which writes lie before. So for each FIRING: a target was set, its deadline is
that of a write that took place, it had passed, and no write that was surely known would have kept it. For each RESOLVED: the
dataset was written in time, or nobody asks any more. And at the end whatever is overdue fires, and nothing else.

What it does not judge: datasets with several names (their class is judged as one), and, of states that were set back, what
was surely known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import redis
from tests.support.lab.clocks import Acknowledged, Clocks, untrue_proofs
from tests.support.oracle.compare import Where
from tests.support.oracle.compare_letters import ImageDecoder
from tests.support.oracle.diff import bounded
from tests.support.oracle.drive import new_model
from tests.support.oracle.elements import Dataset, entity_key, entity_name
from tests.support.oracle.model import Model, canonical
from tests.support.oracle.topics import Message, read_topic

MARGIN_US: Final = 5_000_000
"""A deadline that passed so shortly before the last as-of may not have been looked at when the workers left."""
EMITTER_SILENT_US: Final = 600_000_000
PAGED: Final = frozenset(("HIGH", "CRITICAL"))


class Target(NamedTuple):
    """What a policy asks of a dataset."""

    max_age_us: int
    critical: bool


@dataclass(slots=True)
class Policies:
    """The policies topic, replayed: what was asked of a dataset at each version (an offset of the topic)."""

    by_dataset: dict[bytes, list[tuple[int, Target | None]]] = field(default_factory=dict)
    last: int = -1

    def take(self, message: Message, decoder: ImageDecoder, subjects: dict[bytes, bytes]) -> None:
        """One record of the topic, in order."""
        self.last = message.offset
        subject = message.key or b""
        if message.value is None:
            if subject in subjects:
                self.by_dataset[subjects[subject]].append((message.offset, None))
            return
        said = decoder.decode(message.value)
        key = dataset_key(said["namespace"], said["name"])
        subjects[subject] = key
        target = Target(said["max_age_ms"] * 1000, said["criticality"] in PAGED)
        self.by_dataset.setdefault(key, []).append((message.offset, target))

    def at(self, dataset: bytes, version: int) -> Target | None:
        """What was asked of the dataset at a version; None: nothing."""
        asked = None
        for offset, target in self.by_dataset.get(dataset, []):
            if offset > version:
                break
            asked = target
        return asked


class Proven(NamedTuple):
    """From this offset of its partition on, a dataset is known to have been written (or idle) at that time."""

    offset: int
    at_us: int


@dataclass(slots=True)
class Evidence:
    """The events topic: the whole, and what each partition proves by itself, offset by offset."""

    whole: Model
    alone: dict[tuple[int, bytes], list[Proven]] = field(default_factory=dict)
    named_twice: frozenset[bytes] = frozenset()

    def surely_us(self, dataset: bytes, partition: int, applied: int) -> int:
        """The last write that a partition proves by itself with everything before that offset applied."""
        proven = (each.at_us for each in self.alone.get((partition, dataset), []) if each.offset < applied)
        return max(proven, default=0)


def dataset_key(namespace: str, name: str) -> bytes:
    """The key of a dataset as anybody spells it."""
    return entity_key(entity_name(b"d", *canonical(namespace, name)))


def gather_policies(messages: Iterable[Message]) -> Policies:
    """Replay the topic of policies; it must not have been compacted yet."""
    policies, decoder, subjects = Policies(), ImageDecoder("policy.v1"), dict[bytes, bytes]()
    for message in messages:
        policies.take(message, decoder, subjects)
    return policies


def gather_evidence(messages: Iterable[Message], datasets: Iterable[bytes]) -> Evidence:
    """Replay the topic of events, for these datasets."""
    evidence, watched = Evidence(new_model(with_registry=False)), list(datasets)
    alone: dict[int, Model] = {}
    for message in messages:
        own = alone.setdefault(message.partition, new_model(with_registry=False))
        for model in (evidence.whole, own):
            model.feed(message.partition, message.offset, message.timestamp_ms, message.value, message.key)
        for key in watched:
            known_us = written_us(own.state.datasets.get(key))
            before = evidence.alone.setdefault((message.partition, key), [])
            if known_us > (before[-1].at_us if before else 0):
                before.append(Proven(message.offset, known_us))
    evidence.named_twice = frozenset(key for pair in evidence.whole.state.aliases for key in (pair[:12], pair[12:]))
    return evidence


def written_us(dataset: Dataset | None) -> int:
    """Until when a dataset needs no write: its last proven write, or the last time at which there was nothing to write."""
    return max(dataset.last_write[0], dataset.idle_through) if dataset is not None and dataset.last_write[0] else 0


@dataclass(frozen=True, slots=True)
class AlertOracle:
    """Judges again. `rolled_back`: the state was set back, so what was surely known is not known."""

    policies: Policies
    evidence: Evidence
    clocks: Clocks
    rolled_back: bool = False

    def of_firing(self, dataset: bytes, alert: Mapping[str, Any]) -> str:
        """What is wrong with a FIRING; empty if nothing is."""
        asked = self.policies.at(dataset, alert["policy_version"])
        known = self.evidence.whole.state.datasets.get(dataset, Dataset())
        as_of_us, deadline_us = alert["as_of"], alert["deadline"]
        if asked is None or not asked.max_age_us:
            return "nobody had set a target" if alert["severity"] == "PAGE" else ""  # a learned cadence is a ticket
        if (alert["severity"] == "PAGE") != asked.critical:
            return f"a {alert['severity']} though the policy {'is' if asked.critical else 'is not'} critical"
        if as_of_us <= deadline_us:
            return "its deadline had not passed"
        if deadline_us - asked.max_age_us not in known.credits | known.idles:
            return "its deadline is that of no write"
        surely_us = self._surely_us(dataset, as_of_us)
        if surely_us + asked.max_age_us > deadline_us:
            return f"a write of {surely_us} was known, so it was due at {surely_us + asked.max_age_us}"
        return ""

    def of_resolved(self, dataset: bytes, alert: Mapping[str, Any]) -> str:
        """What is wrong with a RESOLVED; empty if nothing is."""
        asked = self.policies.at(dataset, alert["policy_version"])
        known = self.evidence.whole.state.datasets.get(dataset, Dataset())
        if asked is None or not asked.max_age_us or known.retractions:
            return ""
        if written_us(known) + asked.max_age_us < alert["as_of"]:
            return "no write was young enough"
        return ""

    def of_the_end(self, dataset: bytes, firing: bool, as_of_us: tuple[int, int]) -> str:
        """What is wrong with what fires when everything is over; `as_of_us`: the first and the last partition's."""
        asked = self.policies.at(dataset, self.policies.last)
        known = self.evidence.whole.state.datasets.get(dataset)
        if known is None or not known.last_write[0] or not known.present or asked is None or not asked.max_age_us:
            return ""  # a cadence that was learned may have its say
        emitter_us = self.evidence.whole.state.emitters.get(known.last_write[1][-12:], 0)
        if emitter_us + EMITTER_SILENT_US < as_of_us[1]:
            return ""  # its silence is told instead
        due_us = written_us(known) + asked.max_age_us
        if due_us + MARGIN_US < as_of_us[0] and not firing:
            return f"was due at {due_us}, and does not fire at {as_of_us[0]}"
        if due_us >= as_of_us[1] and firing:
            return f"is due at {due_us}, and fires at {as_of_us[1]}"
        return ""

    def _surely_us(self, dataset: bytes, as_of_us: int) -> int:
        if self.rolled_back:
            return 0
        return max(
            (
                self.evidence.surely_us(dataset, partition, self.clocks.applied_by(partition, as_of_us))
                for partition in self.clocks.writing(dataset, as_of_us)
            ),
            default=0,
        )


@dataclass(slots=True)
class Verdict:
    """What was found wrong, and how much was looked at: an oracle that looked at nothing says nothing."""

    wrong: list[str] = field(default_factory=list)
    firing: int = 0
    resolved: int = 0
    proofs: int = 0

    def __str__(self) -> str:
        return f"{self.firing} firing, {self.resolved} resolved, {self.proofs} proofs of as-of judged again"


def judge_again(clocks: Clocks, acknowledged: Acknowledged, where: Where, *, rolled_back: bool) -> Verdict:
    """All that was told of staleness in a domain whose workers have left."""
    policies = gather_policies(read_topic(where.bootstrap, f"{where.prefix}policies"))
    evidence = gather_evidence(read_topic(where.bootstrap, where.events), policies.by_dataset)
    oracle = AlertOracle(policies, evidence, clocks, rolled_back)
    verdict = Verdict(proofs=sum(map(len, clocks.proofs.values())))
    verdict.wrong += untrue_proofs(clocks, acknowledged)
    last: dict[bytes, str] = {}
    lines = []
    told = stale_alerts(read_topic(where.bootstrap, f"{where.prefix}alerts"))
    for alert in told:  # the last word counts, also one that was said before the state was set back
        last[dataset_key(alert["namespace"], alert["name"])] = alert["state"]
    for alert in {each["alert_id"]: each for each in reversed(told)}.values():
        dataset = dataset_key(alert["namespace"], alert["name"])
        if dataset in evidence.named_twice:
            continue
        firing = alert["state"] == "FIRING"
        wrong = (oracle.of_firing if firing else oracle.of_resolved)(dataset, alert)
        verdict.firing += firing
        verdict.resolved += not firing
        if wrong:
            lines.append(f"alerts: {alert['state']} {alert['fingerprint']} at {alert['as_of']}: {wrong}")
    ends = as_of_at_the_end(where)
    for dataset in policies.by_dataset:
        if ends and dataset not in evidence.named_twice:
            wrong = oracle.of_the_end(dataset, last.get(dataset) == "FIRING", (min(ends), max(ends)))
            if wrong:
                lines.append(f"alerts: at the end {evidence.whole.state.label(dataset)} {wrong}")
    verdict.wrong += bounded(lines)
    return verdict


def stale_alerts(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """What was told of stale datasets, copies too, in the order of the topic within each of them."""
    decoder = ImageDecoder("alert.v1")
    alerts = [decoder.decode(message.value) for message in messages if message.value is not None]
    return [alert for alert in alerts if alert["kind"] == "DatasetStale"]


def as_of_at_the_end(where: Where) -> list[int]:
    """As-of of every partition, as the state has it."""
    with redis.Redis.from_url(where.redis_url) as client:
        stored: Any = client.hgetall(f"{{hw:{where.domain}}}:asof")
    return [int(value) for value in stored.values()]
