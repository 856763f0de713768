"""The two framings of a value, told apart by the first byte.

* Avro single-object encoding (the default): `C3 01`, then the 8-byte CRC-64-AVRO fingerprint of the writer's schema.
* Confluent wire format: `00`, then the 4-byte big-endian id of the schema in a Schema Registry.
"""

from __future__ import annotations

import struct
from typing import Final, Literal

from headwater_schemas.walker import Malformed

Framing = Literal["single_object", "confluent"]

SINGLE_OBJECT: Final = b"\xc3\x01"
SINGLE_OBJECT_BYTES: Final = 10
CONFLUENT: Final = b"\x00"
CONFLUENT_BYTES: Final = 5


def split_frame(value: bytes) -> tuple[Framing, bytes | int, int]:
    """Which framing, which schema (8-byte fingerprint, or registry id), and where the datum begins.

    Raises Malformed: `empty`, `framing` (an unknown first byte), `truncated` (less than a whole frame).
    """
    if not value:
        raise Malformed("empty", "no bytes at all")
    if value[:2] == SINGLE_OBJECT:
        if len(value) < SINGLE_OBJECT_BYTES:
            raise Malformed("truncated", f"{len(value)} bytes, where the frame alone has {SINGLE_OBJECT_BYTES}")
        return "single_object", value[2:10], SINGLE_OBJECT_BYTES
    if value[:1] == CONFLUENT:
        if len(value) < CONFLUENT_BYTES:
            raise Malformed("truncated", f"{len(value)} bytes, where the frame alone has {CONFLUENT_BYTES}")
        return "confluent", struct.unpack_from(">I", value, 1)[0], CONFLUENT_BYTES
    raise Malformed("framing", f"begins with {value[:2].hex()}; expected c301 (single object) or 00 (Confluent)")


def frame_single_object(fingerprint: bytes, payload: bytes) -> bytes:
    """`payload` in single-object encoding, under an 8-byte little-endian fingerprint."""
    return SINGLE_OBJECT + fingerprint + payload


def frame_confluent(schema_id: int, payload: bytes) -> bytes:
    """`payload` in Confluent's wire format. Raises ValueError for an id that is none (32 bits, not negative)."""
    if not 0 <= schema_id < 1 << 32:
        raise ValueError(f"{schema_id} is no id of a Schema Registry: ids have 32 bits")
    return CONFLUENT + schema_id.to_bytes(4, "big") + payload
