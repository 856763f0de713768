"""Which known name was probably meant? An index of dataset names, and an explainable score between 0 and 1.

How a name is read
------------------
A name is cut at `.`, `/` and `:` into parts, a part at other separators and at camelCase into **tokens**: lower case,
singular, a leading zero dropped. Four kinds of token are set apart:

* *environments* (prod, stg, dev …) are compared on their own: one that is missing costs little, two that differ cost
  more;
* *numbers* (versions, years, ids: any token with a digit) must be equal, all of them: `orders` is not `orders_2024`,
  `v1` is not `v2`. There is no partial credit, because a wrong id is a different thing however similar it looks;
* *defaults* (`public`, `dbo`, `main` …), file endings and words such as `table` or `topic` say nothing, and cost
  nothing;
* the rest are *words*. Those of the last part that has a word make the **leaf**, those before it are **qualifiers**.

How two names are scored
------------------------
    score = words × qualifiers × environments × namespaces

* *words*: leaf words are paired; a pair is worth 1 if equal, 1 − 0.6·edits/length if a typo (insertion, deletion,
  substitution, swap of neighbours: OSA distance) is plausible: none up to 3 letters, one up to 7, two beyond; the first
  letter stands, except in long words or a swap. Any word without a partner multiplies by 0.6, so `orders_raw` never
  becomes `orders_clean`. If the words are only cut differently (`orderitems`, `order_items`, `shop.orders`,
  `shop_orders`), the joined letters are compared.
* *qualifiers* (schema, database, folder): equal 1, missing on one side 0.9, in another order 0.95, different 0.7.
* *environments*: equal 1, missing on one side 0.95, different 0.85.
* *namespaces*: compared by parts: platform (scheme variants are one platform), hosts, path. Same platform, same host 1;
  other port or broker, short or full host name, local host: 0.95–0.99; a typo in the host 0.93; another host 0.8; hosts
  that look like siblings (`kafka-eu`, `kafka-us`, `db1`, `db2`) 0.6, for then the name exists twice on purpose. Another
  platform: 0.78 within the lake (hive, glue, s3 …, which name one table twice), else 0.5.

What scores below `THRESHOLD` (0.75) is not suggested. Ties go to the name that sorts first, so the answer is stable.

How it stays fast
-----------------
Trigrams of the words point to the names that have them, each weighing less the more names share it; the `SHORTLIST`
best by weighted overlap are scored. See `tests/unit/processor/test_aliases.py` for the labelled pairs it is held to.
"""

from __future__ import annotations

import enum
from array import array
from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Final

import numpy as np
from rapidfuzz.distance import OSA

from headwater_processor.core.nameparts import Host, Parts, read_name, read_namespace
from headwater_schemas.events import Name

THRESHOLD: Final = 0.75
SHORTLIST: Final = 120
STRONG: Final = 0.84
"""Likeness of words from which on a name is nearly the other: one slip in a word of four letters, or a folder that is missing."""
SAME_PLACE: Final = 0.92
"""Likeness of namespaces that are one place: another port, a short host name, a slip in the host."""
LAKE_AND_CATALOGUE: Final = 0.78
ONE_STAGE: Final = 0.95
"""Likeness of environments of which one side does not name its own."""

_LAKE: Final = frozenset(
    {"s3", "gs", "abfs", "wasb", "hdfs", "file", "dbfs", "hive", "glue", "awsglue", "iceberg", "unitycatalog"}
)
_UNMATCHED: Final = 0.6
_CACHE_SIZE: Final = 65_536


class Role(enum.Flag):
    """What is known of a name: somebody reads it, somebody writes it."""

    READ = enum.auto()
    WRITTEN = enum.auto()
    ANY = READ | WRITTEN


