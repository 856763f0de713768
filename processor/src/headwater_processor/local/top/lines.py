"""How the living view is worded: values of the model in, cells of a line out. Pure; the width and the time are arguments.

A cell is a text and its style, in the names of the sixteen colours that every terminal has. Lines are cut, never wrapped:
each fact has its place, so that the eye finds it again a second later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from rich.cells import cell_len, set_cell_size

from headwater_processor.local.texts import ago, count
from headwater_processor.local.top.model import Firing, Loose, Model, Note, Row
from headwater_schemas.alerts import Alert, AlertState, Severity
from headwater_schemas.events import Name

Cell = tuple[str, str]
"""Text and style."""

_BARS: Final = "▁▂▃▄▅▆▇█"
_WIDE: Final = 100
"""Columns from which on a dataset's owner is shown."""

STATES: Final = {
    "STALE": "bold red",
    "NO_DATA": "red",
    "LATE": "yellow",
    "RECOVERED": "green",
    "IDLE": "cyan",
    "FRESH": "green",
    "UNKNOWN": "dim",
}
_SEVERITIES: Final = {Severity.PAGE: "bold red", Severity.TICKET: "red", Severity.INFO: "yellow"}
_LOOSE: Final = {
    "read-never-written": "nobody writes it",
    "written-never-read": "nobody reads it",
    "job-without-inputs": "reads nothing",
    "job-without-outputs": "writes nothing",
    "job-unlinked": "all alone",
}
_KIND: Final = 20
"""Columns of a kind of looseness."""
_SOON_US: Final = 60_000_000
"""Time to breach from which on it is coloured."""


# --- pieces ---------------------------------------------------------------------------------------------------------


def spark(values: Sequence[float], width: int, *, from_zero: bool = True) -> str:
    """The last `width` values as bars; from the least value on where only the growth counts. Blank where none is yet."""
    shown = list(values)[-width:] if width > 0 else []
    if not shown:
        return " " * max(0, width)
    low = 0.0 if from_zero else min(shown)
    spread = max(shown) - low
    bars = "".join(_BARS[round((value - low) / spread * (len(_BARS) - 1)) if spread > 0 else 0] for value in shown)
    return bars.rjust(width)


def brief(time_us: int) -> str:
    """A length of time in at most seven letters: `4.2 s`, `40 s`, `12 min`, `3.5 h`, `21 d`."""
    seconds = abs(time_us) / 1e6
    for size, unit in ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min")):
        if seconds >= 0.995 * size:
            number = seconds / size
            return f"{number:.1f} {unit}" if number < 9.95 and unit != "min" else f"{number:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"


def to_breach(row: Row, now_us: int) -> Cell:
    """How long until it breaches, or since when it is overdue."""
    if not row.deadline_us:
        return "–", "dim"
    left_us = row.deadline_us - now_us
    if left_us < 0:
        return f"{brief(left_us)} ago", STATES.get(row.state, "") if row.state in (
            "STALE",
            "NO_DATA",
            "LATE",
        ) else "yellow"
    return f"in {brief(left_us)}", "yellow" if left_us < _SOON_US and row.allowed_us > 2 * _SOON_US else ""


