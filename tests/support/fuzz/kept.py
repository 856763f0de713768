"""Payloads that once broke something, as files: one record in hex a line, batches parted by an empty line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.support.checked import read_checked
from tests.support.fuzz.payloads import session
from tests.support.fuzz.reading import Values, fails
from tests.support.fuzz.writers import schemas

FOLDER: Final = Path(__file__).parents[2] / "corpus" / "decode"
TOMBSTONE: Final = "null"
EXAMPLES: Final = 8
_REPEAT: Final = "*"
_LONG: Final = re.compile(rb"(.)\1{99,}", re.DOTALL)


def load(path: Path) -> list[list[bytes | None]]:
    """The batches of a file. `41*3` is a piece of hex three times; `#` begins a comment; an empty record is `-`."""
    batches: list[list[bytes | None]] = [[]]
    for line in path.read_text(encoding="utf-8").splitlines():
        words = line.partition("#")[0].split()
        if words:
            batches[-1].append(_record(words))
        elif not line and batches[-1]:
            batches.append([])
    return [batch for batch in batches if batch]


def _record(words: Sequence[str]) -> bytes | None:
    if words == [TOMBSTONE]:
        return None
    out = b""
    for word in words:
        piece, _, times = word.partition(_REPEAT)
        out += bytes.fromhex("" if piece == "-" else piece) * int(times or 1)
    return out


def dump(batches: Sequence[Values], path: Path, comment: str) -> None:
    """Write a file that `load` reads."""
    lines = [f"# {line}" for line in comment.splitlines()]
    for batch in batches:
        lines += [_line(value) for value in batch]
        lines.append("")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")


def _line(value: bytes | None) -> str:
    if not value:
        return TOMBSTONE if value is None else "-"
    pieces, at = [], 0
    for long in _LONG.finditer(value):
        pieces += [value[at : long.start()].hex(), f"{long.group(1).hex()}{_REPEAT}{len(long.group())}"]
        at = long.end()
    return " ".join(piece for piece in (*pieces, value[at:].hex()) if piece)


def examples(seed: int, sessions: int = 12) -> dict[str, list[tuple[str, bytes | None]]]:
    """Some small payloads of each outcome, each made in another way: (way, value) by outcome."""
    found: dict[str, dict[str, bytes | None]] = {}
    known = schemas()
    for number in range(sessions):
        for payload in (each for batch in session(seed, number) for each in batch):
            read = read_checked(payload.value or b"", known)
            ways = found.setdefault(read if isinstance(read, str) else "decoded", {})
            best = ways.get(payload.way)
            if payload.way not in ways or len(payload.value or b"") < len(best or b""):
                ways[payload.way] = payload.value
    return {
        outcome: sorted(ways.items(), key=lambda made: (len(made[1] or b""), made[0]))[:EXAMPLES]
        for outcome, ways in sorted(found.items())
    }


def smallest(batches: Sequence[Values], tries: int = 400) -> list[list[bytes | None]]:
    """Fewer batches and records that still fail; all of them where they fail only under the conditions of the run."""
    left = [list(batch) for batch in batches]
    if not fails(left):
        return left
    chunk = max(1, len(left) // 2)
    while chunk and tries:
        for at in range(len(left) - chunk, -1, -chunk):
            tries -= 1
            fewer = left[:at] + left[at + chunk :]
            if fewer and fails(fewer):
                left = fewer
        chunk //= 2
    return [_fewer_records(left, number, tries) for number in range(len(left))]


def _fewer_records(batches: list[list[bytes | None]], number: int, tries: int) -> list[bytes | None]:
    chunk = max(1, len(batches[number]) // 2)
    while chunk and tries > 0:
        for at in range(len(batches[number]) - chunk, -1, -chunk):
            tries -= 1
            batch = batches[number]
            fewer = batch[:at] + batch[at + chunk :]
            if fewer and fails([*batches[:number], fewer, *batches[number + 1 :]]):
                batches[number] = fewer
        chunk //= 2
    return batches[number]
