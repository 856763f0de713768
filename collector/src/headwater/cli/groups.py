"""Commands found by entry points: for the root, and for groups that other packages add commands to.

The collector may not import the processor, and the processor's core knows things that belong under `headwater policy`. So
a group names an entry-point group, and whoever is installed may add commands to it:

    [project.entry-points."headwater.policy_commands"]
    show = "headwater_processor.local.policy_cli:show"
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

import click

from headwater.cli.context import global_options
from headwater.runtime.errors import UsageError


class OpenGroup(click.Group):
    """A group that is open to commands of other packages: its own, and those of the entry points of `joined_by`."""

    def __init__(self, *args: Any, joined_by: str = "", **attributes: Any) -> None:  # Any: as click's
        super().__init__(*args, **attributes)
        self.joined_by = joined_by

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *entry_points_of(self.joined_by)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        found = entry_points_of(self.joined_by).get(cmd_name)
        if own is not None or found is None:
            return own
        return with_global_options(load_command(found, f"{ctx.command_path} {cmd_name}"))


def entry_points_of(group: str) -> dict[str, EntryPoint]:
    """What is installed under this entry-point group, by name."""
    return {found.name: found for found in entry_points(group=group)} if group else {}


_EXTRAS: Final = {"jwt": "gateway", "kubernetes": "k8s", "textual": "top", "uvicorn": "gateway"}
"""Libraries that one command alone needs, and the extra that has them."""


def load_command(found: EntryPoint, called: str) -> click.Command:
    """The command behind an entry point; `called` is what a person types for it.

    Raises:
        UsageError: a library that it needs is not installed, or it is no command.
    """
    try:
        command = found.load()
    except ModuleNotFoundError as error:
        missing = error.name or "a module"
        if missing.startswith("headwater"):
            raise UsageError(f"{called} is not part of this installation") from error
        extra = _EXTRAS.get(missing) or ("processor" if found.value.startswith("headwater_processor") else "cli")
        what = f"{called} needs {missing}, which is not installed"
        raise UsageError(what, remedy=f"pip install 'headwater[{extra}]'") from error
    if not isinstance(command, click.Command):
        raise UsageError(f"{called}: {found.value} is no command")
    return command


def with_global_options(command: click.Command) -> click.Command:
    """The command, taking the global options too, but for those whose names it uses itself."""
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            with_global_options(inner)
    taken = {name for parameter in command.params for name in parameter.opts}
    for option in global_options():
        if not taken & {name for name in option.opts if name.startswith("--")}:
            option.opts = [name for name in option.opts if name not in taken]
            option.hidden = option.name != "output" or isinstance(command, click.Group)
            command.params.append(option)
    return command
