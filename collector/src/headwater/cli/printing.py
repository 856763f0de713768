"""Text of somebody else on a line of ours: names, errors and owners may hold what a terminal would obey."""

from __future__ import annotations


def printable(text: str) -> str:
    """A text on a line of its own: line breaks, control characters and marks that turn the direction of what follows, which a
    terminal would obey, are written as `\\x0a`, `\\x1b`, `\\u202e`."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _written_out(ord(letter)) for letter in text)


def _written_out(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
