"""The command `headwater`: see `headwater.cli.root` for how commands join it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

_CLI_MODULES = frozenset({"click", "rich", "pydantic", "yaml"})


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with one of the documented codes."""
    try:
        from headwater.cli.root import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _CLI_MODULES:
            raise
        sys.stderr.write(f"error: the command line needs {error.name}\ntry: pip install 'headwater[cli]'\n")
        sys.exit(2)
    sys.exit(run(sys.argv[1:] if args is None else args))
