"""MessagePack as the Lua of Redis reads and writes it.

Its cmsgpack knows no `bin` family, only the raw strings of the older specification, so byte strings are packed as those and
come back as bytes whoever wrote them.
"""

from __future__ import annotations

from typing import Any, Final

import msgpack

_packer: Final = msgpack.Packer(use_bin_type=False, autoreset=True)


def pack(value: Any) -> bytes:
    """Lists, dicts, integers, floats, bytes (as raw strings) and None. One thread at a time holds the interpreter here."""
    packed: bytes = _packer.pack(value)
    return packed


def unpack(packed: bytes) -> Any:
    """The value, with every string as bytes. Raises ValueError for what is no MessagePack."""
    return msgpack.unpackb(packed, raw=True, strict_map_key=False)
