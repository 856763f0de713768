"""Which topics and groups are looked at: patterns as the shell's, and what is Kafka's or Headwater's own left out. Pure.

| | looked at |
|---|---|
| a name that is written out among the patterns | yes, whatever it is |
| `__*`, Headwater's topics, Headwater's groups | no |
| a name that a pattern to leave out fits | no |
| a name that a pattern fits; any name where there is no pattern | yes |
"""

from __future__ import annotations

import fnmatch
import glob
import re
from collections.abc import Collection, Sequence
from typing import Final

OWN_GROUPS: Final = ("headwater", "headwater-*")
KAFKAS_OWN: Final = "__*"


class Chosen:
    """Names that some patterns choose.

    Args:
        only: patterns of what is looked at; none for everything.
        never: patterns of what is left out.
        own: patterns of what is ours or Kafka's.
    """

    def __init__(self, only: Sequence[str] = (), never: Sequence[str] = (), own: Collection[str] = ()) -> None:
        self._named = frozenset(only)
        self.written_out = sorted(name for name in self._named if glob.escape(name) == name)
        """The names among `only` that are no patterns."""
        self._only = _compiled(only) if only else None
        self._never = _compiled([*never, *own])

    def __contains__(self, name: str) -> bool:
        if name in self._named:
            return True
        if self._never.fullmatch(name):
            return False
        return self._only is None or self._only.fullmatch(name) is not None


def _compiled(patterns: Sequence[str]) -> re.Pattern[str]:
    """One expression for all of them; one that fits nothing for none."""
    return re.compile("|".join(f"(?:{fnmatch.translate(pattern)})" for pattern in patterns) or r"(?!)")
