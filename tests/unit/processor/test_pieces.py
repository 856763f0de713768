"""A plan cut into calls says the same as in one, in bounded portions, and its last call is the one that removes."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest

from headwater_processor.core.pack import unpack
from headwater_processor.core.pieces import PARTS, WEIGHT, blobs

PIECE = 20


def parts(**given: list[Any]) -> list[list[Any]]:
    return [given.get(name, []) for name in PARTS]


def pairs(count: int) -> list[Any]:
    return [part for n in range(count) for part in (b"%d" % n, b"v")]


MANY = parts(
    dz=pairs(100),
    edge=pairs(50),
    ds=pairs(30),
    runs=[part for n in range(40) for part in (b"run%d" % n, b"", b"value", 0, n % 4)],
    ro_add=[part for s in range(4) for part in (s, pairs(9))],
    closed=[b"a", b"b"],
    outbox=[0, b"names"],
    about=pairs(10),
)
GONE = PARTS.index("gone")


def test_a_small_plan_is_one_call() -> None:
    small = parts(dz=pairs(3), outbox=[1, b"x"])
    (blob,) = blobs(small, PIECE)
    assert unpack(blob) == small


@pytest.mark.parametrize("gone", [[], [b"key", 5]])
def test_the_calls_together_say_what_the_plan_says_in_its_order(gone: list[Any]) -> None:
    plan = [*MANY[:GONE], gone, *MANY[GONE + 1 :]]
    found = [unpack(blob) for blob in blobs(plan, PIECE)]
    for at in range(len(PARTS)):
        assert list(chain.from_iterable(piece[at] for piece in found)) == plan[at]
    assert [piece[GONE] for piece in found] == [[]] * (len(found) - 1) + [gone]


def test_no_call_is_heavier_than_it_may_be_but_the_last() -> None:
    found = [unpack(blob) for blob in blobs(MANY, PIECE)]
    assert len(found) > 10
    strides = {"runs": 5}
    for piece in found[:-1]:
        weight = sum(
            len(piece[PARTS.index(name)]) // strides.get(name, 2) * WEIGHT[name]
            for name in ("dz", "edge", "ds", "runs")
        )
        assert weight + sum(map(len, piece[PARTS.index("ro_add")][1::2])) <= PIECE


def test_what_asks_for_images_and_what_removes_comes_last() -> None:
    found = [unpack(blob) for blob in blobs([*MANY[:GONE], [b"key", 5], *MANY[GONE + 1 :]], PIECE)]
    for name in ("outbox", "closed", "ds"):
        assert not any(piece[PARTS.index(name)] for piece in found[:-1])


def test_a_run_is_written_behind_the_list_of_open_ones() -> None:
    found = [unpack(blob) for blob in blobs(MANY, PIECE)]
    last_listed = max(at for at, piece in enumerate(found) if piece[PARTS.index("ro_add")])
    first_run = min(at for at, piece in enumerate(found) if piece[PARTS.index("runs")])
    assert last_listed <= first_run
