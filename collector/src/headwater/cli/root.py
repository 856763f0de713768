"""The root of the command line: a group that knows its commands by name and loads each when it is used.

A package adds a command through the entry-point group `headwater.commands` (name = "module:click_command"). The
options of `headwater.cli.context` may stand before or after it. Errors become two lines on stderr and an exit code.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from typing import Any, Final

import click

from headwater import __version__
from headwater.cli.context import global_options, invocation
from headwater.cli.groups import entry_points_of, load_command, with_global_options
from headwater.cli.printing import printable
from headwater.errors import HeadwaterError
from headwater.masking import mask
from headwater.runtime.errors import EXIT_BUG, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, UsageError, exit_code

GROUP: Final = "headwater.commands"

SHORT_HELP: Final = {
    "alerts": "List what fires, take incidents on, silence.",
    "bench": "Measure events a second, latency and memory on this machine.",
    "bridge": "Read OpenLineage documents from Kafka, write events.",
    "cdc": "Watch change data capture: Debezium's topics, and Kafka Connect.",
    "completion": "Print the script that lets a shell complete commands, options and names.",
    "config": "Show the settings and where each comes from.",
    "connect": "Print what to set so that a producer speaks to this installation, and wait for it.",
    "deadletter": "List, show and replay what could not be read.",
    "demo": "Run a whole web shop on this machine, and watch it go wrong.",
    "discover": "Find consumer groups, what they read and how they do, from Kafka alone.",
    "doctor": "Find what is wrong with an installation, and how to mend it.",
    "emit": "Send events: from OpenLineage files, one by flags, or of a command that it runs.",
    "gateway": "Take OpenLineage events by HTTP.",
    "graph": "Export the graph for other tools, and compare two of it.",
    "init": "Write the settings of a new project, and example policies.",
    "k8s-watch": "Watch pods of labelled jobs: what died before it could speak is known too.",
    "policy": "Check policies, put them in force, and see which holds for what and why.",
    "status": "Show how fresh every dataset is, worst first, and what hangs loose.",
    "tail": "Print what is on the topics of deltas, alerts, late events or dead letters.",
    "top": "Watch the graph, its freshness and its alerts live on one screen.",
    "topics": "Create the topics of Headwater.",
    "trace": "Show where a dataset comes from, or goes to, down to pods and offsets.",
    "up": "Run Headwater on this machine: Kafka, Redis, workers.",
    "worker": "Run a worker.",
}
"""One line a command for `headwater --help`, which would otherwise have to load them all."""

_EPILOG: Final = """\b
Examples:
  headwater demo
  headwater status --output json
  headwater emit --openlineage events.jsonl --kafka broker:9092
  headwater tail alerts --from beginning --no-follow

\b
Settings come from a running up or demo, a file (--config, HEADWATER_CONFIG, ./headwater.toml,
~/.config/headwater/config.toml), HEADWATER_… variables and flags; later ones win.
The options above may stand before or after the command.

\b
Exit codes:
  0    done
  1    a finding (with --fail: something is stale, a topic differs)
  2    wrong usage or settings; nothing was done
  3    Kafka or Redis cannot be reached
  4    input refused, or what was asked for does not exist
  70   a bug in Headwater
  130  interrupted
"""


class Root(click.Group):
    """A group whose commands are found by entry points."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_entry_points())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = _entry_points().get(cmd_name)
        return None if found is None else with_global_options(_loaded(found))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in _entry_points() and not name.startswith("-"):
            near = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
            remedy = f"did you mean headwater {near[0]}?" if near else "headwater --help  # lists the commands"
            raise UsageError(f"there is no command {name!r}", remedy=remedy)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, SHORT_HELP.get(name, f"from {found.value}")) for name, found in sorted(_entry_points().items())]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:  # Any: as click's
        try:
            super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            # Whoever read our output has had enough, as `head` has. Nothing more can be written, not even at exit.
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _entry_points() -> dict[str, EntryPoint]:
    return entry_points_of(GROUP)


def _loaded(found: EntryPoint) -> click.Command:
    return load_command(found, f"headwater {found.name}")


@click.group(
    cls=Root, params=[*global_options()], epilog=_EPILOG, context_settings={"help_option_names": ["--help", "-h"]}
)
@click.version_option(__version__, "--version", prog_name="headwater")
def root() -> None:
    """Streaming lineage over Kafka: what reads what, how fresh it is, and what hangs loose."""


def run(args: Sequence[str]) -> int:
    """Run the command line; returns its exit code. Writes errors to stderr, and raises nothing."""
    if instruction := os.environ.get("_HEADWATER_COMPLETE"):
        from headwater.cli.completion import answer

        return answer(root, instruction)
    try:
        with root.make_context("headwater", list(args)) as context:
            root.invoke(context)
    except click.exceptions.Exit as error:
        return error.exit_code
    except (KeyboardInterrupt, EOFError, click.Abort):
        return EXIT_INTERRUPTED
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else EXIT_OK
    except Exception as error:  # noqa: BLE001 - the last place: every error becomes a sentence
        if isinstance(error, click.UsageError) and error.ctx is None:
            error.ctx = _context_of(args)  # the parser of click does not say whose option it was
        return tell(error, verbose=sum(arg.count("v") for arg in args if arg.lstrip("-") in {"v", "vv"}))
    return EXIT_OK


def _context_of(args: Sequence[str]) -> click.Context | None:
    """A context that knows the name of the command that these arguments call; None if they call none."""
    name = next((arg for arg in args if arg in _entry_points()), None)
    return None if name is None else click.Context(root, info_name=f"headwater {name}")


def tell(error: Exception, *, verbose: int = 0) -> int:
    """Say on stderr what went wrong and what to try; returns the exit code that belongs to it."""
    if verbose > 1:
        traceback.print_exception(error)
    error = _translated(error)
    if isinstance(error, HeadwaterError):
        _say(error.message, error.remedy)
        return exit_code(error)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        sys.stderr.write(f"{error.format_message()}\n")
        return EXIT_USAGE
    if isinstance(error, click.UsageError):
        where = error.ctx.command_path if error.ctx is not None else "headwater"
        _say(error.format_message(), f"{where} --help")
        return EXIT_USAGE
    if isinstance(error, click.ClickException):
        _say(error.format_message(), "")
        return error.exit_code
    _say(f"a bug in Headwater: {type(error).__name__}: {error}", "run it again with -vv and report what it prints")
    return EXIT_BUG


def _translated(error: Exception) -> Exception:
    """Errors of clients that a command let through, as ours. Loads no client that was not loaded."""
    if "confluent_kafka" in sys.modules:
        from confluent_kafka import KafkaException

        if isinstance(error, KafkaException):
            from headwater.runtime.kafka import translate as kafka_error

            return kafka_error(error, "the given address")
    if "redis" in sys.modules:
        from redis import RedisError

        if isinstance(error, RedisError):
            from headwater.runtime.redis import translate as redis_error

            return redis_error(error, "the given address")
    return error


def _say(message: str, remedy: str) -> None:
    sys.stderr.write(f"error: {_lines_of(mask(message).strip())}\n")
    if remedy:
        sys.stderr.write(f"try: {_lines_of(mask(remedy).strip())}\n")


def _lines_of(text: str) -> str:
    """Our own lines stay lines; what else a terminal would obey came with somebody's name."""
    return "\n".join(map(printable, text.split("\n")))


__all__ = ["GROUP", "SHORT_HELP", "invocation", "root", "run", "tell"]