class Candidates:
    """The names that may be suggested. Grows and shrinks; about 1.5 KB a name."""

    def __init__(self, names: Iterable[Name] = ()) -> None:
        self._names: list[Name] = []
        self._roles: list[Role] = []
        self._ids: dict[Name, int] = {}
        self._postings: dict[str, array[int]] = {}
        self._weights = array("d")
        for name in names:
            self.add(name)

    def __len__(self) -> int:
        return sum(1 for role in self._roles if role)

    def add(self, name: Name, role: Role = Role.ANY) -> None:
        """Make a name known, or say more of it."""
        known = self._ids.get(name)
        if known is not None:
            self._roles[known] |= role
            return
        index = self._ids[name] = len(self._names)
        self._names.append(name)
        self._roles.append(role)
        grams = trigrams(read_name(name.name))
        self._weights.append(float(len(grams)))
        for gram in grams:
            self._postings.setdefault(gram, array("q")).append(index)

    def discard(self, name: Name) -> None:
        """Never suggest this name again (until it is added again)."""
        known = self._ids.get(name)
        if known is not None:
            self._roles[known] = Role(0)

    def suggest(
        self, name: Name, top: int = 3, role: Role = Role.ANY, exclude: Collection[Name] = ()
    ) -> list[tuple[Name, float]]:
        """Names that `name` may have been meant to be, with their scores, best first; at most `top`, often none.

        Only names with this role, never `name` itself nor one in `exclude`.
        """
        scored = []
        for index in self._shortlist(name):
            other = self._names[index]
            if other == name or other in exclude or not self._roles[index] & role:
                continue
            score = similarity(name, other)
            if score >= THRESHOLD:
                scored.append((other, round(score, 4)))
        scored.sort(key=lambda pair: (-pair[1], pair[0].namespace, pair[0].name))
        return scored[:top]

    def _shortlist(self, name: Name) -> list[int]:
        """Indexes of the names that share the most telling trigrams."""
        total = len(self._names)
        overlap = np.zeros(total)
        grams = trigrams(read_name(name.name))
        for gram in grams:
            posting = self._postings.get(gram)
            if posting is not None:
                # A name is in a posting at most once, so plain indexing adds each time.
                overlap[np.frombuffer(posting, dtype=np.int64)] += np.log1p(total / len(posting))
        # Long names share trigrams by chance: divided by size, an overlap is a likeness.
        overlap /= np.sqrt(np.frombuffer(self._weights, dtype=np.float64) + 3) if total else 1
        shared = np.flatnonzero(overlap)
        if shared.size > SHORTLIST:
            shared = shared[np.argpartition(overlap[shared], -SHORTLIST)[-SHORTLIST:]]
        return [int(index) for index in shared]


def similarity(a: Name, b: Name) -> float:
    """How likely two names are meant to be the same dataset: 0 to 1, symmetric."""
    left, right = read_name(a.name), read_name(b.name)
    if left.numbers != right.numbers:
        return 0.0
    # The cheap factors first: most of a shortlist ends here.
    score = _environments(left, right) * _namespaces(a.namespace, b.namespace)
    return score * _words(left, right) if score >= THRESHOLD else 0.0


def meant(name: Name, other: Name) -> bool:
    """Whether `other` is so near to `name`, in the same place, that a slip is likelier than another dataset.

    Under nearly this name in another place or environment stands a copy: nobody mistyped it. The lake and its catalogue are
    one place, for both name one table.
    """
    left, right = read_name(name.name), read_name(other.name)
    if left.numbers != right.numbers or _environments(left, right) < ONE_STAGE:
        return False
    place = _namespaces(name.namespace, other.namespace)
    return (place == LAKE_AND_CATALOGUE or place >= SAME_PLACE) and _words(left, right) >= STRONG


def trigrams(parts: Parts) -> set[str]:
    """The trigrams of each word, with its ends marked."""
    grams: set[str] = set()
    for word in (*parts.qualifiers, *parts.leaf) or parts.numbers:
        padded = f"^{word}$"
        grams.update(padded[i : i + 3] for i in range(len(padded) - 2))
    return grams


def _words(a: Parts, b: Parts) -> float:
    apart = _paired(a.leaf, b.leaf) * _qualifiers(a, b)
    if apart == 1:
        return 1.0
    if sorted((*a.qualifiers, *a.leaf)) == sorted((*b.qualifiers, *b.leaf)):
        apart = max(apart, 0.9)  # sales.orders, orders.sales
    # Cut differently: the letters in a row are the same word, or a typo of it.
    cut = 0.0
    if len(a.leaf) != len(b.leaf) or len(a.qualifiers) != len(b.qualifiers):
        whole = 0.97 * _typo("".join((*a.qualifiers, *a.leaf)), "".join((*b.qualifiers, *b.leaf)))
        leaf = 0.97 * _typo("".join(a.leaf), "".join(b.leaf)) * _qualifiers(a, b)
        cut = max(whole, leaf)
    return max(apart, cut)


