"""The pieces of the living view's screen: a head of lines, and panes that draw only the rows that are seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from headwater_processor.local.top.lines import Cell

Lines = Callable[[int], list[list[Cell]]]
"""Lines for a width."""


@lru_cache(maxsize=256)
def _style(name: str) -> Style:
    return Style.parse(name) if name else Style.null()


def strip_of(cells: Sequence[Cell], width: int, under: str = "") -> Strip:
    """A line of so many columns; `under` is a style instead of those of the cells."""
    below = _style(under)
    strip = Strip([Segment(text, below or _style(style)) for text, style in cells])
    return strip.crop_extend(0, width, below)


class Block(Widget):
    """Some lines that are drawn anew when they are told to."""

    def __init__(self, lines: Lines, **attributes: Any) -> None:  # Any: as textual's
        super().__init__(**attributes)
        self._lines = lines
        self._drawn: tuple[int, list[list[Cell]]] = (-1, [])

    def look(self) -> None:
        """Draw again if something is different."""
        lines = self._lines(self.size.width)
        if (self.size.width, lines) != self._drawn:
            self._drawn = (self.size.width, lines)
            self.refresh()

    def on_resize(self) -> None:
        """Another width, other lines."""
        self.look()

    def render_line(self, y: int) -> Strip:
        """One line."""
        lines = self._drawn[1]
        return strip_of(lines[y] if y < len(lines) else [], self.size.width)


class Pane(Widget, can_focus=True):
    """A title, heads of columns, and rows with a cursor. The rows are values; only those in sight are worded.

    The cursor stays with its row when rows change places, once it was moved; before, it stays at the first place. `None`
    of `titles` means that there are no heads.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup,ctrl+b", "page(-1)", show=False),
        Binding("pagedown,ctrl+f,space", "page(1)", show=False),
        Binding("home,g", "first", show=False),
        Binding("end,G", "last", show=False),
        Binding("enter", "choose", show=False),
    ]

    class Chosen(Message):
        """Enter on a row."""

        def __init__(self, pane: Pane, row: Any) -> None:
            super().__init__()
            self.pane = pane
            self.row = row

    def __init__(
        self,
        title: Callable[[int, bool], list[Cell]],
        titles: Callable[[int], list[Cell]] | None,
        draw: Callable[[Any, int], list[Cell]],
        key: Callable[[Any], Any],
        empty: Callable[[], str],
        **attributes: Any,
    ) -> None:
        super().__init__(**attributes)
        self._title = title
        self._titles = titles
        self._draw = draw
        self._key = key
        self._empty = empty
        self._rows: Sequence[Any] = ()
        self._top = 0
        self._cursor = 0
        self._held: Any = None
        self._drawn: list[tuple[list[Cell], str]] = []
        self._drawn_width = 0

    def show(self, rows: Sequence[Any]) -> None:
        """These rows from now on; draws those that are in sight, if they look different."""
        self._rows = rows
        if self._held is not None:
            at = self._cursor
            if not (at < len(rows) and self._key(rows[at]) == self._held):
                self._cursor = next((i for i, row in enumerate(rows) if self._key(row) == self._held), at)
        self.look()

    @property
    def chosen(self) -> Any:
        """The row under the cursor; None if there is none."""
        return self._rows[self._cursor] if self._cursor < len(self._rows) else None

    def look(self) -> None:
        """Word what is in sight, and draw it if it is different."""
        width, heads = self.size.width, 1 + (self._titles is not None)
        seen = max(0, self.size.height - heads)
        self._cursor = max(0, min(self._cursor, len(self._rows) - 1))
        self._top = max(0, min(self._top, self._cursor, len(self._rows) - seen))
        self._top = max(self._top, self._cursor - seen + 1) if seen else 0
        lines = [(self._title(width, self.has_focus), "")]
        if self._titles is not None:
            lines.append((self._titles(width), ""))
        for at in range(self._top, min(self._top + seen, len(self._rows))):
            marked = "reverse" if at == self._cursor and self.has_focus else ""
            lines.append((self._draw(self._rows[at], width), marked))
        if not self._rows and self._empty():
            lines.append(([(self._empty(), "dim")], ""))
        if lines != self._drawn or width != self._drawn_width:
            self._drawn, self._drawn_width = lines, width
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """One line."""
        cells, under = self._drawn[y] if y < len(self._drawn) else ([], "")
        return strip_of(cells, self.size.width, under)

    def on_resize(self) -> None:
        """Another size."""
        self.look()

    def on_focus(self) -> None:
        """The cursor is shown."""
        self.look()

    def on_blur(self) -> None:
        """The cursor is hidden."""
        self.look()

    def on_click(self, event: events.Click) -> None:
        """The row that was clicked."""
        at = self._top + event.y - 1 - (self._titles is not None)
        if 0 <= at < len(self._rows):
            self._go(at)

    def action_move(self, rows: int) -> None:
        """Some rows up or down."""
        self._go(self._cursor + rows)

    def action_page(self, pages: int) -> None:
        """Some pages up or down."""
        self._go(self._cursor + pages * max(1, self.size.height - 3))

    def action_first(self) -> None:
        """To the first place; the cursor stays there, whoever takes it."""
        self._go(0)
        self._held = None

    def action_last(self) -> None:
        """To the last row."""
        self._go(len(self._rows) - 1)

    def action_choose(self) -> None:
        """Tell which row is meant."""
        if self.chosen is not None:
            self.post_message(self.Chosen(self, self.chosen))

    def _go(self, at: int) -> None:
        self._cursor = max(0, min(at, len(self._rows) - 1))
        self._held = self._key(self.chosen) if self.chosen is not None else None
        self.look()
