"""Findings, and how they are made: each check by itself, with a time limit, so that one that fails hides no other."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from headwater.errors import HeadwaterError
from headwater.masking import mask


class Level(enum.Enum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence, and what to do about it. `unreachable`: the service that was to be looked at does not answer."""

    check: str
    level: Level
    text: str
    remedy: str = ""
    unreachable: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """One look at something. `act` yields findings; what it raises becomes one. `needs` names the check whose service it
    asks: if that could not be reached, this one is not tried."""

    name: str
    act: Callable[[], Iterable[Finding]]
    needs: str = ""


class Noting:
    """Makes the findings of one check."""

    def __init__(self, check: str) -> None:
        self._check = check

    def ok(self, text: str) -> Finding:
        """All is well."""
        return Finding(self._check, Level.OK, text)

    def warn(self, text: str, remedy: str = "") -> Finding:
        """It works, and will hurt some day."""
        return Finding(self._check, Level.WARN, text, remedy)

    def problem(self, text: str, remedy: str = "") -> Finding:
        """It does not work, or loses something."""
        return Finding(self._check, Level.PROBLEM, text, remedy)


def findings(checks: Sequence[Check], limit_s: float, translate: Callable[[Exception], Exception]) -> Iterator[Finding]:
    """The findings of all checks, in order, as they are made. `translate` turns foreign errors into ours."""
    away: set[str] = set()
    for check in checks:
        if check.needs in away:
            text = f"not looked at: {check.needs} cannot be reached"
            yield Finding(check.name, Level.WARN, text)
            continue
        made = _of(check, limit_s, translate)
        if any(one.unreachable for one in made):
            away.add(check.name)
        yield from made


def _of(check: Check, limit_s: float, translate: Callable[[Exception], Exception]) -> list[Finding]:
    made: list[Finding] = []
    raised: list[Exception] = []

    def work() -> None:
        try:
            made.extend(check.act())
        except Exception as error:  # noqa: BLE001 - whatever happens to one check, the others go on
            raised.append(error)

    # A daemon: a call that hangs for good must not keep the process alive.
    thread = threading.Thread(target=work, name=f"doctor-{check.name}", daemon=True)
    thread.start()
    thread.join(limit_s)
    if thread.is_alive():
        text = f"no answer within {limit_s:g} s"
        return [*made, Finding(check.name, Level.PROBLEM, text, "--timeout gives it longer", not check.needs)]
    return [*made, *(_as_finding(check, translate(error)) for error in raised)]


def _as_finding(check: Check, error: Exception) -> Finding:
    if isinstance(error, HeadwaterError):
        unreachable = not check.needs  # only what opens the way to a service says that it is away
        return Finding(check.name, Level.PROBLEM, mask(error.message), mask(error.remedy), unreachable)
    text = f"could not be looked at: {type(error).__name__}: {mask(str(error))}"
    return Finding(check.name, Level.WARN, text)
