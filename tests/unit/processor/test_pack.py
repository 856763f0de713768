"""MessagePack as Redis' Lua reads it: the raw family of the older specification, and nothing newer."""

from __future__ import annotations

import pytest

from headwater_processor.core.pack import pack, unpack


@pytest.mark.parametrize("size", [0, 1, 31, 32, 255, 256, 65_535, 65_536])
def test_bytes_of_any_length_are_raw_strings_and_never_bin(size: int) -> None:
    packed = pack(b"x" * size)
    assert packed[0] not in (0xC4, 0xC5, 0xC6)  # bin 8, 16, 32
    assert packed[0] != 0xD9  # str 8 came with bin, and the older specification has none
    assert unpack(packed) == b"x" * size


def test_numbers_lists_and_nothing_come_back() -> None:
    value = [0, -1, 127, 128, 2**53, -(2**53), 1.5, None, [], [b"a", [b"b"]]]
    assert unpack(pack(value)) == value


def test_keys_of_any_kind_come_back() -> None:
    assert unpack(pack({b"a": 1, 2: b"c"})) == {b"a": 1, 2: b"c"}


@pytest.mark.parametrize("damaged", [b"", b"\x92\x01", b"\xc1", b"\x01\x01", b"\xdb\xff\xff\xff\xff"])
def test_what_is_no_messagepack_raises_value_error(damaged: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the message is the library's, sometimes empty
        unpack(damaged)


def test_packing_again_after_a_value_that_cannot_be_packed_begins_anew() -> None:
    with pytest.raises(TypeError):
        pack([b"before", object()])
    assert unpack(pack(b"after")) == b"after"
