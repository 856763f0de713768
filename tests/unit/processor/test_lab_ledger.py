"""The laboratory's ledger of the outboxes: that it reads what Redis says, and that its verdict can be a bad one."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.lab.ledger import Push, answers, asked_for, names_in, push_in, unanswered, unescaped
from tests.support.oracle.elements import entity_key, entity_name

T = 1_795_656_000_000_000


def key_of(kind: bytes, namespace: str, name: str) -> bytes:
    return entity_key(entity_name(kind, namespace, name))


ORDERS, PAID = key_of(b"d", "kafka://b", "orders"), key_of(b"d", "kafka://b", "paid")
LOAD = key_of(b"j", "shop", "load")
RUN = b"r" + LOAD + bytes(range(16))


def image(entity: str, aspect: str, name: str, to: str = "", edge: str = "NONE") -> dict[str, Any]:
    """The identity of an image; `load` is a job, everything else a dataset."""
    spaces = ["shop" if each == "load" else "kafka://b" if each else "" for each in (name, to)]
    return {
        "entity": entity, "aspect": aspect, "edge": edge,
        "namespace": spaces[0], "name": name, "to_namespace": spaces[1], "to_name": to,
    }  # fmt: skip


def nobody(_names: list[bytes]) -> set[bytes]:
    """No name is excused."""
    return set()


# ---- what MONITOR says ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("printed", "meant"),
    [
        (rb"plain", b"plain"),
        (rb"\x00\xff\x7F", b"\x00\xff\x7f"),
        (rb"\n\r\t\a\b", b"\n\r\t\a\b"),
        (rb"\"\\", b'"\\'),
        (rb"\\x41", b"\\x41"),
        (rb"\\\x41", b"\\A"),
    ],
)
def test_an_argument_is_what_it_was_before_monitor_printed_it(printed: bytes, meant: bytes) -> None:
    assert unescaped(printed) == meant


def test_a_push_is_found_in_what_a_script_does_with_its_time_and_all_its_entries() -> None:
    line = rb'+1795656000.000042 [0 lua] "RPUSH" "{hw:shop}:o:11" "d\"\\" "m\x00"'
    assert push_in(line, "shop") == Push(T + 42, 11, (b'd"\\', b"m\0"))


@pytest.mark.parametrize(
    "line",
    [
        rb'+1795656000.000042 [0 lua] "RPUSH" "{hw:shop}:ao:1" "x"',
        rb'+1795656000.000042 [0 lua] "RPUSH" "{hw:other}:o:1" "x"',
        rb'+1795656000.000042 [0 lua] "LTRIM" "{hw:shop}:o:1" "2" "-1"',
        rb'+1795656000.000042 [0 127.0.0.1:4242] "SET" "a" "\"RPUSH\" \"{hw:shop}:o:1\" \"x\""',
        rb"+OK",
    ],
)
def test_nothing_else_is_taken_for_a_push_to_an_outbox_of_the_domain(line: bytes) -> None:
    assert push_in(line, "shop") is None


def test_names_are_cut_where_their_letters_say() -> None:
    names = [b"d" + ORDERS, b"f" + ORDERS, b"j" + LOAD, b"er" + ORDERS + LOAD, b"a" + ORDERS + PAID, RUN,
             b"n" + ORDERS, b"sd" + ORDERS, b"m" + LOAD]  # fmt: skip
    assert list(names_in(b"".join(names))) == names


@pytest.mark.parametrize("entry", [b"d" + ORDERS[:-1], b"d" + ORDERS + b"?", b"?"])
def test_an_entry_that_nobody_can_read_is_an_error(entry: bytes) -> None:
    with pytest.raises(ValueError, match="no name at byte"):
        list(names_in(entry))


# ---- the verdict ---------------------------------------------------------------------------------------------------


def test_each_kind_of_image_answers_the_name_that_asked_for_it() -> None:
    assert answers(image("DATASET", "CORE", "orders")) == [b"d" + ORDERS]
    assert answers(image("DATASET", "FRESHNESS", "orders")) == [b"f" + ORDERS]
    assert answers(image("DATASET", "STATUS", "orders")) == [b"sd" + ORDERS]
    assert answers(image("JOB", "CORE", "load")) == [b"j" + LOAD]
    assert answers(image("JOB", "STATUS", "load")) == [b"sj" + LOAD]
    assert answers(image("JOB", "RUNS", "load")) == [asked_for(RUN)]
    assert answers(image("EDGE", "CORE", "orders", "load", "READS")) == [b"er" + ORDERS + LOAD]
    assert answers(image("EDGE", "CORE", "load", "paid", "WRITES")) == [b"ew" + LOAD + PAID]
    assert answers(image("EDGE", "CORE", "orders", "paid", "DERIVES")) == [b"ed" + ORDERS + PAID]
    assert answers(image("ALIAS", "CORE", "orders", "paid")) == [b"a" + ORDERS + PAID]


def test_an_image_as_old_as_the_push_or_younger_answers_it() -> None:
    assert unanswered({b"d" + ORDERS: T, RUN: T}, {b"d" + ORDERS: T, asked_for(RUN): T + 1}, nobody) == []


def test_a_name_without_any_image_is_told_with_the_time_of_its_push() -> None:
    (line,) = unanswered({b"d" + ORDERS: T}, {b"f" + ORDERS: T + 1}, nobody)
    assert ORDERS.hex() in line
    assert f"was named at {T} and no image of it was ever published" in line


def test_a_name_whose_newest_image_is_older_than_its_push_is_told_with_both() -> None:
    (line,) = unanswered({b"f" + ORDERS: T}, {b"f" + ORDERS: T - 1}, nobody)
    assert f"was named at {T}, its newest image is of {T - 1}" in line


def test_runs_of_a_job_are_each_answered_by_its_newest_image_only() -> None:
    other = b"r" + LOAD + bytes(16)
    (line,) = unanswered({RUN: T, other: T + 5}, {asked_for(RUN): T + 3}, nobody)
    assert other[1:].hex() in line


def test_names_that_ask_for_no_image_of_their_own_need_none() -> None:
    assert unanswered({b"n" + ORDERS: T, b"m" + LOAD: T}, {}, nobody) == []


def test_a_name_that_waits_or_has_nothing_to_show_is_excused_and_no_other() -> None:
    lines = unanswered({b"d" + ORDERS: T, b"d" + PAID: T}, {}, lambda names: {b"d" + PAID} & set(names))
    assert len(lines) == 1
    assert ORDERS.hex() in lines[0]
