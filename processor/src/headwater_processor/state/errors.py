"""What can go wrong when the state is read. Every message names the thing and the remedy."""

from __future__ import annotations

from collections.abc import Sequence


class StateError(Exception):
    """Root of this package's errors."""


class LayoutError(StateError, ValueError):
    """A record or a whole state that this version cannot read."""


class NoStateError(StateError):
    """The domain has no state in this Redis."""

    def __init__(self, domain: str) -> None:
        super().__init__(
            f"there is no state of domain {domain!r} in this Redis: "
            "has a worker run here, and are the domain and the Redis address the ones it uses?"
        )
        self.domain = domain


class UnknownDatasetError(StateError):
    """Nothing with this name was ever named by an event; `near` are the most similar names, best first."""

    def __init__(self, asked: str, near: Sequence[str]) -> None:
        hint = f" Did you mean {_or(near)}?" if near else ""
        super().__init__(f"there is no dataset or job named {asked!r}.{hint}")
        self.asked = asked
        self.near = tuple(near)


class AmbiguousNameError(StateError):
    """The name alone exists in several namespaces."""

    def __init__(self, asked: str, matches: Sequence[str]) -> None:
        shown = matches[:5]
        more = f" and {len(matches) - len(shown)} more" if len(matches) > len(shown) else ""
        super().__init__(f"{asked!r} exists in {len(matches)} namespaces; say which one: {', '.join(shown)}{more}")
        self.asked = asked
        self.matches = tuple(matches)


def _or(names: Sequence[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
