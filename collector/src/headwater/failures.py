"""An exception as the text of a FAIL or ABORT event: what, where, and what caused it; bounded and masked.

    ConnectionError: refused by postgres://me:***@db
      at load() in /app/load.py:42
      at main() in /app/main.py:7
    caused by OSError: [Errno 111] Connection refused
      at connect() in /usr/lib/python3.11/socket.py:850

The innermost call comes first, because readers further on may keep only the beginning. Lines of source code are left
out: to read them would take a disk, and they may hold secrets.
"""

from __future__ import annotations

import traceback
from typing import Final

from headwater.masking import bounded, error_text, mask

LONGEST_CHARS: Final = 4_000
"""Half of what an event may carry."""

_MESSAGE_CHARS: Final = 2_000
_CAUSE_CHARS: Final = 400
_MOST_FRAMES: Final = 12
_MOST_CAUSES: Final = 4
_MOST_MEMBERS: Final = 5
_PLACE_CHARS: Final = 200
_OUR_MODULES: Final = ("headwater.run", "headwater.jobs")


def failure_text(error: BaseException | str) -> str:
    """Type, message, the innermost calls, and the same of what caused it. At most `LONGEST_CHARS` characters."""
    lines = [error_text(error, _MESSAGE_CHARS)]
    if isinstance(error, BaseException):
        try:
            _describe(error, lines)
        except Exception as trouble:  # noqa: BLE001 - an exception of somebody else's making may do anything
            lines.append(f"  (the traceback cannot be read: {type(trouble).__name__})")
    return bounded("\n".join(lines), LONGEST_CHARS)


def _describe(error: BaseException, lines: list[str]) -> None:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        if seen:
            lines.append(f"caused by {error_text(cause, _CAUSE_CHARS)}")
        seen.add(id(cause))
        lines.extend(_places(cause))
        if isinstance(cause, BaseExceptionGroup):
            lines.extend(_members(cause))
        if len(seen) >= _MOST_CAUSES:
            return
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _places(error: BaseException) -> list[str]:
    frames = [
        (frame.f_code, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_globals.get("__name__") not in _OUR_MODULES
    ]
    told = [
        f"  at {bounded(mask(f'{code.co_qualname}() in {code.co_filename}:{line}'), _PLACE_CHARS)}"
        for code, line in reversed(frames[-_MOST_FRAMES:])
    ]
    if len(frames) > _MOST_FRAMES:
        told.append(f"  … and {len(frames) - _MOST_FRAMES} calls further out")
    return told


def _members(group: BaseExceptionGroup[BaseException]) -> list[str]:
    told = [f"  - {error_text(member, _CAUSE_CHARS)}" for member in group.exceptions[:_MOST_MEMBERS]]
    if len(group.exceptions) > _MOST_MEMBERS:
        told.append(f"  … and {len(group.exceptions) - _MOST_MEMBERS} exceptions more")
    return told
