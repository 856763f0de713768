"""Which policy holds for what, and why: the answers of `core.policies`, taken apart field by field. Pure.

Used where a person asks; the judge asks `PolicySet` itself. A property test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from headwater_processor.core.policies import Effective, PolicySet
from headwater_schemas.events import Name
from headwater_schemas.policies import Criticality, Policy, PolicyKind

Value = str | int | bool | tuple[str, ...]

SAYS: Final[Mapping[str, Callable[[Policy], Value]]] = {
    "owner": lambda p: p.owner,
    "criticality": lambda p: "" if p.criticality is Criticality.NONE else p.criticality.value,
    "max_age_ms": lambda p: max(0, p.max_age_ms),
    "for_ms": lambda p: max(0, p.for_ms),
    "clear_ms": lambda p: max(0, p.clear_ms),
    "source": lambda p: p.source,
    "sink": lambda p: p.sink,
    "tags": lambda p: tuple(sorted(set(p.tags))),
}
"""The fields that policies decide, and what one says of each; a value that is empty, false or 0 says nothing (rule 4)."""


@dataclass(frozen=True, slots=True)
class Said:
    """What one policy says of one field."""

    subject: str
    value: Value


@dataclass(frozen=True, slots=True)
class FieldReason:
    """One field: what holds, who set it, and what others said that matched too and lost."""

    field: str
    value: Value
    set_by: tuple[str, ...] = ()
    """Subjects: one, or for tags, which add up, all that gave one."""
    lost: tuple[Said, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """What holds for one name."""

    kind: PolicyKind
    name: Name
    fields: tuple[FieldReason, ...]
    matched: tuple[Policy, ...]
    """The most specific first."""

    def value(self, field: str) -> Value:
        """What holds of a field."""
        return next(reason.value for reason in self.fields if reason.field == field)


def explain(policies: PolicySet, kind: PolicyKind, name: Name) -> Explanation:
    """What holds for one name of a dataset (its canonical one), for a job or an emitter (namespace empty), and why."""
    matched = policies.matching(kind, name)
    return Explanation(kind, name, tuple(_reason(field, matched) for field in SAYS), tuple(matched))


def effective(policies: PolicySet, kind: PolicyKind, name: Name) -> Effective:
    """What the judge goes by: for a dataset that has other names by policy, all of them together."""
    if kind is PolicyKind.DATASET:
        return policies.for_class(policies.same_as(name))
    return policies.for_job(name) if kind is PolicyKind.JOB else policies.for_emitter(name.name)


def effective_values(found: Effective) -> dict[str, Value]:
    """The fields of `SAYS` as they hold in the end."""
    return {
        "owner": found.owner,
        "criticality": "" if found.criticality is Criticality.NONE else found.criticality.value,
        "max_age_ms": found.max_age_us // 1_000,
        "for_ms": found.for_us // 1_000,
        "clear_ms": found.clear_us // 1_000,
        "source": found.source,
        "sink": found.sink,
        "tags": found.tags,
    }


def specificity(policy: Policy) -> str:
    """Why a policy stands where it does among those that match, in words (rule 3)."""
    pattern = policy.namespace + policy.name
    if not any(letter in pattern for letter in "*?"):
        return "exact"
    literal = len(pattern) - pattern.count("*") - pattern.count("?")
    return f"pattern, {literal} literal characters"


def _reason(field: str, matched: Sequence[Policy]) -> FieldReason:
    said = [Said(policy.subject, value) for policy in matched if (value := SAYS[field](policy))]
    if not said:
        return FieldReason(field, _nothing(field))
    if field == "tags":
        tags = {tag for one in said if isinstance(one.value, tuple) for tag in one.value}
        return FieldReason(field, tuple(sorted(tags)), tuple(one.subject for one in said))
    return FieldReason(field, said[0].value, (said[0].subject,), tuple(said[1:]))


def _nothing(field: str) -> Value:
    return SAYS[field](Policy("", "", ""))
