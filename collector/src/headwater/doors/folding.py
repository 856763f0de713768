"""Names that change with every day or run, as the one name that stays. Pure.

| rule | where | what becomes what |
|---|---|---|
| `partition` | the last folders | `orders/dt=2026-11-26/hour=05` → `orders`; BigQuery's `orders$20261126` → `orders` |
| | folders before others | `year=2026/month=11/a.csv` → `year={year}/month={month}/a.csv` |
| `part_file` | the last of a path | `orders/part-00003-….parquet`, `orders/_SUCCESS`, `orders/a+0+0000000042.json` → `orders` |
| `date` | the last folders | `orders/2026-11-26`, `orders/2026/11/26/13`, `orders/20261126` → `orders` |
| | anywhere else | `logs-2026.11.26` → `logs-{date}`, `in/2026/11/26/a.csv` → `in/{date}/a.csv` |
| `month` | as `date` | `orders/2026/11` → `orders`, `logs-2026.11` → `logs-{month}`, `logs-2026-W48` → `logs-{week}` |
| `time` | as `date` | `dump_20261126T130000Z` → `dump_{time}`, `manual__2026-11-26T13:00:00+00:00` → `manual__{time}` |
| `epoch` | beside a word for runs | `export_1764163200000` → `export_{time}` |
| `uuid` | where it is a run's | `result-5f0f1c0e-….csv` → `result-{uuid}.csv` |
| `hash` | the same; 20 hexadecimal digits and more | `tmp_9f86d081884c7d659a2feaa0c55ad015` → `tmp_{hash}` |
| `attempt` | anywhere | `application_1764163200000_0042` → `application_{attempt}` |
| `pod` | at the end of a job | `orders-6d9c7b5f84-n7rgn` → `orders`, `nightly-29403360-x7k2p` → `nightly` |
| `cronjob` (off) | at the end of a job | `nightly-29403360` → `nightly` |
| `uuid_anywhere` (off) | anywhere | every UUID and every hash |

**What never folds**, so that two things do not become one: a year (`census_2020`, `sales2024`), versions and other numbers
(`orders_v2`, `shard-12`), digits that are no day of the calendar, dates with letters at them (`abc20261126`), months before
2013 (`budget_2010_11` is a fiscal year), and UUIDs that tell things apart (`headwater.doors.run_words`).

Folders of partitions go altogether, because who writes `orders/dt=2026-11-26` and who reads `orders` mean one dataset; so do
OpenLineage's clients since 1.39 (`DatasetNameTrimmer`). Something is always left. To fold what was folded changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import date
from typing import Final

from headwater.doors.run_words import HASH, UUID, is_a_runs, stands_beside_a_run

DEFAULT_RULES: Final = (
    "partition", "part_file", "date", "month", "time", "epoch", "uuid", "hash", "attempt", "pod",
)  # fmt: skip
RULES: Final = (*DEFAULT_RULES, "cronjob", "uuid_anywhere")

LONGEST_CHARS: Final = 512
"""A longer name is left as it is: to look for all of this in it takes too long."""

Rewrite = Callable[[str], str]

_A, _Z = r"(?<![0-9A-Za-z])", r"(?![0-9A-Za-z])"  # where a token begins and ends
_Y, _M, _D = r"(?:199\d|20\d\d)", r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_H, _S = r"(?:[01]\d|2[0-3])", r"[0-5]\d"
_MONTHS_YEAR: Final = r"20(?:1[3-9]|[2-9]\d)"
_DAY: Final = rf"(?P<day>{_Y}(?P<dash>[-_.]){_M}(?P=dash){_D}|{_Y}{_M}{_D})"
_DAY_LAST: Final = rf"(?:{_D}(?P<dot>[-.]){_M}|{_M}(?P<minus>-){_D})(?:(?P=dot)|(?P=minus)){_Y}"
_FRACTION: Final = r"(?:[.,]?\d{1,9})?"
_CLOCK: Final = rf"{_H}(?:(?P<colon>:|%3A|[-_.h]){_S}(?:(?P=colon){_S}{_FRACTION})?|{_S}(?:{_S}{_FRACTION})?)"
_ZONE: Final = rf"(?:Z|(?:[+-]|%2B){_H}:?{_S})?"
_NO_DAY: Final = r"(?!\d{4}[-_.]?\d\d[-_.]?\d\d(?!\d))"  # from one day to another is no time

_TIME: Final = re.compile(
    rf"{_A}{_DAY}(?:(?:T|__?|-| |%20){_NO_DAY}{_CLOCK}|[T-]{_H}|(?<=\d{{8}}){_H}{_S}(?:{_S}(?:\d{{3}})?)?){_ZONE}{_Z}",
    re.IGNORECASE,
)
_DATE: Final = re.compile(rf"{_A}{_DAY}{_Z}")
_DATE_BACKWARDS: Final = re.compile(rf"{_A}{_DAY_LAST}{_Z}")
_DATE_FOLDERS: Final = re.compile(
    rf"(?:(?<=/)|^)(?:(?P<folders>20\d\d/{_M}/{_D})|{_DAY})(?=/|$)(?:/{_H}(?=/|$)(?:/{_S}(?=/|$))?)?"
)
_MONTH: Final = re.compile(rf"{_A}{_MONTHS_YEAR}[-_.]{_M}{_Z}")
_MONTH_FOLDERS: Final = re.compile(rf"(?:(?<=/)|^){_MONTHS_YEAR}/{_M}(?=/|$)")
_WHOLE_MONTH: Final = re.compile(rf"{_MONTHS_YEAR}[-_.]?{_M}|20\d\d-?[Ww](?:0[1-9]|[1-4]\d|5[0-3])")
_WEEK: Final = re.compile(rf"{_A}20\d\d-?[Ww](?:0[1-9]|[1-4]\d|5[0-3]){_Z}")
_EPOCH: Final = re.compile(rf"{_A}(?:1[2-9]|2[01])\d{{8}}(?:\d{{3}})?{_Z}")
_ATTEMPT: Final = re.compile(
    rf"{_A}(application|job|attempt|task|container)_(?:e\d+_)?\d{{12,14}}_\d{{4,}}(?:_[mr])?(?:_\d+)*{_Z}"
)
_PARTITION: Final = re.compile(r"[A-Za-z_][\w.-]*=[^=]*")
_TIME_PARTITION: Final = re.compile(
    r"(?:(?<=/)|^)(year|yyyy|yr|y|month|mon|mm|m|day|dd|d|hour|hh|hr|h|minute|min|mi)=\d{1,4}(?=/|$)", re.IGNORECASE
)
_DECORATOR: Final = re.compile(r"(?<=[^/])\$(?:\d{4}|\d{6}|\d{8}|\d{10}|__NULL__|__UNPARTITIONED__)$")
_PART_FILE: Final = re.compile(
    r"part-(?:[a-z]-)?\d{4,}.*|_SUCCESS|_(?:committed|started)_\d+|[^+]+\+\d+\+\d{10,}(?:\.[\w.]+)?"
)
# Kubernetes makes such endings of these characters alone: no vowels, no 0, 1 or 3. Eight digits are a CronJob's minute.
_RANDOM: Final = "[bcdfghjklmnpqrstvwxz2456789]"
_POD: Final = re.compile(rf"(?<=[a-z0-9])-(?:{_RANDOM}{{8,10}}|(?:2[5-9]|3\d)\d{{6}})-{_RANDOM}{{5}}$")
_CRONJOB: Final = re.compile(r"(?<=[a-z0-9])-(?:2[5-9]|3\d)\d{6}$")
_may_change: Final = re.compile(r"[0-9=]|_SUCCESS/*$").search


class Folding:
    """Folds names by some of the rules. `rules`: names out of `RULES`; others are ignored."""

    def __init__(self, rules: Collection[str] = DEFAULT_RULES) -> None:
        self.rules: tuple[str, ...] = tuple(rule for rule in RULES if rule in rules)
        on = frozenset(self.rules)
        anywhere = "uuid_anywhere" in on
        tokens: tuple[tuple[str, Rewrite], ...] = (
            ("attempt", lambda name: _ATTEMPT.sub(r"\1_{attempt}", name)),
            ("partition", lambda name: _TIME_PARTITION.sub(lambda found: f"{found[1]}={{{found[1].lower()}}}", name)),
            ("uuid", lambda name: UUID.sub(_guarded("{uuid}", anywhere), name)),
            ("hash", lambda name: HASH.sub(_guarded("{hash}", anywhere), name)),
            ("time", lambda name: _TIME.sub(_dated("{time}"), name)),
            ("date", lambda name: _DATE_FOLDERS.sub(_dated("{date}"), name)),
            ("date", lambda name: _DATE_BACKWARDS.sub("{date}", _DATE.sub(_dated("{date}"), name))),
            ("month", lambda name: _WEEK.sub("{week}", _MONTH.sub("{month}", _MONTH_FOLDERS.sub("{month}", name)))),
            ("epoch", lambda name: _EPOCH.sub(_of_a_run, name)),
        )
        self._ends = on & {"partition", "part_file", "date", "month", "time"}
        self._tokens = tuple(
            rewrite for rule, rewrite in tokens if rule in on or (anywhere and rule in {"uuid", "hash"})
        )
        self._of_jobs = [pattern for rule, pattern in (("pod", _POD), ("cronjob", _CRONJOB)) if rule in on]

    def dataset(self, namespace: str, name: str) -> str:
        """The dataset's name without what changes."""
        if namespace != "bigquery" or "partition" not in self._ends:
            return self._folded(name)
        before = ""
        while before != name:  # behind what folds there may be another decorator
            before = name
            name = self._folded(_DECORATOR.sub("", name))
        return name

    def job(self, name: str) -> str:
        """The job's name without what changes."""
        for pattern in self._of_jobs:
            name = pattern.sub("", name)
        return self._folded(name)

    def _folded(self, name: str) -> str:
        if len(name) > LONGEST_CHARS or not _may_change(name):
            return name
        before = ""
        while before != name:  # each round takes folders or digits away, so there is a last one
            before = name
            if "/" in name:
                name = self._without_ends(name)
            for rewrite in self._tokens:
                name = rewrite(name)
        return name

    def _without_ends(self, name: str) -> str:
        """Without the last folders that are partitions, dates or parts; something is left."""
        segments = name.rstrip("/").split("/")
        left = segments
        while (many := self._changing(left)) and any(left[:-many]):
            left = left[:-many]
            while not left[-1]:
                left = left[:-1]
        return "/".join(left) if left is not segments else name

    def _changing(self, segments: list[str]) -> int:
        """How many of the last segments change with the day or run."""
        last, on = segments[-1], self._ends
        if "partition" in on and _PARTITION.fullmatch(last):
            return 1
        if "part_file" in on and _PART_FILE.fullmatch(last):
            return 1
        if "time" in on and (found := _TIME.fullmatch(last)) and _is_day(found):
            return 1
        if "date" in on and (many := _date_folders(segments)):
            return many
        if "month" in on:
            if _WHOLE_MONTH.fullmatch(last):
                return 1
            return 2 if _MONTH_FOLDERS.fullmatch("/".join(segments[-2:])) else 0
        return 0


def _date_folders(segments: list[str]) -> int:
    """How many of the last segments are one date: a folder, or three; with an hour, and a minute, behind it."""
    for many in range(1, 6):
        found = _DATE_FOLDERS.fullmatch("/".join(segments[-many:])) if many <= len(segments) else None
        if found is not None and _is_day(found):
            return many
    return 1 if _DATE_BACKWARDS.fullmatch(segments[-1]) else 0


def _dated(placeholder: str) -> Callable[[re.Match[str]], str]:
    return lambda found: placeholder if _is_day(found) else found[0]


def _is_day(found: re.Match[str]) -> bool:
    """Whether what looks like a day is one of the calendar."""
    groups = found.groupdict()
    digits = re.sub(r"\D", "", groups.get("folders") or groups["day"])
    try:
        date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return False
    return True


def _guarded(placeholder: str, anywhere: bool) -> Callable[[re.Match[str]], str]:
    return lambda found: placeholder if anywhere or is_a_runs(found) else found[0]


def _of_a_run(found: re.Match[str]) -> str:
    return "{time}" if stands_beside_a_run(found) else found[0]
