"""What the commands of this package share: the reader they open, how they answer, the sentences of their errors."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn, ParamSpec, TypeVar

import click
import redis
from rich.console import Console, RenderableType

from headwater_processor.local.services import ServiceError
from headwater_processor.state import NoStateError, StateError, StateReader, UnknownDatasetError
from headwater_processor.state.errors import AmbiguousNameError

EXIT_BREACHED: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNREACHABLE: Final = 3
EXIT_UNKNOWN: Final = 4

_WIDE: Final = 200
"""Columns of the table where standard output is no terminal."""

_P = ParamSpec("_P")
_R = TypeVar("_R")


class CommandError(click.ClickException):
    """A sentence on stderr and an exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def unknown(message: str) -> CommandError:
    """What was asked for does not exist."""
    return CommandError(message, EXIT_UNKNOWN)


def answering_errors(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Decorate a command so that what can go wrong is a sentence and an exit code, never a traceback."""

    @functools.wraps(command)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return command(*args, **kwargs)
        except (UnknownDatasetError, AmbiguousNameError, NoStateError) as error:
            raise CommandError(str(error), EXIT_UNKNOWN) from error
        except StateError as error:
            raise CommandError(str(error), EXIT_UNREACHABLE) from error
        except ServiceError as error:
            raise CommandError(str(error), EXIT_UNREACHABLE) from error
        except redis.RedisError as error:
            _unreachable(error)

    return wrapper


@contextmanager
def open_reader(context: click.Context) -> Iterator[StateReader]:
    """The reader of the domain that the settings name."""
    client = redis.Redis.from_url(redis_url_of(context), socket_connect_timeout=5.0)
    try:
        yield StateReader(client, domain_of(context))
    finally:
        client.close()


def domain_of(_context: click.Context) -> str:
    """The domain that the settings name."""
    return os.environ.get("HEADWATER_DOMAIN", "default")


def redis_url_of(_context: click.Context) -> str:
    """The Redis that the settings name."""
    return os.environ.get("HEADWATER_REDIS__URL", "redis://127.0.0.1:6379/0")


def answer(context: click.Context, document: Callable[[], Any], lines: Callable[[], RenderableType]) -> None:
    """Print the answer: one JSON document, or lines for a person."""
    if wants_json(context):
        sys.stdout.write(json.dumps(document(), ensure_ascii=False, indent=2) + "\n")
        return
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(lines())
        return
    wide = Console(highlight=False, width=_WIDE)
    with wide.capture() as captured:
        wide.print(lines())
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def wants_json(_context: click.Context) -> bool:
    """Whether `--output json` was given."""
    return os.environ.get("HEADWATER_OUTPUT") == "json"


def _unreachable(error: redis.RedisError) -> NoReturn:
    raise CommandError(
        f"Redis cannot be read: {str(error).rstrip('.')}. "
        "Is it running, and is its address right (--redis, HEADWATER_REDIS__URL)?",
        EXIT_UNREACHABLE,
    ) from error
