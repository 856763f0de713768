"""What the commands of the doors share: libraries that are an extra, flags that are settings."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from headwater.cli.context import Invocation
from headwater.runtime.errors import UsageError


@contextlib.contextmanager
def needing_extra(extra: str) -> Iterator[None]:
    """Imports in the block are those of an extra. Raises UsageError where one is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{error.name or 'a module'} is not installed", remedy=f"pip install 'headwater[{extra}]'"
        ) from error


def note_flags(called: Invocation, flags: dict[str, tuple[str, str | None]]) -> None:
    """Flags of a command as settings: by flag, the setting and what was given.

    Raises:
        UsageError: one is empty, most often a variable of the shell that is not set: `--tokens "$TOKENS"` must not let all in.
    """
    for flag, (setting, value) in flags.items():
        if value == "":
            raise UsageError(f"{flag} is empty", remedy="give it a value, or leave it out")
        if value is not None:
            called.flags[setting] = value
