"""Names that grow without end: who puts dates, hashes or numbers into names of datasets and jobs?

Rules
-----
1. Of a name its **skeleton** counts: UUIDs, hexadecimal runs, letters mixed with digits, and numbers are replaced by `*`. A name
   without any of them is not looked at, so neither are many plain names that come at once.
2. The **offender** is who told of the name: the emitter of the job, or of the job that touched the dataset first; where
   none is known, the namespace.
3. An offender grows if one skeleton brought it at least `growth_names` new names in *each* of the last two whole clock hours
   of as-of. So the first look at a database with five hundred numbered tables is no growth, and the answer is the same
   whenever in the hour, and by whoever, it is asked.
4. One finding for an offender, however many skeletons it has. It is over when an hour brought fewer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from headwater_processor.core import wording
from headwater_processor.core.alerts import Finding, Machine
from headwater_processor.core.desk import Desk, Judgement
from headwater_processor.core.judge_settings import HOUR_US, JudgeSettings
from headwater_processor.core.policies import PolicySet
from headwater_schemas.events import Name

KIND: Final = "NodeGrowth"
EXAMPLES: Final = 3
SKELETON_CHARS: Final = 200
"""Longer names are compared by their beginning."""
GROUPS_MAX: Final = 10_000
"""Pairs of offender and skeleton that are counted at a time; names of further ones are only counted together."""

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_TOKEN: Final = re.compile(r"[A-Za-z0-9]*[0-9][A-Za-z0-9]*")
_DIGITS: Final = re.compile(r"[0-9]+")
_HEX: Final = re.compile(r"[0-9a-fA-F]{8,}")
_WORD_AND_NUMBER: Final = re.compile(r"[A-Za-z]*[0-9]+|[0-9]+[A-Za-z]*")


def skeleton(name: str) -> str:
    """The name with `*` for what looks like a date, a number, a hash or an id; empty if there is nothing of it in it."""
    bare = _TOKEN.sub(_replaced, _UUID.sub("*", name[:SKELETON_CHARS]))
    return bare if "*" in bare else ""


def _replaced(match: re.Match[str]) -> str:
    token = match[0]
    if _WORD_AND_NUMBER.fullmatch(token) and not (_HEX.fullmatch(token) and not token.isdigit()):
        return _DIGITS.sub("*", token)  # orders2024, v1, 15h
    return "*"


@dataclass(frozen=True, slots=True)
class Offender:
    """Who brings the names: an emitter by its name, or a namespace."""

    subject_kind: str
    name: Name


@dataclass(slots=True)
class Count:
    """New names of one skeleton from one offender: by whole hour of as-of, and some of them."""

    hours: Counter[int] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Growing:
    """A skeleton that grows: new names in the last whole hour, and examples."""

    skeleton: str
    new: int
    examples: tuple[str, ...]


class Tally:
    """Counts the new names of one walk over all names, begun at `as_of_us`."""

    def __init__(self, as_of_us: int) -> None:
        self.hour = as_of_us // HOUR_US - 1
        """The last whole hour; it and the one before it count."""
        self.left_out = 0
        """New names that had no place any more."""
        self.new: Counter[str] = Counter()
        """Of datasets and of jobs, in the last whole hour, with a skeleton."""
        self._groups: dict[tuple[Offender, str, str], Count] = {}

    def counts(self, first_seen_us: int) -> bool:
        """Whether a name that was seen first then counts."""
        return self.hour - 1 <= first_seen_us // HOUR_US <= self.hour

    def add(self, node: str, name: Name, bare: str, first_seen_us: int, offender: Offender) -> None:
        """A new name of a `dataset` or `job`, with its skeleton."""
        hour = first_seen_us // HOUR_US
        self.new[node] += hour == self.hour
        key = (offender, node, bare)
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= GROUPS_MAX:
                self.left_out += 1
                return
            group = self._groups[key] = Count()
        group.hours[hour] += 1
        group.examples = sorted({*group.examples, name.name})[:EXAMPLES]  # whatever the order in which names come

    def growing(self, s: JudgeSettings) -> dict[Offender, tuple[Growing, ...]]:
        """The offenders, with what grows of each, the most first."""
        found: dict[Offender, list[Growing]] = {}
        for (offender, _, bare), group in self._groups.items():
            newest, before = group.hours[self.hour], group.hours[self.hour - 1]
            if min(newest, before) >= s.growth_names:
                found.setdefault(offender, []).append(Growing(bare, newest, tuple(group.examples)))
        return {who: tuple(sorted(what, key=lambda g: (-g.new, g.skeleton))) for who, what in found.items()}


def judge_growth(
    tally: Tally, policies: PolicySet, as_of_us: int, machines: Mapping[str, Machine], settings: JudgeSettings
) -> list[Judgement]:
    """Judge all offenders by a finished count: those who grow, and those who did."""
    growing = tally.growing(settings)
    over = [each for each in _offenders(machines) if each not in growing]
    return [
        _judged(each, growing.get(each, ()), (tally.hour + 1) * HOUR_US, policies, as_of_us, machines, settings)
        for each in [*growing, *over]
    ]


def _judged(
    offender: Offender,
    growing: Sequence[Growing],
    hour_us: int,
    policies: PolicySet,
    as_of_us: int,
    machines: Mapping[str, Machine],
    settings: JudgeSettings,
) -> Judgement:
    policy = policies.for_emitter(offender.name.name)
    desk = Desk(machines, as_of_us, policy, settings)
    case = wording.node_growth(
        offender.subject_kind, offender.name, sum(one.new for one in growing), [one.skeleton for one in growing],
        [example for one in growing[:EXAMPLES] for example in one.examples], policy,
    )  # fmt: skip
    desk.step(case, Finding.BREACHED if growing else Finding.OK, hour_us, 0, 0)
    return desk.judgement(None)


def _offenders(machines: Iterable[str]) -> list[Offender]:
    """Those who have an alert machine, by the fingerprints of machines."""
    found = []
    for fingerprint in machines:
        kind, _, rest = fingerprint.partition("|")
        if kind == KIND:
            subject_kind, namespace, name = rest.split("|", 2)
            found.append(Offender(subject_kind, Name(namespace.replace("%7C", "|").replace("%25", "%"), name)))
    return found
