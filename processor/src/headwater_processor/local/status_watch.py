"""`headwater status --watch`: the same answer again and again, redrawn on a terminal, a new block per change elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event
from typing import Any

import redis
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from headwater_processor.local.running import until_signalled
from headwater_processor.local.status_view import StatusReport, firing
from headwater_processor.local.texts import iso
from headwater_processor.state import StateError

Look = Callable[[], StatusReport]
Lines = Callable[[StatusReport], RenderableType]


@dataclass(frozen=True, slots=True)
class Watch:
    """How to look and how to say it. `print_lines` prints lines for a person where there is no terminal."""

    look: Look
    lines: Lines
    document: Callable[[StatusReport], Any]
    print_lines: Callable[[RenderableType], None]
    now_us: Callable[[], int]
    every_s: float
    as_json: bool = False


def watch(told: Watch, first: StatusReport, console: Console) -> StatusReport:
    """Look until SIGINT (Ctrl-C), SIGTERM or SIGHUP; returns what was seen last. Redis may go away and come back."""
    with until_signalled() as stop:
        if console.is_terminal and not told.as_json:
            return _redrawn(told, first, stop, console)
        return _printed(told, first, stop)


def essence(report: StatusReport) -> tuple[object, ...]:
    """What is worth a new block: states, looseness, owners, alerts and stopped partitions; not clocks and counters."""
    return (
        tuple((d.name, d.state, d.unlinked, d.kind, d.owner, d.candidates, d.present) for d in report.datasets),
        tuple(sorted((alert.fingerprint, alert.state) for alert in firing(report.alerts))),
        tuple((p.partition, p.stopped) for p in report.partitions if p.stopped),
        tuple((job.name, job.unlinked) for job in report.jobs if job.unlinked),
    )


def _redrawn(told: Watch, report: StatusReport, stop: Event, console: Console) -> StatusReport:
    """On the terminal's other screen, so that nothing scrolls; what was seen last stays on the first one."""
    with Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
        live.update(told.lines(report), refresh=True)
        for found in _looks(told, stop):
            if isinstance(found, StatusReport):
                report = found
                live.update(told.lines(report), refresh=True)
            else:
                live.update(Group(Text(found, "bold red"), told.lines(report)), refresh=True)
    console.print(told.lines(report))
    return report


def _printed(told: Watch, report: StatusReport, stop: Event) -> StatusReport:
    seen, trouble = essence(report), ""
    _print(told, report)
    for found in _looks(told, stop):
        if isinstance(found, str):
            if found != trouble:
                sys.stderr.write(f"{found}\n")
            trouble = found
            continue
        report, trouble = found, ""
        if essence(report) != seen:
            seen = essence(report)
            if not told.as_json:
                sys.stdout.write("\n")
            _print(told, report)
    return report


def _print(told: Watch, report: StatusReport) -> None:
    if told.as_json:
        sys.stdout.write(json.dumps(told.document(report), ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(f"--- {iso(told.now_us())}\n")
        told.print_lines(told.lines(report))
    sys.stdout.flush()


def _looks(told: Watch, stop: Event) -> Iterator[StatusReport | str]:
    """A report each time, or a sentence where none could be had."""
    while not stop.wait(told.every_s):
        try:
            yield told.look()
        except (StateError, redis.RedisError) as error:
            yield f"cannot look: {' '.join(str(error).split()).rstrip('.')}; trying again"