def _paired(a: tuple[str, ...], b: tuple[str, ...]) -> float:
    """Words paired one to one, the likest first: their mean likeness by length, less for each one that is left over."""
    if a == b:
        return 1.0
    likely = ((_typo(x, y), i, j) for i, x in enumerate(a) for j, y in enumerate(b))
    pairs = sorted(likely, key=lambda p: (-p[0], abs(p[1] - p[2]), p[1] + p[2]))
    used_a: set[int] = set()
    used_b: set[int] = set()
    likeness = letters = 0.0
    moved = False
    for alike, i, j in pairs:
        if alike <= 0:
            break
        if i in used_a or j in used_b:
            continue
        used_a.add(i)
        used_b.add(j)
        likeness += alike * (len(a[i]) + len(b[j]))
        letters += len(a[i]) + len(b[j])
        moved = moved or i != j
    left_over = len(a) + len(b) - 2 * len(used_a)
    if not letters:
        return 0.0
    order = 0.95 if moved and not left_over else 1.0
    return likeness / letters * order * _UNMATCHED**left_over


def _qualifiers(a: Parts, b: Parts) -> float:
    x, y = a.qualifiers, b.qualifiers
    if x == y:
        return 1.0
    if not x or not y:
        return 0.9
    short, long = sorted((x, y), key=len)
    alike = _paired(x, y)
    if alike >= 0.8:
        return alike
    return 0.9 if set(short) <= set(long) else 0.7


def _environments(a: Parts, b: Parts) -> float:
    if a.environments == b.environments:
        return 1.0
    return 0.85 if a.environments and b.environments else ONE_STAGE


@lru_cache(maxsize=_CACHE_SIZE)
def _typo(a: str, b: str) -> float:
    """1 if equal, less for a plausible slip of the fingers, 0 if it is another word."""
    if a == b:
        return 1.0
    shorter = min(len(a), len(b))
    allowed = 0 if shorter < 4 else 1 if shorter < 8 else 2
    if not allowed or abs(len(a) - len(b)) > allowed:
        return 0.0
    edits = OSA.distance(a, b, score_cutoff=allowed)
    if edits > allowed or not _starts_alike(a, b, edits):
        return 0.0
    return 1 - 0.6 * edits / max(len(a), len(b))


def _starts_alike(a: str, b: str, edits: int) -> bool:
    """Fingers seldom miss the first letter; but they swap it, and in a long word drop it."""
    if a[0] == b[0] or a[:2] == b[1::-1]:
        return True
    return edits == 1 and min(len(a), len(b)) >= 5 and (a[1:] == b or b[1:] == a)


@lru_cache(maxsize=_CACHE_SIZE)
def _namespaces(a: str, b: str) -> float:
    if a == b:
        return 1.0
    left, right = read_namespace(a), read_namespace(b)
    if left.platform != right.platform:
        return LAKE_AND_CATALOGUE if left.platform in _LAKE and right.platform in _LAKE else 0.5
    paths = 1.0 if left.path == right.path else 0.95 if not left.path or not right.path else 0.85
    if not left.hosts or not right.hosts:
        return (1.0 if left.hosts == right.hosts else 0.9) * paths
    hosts = max(_hosts(x, y, left.platform) for x in left.hosts for y in right.hosts)
    return min(hosts, 1.0 if left == right else 0.99) * paths


def _hosts(a: Host, b: Host, platform: str) -> float:
    if a.labels == b.labels:
        return 1.0
    if a.local or b.local:
        return 0.95
    short, long = sorted((a.labels, b.labels), key=len)
    if long[: len(short)] == short:
        return 0.97
    if a.words == b.words:
        return 0.88 if a.environments and b.environments else 0.95
    if platform == "kafka" and a.bare == b.bare and a.bare:
        return 0.96  # two brokers of one cluster
    if _siblings(a, b):
        return 0.6
    return 0.93 if _typo("".join(a.words), "".join(b.words)) else 0.8


def _siblings(a: Host, b: Host) -> bool:
    """The same pattern with another number or another short code (region, tenant, letter) in it."""
    if len(a.words) != len(b.words):
        return False
    differ = [(x, y) for x, y in zip(a.words, b.words, strict=True) if x != y]
    if len(differ) == len(a.words):
        return a.bare == b.bare and bool(a.bare)
    return all((len(x) <= 3 and len(y) <= 3) or any(c.isdigit() for c in x + y) for x, y in differ)
