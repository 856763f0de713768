"""`headwater top`: the graph, its freshness and its alerts as they change, on one screen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import redis
from rich.console import Group, RenderableType
from rich.text import Text

from headwater.cli.context import invocation
from headwater.masking import mask
from headwater.runtime.errors import UsageError
from headwater.runtime.models import Settings
from headwater.runtime.redis import connect
from headwater_processor.local import trace_view
from headwater_processor.local.cli_support import answering_errors, wants_json
from headwater_processor.local.running import until_signalled
from headwater_processor.local.terminal import is_terminal
from headwater_processor.local.top.app import Top
from headwater_processor.local.top.feed import Feed, Mailbox
from headwater_processor.local.top.picture import picture
from headwater_processor.state import StateError, StateReader
from headwater_processor.state.walk import DOWNSTREAM, UPSTREAM
from headwater_schemas.topics import catalogue

_TIMEOUT_S = 3.0
_DEPTH = 3

_EPILOG = """\b
Examples:
  headwater top                                    what runs here, or what the settings name
  headwater top --kafka broker:9092 --redis redis://localhost:6379/0 --domain shop
  headwater top --picture top.svg                  a picture of an invented shop; needs no servers

\b
? shows the keys. It reads the state in Redis and the topics of deltas and alerts, and writes nothing.
If it cannot reach one of them it says so, goes on with the rest, and comes back by itself.

\b
Exit codes: 0 left with q, 2 wrong usage or settings, or not a terminal.
"""


@click.command(epilog=_EPILOG)
@click.option(
    "--picture",
    "picture_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a picture (SVG) of the view over an invented shop, always the same, and end.",
)
@click.pass_context
@answering_errors
def top(context: click.Context, picture_file: Path | None) -> None:
    """Watch the graph live: how it grows, what becomes stale when, what hangs loose, alerts as they fire and resolve."""
    settings = invocation(context).settings()
    if picture_file is not None:
        _write(picture_file)
        return
    refuse_no_terminal(json=wants_json(context))
    with viewing(settings) as (view, _), until_signalled() as stop:
        view.show(stop)


def refuse_no_terminal(*, json: bool) -> None:
    """Raises UsageError where the view cannot be drawn."""
    if json:
        raise UsageError("headwater top answers with a screen, not with JSON", remedy="headwater status --output json")
    if not is_terminal():
        raise UsageError(
            "headwater top needs a terminal, and standard input, output or error is none",
            remedy="headwater status --watch",
        )


@contextmanager
def viewing(settings: Settings) -> Iterator[tuple[Top, Mailbox]]:
    """The view over what the settings name, with its feed running, and where more news may be put."""
    client = connect(settings.redis, settings.domain, timeout_s=_TIMEOUT_S, connect_timeout_s=_TIMEOUT_S)
    topics = catalogue(settings.topic_prefix)

    def reader() -> StateReader:
        return StateReader(
            client,
            settings.domain,
            lateness_us=settings.processor.lateness_ms * 1000,
            run_timeout_us=settings.processor.run_timeout_ms * 1000,
        )

    feed = Feed(settings.kafka, (topics["events"].name, topics["deltas"].name, topics["alerts"].name), reader)
    view = Top(settings.domain, feed.mailbox.empty, road_of(reader), gone=lambda: feed.failure is not None)
    feed.start()
    try:
        yield view, feed.mailbox
        if feed.failure is not None:
            raise feed.failure
    finally:
        feed.stop()
        client.close()


def road_of(reader: Callable[[], StateReader]) -> Callable[[str, int], RenderableType]:
    """Draws the road of a dataset, up and down; what goes wrong is drawn instead."""

    def road(name: str, now_us: int) -> RenderableType:
        try:
            found = [reader().trace(name, way, _DEPTH) for way in (UPSTREAM, DOWNSTREAM)]
        except (redis.RedisError, StateError) as error:
            return Text(f"cannot be read now: {mask(str(error))}", "bold red")
        up, down = (trace_view.as_tree(trace, now_us) for trace in found)
        return Group(Text("COMES FROM", "bold"), up, Text(), Text("FEEDS", "bold"), down)

    return road


def _write(file: Path) -> None:
    try:
        file.write_text(picture(), encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"the picture cannot be written to {file}: {error.strerror}", remedy="name another file"
        ) from error
    click.echo(f"The picture is in {file}.", err=True)
