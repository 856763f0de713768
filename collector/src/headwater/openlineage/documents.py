"""Documents out of a file: JSON lines, one JSON document over many lines, several of them, or an array."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import orjson

from headwater.errors import ConfigError
from headwater.openlineage.values import Json, Rejected

MOST_BYTES: Final = 512 * 1024 * 1024
"""The largest file that is read whole. JSON lines are read line by line and may be of any size."""

_MOST_LINE_BYTES: Final = 64 * 1024 * 1024

Document = tuple[int, Mapping[str, Json] | Rejected]
"""The line on which it begins, from 1, and the document or why it is none."""


def iter_documents(path: str | Path) -> Iterator[Document]:
    """The documents of a file, in order. What is no JSON object is given as `Rejected`, and reading goes on after it.

    Raises:
        ConfigError: the file cannot be read, or is larger than `MOST_BYTES` and not JSON lines.
    """
    path = Path(path)
    try:
        if _is_json_lines(path):
            yield from _lines(path)
        else:
            yield from _whole(path)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", remedy="name a readable file") from error


def _is_json_lines(path: Path) -> bool:
    """Whether the first line that is not empty is a whole JSON object; a file of nothing but white space is."""
    with path.open("rb") as file:
        for line in file:
            stripped = line.removeprefix(b"\xef\xbb\xbf").strip()
            if stripped:
                return stripped.startswith(b"{") and isinstance(_parsed(stripped), Mapping)
    return True


def _lines(path: Path) -> Iterator[Document]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(_MOST_LINE_BYTES):
            number += 1
            stripped = line.removeprefix(b"\xef\xbb\xbf").strip() if number == 1 else line.strip()
            if stripped:
                yield number, _object(_parsed(stripped))


def _parsed(line: bytes) -> Json:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return Rejected("", f"not JSON: {error}")


def _object(value: Json) -> Mapping[str, Json] | Rejected:
    if isinstance(value, Mapping | Rejected):
        return value
    return Rejected("", "not a JSON object")


def _whole(path: Path) -> Iterator[Document]:
    if path.stat().st_size > MOST_BYTES:
        raise ConfigError(
            f"{path} is larger than {MOST_BYTES // 2**20} MiB", remedy="write it as JSON lines: one event a line"
        )
    text = path.read_bytes().removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    decoder, at, line, seen = json.JSONDecoder(), 0, 1, 0
    in_array = text.lstrip()[:1] == "["
    while (at := _next(text, at, in_array)) < len(text):
        line, seen = line + text.count("\n", seen, at), at
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            yield line, Rejected("", f"not JSON: {error}")
            return
        yield line, _object(value)


def _next(text: str, at: int, in_array: bool) -> int:
    """Where the next value begins: after white space, and in an array after its brackets and commas."""
    between = " \t\r\n[,]" if in_array else " \t\r\n"
    while at < len(text) and text[at] in between:
        at += 1
    return at
