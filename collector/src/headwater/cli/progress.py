"""A bar for what takes longer than a person likes to wait in the dark: how far, how fast, how long still.

    with progress(context, "reading edges", total=edges, unit="edges") as bar:
        for batch in batches:
            work(batch)
            bar.advance(len(batch))

It is drawn on standard error, only where that is a terminal, not with `--quiet`, and only once the work has taken a second:
what is quick stays quiet, and standard output is never touched. It goes away at the end, also when the block is left by
Ctrl-C or an error: the terminal has its cursor back.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypeVar

import click

from headwater.cli.context import invocation

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_PATIENCE_S: Final = 1.0
"""How long the work may take before a bar is drawn."""

_REDRAWN_S: Final = 0.1
"""How often a bar is told how far the work is: rich keeps a sample of each time, which costs more than a step of ours."""

_T = TypeVar("_T")


class Bar:
    """What the work tells; as a context manager it takes the bar away at the end.

    `clock` gives seconds that only rise.
    """

    def __init__(
        self,
        what: str,
        total: int | None = None,
        *,
        unit: str = "",
        shown: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.done = 0
        self._what = what
        self._total = total
        self._unit = unit
        self._shown = shown
        self._clock = clock
        self._next_s = clock() + _PATIENCE_S
        self._drawn: tuple[Progress, TaskID] | None = None

    def advance(self, steps: int = 1) -> None:
        """So much more is done."""
        self.done += steps
        if not self._shown or self._clock() < self._next_s:
            return
        self._next_s = self._clock() + _REDRAWN_S
        if self._drawn is None:
            self._drawn = _draw(self._what, self._total, self._unit, self.done)
        else:
            drawing, task = self._drawn
            drawing.update(task, completed=self.done)

    def expect(self, total: int | None) -> None:
        """How much there is to do, once it is known."""
        self._total = total
        if self._drawn is not None:
            drawing, task = self._drawn
            drawing.update(task, total=total)

    def begin(self, what: str, total: int | None = None, *, unit: str = "") -> None:
        """The next part of the work: the bar starts again under another name."""
        self.close()
        self.done = 0
        self._what, self._total, self._unit = what, total, unit

    def close(self) -> None:
        """Take the bar away."""
        if self._drawn is not None:
            self._drawn[0].stop()
            self._drawn = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def progress(context: click.Context, what: str, total: int | None = None, *, unit: str = "") -> Iterator[Bar]:
    """A bar for the block. `what` is what is being done, `total` how many steps (None: nobody knows), `unit` what is counted."""
    with Bar(what, total, unit=unit, shown=is_wanted(context)) as bar:
        yield bar


def tracked(bar: Bar, items: Iterable[_T]) -> Iterator[_T]:
    """The items, each counted when the next one is asked for."""
    for item in items:
        yield item
        bar.advance()


def is_wanted(context: click.Context) -> bool:
    """Whether a person is there to look at a bar."""
    return invocation(context).verbosity >= 0 and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _draw(what: str, total: int | None, unit: str, done: int) -> tuple[Progress, TaskID]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        SpinnerColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        """How many a second."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:,.0f} {unit}/s" if unit and speed else f"{speed or 0:,.0f}/s")

    drawing = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        console=Console(stderr=True, highlight=False, markup=False),
        transient=True,
    )
    task = drawing.add_task(what, total=total, completed=done)
    drawing.start()
    return drawing, task
