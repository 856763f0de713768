"""Runs by example: the status table of SEMANTICS.md, section 3, and the record as it is stored."""

from __future__ import annotations

import pytest

from headwater_processor.core.pack import pack
from headwater_processor.core.runs import (
    OFFSETS_MAX,
    Run,
    decode_run,
    encode_run,
    is_closed,
    join,
    join_offsets,
    keys_of,
    peek_times,
    status,
    union,
)

ID = bytes(range(16))
A, B, C = b"a" * 12, b"b" * 12, b"c" * 12
RESTARTABLE = 2
FAIL, ABORT = 2, 1


def run(*, complete: int = 0, failed: int = 0, rank: int = FAIL, flags: int = 0, running: int = 0) -> Run:
    return Run(
        first=1,
        running=running,
        complete=(complete, ID) if complete else (0, b""),
        failed=(failed, rank, ID, b"") if failed else (0, 0, b"", b""),
        flags=flags,
    )


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (run(), "open"),
        (run(running=9), "open"),
        (run(complete=5), "complete"),
        (run(complete=5, running=9), "complete"),
        (run(complete=5, running=9, flags=RESTARTABLE), "complete"),
        (run(failed=5), "fail"),
        (run(failed=5, rank=ABORT), "abort"),
        (run(failed=5, running=9), "fail"),
        (run(complete=5, failed=4), "complete"),
        (run(complete=5, failed=5), "complete"),
        (run(complete=4, failed=5), "fail"),
        (run(complete=4, failed=5, rank=ABORT), "abort"),
        (run(failed=5, running=5, flags=RESTARTABLE), "fail"),
        (run(failed=5, running=6, flags=RESTARTABLE), "open"),
        (run(failed=5, rank=ABORT, running=6, flags=RESTARTABLE), "open"),
        (run(complete=4, failed=5, running=6, flags=RESTARTABLE), "open"),
        (run(complete=5, failed=4, running=6, flags=RESTARTABLE), "complete"),
    ],
)
def test_status_follows_from_what_ended_it_last(of: Run, expected: str) -> None:
    assert status(of) == expected
    assert is_closed(of) == (expected != "open")


def test_at_the_same_time_fail_outranks_abort_whichever_came_first() -> None:
    failed, aborted = Run(failed=(5, FAIL, ID, b"why")), Run(failed=(5, ABORT, b"\xff" * 16, b"no"))
    assert status(join(failed, aborted)) == status(join(aborted, failed)) == "fail"


def test_a_complete_that_is_backfill_ends_the_run_and_credits_nothing() -> None:
    ended = Run(complete=(5, ID))
    assert is_closed(ended)
    assert ended.credit[0] == 0


def test_times_that_nobody_said_do_not_win_as_minima() -> None:
    joined = join(Run(first=7), Run(first=0, started=3))
    assert (joined.first, joined.started) == (7, 3)


def test_of_a_run_said_twice_the_later_outcome_with_its_id_stays() -> None:
    early, late = Run(complete=(5, b"\xff" * 16), credit=(5, ID, A)), Run(complete=(6, ID), credit=(6, ID, B))
    assert join(early, late).complete == (6, ID)
    assert join(late, early).credit == (6, ID, B)


def test_sets_of_keys_are_sorted_and_each_key_is_once() -> None:
    assert union(A + C, A + B) == union(A + B, A + C) == A + B + C
    assert keys_of(union(b"", B)) == [B]
    assert keys_of(b"") == []
    assert union(A, b"") == union(A, A) == A


def test_offsets_widen_by_partition_and_are_in_order_of_key() -> None:
    a: list[bytes | int] = [b"iA", 5, 9, b"oB", 1, 1]
    b: list[bytes | int] = [b"iA", 3, 7, b"iZ", 0, 2]
    assert join_offsets(a, b) == join_offsets(b, a) == [b"iA", 3, 9, b"iZ", 0, 2, b"oB", 1, 1]


def many_offsets(begin: int, count: int) -> list[bytes | int]:
    return [part for n in range(begin, begin + count) for part in (b"i" + n.to_bytes(14, "big"), n, n)]


def test_offsets_beyond_the_bound_are_not_kept_and_known_ones_still_widen() -> None:
    joined = join_offsets(many_offsets(0, OFFSETS_MAX), many_offsets(1000, 10))
    assert len(joined) == 3 * OFFSETS_MAX
    widened = join_offsets(joined, [b"i" + bytes(14), 0, 99])
    assert widened[:3] == [b"i" + bytes(14), 0, 99]
    assert len(widened) == 3 * OFFSETS_MAX


@pytest.mark.parametrize("count", [OFFSETS_MAX + 1, 4 * OFFSETS_MAX])
def test_the_bound_holds_for_what_one_side_alone_says(count: int) -> None:
    assert len(join_offsets([], many_offsets(0, count))) == 3 * OFFSETS_MAX


def full() -> Run:
    return Run(
        first=1, started=2, seen=9, running=8, complete=(7, ID), credit=(7, ID, A), failed=(6, 2, ID, b"why"), flags=3,
        idle=4, inputs=A, outputs=B + C, runtime=(9, ID, b'{"pod":"p"}'), parent=(9, ID, ID, C),
        offsets=[b"i" + A + b"\0\1", 0, 2**53],
    )  # fmt: skip


def test_a_run_comes_back_from_its_bytes() -> None:
    assert decode_run(encode_run(full())) == full()
    assert decode_run(encode_run(Run())) == Run()


def test_a_copy_can_be_changed_without_changing_the_run() -> None:
    one = full()
    other = one.copy()
    assert other == one
    other.seen, other.offsets = 99, []
    assert one == full()


@pytest.mark.parametrize("damaged", [b"", b"\x01", pack([b"no time", *[0] * 13]), encode_run(full())[:-1]])
def test_bytes_that_are_no_run_raise_value_error(damaged: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the message is the library's, sometimes empty
        decode_run(damaged)


@pytest.mark.parametrize(
    "first", [1, 127, 128, 255, 256, 65_535, 65_536, (1 << 32) - 1, 1 << 32, 1_790_000_000_000_000]
)
@pytest.mark.parametrize("started", [0, 5, 1_790_000_000_000_000])
def test_the_times_of_a_stored_run_can_be_read_alone(first: int, started: int) -> None:
    run = Run(first=first, started=started, seen=first, running=0, complete=(first + 1, b"e" * 16))
    assert peek_times(b"12345678" + encode_run(run), 8) == (started or first, first + 1)
    assert peek_times(encode_run(Run(first=first))) == (first, 0)


@pytest.mark.parametrize("packed", [b"", b"\x9e", b"\x9e\xcf\0", b"\x9e\xa3abc", b"\x9e\1\1\1\1"])
def test_what_is_no_run_has_no_times(packed: bytes) -> None:
    with pytest.raises(ValueError, match="no run"):
        peek_times(packed)
