"""Text of somebody else on a line of ours: names, errors and owners may hold what a terminal would obey."""

from __future__ import annotations

import re
from typing import Final

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def printable(text: str) -> str:
    """A text on a line of its own: line breaks and control characters, which a terminal would obey, are written as `\\x1b`."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
