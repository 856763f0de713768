"""Differences as sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

SHOWN: Final = 5
"""Examples of one kind of difference; the rest is counted."""


def bounded(lines: list[str]) -> list[str]:
    """The first few of the same kind, and how many more there are."""
    if len(lines) <= SHOWN:
        return lines
    return [*lines[:SHOWN], f"{lines[0].partition(':')[0]}: … and {len(lines) - SHOWN} more of this kind"]


def diff(
    what: str,
    expected: Mapping[Any, Any],
    actual: Mapping[Any, Any],
    show: Callable[[Any], str] = repr,
    may_miss: Callable[[Any], bool] = lambda _key: False,
) -> list[str]:
    """What is missing, what nobody expected, and what has another value."""
    missing = [
        f"{what}: {show(key)} is missing; expected {expected[key]!r}"
        for key in expected
        if key not in actual and not may_miss(key)
    ]
    surplus = [
        f"{what}: {show(key)} is there with {actual[key]!r} and should not be" for key in actual.keys() - expected
    ]
    other = [
        f"{what}: {show(key)} is {actual[key]!r}, expected {value!r}"
        for key, value in expected.items()
        if key in actual and actual[key] != value
    ]
    return [*bounded(missing), *bounded(surplus), *bounded(other)]