def ends(text: str, width: int) -> str:
    """The text in so many columns; of a name that is too long the end stays, which tells more than its beginning."""
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    kept = text
    while kept and cell_len(kept) > width - 1:
        kept = kept[max(1, cell_len(kept) - width + 1) // 2 or 1 :]
    return set_cell_size(f"…{kept}", width)


def begins(text: str, width: int) -> str:
    """The text in so many columns; of what is too long the beginning stays."""
    return set_cell_size(text, width) if cell_len(text) <= width else f"{set_cell_size(text, max(0, width - 1))}…"


def clock(time_us: int) -> str:
    """The time of day, UTC."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=max(0, time_us))).strftime("%H:%M:%S")


def number(value: float) -> str:
    """`12,345`; large ones shorter."""
    return f"{value:,.0f}" if value < 1e7 else f"{value / 1e6:,.1f} M"


# --- the head -------------------------------------------------------------------------------------------------------


def head(model: Model, domain: str, now_us: int, width: int, *, paused: bool) -> list[list[Cell]]:
    """Four lines: the domain and how far it is seen; the graph; the flow; what is wrong with us."""
    return [
        _title(model, domain, now_us, width, paused=paused),
        _graph(model, width),
        _flow(model, now_us, width),
        _trouble(model, now_us),
    ]


def _title(model: Model, domain: str, now_us: int, width: int, *, paused: bool) -> list[Cell]:
    figures = model.figures
    seen = f"seen up to {ago(figures.as_of_us, now_us)}" if figures and figures.as_of_us else "not caught up yet"
    line: list[Cell] = [("headwater ", "bold cyan"), (f"{domain}  ", "bold"), (seen, "")]
    if paused:
        line += [("  ", ""), (" PAUSED ", "reverse")]
    counts = model.by_state()
    states = [(f"  {counts[state]:,} {state}", style) for state, style in STATES.items() if counts.get(state)]
    room = width - sum(cell_len(text) for text, _ in line)
    while states and sum(cell_len(text) for text, _ in states) > room:
        states.pop()  # the best states are the last, and the least needed
    return line + states


def _graph(model: Model, width: int) -> list[Cell]:
    figures = model.figures
    if figures is None:
        return [("graph   ", "dim"), ("…", "dim")]
    said = f"{count(figures.datasets, 'dataset')}  {count(figures.jobs, 'job')}  {count(figures.edges, 'edge')}"
    half = max(8, (width - 8 - len(said) - 18) // 2)
    return [
        ("graph   ", "dim"),
        (f"{said}  ", ""),
        ("nodes ", "dim"),
        (spark(model.nodes, half, from_zero=False), "blue"),
        ("  edges ", "dim"),
        (spark(model.edges, half, from_zero=False), "blue"),
    ]


def _flow(model: Model, now_us: int, width: int) -> list[Cell]:
    figures = model.figures
    if figures is None:
        return [("flow    ", "dim"), ("…", "dim")]
    rate = "? events/s" if model.rate is None else f"{number(model.rate)} events/s"
    lag = "lag ?" if figures.lag is None else f"lag {number(figures.lag)}"
    bad = figures.lag is not None and model.rate is not None and figures.lag > 10 * max(100.0, model.rate)
    half = max(8, (width - 8 - 16 - 14 - 4) // 2)
    return [
        ("flow    ", "dim"),
        (f"{rate:<15} ", ""),
        (spark(model.rates, half), "green"),
        ("  ", ""),
        (f"{lag:<13} ", "bold red" if bad else ""),
        (spark(model.lags, half), "yellow"),
    ]


def _trouble(model: Model, now_us: int) -> list[Cell]:
    away = list(model.away.values())
    line: list[Cell] = [
        (f"cannot reach {reach.service} since {brief(now_us - reach.since_us)}  ", "bold red") for reach in away
    ]
    line += [(f"{reach.service}: {reach.why}  " if len(away) > 1 else reach.why, "red") for reach in away if reach.why]
    stopped = model.figures.stopped if model.figures else ()
    if stopped and not line:
        named = ", ".join(str(partition) for partition, _ in stopped)
        line.append((f"STOPPED: partition {named}: {stopped[0][1]}", "bold red"))
    if not line and not model.loaded:
        line.append(("reading the state …", "dim"))
    return line


# --- the panes ------------------------------------------------------------------------------------------------------


def dataset_titles(width: int) -> list[Cell]:
    """The heads of the columns of datasets."""
    name, owner = _dataset_columns(width)
    cells = [
        ("STATE".ljust(10), "dim"),
        (begins("DATASET", name), "dim"),
        ("    BREACH", "dim"),
        (" LAST WRITE", "dim"),
    ]
    return [*cells, (f"  {begins('OWNER', owner - 2)}", "dim")] if owner else cells


def dataset(row: Row, now_us: int, width: int) -> list[Cell]:
    """A dataset."""
    name, owner = _dataset_columns(width)
    breach, colour = to_breach(row, now_us)
    written = f"{brief(now_us - row.last_write_us)} ago" if row.last_write_us else "never"
    state = row.state if row.present else "GONE"
    cells = [
        (state.ljust(10), STATES.get(state, "dim")),
        (ends(row.name, name), "" if row.present else "dim"),
        (breach.rjust(10), colour),
        (written.rjust(11), "dim"),
    ]
    return [*cells, (f"  {begins(row.owner, owner - 2)}", "dim")] if owner else cells


def _dataset_columns(width: int) -> tuple[int, int]:
    """The columns of a name and of an owner (0: there is no room for it)."""
    owner = 20 if width >= _WIDE else 0
    return max(10, width - 10 - 10 - 11 - owner), owner


def loose(one: Loose, width: int) -> list[Cell]:
    """What hangs loose, and the name that was probably meant."""
    kind = f"  {_LOOSE.get(one.kind, one.kind)}"
    shown = f"{'job ' * one.job}{one.name}"
    room = max(20, width - _KIND)
    name = min(max(cell_len(shown), room // 2), room if not one.candidates else room - room // 2)
    cells = [(ends(shown, name), ""), (begins(kind, _KIND), "yellow")]
    if one.candidates:
        cells += [("meant ", "dim"), (ends(one.candidates[0], max(0, room - name - 6)), "bold")]
    return cells


def incident(one: Firing, width: int) -> list[Cell]:
    """An open incident."""
    if one.alert is None:
        said, severity, style = one.subject, "", "red"
    else:
        said, severity, style = one.alert.summary, one.alert.severity.value, _SEVERITIES[one.alert.severity]
    return _event(one.since_us, "FIRING", severity, one.kind, said, style, width)


def event(one: Alert | Note, width: int) -> list[Cell]:
    """Something that happened."""
    if isinstance(one, Note):
        return [(f"{clock(one.at_us)} ", "dim"), (begins(one.text, max(0, width - 9)), "magenta")]
    resolved = one.state is AlertState.RESOLVED
    word, style = ("resolved", "green") if resolved else ("fired", "dim")
    return _event(one.as_of_us, word, one.severity.value, one.kind, one.summary, style, width)


def _event(at_us: int, word: str, severity: str, kind: str, said: str, style: str, width: int) -> list[Cell]:
    start = f"{word:<8} {severity:<6} "
    return [
        (f"{clock(at_us)} ", "dim"),
        (start, style),
        (f"{kind} ", "bold"),
        (begins(said, max(0, width - 9 - len(start) - len(kind) - 1)), ""),
    ]


def happened(model: Model) -> Iterator[Firing | Alert | Note]:
    """The pane of alerts: the open incidents, then what was, newest first."""
    yield from model.alerts_firing()
    for one in reversed(model.log):
        if isinstance(one, Note) or one.state is AlertState.RESOLVED or one.incident_id not in model.firing:
            yield one


def words_of(one: Firing | Alert | Note) -> str:
    """What filters look at, in small letters."""
    if isinstance(one, Note):
        return one.text.lower()
    if isinstance(one, Firing):
        return f"{one.kind} {one.subject} {one.alert.summary if one.alert else ''}".lower()
    return f"{one.kind} {Name(one.namespace, one.name)} {one.summary}".lower()


def pane_title(title: str, said: str, width: int, *, focused: bool) -> list[Cell]:
    """The rule above a pane."""
    start = f"─ {title} "
    line = begins(f"{start}{said} ", width)
    return [
        (line.rstrip() + " " + "─" * max(0, width - cell_len(line.rstrip()) - 1), "bold cyan" if focused else "dim")
    ]


def plain(cells: Iterable[Cell]) -> str:
    """The text of a line."""
    return "".join(text for text, _ in cells).rstrip()
