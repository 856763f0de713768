"""Screens of `headwater top` as text: `python -m tests.support.top_screens` writes those that the tests compare with."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Final

from headwater_processor.local.top.picture import picture

FOLDER: Final = Path(__file__).parent / "top_screens"
SIZES: Final = ((80, 24), (100, 30), (140, 40))

_TEXT: Final = re.compile(r'<text [^>]*? x="([\d.]+)"[^>]*?clip-path="url\(#[^"]*-line-(\d+)\)"[^>]*>(.*?)</text>')
_CELL: Final = 12.2
"""Units of an SVG picture's column, as rich draws it."""


def screen_text(svg: str) -> str:
    """The text of a picture, line by line, every piece in its column."""
    lines: dict[int, str] = {}
    for x, line, text in _TEXT.findall(svg):
        shown = html.unescape(text).replace("\xa0", " ")
        before = lines.get(int(line), "").ljust(round(float(x) / _CELL))
        lines[int(line)] = before + shown
    return "".join(f"{lines.get(at, '').rstrip()}\n" for at in range(max(lines, default=-1) + 1))


def file_of(width: int, height: int) -> Path:
    """Where the screen of a size is kept."""
    return FOLDER / f"{width}x{height}.txt"


def main() -> None:
    """Write all of them."""
    FOLDER.mkdir(exist_ok=True)
    for width, height in SIZES:
        file_of(width, height).write_text(screen_text(picture(width, height)), encoding="utf-8")


if __name__ == "__main__":
    main()
