"""The living view on the terminal: takes the news once a second, asks the model for rows, draws what has changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Final

from rich.console import RenderableType
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.filter import LineFilter, NoColor
from textual.screen import ModalScreen, Screen
from textual.widgets import Input, Static

from headwater_processor.local.top import lines
from headwater_processor.local.top.lines import Cell
from headwater_processor.local.top.model import Firing, Loose, Model, News, Row
from headwater_processor.local.top.widgets import Block, Pane
from headwater_processor.local.top.wishes import Wishes

TICK_S: Final = 1.0
"""Between two drawings, but for what a key asks for."""
_ROAD_AGAIN_S: Final = 5.0

Road = Callable[[str, int], RenderableType]
"""The road of a dataset (`namespace/name`) at a time (µs), up and down, as something to print. Called in a thread."""

_HELP: Final = """\
[bold]headwater top[/bold]  what is known now, and what changes

[bold]tab[/bold], [bold]1 2 3[/bold]     the next pane; datasets, loose ends, alerts
[bold]↑ ↓ PgUp PgDn[/bold]  move (also j k); the cursor follows its row
[bold]home end[/bold]       first place (the cursor stays there), last row
[bold]enter[/bold]          the road of the dataset: what it comes from, what it feeds
[bold]/[/bold]              filter by words: names, owners, states; esc clears it
[bold]s[/bold]              other order: worst first, last write, name, owner
[bold]p[/bold]              hold the picture; what comes meanwhile is kept
[bold]q[/bold], [bold]ctrl+c[/bold]      leave

[bold]BREACH[/bold]  when the dataset becomes stale if nobody writes it, or since
        when it is overdue; – if nothing is expected of it
[bold]lag[/bold]     events in Kafka that are not yet in the state
[bold]seen up to[/bold]  deadlines are judged at that time, not at the wall clock

esc goes back"""


class Help(ModalScreen[None]):
    """The keys."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,enter", "dismiss", show=False)]
    CSS = (
        "Help { align: center middle; } Help Static { width: 76; height: auto; padding: 0 2; border: round $primary; }"
    )

    def compose(self) -> ComposeResult:
        """One text."""
        yield Static(_HELP)


