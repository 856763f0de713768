"""The parts of a plan, cut into calls that keep Redis busy for a few milliseconds each.

A large batch costs far less an event than a small one (what repeats within it is written once), but Redis serves nobody
else while a script runs. So the parts of a plan that only grow (assertions, records that are joined, runs) may go ahead in
calls of their own, under the same fence, and the last one moves the fence. A crash between them leaves facts of records
that are read again: joining them twice changes nothing, as after any replay. What removes stays in the last call, for
others have to see a removal and its count at once; so do the names, which ask for images of all of it.
"""

from __future__ import annotations

from typing import Any, Final

from headwater_processor.core.pack import pack

PIECE_MAX: Final = 2_000
"""Weight of a call: about that many simple writes, 2 to 4 ms of Redis."""

PARTS: Final = (
    "names", "ds", "dz", "sv", "mv", "fr", "job", "jz", "edge", "ez", "ax", "mz", "ex", "al", "wp", "cad", "runs",
    "ro_add", "ro_rem", "closed", "outbox", "gone", "about",
)  # fmt: skip
"""The lists of a call in the order of apply.lua."""

_STRIDE: Final = dict.fromkeys(PARTS, 2) | {"runs": 5, "closed": 1}
WEIGHT: Final = {
    **dict.fromkeys(PARTS, 1),
    "ds": 2, "dz": 2, "sv": 2, "mv": 2, "fr": 3, "job": 2, "edge": 2, "ez": 2, "ax": 4, "ex": 2, "al": 2, "wp": 2,
    "cad": 4, "runs": 3, "about": 2,
}  # fmt: skip
"""Of one element of a part, in simple writes of about 1.5 µs: what is joined is read first, and of two members of `ax` with
equal scores the whole names are compared, a dozen times. By regression of Redis' own times of 700 calls."""
_ORDER: Final = (*(name for name in PARTS if name != "runs"), "runs")
"""Runs come behind what says which of them are open: joining one may find that it is not."""
_LAST: Final = frozenset({"closed", "outbox", "gone"})
_LAST_OF_REMOVALS: Final = frozenset({"ds", "sv", "mv"})


def blobs(parts: list[list[Any]], piece_max: int = PIECE_MAX) -> list[bytes]:
    """The calls as msgpack, in order; the last one is the one that moves the fence. One, if it is small."""
    weights = [_weight(name, part) for name, part in zip(PARTS, parts, strict=True)]
    if sum(weights) <= piece_max:
        return [pack(parts)]
    removes = bool(parts[PARTS.index("gone")])
    packed: list[bytes] = []
    piece: list[list[Any]] = [[] for _ in PARTS]
    last: list[list[Any]] = [[] for _ in PARTS]
    room = piece_max
    for name in _ORDER:
        at = PARTS.index(name)
        part = parts[at]
        if name in _LAST or (removes and name in _LAST_OF_REMOVALS):
            last[at] = part
            continue
        for lo, hi, weight in _runs_of(name, part, piece_max):
            if weight > room:
                packed.append(pack(piece))
                piece, room = [[] for _ in PARTS], piece_max
            piece[at] = piece[at] + part[lo:hi] if piece[at] else part[lo:hi]
            room -= weight
    packed.append(pack(piece))
    packed.append(pack(last))
    return packed


def _weight(name: str, part: list[Any]) -> int:
    if name in ("ro_add", "ro_rem"):
        return sum(map(len, part[1::2]))
    return len(part) // _STRIDE[name] * WEIGHT[name]


def _runs_of(name: str, part: list[Any], piece_max: int) -> list[tuple[int, int, int]]:
    """Stretches of a part (from, to, weight) that fit a piece: whole elements, a quarter of a piece at most."""
    if name in ("ro_add", "ro_rem"):
        return [(at, at + 2, len(part[at + 1])) for at in range(0, len(part), 2)]
    stride, weight = _STRIDE[name], WEIGHT[name]
    step = max(1, piece_max // 4 // weight) * stride
    return [
        (at, min(at + step, len(part)), (min(at + step, len(part)) - at) // stride * weight)
        for at in range(0, len(part), step)
    ]
