"""Percentiles by nearest rank: a percentile is one of the samples, never a mean of two."""

from __future__ import annotations

from collections.abc import Sequence


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The sample below or at which this share of the samples lies. `ordered` rises; None without samples.

    >>> percentile([1, 2, 3, 4], 0.5)
    2
    """
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)] if ordered else None
