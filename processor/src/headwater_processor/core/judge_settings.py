"""What the judging core may be told, and the words it uses for times and names: values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from headwater_schemas.events import Name

SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US

AsOf = int | Mapping[int, int]
"""The time up to which everything is known to have been seen: of each partition of the topic, or one for all of them.

A mapping must name *every* partition of the topic: one that is missing is not known, and counts as 0."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_WHEN: Final = "%Y-%m-%d %H:%M:%S UTC"
_LAST_US: Final = 253_402_300_799 * SECOND_US  # the end of the year 9999, the last that datetime can name


@dataclass(frozen=True, slots=True)
class JudgeSettings:
    """Allowances of the judge, in microseconds of as-of time.

    * `born_us`, `domain_grace_us`: nothing is called unlinked before the domain is this old (0: born at the epoch).
    * `read_grace_us`: a dataset may be read this long before somebody must have written it.
    * `written_grace_us`: a dataset may be written this long before somebody must read it.
    * `job_grace_us`: a job may be known this long before its inputs and outputs must be.
    * `emitter_silent_us`: the least silence of an emitter that explains why its datasets are late.
    * `run_timeout_us`: a run that has said nothing for this long is lost.
    * `blind_after_us`: as-of may stand still this long before somebody is told that nothing is judged.
    * `growth_names`: so many new names of one form from one emitter, in each of two hours, are growth without end.
    * `for_us`, `clear_us`: what holds where a policy says nothing of it.
    """

    born_us: int = 0
    domain_grace_us: int = DAY_US
    read_grace_us: int = HOUR_US
    written_grace_us: int = DAY_US
    job_grace_us: int = HOUR_US
    emitter_silent_us: int = 10 * MINUTE_US
    run_timeout_us: int = 6 * HOUR_US
    blind_after_us: int = 5 * MINUTE_US
    growth_names: int = 100
    for_us: int = 0
    clear_us: int = 0


def resolve_as_of(as_of: AsOf, partitions: tuple[int, ...] = ()) -> tuple[int, str]:
    """The as-of of a dataset that these partitions write (none: of the whole topic), and, if it is 0, why it is
    unknown.
    """
    if isinstance(as_of, int):
        return (as_of, "") if as_of > 0 else (0, "the topic has not been read to its end yet")
    wanted = partitions or tuple(as_of)
    if not wanted:
        return 0, "no partition of the topic is known yet"
    unread = [p for p in sorted(wanted) if as_of.get(p, 0) <= 0]
    if unread:
        word = "partition" if len(unread) == 1 else "partitions"
        shown = ", ".join(map(str, unread[:4])) + (", …" if len(unread) > 4 else "")
        return 0, f"{word} {shown} not read to the end yet"
    return min(as_of[p] for p in wanted), ""


def when(time_us: int) -> str:
    """A time as people on call read it: `2026-03-01 07:00:05 UTC`."""
    moment = _EPOCH + timedelta(microseconds=max(0, min(time_us, _LAST_US)))
    return moment.strftime(_WHEN)


def time_said(said: str) -> int:
    """The time that `when` wrote, µs since the epoch, to the second. Raises ValueError for any other text."""
    return (datetime.strptime(said, _WHEN).replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


def span(length_us: int) -> str:
    """A length of time in its two largest units: `1 d 2 h`, `15 min`, `40 s`."""
    seconds = max(0, length_us) // SECOND_US
    parts = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"


def shown(name: Name) -> str:
    """A name in a sentence: the name, and where it lives."""
    return f"{name.name} ({name.namespace})" if name.namespace else name.name


def quoted(name: Name) -> str:
    """A name as an argument of a shell command, in single quotes."""
    return quoted_text(str(name))


def quoted_text(text: str) -> str:
    """A text as an argument of a shell command, in single quotes."""
    return "'" + text.replace("'", "'\\''") + "'"
