"""Times and lengths as the commands print them. Pure; times are microseconds since the epoch, UTC, 0 is "none"."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def iso(time_us: int) -> str | None:
    """RFC 3339 with microseconds, for JSON; None for none."""
    if time_us <= 0:
        return None
    return (_EPOCH + timedelta(microseconds=time_us)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def length(time_us: int) -> str:
    """A length of time in its two largest units: `3 d 4 h`, `2 min 5 s`, `40 s`; under ten seconds `4.2 s`."""
    seconds = abs(time_us) / 1_000_000
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    rest, parts = round(seconds), list[str]()
    for unit, size in _UNITS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2])


def ago(time_us: int, now_us: int) -> str:
    """How long ago: `4.2 s ago`; `never` for none, `in …` for what is still to come."""
    if time_us <= 0:
        return "never"
    distance = now_us - time_us
    return f"{length(distance)} ago" if distance >= 0 else f"in {length(distance)}"


def count(number: int, word: str, plural: str = "") -> str:
    """`1 dataset`, `2 datasets`, `12,000 datasets`."""
    return f"{number:,} {word if number == 1 else plural or word + 's'}"
