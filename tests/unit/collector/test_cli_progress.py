"""The bar of long commands: only for people, only when it takes long, and gone at the end."""

from __future__ import annotations

import io
import os
import pty
from collections.abc import Iterator

import click
import pytest

from headwater.cli.context import Invocation
from headwater.cli.progress import Bar, is_wanted, progress, tracked

_SHOW_CURSOR = "\x1b[?25h"


class Terminal:
    """A terminal that somebody could sit at, as standard error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._ours, theirs = pty.openpty()
        self.stream = os.fdopen(theirs, "w", encoding="utf-8")

    def become_stderr(self) -> None:
        """From now on: pytest puts its own there when a test begins, after the fixtures."""
        self._monkeypatch.setattr("sys.stderr", self.stream)

    def said(self) -> str:
        """What was drawn; nothing can be drawn after that."""
        self.stream.flush()
        os.set_blocking(self._ours, False)
        found = bytearray()
        try:
            while chunk := os.read(self._ours, 65_536):
                found += chunk
        except BlockingIOError:
            pass
        return found.decode()

    def close(self) -> None:
        self.stream.close()
        os.close(self._ours)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    terminal = Terminal(monkeypatch)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    yield terminal
    monkeypatch.undo()
    terminal.close()


def context(verbosity: int = 0) -> click.Context:
    return click.Context(click.Command("some"), obj=Invocation(verbosity=verbosity))


def clock(*times_s: float) -> Iterator[float]:
    return iter(times_s)


def test_quick_work_draws_nothing(terminal: Terminal) -> None:
    terminal.become_stderr()
    with progress(context(), "reading", 2) as bar:
        bar.advance()
        bar.advance()
    assert terminal.said() == ""


def test_long_work_shows_how_far_it_is_and_gives_the_cursor_back(terminal: Terminal) -> None:
    terminal.become_stderr()
    times = clock(0.0, 0.5, 1.5, 1.5, 2.0, 2.0)
    with Bar("reading edges", 100, unit="edges", clock=lambda: next(times)) as bar:
        bar.advance(10)
        bar.advance(10)
        bar.advance(30)
    said = terminal.said()
    assert "reading edges" in said
    assert "50/100" in said
    assert said.rindex(_SHOW_CURSOR) > said.rindex("reading edges")


def test_an_interruption_gives_the_cursor_back(terminal: Terminal) -> None:
    terminal.become_stderr()
    times = clock(0.0, 2.0, 2.0)
    bar = Bar("reading", clock=lambda: next(times))

    def interrupted() -> None:
        with bar:
            bar.advance()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert _SHOW_CURSOR in terminal.said()


def test_nobody_is_shown_a_bar_in_a_pipe_or_when_quiet(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.become_stderr()
    assert is_wanted(context())
    assert not is_wanted(context(verbosity=-1))
    monkeypatch.setenv("TERM", "dumb")
    assert not is_wanted(context())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert not is_wanted(context())


def test_items_are_counted_as_they_are_taken() -> None:
    with Bar("counting", shown=False) as bar:
        assert list(tracked(bar, "abc")) == ["a", "b", "c"]
        assert bar.done == 3
