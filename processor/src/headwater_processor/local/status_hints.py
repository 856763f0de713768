"""Why a dataset is UNKNOWN, in few words, and the one thing to do next. Pure.

The judge says it in a sentence (`core.freshness`), which is all that the state keeps; a test has it say each of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from headwater_processor.core.judge_settings import quoted, quoted_text
from headwater_processor.state.values import DatasetState


@dataclass(frozen=True, slots=True)
class Hint:
    """Why nothing is known, and what helps."""

    because: str
    next_step: str


def unknown_hint(dataset: DatasetState) -> Hint | None:
    """Of a dataset that is UNKNOWN; None for others."""
    if dataset.state != "UNKNOWN":
        return None
    for pattern, hint in _HINTS:
        found = pattern.match(dataset.reason)
        if found is not None:
            return hint(dataset, found)
    return Hint(dataset.reason or "no reason was given", f"headwater trace {quoted(dataset.name)}")


_Match = re.Match[str]


def _learning(dataset: DatasetState, found: _Match) -> Hint:
    left = int(found["needed"]) - int(found["known"])
    slots = "one more five-minute slot" if left == 1 else f"{left} more five-minute slots"
    step = f"wait for writes in {slots}, or set max_age in a policy"
    return Hint(f"learning {found['known']}/{found['needed']}", step)


def _too_few(dataset: DatasetState, found: _Match) -> Hint:
    because = f"too few writes to learn from: {found['known']} of {found['needed']}"
    return Hint(because, f"set max_age in a policy; headwater policy test {quoted(dataset.name)} shows what holds")


def _only_read(dataset: DatasetState, found: _Match) -> Hint:
    if dataset.candidates:
        step = f"correct the name where it is read: was {dataset.candidates[0]} meant?"
    elif dataset.kind:
        step = "nothing: a source; to know how fresh it is, let its writer emit, or headwater cdc watch it"
    elif dataset.unlinked:
        step = "let its writer emit; if none of yours writes it, say source: true in a policy"
    else:  # declared, or too new to be called loose
        step = "nothing if a policy says source: true; else let its writer emit"
    return Hint(f"no write proof: {found['why']}", step)


def _failed(dataset: DatasetState, found: _Match) -> Hint:
    return Hint(f"no write proof: {found['why']}", _look_at_job(dataset))


def _no_proof(dataset: DatasetState, found: _Match) -> Hint:
    job = f" of {dataset.first_touched_by}" if dataset.first_touched_by else ""
    step = f"let a run{job} end with COMPLETE, or tell the rows that it wrote"
    return Hint("no write proof: named as output, but no run has completed or shown rows", step)


def _as_of(dataset: DatasetState, found: _Match) -> Hint:
    return Hint(found[0], "wait until workers have caught up; headwater worker --check if they do not")


def _gone(dataset: DatasetState, found: _Match) -> Hint:
    return Hint(found[0], "nothing: it is back with the next event that names it")


def _not_judged(dataset: DatasetState, found: _Match) -> Hint:
    return Hint(found[0], "wait a moment; if it stays so, see that a worker runs: headwater worker --check")


def _look_at_job(dataset: DatasetState) -> str:
    if dataset.first_touched_by:
        return f"headwater status --job {quoted_text(dataset.first_touched_by)} shows the run and its error"
    return f"headwater trace {quoted(dataset.name)} shows the run and its error"


_HINTS: Final[tuple[tuple[re.Pattern[str], Callable[[DatasetState, _Match], Hint]], ...]] = (
    (re.compile(r"learning (?P<known>\d+)/(?P<needed>\d+)"), _learning),
    (re.compile(r"no policy and too few writes to learn from: (?P<known>\d+) of (?P<needed>\d+)"), _too_few),
    (re.compile(r"no proof of write yet: (?P<why>it was only read)"), _only_read),
    (re.compile(r"no proof of write yet: (?P<why>runs named it as output, the last one failed.*)", re.DOTALL), _failed),
    (re.compile(r"no proof of write yet: it was named as output"), _no_proof),
    (re.compile(r"as-of unknown: .*", re.DOTALL), _as_of),
    (re.compile(r"dropped at .*|not there any more", re.DOTALL), _gone),
    (re.compile(r"not judged yet"), _not_judged),
)
