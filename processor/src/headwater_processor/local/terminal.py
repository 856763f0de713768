"""Whether somebody looks, and whether there is something to draw a screen with."""

from __future__ import annotations

import sys
from importlib.util import find_spec


def is_terminal() -> bool:
    """Whether what is written goes to a terminal (the screen is drawn on standard error), and what is typed comes from one."""
    return sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()


def can_draw() -> bool:
    """Whether the library of `headwater top` is installed (extra `top`)."""
    return find_spec("textual") is not None
