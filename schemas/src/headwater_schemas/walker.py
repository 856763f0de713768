"""A strict reader of structure: is this a datum of that schema, exactly, and where does it end?

The decoder behind it is quick and trusting: it takes negative union and enum indexes, ignores bytes after the datum,
and follows any count. So every datum is walked here first, in the writer's schema, without building a value. The schema
is compiled once into one closure for each type: `step(buf, pos, left) -> pos`, where `left[0]` is the number of array
items and map entries that the datum may still have. Reading past the end raises IndexError or shows in the position.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from headwater_schemas.lint import Node

Step = Callable[[bytes, int, list[int]], int]

MAX_ITEMS: Final = 65_536
MAX_DATUM_BYTES: Final = 1024 * 1024


class Malformed(ValueError):  # noqa: N818 - it names what the bytes are, and is raised in many places
    """Bytes that are no datum of their schema. `reason` is one of `codec.REASONS`, `detail` is for people."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def read_long(buf: bytes, pos: int) -> tuple[int, int]:
    """One zig-zag varint of at most 64 bits: its value and the position after it."""
    byte = buf[pos]
    pos += 1
    value = byte & 0x7F
    shift = 7
    while byte > 0x7F:
        if shift == 70:
            raise Malformed("varint", "a number of more than 10 bytes")
        byte = buf[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        shift += 7
    if shift == 70 and byte > 1:
        raise Malformed("varint", "a number of more than 64 bits")
    return value >> 1 ^ -(value & 1), pos


def compile_walker(node: Node) -> Step:
    """The step for a whole schema. Named types that are used twice are compiled once."""
    return _compile(node, {})


def _compile(node: Node, done: dict[str, Step]) -> Step:
    if node.name in done:
        return done[node.name]
    step = _BUILDERS[node.kind](node, done)
    if node.name:
        done[node.name] = step
    return step


def _null(node: Node, done: dict[str, Step]) -> Step:
    return lambda buf, pos, left: pos


def _boolean(node: Node, done: dict[str, Step]) -> Step:
    def step(buf: bytes, pos: int, left: list[int]) -> int:
        if buf[pos] > 1:
            raise Malformed("boolean", f"a boolean of value {buf[pos]} at byte {pos}")
        return pos + 1

    return step


def _long(node: Node, done: dict[str, Step]) -> Step:
    def step(buf: bytes, pos: int, left: list[int]) -> int:
        if buf[pos] < 0x80:
            return pos + 1
        last = pos + 9
        pos += 1
        while buf[pos] > 0x7F:
            pos += 1
            if pos > last:
                raise Malformed("varint", f"a number of more than 10 bytes before byte {pos}")
        if pos == last and buf[pos] > 1:
            raise Malformed("varint", f"a number of more than 64 bits before byte {pos}")
        return pos + 1

    return step


def _int(node: Node, done: dict[str, Step]) -> Step:
    def step(buf: bytes, pos: int, left: list[int]) -> int:
        if buf[pos] < 0x80:
            return pos + 1
        last = pos + 4
        pos += 1
        while buf[pos] > 0x7F:
            pos += 1
            if pos > last:
                raise Malformed("varint", f"an int of more than 5 bytes before byte {pos}")
        if pos == last and buf[pos] > 0x0F:
            raise Malformed("varint", f"an int of more than 32 bits before byte {pos}")
        return pos + 1

    return step


def _skip(size: int) -> Step:
    def step(buf: bytes, pos: int, left: list[int]) -> int:
        if pos + size > len(buf):
            raise Malformed("truncated", f"{size} bytes at byte {pos} reach past the end")
        return pos + size

    return step


def _fixed(node: Node, done: dict[str, Step]) -> Step:
    return _skip({"float": 4, "double": 8}.get(node.kind, node.size))


def _span(buf: bytes, pos: int) -> tuple[int, int]:
    """Start and end of a string or of bytes."""
    size = buf[pos]
    if size < 0x80:
        pos += 1
        size = size >> 1 if size & 1 == 0 else -1
    else:
        size, pos = read_long(buf, pos)
    if size < 0:
        raise Malformed("length", f"a negative length before byte {pos}")
    end = pos + size
    if end > len(buf):
        raise Malformed("truncated", f"{size} bytes at byte {pos} reach past the end")
    return pos, end


def _bytes(node: Node, done: dict[str, Step]) -> Step:
    return lambda buf, pos, left: _span(buf, pos)[1]


def _string(node: Node, done: dict[str, Step]) -> Step:
    def step(buf: bytes, pos: int, left: list[int]) -> int:
        byte = buf[pos]
        if byte == 0:
            return pos + 1
        if byte < 0x80 and not byte & 1:
            pos += 1
            end = pos + (byte >> 1)
            if end > len(buf):
                raise Malformed("truncated", f"a string at byte {pos} reaches past the end")
        else:
            pos, end = _span(buf, pos)
        try:
            str(buf[pos:end], "utf-8")
        except UnicodeDecodeError as error:
            raise Malformed("utf8", f"a string at byte {pos} is not UTF-8") from error
        return end

    return step


def _enum(node: Node, done: dict[str, Step]) -> Step:
    count = len(node.symbols)

    def step(buf: bytes, pos: int, left: list[int]) -> int:
        index, end = read_long(buf, pos)
        if not 0 <= index < count:
            raise Malformed("enum", f"index {index} into {node.name} of {count} symbols")
        return end

    return step


def _union(node: Node, done: dict[str, Step]) -> Step:
    branches = tuple(_compile(branch, done) for branch in node.branches)
    count = len(branches)

    def step(buf: bytes, pos: int, left: list[int]) -> int:
        index, end = read_long(buf, pos)
        if not 0 <= index < count:
            raise Malformed("union", f"index {index} into a union of {count} at byte {pos}")
        return branches[index](buf, end, left)

    return step


def _record(node: Node, done: dict[str, Step]) -> Step:
    steps = tuple(_compile(field.node, done) for field in node.fields)

    def step(buf: bytes, pos: int, left: list[int]) -> int:
        for one in steps:
            pos = one(buf, pos, left)
        return pos

    return step


def _array(node: Node, done: dict[str, Step]) -> Step:
    assert node.inner is not None  # noqa: S101 - for the type checker; lint builds no collection without it
    return _blocks(_compile(node.inner, done))


def _map(node: Node, done: dict[str, Step]) -> Step:
    assert node.inner is not None  # noqa: S101 - for the type checker; lint builds no collection without it
    key, value = _string(node, done), _compile(node.inner, done)
    return _blocks(lambda buf, pos, left: value(buf, key(buf, pos, left), left))


def _blocks(item: Step) -> Step:
    """Blocks of items, each with its count, up to an empty one; a negative count is followed by the size in bytes."""

    def step(buf: bytes, pos: int, left: list[int]) -> int:
        while True:
            if buf[pos] == 0:
                return pos + 1
            count, pos = read_long(buf, pos)
            if count == 0:
                return pos
            end = -1
            if count < 0:
                count = -count
                size, pos = read_long(buf, pos)
                end = pos + size
            left[0] -= count
            if left[0] < 0:
                raise Malformed("items", f"more than {MAX_ITEMS} items in one datum")
            for _ in range(count):
                pos = item(buf, pos, left)
            if end not in (-1, pos):
                raise Malformed("block", f"a block of items ends at byte {pos}, but says {end}")

    return step


_BUILDERS: Final[dict[str, Callable[[Node, dict[str, Step]], Step]]] = {
    "null": _null,
    "boolean": _boolean,
    "int": _int,
    "long": _long,
    "float": _fixed,
    "double": _fixed,
    "bytes": _bytes,
    "string": _string,
    "fixed": _fixed,
    "enum": _enum,
    "union": _union,
    "record": _record,
    "array": _array,
    "map": _map,
}
