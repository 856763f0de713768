"""The merge law by example: what each part of a record does."""

from __future__ import annotations

from headwater_processor.core.lattice import ALIAS, DS, FR, NO_MIN, ONE, invert, merge

SMALL, LARGE = b"\x01" * 16, b"\xff" * 16


def test_every_double_is_a_maximum_of_its_own() -> None:
    merged = merge(FR, FR.pack(1, 20, 3, 40), FR.pack(10, 2, 30, 4))
    assert FR.unpack(merged) == (10, 20, 30, 40)


def test_the_payload_moves_with_the_first_double() -> None:
    old, new = FR.pack(5, 0, 0, 0) + LARGE, FR.pack(6, 0, 0, 0) + SMALL
    assert merge(FR, old, new)[32:] == merge(FR, new, old)[32:] == SMALL


def test_of_equal_first_doubles_the_larger_payload_stays_whatever_else_is_larger() -> None:
    a, b = FR.pack(5, 9, 9, 9) + SMALL, FR.pack(5, 0, 0, 0) + LARGE
    assert merge(FR, a, b) == merge(FR, b, a) == FR.pack(5, 9, 9, 9) + LARGE


def test_payloads_are_ordered_by_unsigned_bytes_and_a_prefix_is_smaller() -> None:
    for smaller, larger in ((b"\x7f", b"\x80"), (b"a", b"aa"), (b"", b"\0"), (b"a\xff", b"b")):
        a, b = ONE.pack(1) + smaller, ONE.pack(1) + larger
        assert merge(ONE, a, b) == merge(ONE, b, a) == b


def test_a_minimum_that_nobody_set_gives_way_to_any_other() -> None:
    nobody = DS.pack(NO_MIN, 7, 0, NO_MIN, NO_MIN)
    seen = DS.pack(-1, 0, 0, -5, NO_MIN) + SMALL
    assert merge(DS, nobody, seen) == merge(DS, seen, nobody) == DS.pack(-1, 7, 0, -5, NO_MIN) + SMALL


def test_an_earlier_first_seen_wins_and_brings_its_payload() -> None:
    early, late = ONE.pack(-100) + SMALL, ONE.pack(-101) + LARGE
    assert merge(ONE, early, late) == early


def test_a_record_without_payload_is_only_its_doubles() -> None:
    assert merge(ALIAS, ALIAS.pack(3, 0), ALIAS.pack(1, 2)) == ALIAS.pack(3, 2)


def test_inverted_ids_are_in_the_reverse_order_and_come_back() -> None:
    ids = [b"\0" * 16, SMALL, b"\x7f" * 16, b"\x80" * 16, LARGE]
    assert sorted(ids, key=invert) == list(reversed(ids))
    assert [invert(invert(each)) for each in ids] == ids
