"""What an invocation was told, shared by all commands: settings, form of the output, how much to say."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from dataclasses import dataclass, field

import click

from headwater.runtime import logs
from headwater.runtime.errors import UsageError
from headwater.runtime.models import LogSettings, Settings
from headwater.runtime.settings import Loaded, load


@dataclass(slots=True)
class Invocation:
    """The global options, wherever on the line they stood. The settings are read when a command asks for them."""

    flags: dict[str, str] = field(default_factory=dict)
    config: str | None = None
    output: str = "table"
    verbosity: int = 0
    _loaded: dict[bool, Loaded] = field(default_factory=dict)

    @property
    def wants_json(self) -> bool:
        """Whether the answer goes to standard output as JSON."""
        return self.output == "json"

    def settings(self, *, discover: bool = True) -> Settings:
        """The settings; with `discover` a running `headwater up` or `demo` may say where Kafka and Redis are.

        Raises:
            UsageError: as `headwater.runtime.settings.load`.
        """
        return self.loaded(discover=discover).settings

    def loaded(self, *, discover: bool = True) -> Loaded:
        """The settings with their origins. The first call sets up the log."""
        if discover not in self._loaded:
            found = load(flags=self.flags, config=self.config, environ=os.environ, discover=discover)
            self._loaded[discover] = found
            logs.configure(self._log_settings(found.settings))
            if found.running is not None and self.verbosity >= 0:
                running = found.running
                sys.stderr.write(f"using the running headwater {running.command} (process {running.pid})\n")
        return self._loaded[discover]

    def as_arguments(self, *, without: Collection[str] = ()) -> list[str]:
        """The global options again, to be put before a command that is started as another process; but for the settings
        `without`, which whoever starts it decides."""
        arguments = ["--output", self.output, *(["--config", self.config] if self.config else [])]
        for key, value in self.flags.items():
            if key in without:
                continue
            arguments += ["--set", f"{key}={value}"]
        return arguments + (["--quiet"] if self.verbosity < 0 else ["--verbose"] * self.verbosity)

    def _log_settings(self, settings: Settings) -> LogSettings:
        if self.verbosity == 0:
            return settings.log
        return settings.log.model_copy(update={"level": "debug" if self.verbosity > 0 else "error"})


def invocation(context: click.Context) -> Invocation:
    """The invocation that a command belongs to; a fresh one for a command that runs alone, as in tests."""
    root = context.find_root()
    if not isinstance(root.obj, Invocation):
        root.obj = Invocation()
    return root.obj


def global_options() -> list[click.Option]:
    """The options that may stand before or after the command; each notes its value in the invocation."""
    return [
        _option("--config", "-c", metavar="FILE", help="Settings, TOML or YAML."),
        _option("--set", "set_", metavar="KEY=VALUE", multiple=True, help="One setting; may be given several times."),
        _option("--kafka", metavar="HOST:PORT", help="Kafka's bootstrap servers."),
        _option("--redis", metavar="URL", help="Redis, as redis://host:6379/0."),
        _option("--domain", metavar="NAME", help="The domain: which graph is meant."),
        _option("--output", "-o", type=click.Choice(["table", "json"]), help="How to answer.  [default: table]"),
        _option("--verbose", "-v", count=True, help="Say more; -vv shows tracebacks."),
        _option("--quiet", "-q", is_flag=True, help="Say errors only."),
    ]


_SHORTCUTS = {"kafka": "kafka.bootstrap_servers", "redis": "redis.url", "domain": "domain"}


def _option(*names: str, **attributes: object) -> click.Option:
    return click.Option(list(names), expose_value=False, callback=_note, **attributes)  # type: ignore[arg-type]  # **object


def _note(context: click.Context, parameter: click.Parameter, value: object) -> None:
    noted, name = invocation(context), parameter.name or ""
    if value == "":
        # Most often a variable of the shell that is not set; the default would be somebody else's Kafka.
        raise UsageError(f"--{name} is empty", remedy="give it a value, or leave it out")
    if not value:
        return
    if name in _SHORTCUTS:
        noted.flags[_SHORTCUTS[name]] = str(value)
    elif name == "set_" and isinstance(value, tuple):
        noted.flags.update(_pair(str(text)) for text in value)
    elif name == "config":
        noted.config = str(value)
    elif name == "output":
        noted.output = str(value)
    elif name == "verbose" and isinstance(value, int):
        noted.verbosity += value
    elif name == "quiet":
        noted.verbosity = -1


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"--set {text!r} is no key=value", remedy="write it as --set processor.lateness_ms=60000")
    return key.strip(), value.strip()
