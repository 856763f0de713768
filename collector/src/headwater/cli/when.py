"""Times and durations as people write them on the command line. Pure, but for the clock that is an argument."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from headwater.runtime.errors import UsageError

_UNIT_MS: Final = {"s": 1_000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION: Final = re.compile(r"(\d{1,9})\s*(s|m|min|h|d)")


def duration_ms(text: str, option: str) -> int:
    """`90s`, `15m`, `2h` or `3d` in milliseconds. Raises UsageError, which names the option."""
    found = _DURATION.fullmatch(text.strip())
    if found is None or not int(found[1]):
        raise UsageError(f"{option} {text!r} is no duration", remedy="write it as 90s, 15m, 2h or 3d")
    return int(found[1]) * _UNIT_MS[found[2]]


def time_ms(text: str, option: str, now_ms: int) -> int:
    """A time in milliseconds since the epoch: so long ago (`2h`), or a date with or without a time (ISO 8601; UTC if it has
    no zone). Raises UsageError, which names the option."""
    if _DURATION.fullmatch(text.strip()):
        return now_ms - duration_ms(text, option)
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError as error:
        remedy = "write it as 2h (so long ago) or as 2026-01-31T08:00Z"
        raise UsageError(f"{option} {text!r} is no time", remedy=remedy) from error
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)


def iso(at_ms: int) -> str:
    """RFC 3339 to the millisecond; `-` for none."""
    if at_ms <= 0:
        return "-"
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
