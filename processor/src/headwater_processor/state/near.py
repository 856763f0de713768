"""Which known names are nearest to one that is not known: for the sentence that answers a typing error. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_SHORTLIST = 40
_MIN_RATIO = 0.55


def near_names(wanted: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """Up to `limit` of the known names, most similar first.

    Names are first ranked by the letter pairs they share (a few µs a name), and only the best are compared letter
    by letter, so that 100,000 names take well under a second.
    """
    wanted_low = wanted.lower()
    pairs = _pairs(wanted_low)
    scored = ((_overlap(pairs, name.lower()), name) for name in known)
    shortlist = sorted((item for item in scored if item[0] > 0), reverse=True)[:_SHORTLIST]
    rated = sorted(((_ratio(wanted_low, name.lower()), name) for _, name in shortlist), key=lambda x: (-x[0], x[1]))
    return [name for ratio, name in rated if ratio >= _MIN_RATIO][:limit]


def _pairs(text: str) -> set[str]:
    return {text[i : i + 2] for i in range(len(text) - 1)}


def _overlap(pairs: set[str], name: str) -> float:
    """Dice coefficient of the letter pairs; of the last part of the name, if that fits better."""
    best = 0.0
    for text in (name, name.rpartition("/")[2]):
        other = _pairs(text)
        if other:
            best = max(best, 2 * len(pairs & other) / (len(pairs) + len(other)))
    return best


def _ratio(wanted: str, name: str) -> float:
    texts = (name, name.rpartition("/")[2])
    return max(difflib.SequenceMatcher(None, wanted, text, autojunk=False).ratio() for text in texts)
