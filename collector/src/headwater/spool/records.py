"""The bytes of a spool file: a head, then records. Pure.

    head    8 bytes `HWSPOOL1`, 8 bytes: up to which offset everything is sent (little-endian, 0: nothing yet)
    record  4 bytes `HWR\\x01`, length of key and of value, CRC-32 of all but mark and CRC (3 x 4 bytes), key, value

A file may end in the middle of a record (the process was killed) or hold anything (the disk is old): reading finds the
next record by its mark and its checksum, and says what it passed over.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAGIC: Final = b"HWSPOOL1"
_HEAD: Final = struct.Struct("<8sQ")
HEAD_BYTES: Final = _HEAD.size
SENT_AT: Final = 8
"""Where in the file the offset of what is sent stands."""

_MARK: Final = b"HWR\x01"
_FRAME: Final = struct.Struct("<4sIII")
FRAME_BYTES: Final = _FRAME.size
_LENGTHS: Final = struct.Struct("<II")
_OFFSET: Final = struct.Struct("<Q")
LONGEST_PART_BYTES: Final = 16 * 1024 * 1024
"""No key or value is longer; a length that is, is damage."""


@dataclass(frozen=True, slots=True)
class Record:
    """One event on disk, and where the next one begins."""

    key: bytes
    value: bytes
    end: int


@dataclass(frozen=True, slots=True)
class Damage:
    """A stretch that holds no whole record. `reason`: `cut` (the file ends in a record) or `damaged`."""

    reason: str
    end: int


def head(sent: int = 0) -> bytes:
    """The beginning of a file."""
    return _HEAD.pack(MAGIC, sent)


def sent_offset(offset: int) -> bytes:
    """What to write at `SENT_AT` once everything up to `offset` is sent."""
    return _OFFSET.pack(offset)


def packed(key: bytes, value: bytes) -> bytes:
    """One record."""
    lengths = _LENGTHS.pack(len(key), len(value))
    return b"".join((_FRAME.pack(_MARK, len(key), len(value), _checksum(lengths, key, value)), key, value))


def scan(data: bytes) -> Iterator[Record | Damage]:
    """The records of a file that are not sent yet, in order, and the damage between them."""
    at = _begin(data)
    while at < len(data):
        found = _record(data, at) or _damage(data, at)
        yield found
        at = found.end


def _begin(data: bytes) -> int:
    """Behind what is sent; where the head is no good, at the first mark."""
    if len(data) < HEAD_BYTES:
        return 0 if data else len(data)
    magic, sent = _HEAD.unpack_from(data)
    if magic != MAGIC:
        return 0
    if HEAD_BYTES <= sent <= len(data) and (sent == len(data) or data.startswith(_MARK, sent)):
        return int(sent)
    return HEAD_BYTES


def _record(data: bytes, at: int) -> Record | None:
    if len(data) - at < FRAME_BYTES or not data.startswith(_MARK, at):
        return None
    _, key_bytes, value_bytes, checksum = _FRAME.unpack_from(data, at)
    begin, end = at + FRAME_BYTES, at + FRAME_BYTES + key_bytes + value_bytes
    if max(key_bytes, value_bytes) > LONGEST_PART_BYTES or end > len(data):
        return None
    key, value = data[begin : begin + key_bytes], data[begin + key_bytes : end]
    lengths = data[at + len(_MARK) : at + len(_MARK) + _LENGTHS.size]
    return Record(key, value, end) if _checksum(lengths, key, value) == checksum else None


def _damage(data: bytes, at: int) -> Damage:
    """Up to the next whole record, or to the end."""
    mark = at
    while (mark := data.find(_MARK, mark + 1)) >= 0:
        if _record(data, mark) is not None:
            return Damage("damaged", mark)
    return Damage("cut" if _is_cut(data, at) else "damaged", len(data))


def _is_cut(data: bytes, at: int) -> bool:
    """Whether what is here is the beginning of a record, or of a head, whose rest is missing."""
    rest = data[at : at + FRAME_BYTES]
    if at == 0 and len(data) < HEAD_BYTES:
        return MAGIC.startswith(rest[: len(MAGIC)])
    if len(rest) < FRAME_BYTES:
        return _MARK.startswith(rest[: len(_MARK)])
    mark, key_bytes, value_bytes, _ = _FRAME.unpack(rest)
    lengths_are_sane = max(key_bytes, value_bytes) <= LONGEST_PART_BYTES
    return bool(mark == _MARK and lengths_are_sane and at + FRAME_BYTES + key_bytes + value_bytes > len(data))


def _checksum(lengths: bytes, key: bytes, value: bytes) -> int:
    return zlib.crc32(value, zlib.crc32(key, zlib.crc32(lengths)))