class RoadScreen(Screen[None]):
    """Where a dataset comes from, and what it feeds."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter,backspace", "dismiss", show=False),
        Binding("j", "down", show=False),
        Binding("k", "up", show=False),
    ]
    CSS = """
    RoadScreen #road-keys { height: 1; }
    RoadScreen VerticalScroll { scrollbar-size-vertical: 1; }
    RoadScreen Static { height: auto; }
    """

    def __init__(self, dataset: str, road: Callable[[str], RenderableType]) -> None:
        super().__init__()
        self._dataset = dataset
        self._road = road

    def compose(self) -> ComposeResult:
        """A scrolled text."""
        with VerticalScroll():
            yield Static(Text("reading the state …", "dim"), id="road")
        yield Block(
            lambda _: [[("esc", "bold"), (" back   ", ""), ("↑ ↓ PgUp PgDn", "bold"), (" move", "")]], id="road-keys"
        )

    def on_mount(self) -> None:
        """Read it now, and again from time to time."""
        self.query_one("#road-keys", Block).look()
        self._ask()
        self.set_interval(_ROAD_AGAIN_S, self._ask)

    def _ask(self) -> None:
        self.run_worker(self._read, thread=True, exclusive=True)

    def _read(self) -> None:
        found = self._road(self._dataset)
        if self.is_attached:
            self.app.call_from_thread(self._show, found)

    def _show(self, found: RenderableType) -> None:
        self.query_one("#road", Static).update(found)

    def action_down(self) -> None:
        """One line down."""
        self.query_one(VerticalScroll).scroll_down(animate=False)

    def action_up(self) -> None:
        """One line up."""
        self.query_one(VerticalScroll).scroll_up(animate=False)


class Top(App[None]):
    """The view. `news` is asked for what came; `road` draws a dataset's road; both, and the clock, may be anybody's.

    It ends when `gone()` says that nothing will come any more.
    """

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { layout: vertical; }
    #head { height: 4; }
    #datasets { height: 5fr; }
    #below { height: 4fr; }
    #loose { height: 2fr; }
    #alerts { height: 3fr; }
    #filter { height: 1; border: none; padding: 0; display: none; }
    #filter.-open { display: block; }
    #keys { height: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,ctrl+c", "quit", show=False, priority=False),
        Binding("question_mark,h", "help", show=False),
        Binding("slash", "filter", show=False),
        Binding("escape", "clear", show=False),
        Binding("s", "sort", show=False),
        Binding("p", "pause", show=False),
        Binding("tab", "app.focus_next", show=False),
        Binding("1", "pane('datasets')", show=False),
        Binding("2", "pane('loose')", show=False),
        Binding("3", "pane('alerts')", show=False),
    ]

    def __init__(
        self,
        domain: str,
        news: Callable[[], Iterable[News]],
        road: Road,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
        gone: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__()
        self.theme = "ansi-dark"  # the sixteen colours of whoever's terminal it is
        self.animation_level = "none"
        self.model = Model()
        self.wishes = Wishes()
        self.paused = False
        self._domain = domain
        self._news = news
        self._road = road
        self._clock = now_us
        self._now_us = now_us()
        self._gone = gone
        self._shown = (0, 0, 0)
        self._stop = threading.Event()

    def show(self, stop: threading.Event) -> None:
        """Show it until somebody leaves or `stop` is set."""
        self._stop = stop
        self.run()

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Without colours where NO_COLOR asks for it. Textual's own choice turns the terminal's colours to black."""
        return [NoColor()] if self.no_color else super().get_line_filters()

    def compose(self) -> ComposeResult:
        """Head, three panes, filter, keys."""
        yield Block(self._head, id="head")
        yield Pane(
            self._datasets_title,
            lines.dataset_titles,
            lambda row, width: lines.dataset(row, self._now_us, width),
            lambda row: row.name,
            self._no_dataset,
            id="datasets",
        )
        with Vertical(id="below"):
            yield Pane(
                self._loose_title,
                None,
                lines.loose,
                lambda one: (one.name, one.job),
                lambda: "nothing hangs loose",
                id="loose",
            )
            yield Pane(self._alerts_title, None, _alert_line, _alert_key, lambda: "nothing was said yet", id="alerts")
        yield Input(placeholder="words of names, owners, states", id="filter", compact=True, select_on_focus=False)
        yield Block(self._keys, id="keys")

    def on_mount(self) -> None:
        """Begin to look."""
        self.query_one("#datasets").focus()
        self.look()
        self.set_interval(TICK_S, self.look)
        # What was there already comes within the first moments: do not let anybody wait for it.
        for wait_s in (0.15, 0.4, 0.7):
            self.set_timer(wait_s, self.look)

    # --- drawing ----------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Take the news and draw what is different."""
        if self._gone() or self._stop.is_set():
            self.exit()
            return
        self.model.take(self._news())
        if self.paused:
            return
        self._now_us = self._clock()
        self.draw()

    def draw(self) -> None:
        """Draw what is different, without news."""
        if not self.is_attached or not self.query("#datasets"):
            return
        datasets = self.wishes.of(self.model.rows.values())
        loose = [one for one in self.model.loose() if self.wishes.passes(f"{one.name} {one.kind}".lower())]
        alerts = [one for one in lines.happened(self.model) if self.wishes.passes(lines.words_of(one))]
        firing = sum(isinstance(one, Firing) for one in alerts)
        self._shown = (len(datasets), len(loose), firing)
        base = self.screen_stack[0]
        base.query_one("#head", Block).look()
        base.query_one("#datasets", Pane).show(datasets)
        base.query_one("#loose", Pane).show(loose)
        base.query_one("#alerts", Pane).show(alerts)
        base.query_one("#keys", Block).look()

    def _head(self, width: int) -> list[list[Cell]]:
        return lines.head(self.model, self._domain, self._now_us, width, paused=self.paused)

    def _datasets_title(self, width: int, focused: bool) -> list[Cell]:
        said = f"{self._shown[0]:,}, {self.wishes.sort}"
        if self.wishes.words:
            said += f", with “{' '.join(self.wishes.words)}”"
        return lines.pane_title("DATASETS", said, width, focused=focused)

    def _loose_title(self, width: int, focused: bool) -> list[Cell]:
        return lines.pane_title("LOOSE ENDS", f"{self._shown[1]:,}", width, focused=focused)

    def _alerts_title(self, width: int, focused: bool) -> list[Cell]:
        return lines.pane_title("ALERTS", f"{self._shown[2]:,} firing", width, focused=focused)

    def _no_dataset(self) -> str:
        if self.wishes.words:
            return "no dataset passes the filter; esc clears it"
        return "no dataset is known yet: send events (headwater emit --help)" if self.model.loaded else ""

    def _keys(self, width: int) -> list[list[Cell]]:
        keys = (
            ("?", "help"), ("/", "filter"), ("s", "sort"), ("enter", "road"), ("tab", "pane"),
            ("p", "go on" if self.paused else "pause"), ("q", "quit"),
        )  # fmt: skip
        return [[cell for key, word in keys for cell in ((key, "bold"), (f" {word}   ", "dim"))]]

    # --- keys -------------------------------------------------------------------------------------------------------

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(Help())

    def action_sort(self) -> None:
        """Another order of the datasets."""
        self.wishes = self.wishes.sorted_next()
        self.draw()

    def action_pause(self) -> None:
        """Hold the picture, or go on."""
        self.paused = not self.paused
        self.look()
        self.draw()

    def action_pane(self, name: str) -> None:
        """Go to a pane."""
        self.query_one(f"#{name}").focus()

    def action_filter(self) -> None:
        """Ask for words."""
        box = self.query_one("#filter", Input)
        box.add_class("-open")
        box.focus()

    def action_clear(self) -> None:
        """Take the filter away."""
        box = self.query_one("#filter", Input)
        box.value = ""
        box.remove_class("-open")
        self.query_one("#datasets").focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while the words are typed."""
        self.wishes = self.wishes.filtered(event.value)
        self.draw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """The words stand; back to the rows."""
        event.input.set_class(bool(event.value), "-open")
        self.query_one("#datasets").focus()

    def on_pane_chosen(self, event: Pane.Chosen) -> None:
        """The road of what was chosen, if it is a dataset."""
        if name := _dataset_of(event.row):
            self.push_screen(RoadScreen(name, lambda dataset: self._road(dataset, self._clock())))


def _alert_line(one: Any, width: int) -> list[Cell]:  # Any: a row of a pane
    return lines.incident(one, width) if isinstance(one, Firing) else lines.event(one, width)


def _alert_key(one: Any) -> Any:  # Any: a row of a pane, and whatever tells it from others
    return (one.kind, one.subject, one.since_us) if isinstance(one, Firing) else one


def _dataset_of(row: Any) -> str:  # Any: a row of a pane
    """The dataset that a row is about; empty if it is about something else."""
    if isinstance(row, Row):
        return row.name
    if isinstance(row, Loose):
        return "" if row.job else row.name
    if isinstance(row, Firing) and row.alert is not None:
        return row.subject if row.alert.subject_kind == "dataset" else ""
    return ""
