"""Names of keys, remembered: they never change once written."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from headwater_processor.state.layout import unpack_name
from headwater_schemas.events import Name
from headwater_schemas.wire_delta import free_text


class Named:
    """A name, and what images show of it: encoded once, shown often."""

    __slots__ = ("barred", "name", "wire", "wire_text")

    def __init__(self, name: Name) -> None:
        self.name = name
        self.barred = f"{name.namespace}|{name.name}"
        """As part of the key of an image."""
        self.wire = free_text(name.namespace) + free_text(name.name)
        self.wire_text = free_text(str(name))


class NameBook:
    """Keys to names, asked of the state in batches and kept; at most `names_max`, then it begins anew."""

    def __init__(self, read: Callable[[list[bytes]], list[bytes | None]], names_max: int = 500_000) -> None:
        self._read = read
        self._max = names_max
        self._known: dict[bytes, Named] = {}
        self.misses = 0
        """How often a name was asked for that the state does not know (yet)."""

    def learn(self, keys: Iterable[bytes]) -> None:
        """Ask for those that are not known yet."""
        known = self._known
        missing = [key for key in set(keys) if key not in known]
        if len(known) + len(missing) > self._max:
            known.clear()
        for at in range(0, len(missing), 1000):
            part = missing[at : at + 1000]
            for key, value in zip(part, self._read(part), strict=True):
                if value is not None:
                    known[key] = Named(unpack_name(value)[1])

    def named(self, key: bytes) -> Named | None:
        """What is known of a key that was learned; None if the state does not know it."""
        known = self._known.get(key)
        if known is None:
            self.misses += 1
        return known

    def get(self, key: bytes) -> Name | None:
        """The name of a key that was learned; None if the state does not know it."""
        known = self._known.get(key)
        return known.name if known is not None else None

    def json(self, key: bytes) -> bytes:
        """The name as text, in JSON; the key as hex if it has none."""
        known = self.named(key)
        return msgspec.json.encode(str(known.name)) if known is not None else b'"%b"' % key.hex().encode()

    def text(self, key: bytes) -> str:
        """The name as text; the key as hex if it has none."""
        known = self.named(key)
        return str(known.name) if known is not None else key.hex()
