"""What people decided, compiled for quick answers: which policy holds for this dataset, job or emitter?

Rules
-----
1. A policy names its subjects by a namespace and a name, each exact or with `*` (any characters, also none) and `?`
   (one).
2. Several policies may match. They are asked *field by field*, the most specific first, and the first that says
   something wins; "says something" means: is not the default of the field. So a broad policy can set the owner of a
   whole namespace while an exact one sets the freshness target of one table.
3. More specific is: exact before pattern; then more literal characters; then a literal name before a literal
   namespace; then the subject, so that the answer never depends on the order in which policies arrived.
4. `false`, 0 and empty say nothing, for Avro cannot tell them from "not given". What a broad policy declares, a narrow
   one cannot take back; narrow the broad one instead.
5. Tags add up.

Exact names of datasets are brought to their canonical spelling; of a pattern only the scheme is (`postgresql://*`),
because the other rules would tear a `*` or `?` apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from headwater_schemas.events import Name
from headwater_schemas.naming import SCHEME_ALIASES, canonical_dataset
from headwater_schemas.policies import Criticality, Policy, PolicyKind

_CACHE_SIZE: Final = 16_384
_WILD: Final = re.compile(r"[*?]")
_CRITICALITY: Final = {criticality: rank for rank, criticality in enumerate(Criticality)}


@dataclass(frozen=True, slots=True)
class Effective:
    """What holds for one subject, all policies considered. 0, empty and false mean: nobody said so.

    `subject` is the policy that set the freshness target, else the most specific one that matched.
    """

    owner: str = ""
    criticality: Criticality = Criticality.NONE
    max_age_us: int = 0
    for_us: int = 0
    clear_us: int = 0
    source: bool = False
    sink: bool = False
    tags: tuple[str, ...] = ()
    subject: str = ""
    version: int = -1

    @property
    def explicit(self) -> bool:
        """True if a person gave a freshness target."""
        return self.max_age_us > 0

    @property
    def critical(self) -> bool:
        """True if somebody should be woken for it."""
        return self.criticality in (Criticality.HIGH, Criticality.CRITICAL)


@dataclass(frozen=True, slots=True)
class _Rule:
    """A policy, how specific it is, and (for patterns) how to match it."""

    policy: Policy
    rank: tuple[int, int, int, str]
    namespace: re.Pattern[str]
    name: re.Pattern[str]

    def matches(self, name: Name) -> bool:
        return self.name.fullmatch(name.name) is not None and self.namespace.fullmatch(name.namespace) is not None


class PolicySet:
    """The policies of one version, immutable. Answers are cached, so asking again costs a dictionary look-up."""

    def __init__(self, policies: Iterable[Policy], version: int) -> None:
        self.version = version
        latest = {policy.subject: policy for policy in policies}
        self._exact: dict[tuple[PolicyKind, Name], list[_Rule]] = {}
        self._patterns: dict[PolicyKind, list[_Rule]] = {kind: [] for kind in PolicyKind}
        for policy in latest.values():
            self._add(policy)
        for rules in (*self._exact.values(), *self._patterns.values()):
            rules.sort(key=lambda rule: rule.rank)
        self._aliases = tuple(sorted(_alias_pairs(latest.values()), key=str))
        self._effective = lru_cache(maxsize=_CACHE_SIZE)(self._resolve)

    def for_dataset(self, name: Name) -> Effective:
        """What holds for a dataset (under its canonical name)."""
        return self._effective(PolicyKind.DATASET, name)

    def for_job(self, name: Name) -> Effective:
        """What holds for a job."""
        return self._effective(PolicyKind.JOB, name)

    def for_emitter(self, emitter: str) -> Effective:
        """What holds for an emitter; its policies have `*` or nothing as namespace."""
        return self._effective(PolicyKind.EMITTER, Name("", emitter))

    def for_class(self, members: Sequence[Name]) -> Effective:
        """What holds for one dataset that has several names: the strictest target, the highest criticality, every
        declaration; owner and durations of the name that has the strictest target, else of the first that has them."""
        found = [self.for_dataset(name) for name in members]
        if len(found) == 1:
            return found[0]
        found.sort(key=lambda e: (e.max_age_us or 1 << 62, -_CRITICALITY[e.criticality], e.subject))
        return Effective(
            owner=next((e.owner for e in found if e.owner), ""),
            criticality=max((e.criticality for e in found), key=_CRITICALITY.__getitem__, default=Criticality.NONE),
            max_age_us=next((e.max_age_us for e in found if e.max_age_us), 0),
            for_us=next((e.for_us for e in found if e.for_us), 0),
            clear_us=next((e.clear_us for e in found if e.clear_us), 0),
            source=any(e.source for e in found),
            sink=any(e.sink for e in found),
            tags=_united(e.tags for e in found),
            subject=next((e.subject for e in found if e.subject), ""),
            version=self.version,
        )

    def declared_datasets(self) -> tuple[Name, ...]:
        """The canonical names of the datasets that policies name exactly, sorted: what people say there is."""
        named = (name for kind, name in self._exact if kind is PolicyKind.DATASET)
        return tuple(sorted(named, key=lambda name: (name.namespace, name.name)))

    def aliases(self) -> tuple[tuple[Name, Name], ...]:
        """Pairs of canonical names that policies declare to be one dataset; the smaller name first, sorted.

        A policy whose own name is a pattern declares none: it does not say which of its datasets is meant.
        """
        return self._aliases

    def matching(self, kind: PolicyKind, name: Name) -> list[Policy]:
        """The policies that match, the most specific first: the order in which they are asked (rule 2)."""
        exact = self._exact.get((kind, name), [])
        return [rule.policy for rule in (*exact, *(rule for rule in self._patterns[kind] if rule.matches(name)))]

    def same_as(self, name: Name) -> tuple[Name, ...]:
        """All names that policies declare to be one dataset with this one, itself among them, sorted."""
        found, fresh = {name}, [name]
        while fresh:
            one = fresh.pop()
            others = {b if a == one else a for a, b in self._aliases if one in (a, b)} - found
            found |= others
            fresh += others
        return tuple(sorted(found, key=lambda n: (n.namespace, n.name)))

    def _add(self, policy: Policy) -> None:
        namespace, name = _spelling(policy)
        rule = _Rule(policy, _rank(policy.subject, namespace, name), _compiled(namespace), _compiled(name))
        if _WILD.search(namespace) or _WILD.search(name):
            self._patterns[policy.kind].append(rule)
        else:
            self._exact.setdefault((policy.kind, Name(namespace, name)), []).append(rule)

    def _resolve(self, kind: PolicyKind, name: Name) -> Effective:
        policies = self.matching(kind, name)
        if not policies:
            return Effective(version=self.version)
        target = next((p for p in policies if p.max_age_ms > 0), policies[0])
        none = Criticality.NONE
        return Effective(
            owner=next((p.owner for p in policies if p.owner), ""),
            criticality=next((p.criticality for p in policies if p.criticality is not none), none),
            max_age_us=max(0, target.max_age_ms) * 1_000,
            for_us=next((p.for_ms for p in policies if p.for_ms > 0), 0) * 1_000,
            clear_us=next((p.clear_ms for p in policies if p.clear_ms > 0), 0) * 1_000,
            source=any(p.source for p in policies),
            sink=any(p.sink for p in policies),
            tags=_united(p.tags for p in policies),
            subject=target.subject,
            version=self.version,
        )


def compile_policies(policies: Iterable[Policy], version: int) -> PolicySet:
    """The policies as a set; of two with one subject the later counts. `version` is their offset in the topic."""
    return PolicySet(policies, version)


def _spelling(policy: Policy) -> tuple[str, str]:
    """The pattern in the spelling that the state uses."""
    namespace, name = policy.namespace, policy.name
    if policy.kind is PolicyKind.EMITTER:
        return ("" if namespace in ("", "*") else namespace), name
    if policy.kind is PolicyKind.JOB:
        return namespace, name
    if _WILD.search(namespace):
        scheme, sep, rest = namespace.partition("://")
        return (SCHEME_ALIASES.get(scheme.lower(), scheme.lower()) + sep + rest) if sep else namespace, name
    canonical = canonical_dataset(namespace, name)
    return canonical.namespace, name if _WILD.search(name) else canonical.name


def _rank(subject: str, namespace: str, name: str) -> tuple[int, int, int, str]:
    """Smaller is more specific: rule 3 of the module."""
    wild = bool(_WILD.search(namespace)) + bool(_WILD.search(name))
    literal = len(_WILD.sub("", namespace)) + len(_WILD.sub("", name))
    return int(wild > 0), -literal, int(bool(_WILD.search(name))), subject


@lru_cache(maxsize=_CACHE_SIZE)
def _compiled(pattern: str) -> re.Pattern[str]:
    # Each star takes the first place where the next piece fits and is not asked again (atomic groups), so that a
    # pattern of many stars costs no more than its length times the name's.
    first, *rest = (re.escape(piece).replace(r"\?", ".") for piece in re.split(r"\*+", pattern))
    if not rest:
        return re.compile(first, re.DOTALL)
    middle = "".join(f"(?>.*?{piece})" for piece in rest[:-1])
    return re.compile(f"{first}{middle}.*{rest[-1]}", re.DOTALL)


def _alias_pairs(policies: Iterable[Policy]) -> set[tuple[Name, Name]]:
    pairs = set()
    for policy in policies:
        if policy.kind is not PolicyKind.DATASET or not (policy.alias_namespace or policy.alias_name):
            continue
        namespace, name = _spelling(policy)
        other = canonical_dataset(policy.alias_namespace, policy.alias_name)
        if _WILD.search(namespace + name) or other == Name(namespace, name):
            continue
        a, b = sorted((Name(namespace, name), other), key=lambda n: (n.namespace, n.name))
        pairs.add((a, b))
    return pairs


def _united(groups: Iterable[Sequence[str]]) -> tuple[str, ...]:
    return tuple(sorted({tag for group in groups for tag in group}))


NO_POLICIES: Final = PolicySet((), -1)
"""What holds before the topic of policies has been read: nothing."""
