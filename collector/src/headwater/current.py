"""Which run the code is in: one per thread and asyncio task, by `contextvars`."""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from headwater.run import Run

CURRENT: Final[ContextVar[Run | None]] = ContextVar("headwater_run", default=None)


def innermost() -> Run | None:
    """The run whose block the code is in, or None."""
    return CURRENT.get()


def leave(token: Token[Run | None]) -> None:
    """Make current again what was before. A block that is left elsewhere than it was entered changes nothing there."""
    try:
        CURRENT.reset(token)
    except (ValueError, RuntimeError):
        return  # a generator was closed by another task or thread, where its run never was the current one
