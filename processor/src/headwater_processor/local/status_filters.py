"""Which datasets `headwater status` shows, and in which order. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from headwater_processor.local.status_view import WORST_FIRST, worst_first
from headwater_processor.state.values import DatasetState
from headwater_schemas.events import Name

TagsOf = Callable[[Name], Collection[str]]
_LAST_US: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Filters:
    """Which datasets are wanted; what is empty lets everything pass, and of several values one is enough."""

    states: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    unlinked: bool = False
    kinds: tuple[str, ...] = ()
    written: frozenset[Name] | None = field(default=None)
    """Only these (what an emitter writes); None: all."""

    def pass_(self, dataset: DatasetState, tags_of: TagsOf) -> bool:
        """Whether a dataset is wanted. `tags_of` is only asked where tags are."""
        return (
            (not self.states or dataset.state in self.states)
            and (not self.owners or dataset.owner in self.owners or _meet(self.owners, dataset.about.owners))
            and (not self.namespaces or dataset.name.namespace in self.namespaces)
            and (not self.names or any(named(dataset.name, pattern) for pattern in self.names))
            and (not self.unlinked or bool(dataset.unlinked))
            and (not self.kinds or dataset.kind in self.kinds)
            and (self.written is None or dataset.name in self.written)
            and (not self.tags or _meet(self.tags, dataset.about.tags) or _meet(self.tags, tags_of(dataset.name)))
        )


def _meet(wanted: Collection[str], found: Collection[str]) -> bool:
    return not set(wanted).isdisjoint(found)


def named(name: Name, pattern: str) -> bool:
    """Whether a name, or its namespace and name, is like the pattern: `*` and `?` match as in policies; without them a part
    of it is enough."""
    if not any(letter in pattern for letter in "*?"):
        return pattern in str(name)
    pattern = pattern.replace("[", "[[]")  # no sets of letters: names have brackets of their own
    return fnmatchcase(name.name, pattern) or fnmatchcase(str(name), pattern)


def in_order(datasets: Iterable[DatasetState], order: str) -> list[DatasetState]:
    """The datasets in one of `ORDERS`."""
    if order == "worst":
        return worst_first(datasets)
    return sorted(datasets, key=ORDERS[order])


def _place(dataset: DatasetState) -> int:
    return WORST_FIRST.index(dataset.state) if dataset.state in WORST_FIRST else len(WORST_FIRST)


def _by_name(dataset: DatasetState) -> tuple[Any, ...]:
    return dataset.name.namespace, dataset.name.name


ORDERS: Final[dict[str, Callable[[DatasetState], tuple[Any, ...]]]] = {
    "worst": lambda d: (),  # by `worst_first`
    "age": lambda d: (d.last_write_us or _LAST_US, *_by_name(d)),
    "name": _by_name,
    "state": lambda d: (_place(d), *_by_name(d)),
    "deadline": lambda d: (d.deadline_us or _LAST_US, *_by_name(d)),
}
"""`age`: the oldest write first, never written last; `deadline`: the next first, none last."""
