from __future__ import annotations

import json
from typing import Any

import pytest

from headwater_schemas.lint import parse
from headwater_schemas.walker import MAX_ITEMS, Malformed, compile_walker


def walk(kind: Any, data: bytes, items: int = MAX_ITEMS) -> int:
    return compile_walker(parse(json.dumps(kind)))(data, 0, [items])


def reason(kind: Any, data: bytes) -> str:
    with pytest.raises(Malformed) as caught:
        walk(kind, data)
    return caught.value.reason


ENUM = {"type": "enum", "name": "E", "symbols": ["A", "B"]}
ARRAY = {"type": "array", "items": "int"}
MAP = {"type": "map", "values": "int"}


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("null", b""),
        ("boolean", b"\x01"),
        ("int", b"\xff\xff\xff\xff\x0f"),
        ("int", b"\x80\x00"),
        ("long", b"\xff" * 9 + b"\x01"),
        ("float", bytes(4)),
        ("double", bytes(8)),
        ("bytes", b"\x04ab"),
        ("string", b"\x04\xc3\xa4"),
        ("string", b"\x80\x02" + b"x" * 128),
        ("string", b"\x00"),
        ({"type": "fixed", "name": "F", "size": 3}, b"abc"),
        (ENUM, b"\x02"),
        (["null", "int"], b"\x00"),
        (["null", "int"], b"\x02\x05"),
        (ARRAY, b"\x00"),
        (ARRAY, b"\x04\x01\x02\x02\x03\x00"),
        (ARRAY, b"\x03\x04\x01\x02\x00"),
        (MAP, b"\x02\x02k\x05\x00"),
        ({"type": "record", "name": "R", "fields": []}, b""),
    ],
)
def test_a_datum_is_walked_to_its_last_byte(kind: Any, data: bytes) -> None:
    assert walk(kind, data) == len(data)


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        ("boolean", b"\x02", "boolean"),
        ("int", b"\xff\xff\xff\xff\x1f", "varint"),
        ("int", b"\xff\xff\xff\xff\xff\x01", "varint"),
        ("long", b"\xff" * 9 + b"\x02", "varint"),
        ("long", b"\xff" * 11, "varint"),
        ("bytes", b"\x01", "length"),
        ("bytes", b"\xff" * 9 + b"\x01", "length"),
        ("bytes", b"\x06ab", "truncated"),
        ("bytes", b"\xfe" + b"\xff" * 8 + b"\x01", "truncated"),
        ("bytes", b"\xff" * 11, "varint"),
        ("string", b"\x06ab", "truncated"),
        ("string", b"\x01", "length"),
        ("string", b"\x02\xff", "utf8"),
        ("string", b"\x06\xed\xa0\x80", "utf8"),
        ({"type": "fixed", "name": "F", "size": 3}, b"ab", "truncated"),
        ("double", bytes(7), "truncated"),
        (ENUM, b"\x04", "enum"),
        (ENUM, b"\x01", "enum"),
        (["null", "int"], b"\x04", "union"),
        (["null", "int"], b"\x01", "union"),
        (ARRAY, b"\x82\x80\x08" + bytes(10), "items"),
        (ARRAY, b"\xfe" + b"\xff" * 8 + b"\x01", "items"),
        (ARRAY, b"\xff" * 9 + b"\x01\x00", "items"),
        (ARRAY, b"\x03\x06\x01\x02\x00", "block"),
        (ARRAY, b"\x03\x01\x01\x02\x00", "block"),
        (MAP, b"\x02\x02\xff\x05\x00", "utf8"),
    ],
)
def test_what_is_no_datum_is_refused_with_its_reason(kind: Any, data: bytes, expected: str) -> None:
    assert reason(kind, data) == expected


def test_the_limit_of_items_is_for_the_whole_datum() -> None:
    two = {"type": "record", "name": "R", "fields": [{"name": "a", "type": ARRAY}, {"name": "b", "type": ARRAY}]}
    data = b"\x04\x01\x01\x00\x04\x01\x01\x00"
    assert walk(two, data, items=4) == len(data)
    with pytest.raises(Malformed, match="items"):
        walk(two, data, items=3)


def test_a_byte_size_of_minus_one_is_no_way_around_the_block_check() -> None:
    # A block of one item that says it has -2 bytes would end at byte 1.
    assert reason(ARRAY, b"\x01\x03\x02\x00") == "block"
