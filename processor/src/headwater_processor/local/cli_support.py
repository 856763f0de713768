"""What the commands of this package share: the reader they open, how they answer, the sentences of their errors."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, NoReturn, ParamSpec, TypeVar

import click
import redis
from rich.console import Console, RenderableType

from headwater.cli.context import invocation
from headwater.masking import mask
from headwater.runtime.errors import UsageError
from headwater.runtime.models import KafkaSettings, Settings
from headwater.runtime.policy_files import read_policies
from headwater.runtime.redis import connect, translate
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
    settings = invocation(context).settings()
    client = connect(settings.redis, settings.domain)
    try:
        yield StateReader(
            client,
            settings.domain,
            lateness_us=settings.processor.lateness_ms * 1000,
            run_timeout_us=settings.processor.run_timeout_ms * 1000,
        )
    finally:
        client.close()


def domain_of(context: click.Context) -> str:
    """The domain that the settings name."""
    return invocation(context).settings().domain


def answer(context: click.Context, document: Callable[[], Any], lines: Callable[[], RenderableType]) -> None:
    """Print the answer: one JSON document, or lines for a person."""
    if wants_json(context):
        sys.stdout.write(json.dumps(document(), ensure_ascii=False, indent=2) + "\n")
        return
    print_lines(lines())


def print_lines(lines: RenderableType) -> None:
    """Print lines for a person: as wide as the terminal is, or wide and plain where there is none."""
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(lines)
        return
    wide = Console(highlight=False, width=_WIDE)
    with wide.capture() as captured:
        wide.print(lines)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def wants_json(context: click.Context) -> bool:
    """Whether `--output json` was given."""
    return invocation(context).wants_json


@dataclass(frozen=True, slots=True)
class OwnStack:
    """What `up` and `demo` are told: settings, and the services that they are to use instead of their own."""

    settings: Settings
    chosen: frozenset[str]
    """Keys that somebody set, in a file, the environment or a flag."""
    arguments: tuple[str, ...]
    """The global options again, for the workers."""

    @property
    def kafka(self) -> str:
        """Of a Kafka that was named; empty: an embedded one."""
        return self.settings.kafka.bootstrap_servers if "kafka.bootstrap_servers" in self.chosen else ""

    @property
    def redis_url(self) -> str:
        """Of a Redis that was named; empty: an embedded one."""
        return self.settings.redis.url if "redis.url" in self.chosen else ""

    def kafka_at(self, bootstrap_servers: str) -> KafkaSettings:
        """How our own clients reach the stack's Kafka."""
        return self.settings.kafka.model_copy(update={"bootstrap_servers": bootstrap_servers})


def own_stack(context: click.Context, *, on_the_line: bool = False) -> OwnStack:
    """Kafka and Redis only where somebody named them (file, environment or flag); a running stack is not used.

    Args:
        context: of the command.
        on_the_line: whether they must be named by the command line itself.

    Raises:
        UsageError: settings are wrong, or are credentials for a service that was not named, or name one elsewhere than
            they may.
        RefusedError: a policy of the settings is wrong.
    """
    told = invocation(context)
    loaded = told.loaded(discover=False)
    if on_the_line and told.config is None:
        _refuse_what_the_line_does_not_say({k: o for k, o in loaded.origins.items() if k not in told.flags})
    _refuse_credentials_of_nobody(loaded.origins)
    read_policies(loaded.settings.policies)  # a worker would die of it, out of sight
    return OwnStack(loaded.settings, frozenset(loaded.origins), tuple(told.as_arguments()))


def _refuse_what_the_line_does_not_say(origins: Mapping[str, str]) -> None:
    for key, name, flag in (("kafka.bootstrap_servers", "Kafka", "--kafka"), ("redis.url", "Redis", "--redis")):
        if key in origins:
            raise UsageError(
                f"{origins[key]} names a {name}, and invented events would go there",
                remedy=f"say so with {flag}, or try it elsewhere: in a folder without headwater.toml, without HEADWATER_ "
                "variables, where it runs its own Kafka and Redis",
            )


def _refuse_credentials_of_nobody(origins: Mapping[str, str]) -> None:
    """The embedded services take no credentials: with some, every client of ours would be refused in its own words."""
    for key, origin in origins.items():
        for secret, service, address, flag in _CREDENTIALS:
            if key.startswith(secret) and address not in origins:
                where = "" if origin == f"--set {key}" else f" ({origin})"
                raise UsageError(
                    f"setting {key}{where} is for a {service} of yours, and none is named",
                    remedy=f"name it with {flag}, or leave {key} out",
                )


_CREDENTIALS: Final = (
    ("kafka.sasl_", "Kafka", "kafka.bootstrap_servers", "--kafka HOST:PORT"),
    ("kafka.security_protocol", "Kafka", "kafka.bootstrap_servers", "--kafka HOST:PORT"),
    ("kafka.extra.sasl.", "Kafka", "kafka.bootstrap_servers", "--kafka HOST:PORT"),
    ("kafka.extra.security.protocol", "Kafka", "kafka.bootstrap_servers", "--kafka HOST:PORT"),
    ("redis.username", "Redis", "redis.url", "--redis URL"),
    ("redis.password", "Redis", "redis.url", "--redis URL"),
)
"""Beginnings of keys, whose they are, the address that they go with, and the flag that names it."""


def _unreachable(error: redis.RedisError) -> NoReturn:
    remedy = translate(error, "").remedy or "is it running, and is its address right (--redis, HEADWATER_REDIS__URL)?"
    raise CommandError(
        f"Redis cannot be read: {mask(str(error)).rstrip('.')}. {remedy[0].upper()}{remedy[1:]}", EXIT_UNREACHABLE
    ) from error
