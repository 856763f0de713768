"""CRC-64-AVRO, the fingerprint of schemas (Avro specification, "Schema Fingerprints")."""

from __future__ import annotations

from typing import Final

_EMPTY: Final = 0xC15D_213A_A4D7_A795


def _table() -> tuple[int, ...]:
    rows = []
    for row in range(256):
        value = row
        for _ in range(8):
            value = value >> 1 ^ (_EMPTY if value & 1 else 0)
        rows.append(value)
    return tuple(rows)


_TABLE: Final = _table()


def crc64_avro(text: bytes) -> bytes:
    """The fingerprint of a Parsing Canonical Form: 8 bytes, little-endian, as single-object encoding carries it."""
    value = _EMPTY
    for byte in text:
        value = value >> 8 ^ _TABLE[(value ^ byte) & 0xFF]
    return value.to_bytes(8, "little")
