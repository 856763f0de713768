"""The one merge law of the state, in Python: what the Lua of the fenced call does, for readers, tests and planning.

A record is `n` big-endian doubles followed by a payload. The payload belongs to the first double and moves with it;
of two equal first doubles the larger payload (unsigned bytes) stays. Every other double is a maximum. Minima are kept
negated, so everything is a maximum: merging is commutative, associative and idempotent, which is why two partitions,
a replay or a rebuild end in the same state whatever the order.
"""

from __future__ import annotations

import struct
from typing import Final

NO_MIN: Final = -(2.0**53)
"""A negated minimum that nobody has set."""

DS: Final = struct.Struct(">ddddd")  # -first_seen, retracted, truncated, -first_read, -first_written
FR: Final = struct.Struct(">dddd")  # last_write, data_through, last_failure, idle_through
JOB: Final = struct.Struct(">dddd")  # -first_seen, -first_input, -first_output, streaming
ONE: Final = struct.Struct(">d")  # sv, mv: c; edge: -first_seen
ALIAS: Final = struct.Struct(">dd")  # asserted, retracted

_INVERT: Final = bytes(255 - b for b in range(256))


def invert(event_id: bytes) -> bytes:
    """Bytes whose order is the reverse: with a negated minimum in front, the larger payload is the smaller id."""
    return event_id.translate(_INVERT)


def merge(shape: struct.Struct, a: bytes, b: bytes) -> bytes:
    """The least record that is at least `a` and `b`. Both must have the same shape."""
    n = shape.size
    xs, ys = shape.unpack_from(a), shape.unpack_from(b)
    payload = a[n:] if (xs[0], a[n:]) >= (ys[0], b[n:]) else b[n:]
    return shape.pack(*map(max, xs, ys)) + payload
