"""The living view on the screen: a fixed scene, at fixed sizes, and what keys do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.support.top_screens import SIZES, file_of, screen_text
from textual.pilot import Pilot

import headwater_processor
from headwater.cli.root import run
from headwater.runtime.errors import EXIT_USAGE
from headwater_processor.local.top.app import Help, RoadScreen, Top
from headwater_processor.local.top.lines import brief, ends, head, plain, spark
from headwater_processor.local.top.model import Figures, Model, News, Reach, Snapshot
from headwater_processor.local.top.picture import NOW_US, picture, scene, scene_view
from headwater_processor.local.top.widgets import Pane
from headwater_processor.state.values import DatasetState
from headwater_schemas.events import Name

S = 1_000_000
PICTURE = Path(headwater_processor.__file__).parents[2] / "pictures" / "top.svg"


def with_keys(act: Callable[[Top, Pilot[None]], Awaitable[None]], view: Top | None = None) -> None:
    """Run the scene without a terminal and do something with it."""

    async def drive() -> None:
        app = view or scene_view()
        async with app.run_test(size=(100, 30)) as pilot:
            await pilot.pause()
            app.look()
            await act(app, pilot)

    asyncio.run(drive())


def shown(app: Top) -> str:
    """What is on the screen."""
    return screen_text(app.export_screenshot())


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_scene_looks_as_it_did(width: int, height: int) -> None:
    """If it is meant to look different: python -m tests.support.top_screens"""
    assert screen_text(picture(width, height)) == file_of(width, height).read_text(encoding="utf-8")


def test_the_picture_in_the_repository_is_what_the_command_makes() -> None:
    """If not: headwater top --picture processor/pictures/top.svg"""
    assert screen_text(PICTURE.read_text(encoding="utf-8")) == screen_text(picture())


def test_words_filter_all_panes_and_escape_takes_them_away() -> None:
    async def act(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("slash", *"marts", "enter")
        assert "DATASETS 5, worst first, with “marts”" in shown(app)
        assert "postgres://" not in shown(app)
        assert "LOOSE ENDS 0" in shown(app)
        await pilot.press("escape")
        assert "DATASETS 35, worst first ─" in shown(app)

    with_keys(act)


def test_another_order_is_a_key_away() -> None:
    async def act(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("s", "s")
        assert "DATASETS 35, name" in shown(app)

    with_keys(act)


def test_enter_shows_the_road_of_the_dataset_under_the_cursor_and_escape_comes_back() -> None:
    async def act(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert isinstance(app.screen, RoadScreen)
        assert "the road of snowflake://acme-shop/analytics.marts.inventory_levels" in shown(app)
        await pilot.press("escape")
        await pilot.pause()
        assert "DATASETS 35" in shown(app)

    with_keys(act)


def test_help_is_a_question_mark_away() -> None:
    async def act(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("question_mark")
        assert isinstance(app.screen, Help)
        assert "filter by words" in shown(app)
        await pilot.press("escape")
        assert not isinstance(app.screen, Help)

    with_keys(act)


def test_the_cursor_follows_its_row_and_stays_at_the_first_place_until_it_was_moved() -> None:
    async def act(app: Top, pilot: Pilot[None]) -> None:
        pane = app.query_one("#datasets", Pane)
        await pilot.press("down")
        chosen = pane.chosen.name
        await pilot.press("s", "s")
        assert pane.chosen.name == chosen
        await pilot.press("home", "s", "s")
        assert pane.chosen.name != chosen

    with_keys(act)


def test_a_paused_view_stands_still_and_loses_nothing() -> None:
    news: list[News] = list(scene())

    def arrived() -> list[News]:
        found, news[:] = list(news), []
        return found

    async def act(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("p")
        before = shown(app)
        assert "PAUSED" in before
        news.append(Snapshot())
        app.look()
        await pilot.pause()
        assert shown(app) == before
        await pilot.press("p")
        assert "DATASETS 0" in shown(app)

    with_keys(act, Top("shop", arrived, lambda name, _: name, lambda: NOW_US))


def test_no_color_leaves_the_colours_out(monkeypatch: pytest.MonkeyPatch) -> None:
    red = "#cc555a"  # of the terminal that rich draws pictures of
    assert red in picture()
    monkeypatch.setenv("NO_COLOR", "1")
    assert red not in picture()
    monkeypatch.setenv("NO_COLOR", "1")  # textual takes it away
    assert screen_text(picture(80, 24)) == file_of(80, 24).read_text(encoding="utf-8")


def test_where_no_terminal_is_the_remedy_is_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["top"]) == EXIT_USAGE
    said = capsys.readouterr().err
    assert "needs a terminal" in said
    assert "headwater status --watch" in said


def test_json_is_asked_of_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["top", "--output", "json"]) == EXIT_USAGE
    assert "headwater status --output json" in capsys.readouterr().err


def test_a_picture_is_written_without_any_server(tmp_path: Path) -> None:
    assert run(["top", "--picture", str(tmp_path / "top.svg")]) == 0
    assert (tmp_path / "top.svg").read_text(encoding="utf-8") == picture()


def test_a_picture_that_cannot_be_written_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["top", "--picture", str(tmp_path / "nowhere" / "top.svg")]) == EXIT_USAGE
    assert "cannot be written" in capsys.readouterr().err


def test_q_leaves() -> None:
    async def act(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("q")
        assert app.return_code == 0

    with_keys(act)


def test_ten_thousand_datasets_are_drawn_in_a_fraction_of_a_second() -> None:
    many = [
        DatasetState(Name("n", f"d{at:05d}"), True, state="FRESH", deadline_us=NOW_US + at * S, last_write_us=NOW_US)
        for at in range(10_000)
    ]

    async def act(app: Top, pilot: Pilot[None]) -> None:
        app.model.take([Snapshot(many)])
        began_s = time.process_time()
        app.draw()
        await pilot.press("end")
        took_s = time.process_time() - began_s
        assert "n/d09999" in shown(app)
        assert "DATASETS 10,000" in shown(app)
        assert took_s < 1.0  # measured: 0.05; this is about drawing what is not seen, which takes many

    with_keys(act)


def test_what_cannot_be_reached_is_said_in_place_with_its_age() -> None:
    model = Model()
    model.take([Figures(NOW_US), Reach("Redis", NOW_US - 5 * S, "connection refused")])
    said = [plain(line) for line in head(model, "shop", NOW_US, 80, paused=False)]
    assert said[3] == "cannot reach Redis since 5.0 s  connection refused"
    model.take([Reach("Redis"), Snapshot()])
    assert plain(head(model, "shop", NOW_US, 80, paused=False)[3]) == ""


def test_a_partition_that_stands_still_is_said() -> None:
    model = Model()
    model.take([Figures(NOW_US, stopped=((3, "too much that cannot be read"),))])
    assert (
        plain(head(model, "shop", NOW_US, 80, paused=False)[3]) == "STOPPED: partition 3: too much that cannot be read"
    )


@pytest.mark.parametrize(
    ("values", "bars"), [([], "    "), ([0, 0], "  ▁▁"), ([0, 7, 14], " ▁▅█"), ([1, 2, 3, 4, 8], "▃▄▅█"), ([5], "   █")]
)
def test_a_chart_shows_the_last_values_from_zero_on(values: list[float], bars: str) -> None:
    assert spark(values, 4) == bars


def test_a_chart_of_growth_begins_at_the_least_value() -> None:
    assert spark([100, 101, 102], 3, from_zero=False) == "▁▅█"


@pytest.mark.parametrize(
    ("time_us", "said"),
    [
        (4_200_000, "4.2 s"),
        (-40 * S, "40 s"),
        (59_900_000, "1 min"),
        (12 * 60 * S, "12 min"),
        (3600 * 35 * S // 10, "3.5 h"),
        (21 * 86_400 * S, "21 d"),
    ],
)
def test_lengths_of_time_are_brief(time_us: int, said: str) -> None:
    assert brief(time_us) == said


@pytest.mark.parametrize(
    ("text", "said"), [("abc", "abc  "), ("abcdef", "…cdef"), ("x" * 500, "…xxxx"), ("日本語日本", "…日本")]
)
def test_of_a_name_that_is_too_long_the_end_stays(text: str, said: str) -> None:
    assert ends(text, 5).rstrip() == said.rstrip()
