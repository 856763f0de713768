"""What the person at the view wants to see of the datasets: filter and order. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from headwater_processor.local.top.model import Row

SORTS: Final = ("worst first", "last write", "name", "owner")


@dataclass(frozen=True, slots=True)
class Wishes:
    """`words` must all be in what is shown; `sort` is one of SORTS."""

    words: tuple[str, ...] = ()
    sort: str = SORTS[0]

    def filtered(self, text: str) -> Wishes:
        """Other words, as typed."""
        return replace(self, words=tuple(text.lower().split()))

    def sorted_next(self) -> Wishes:
        """The next order."""
        return replace(self, sort=SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)])

    def passes(self, text: str) -> bool:
        """Whether a text (in small letters) has all words."""
        return all(word in text for word in self.words)

    def of(self, rows: Iterable[Row]) -> list[Row]:
        """The datasets that pass, in order. What is not there any more comes last, and only if somebody looks for it."""
        words = self.words
        found = [row for row in rows if (all(word in row.text for word in words) if words else row.present)]
        found.sort(key=_KEYS[self.sort])
        return found


_KEYS: Final[dict[str, Callable[[Row], Any]]] = {  # Any: tuples of different kinds, compared within one order only
    "worst first": lambda row: row.rank,
    "last write": lambda row: (-row.last_write_us, row.name),
    "name": lambda row: row.name,
    "owner": lambda row: (not row.owner, row.owner, row.rank),
}
