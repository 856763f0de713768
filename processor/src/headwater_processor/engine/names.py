"""Names of keys, remembered: they never change once written."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from headwater_processor.state.layout import unpack_name
from headwater_schemas.events import Name


class NameBook:
    """Keys to names, asked of the state in batches and kept; at most `names_max`, then it begins anew."""

    def __init__(self, read: Callable[[list[bytes]], list[bytes | None]], names_max: int = 500_000) -> None:
        self._read = read
        self._max = names_max
        self._known: dict[bytes, Name] = {}

    def learn(self, keys: Iterable[bytes]) -> None:
        """Ask for those that are not known yet."""
        missing = [key for key in dict.fromkeys(keys) if key not in self._known]
        if len(self._known) + len(missing) > self._max:
            self._known.clear()
        for at in range(0, len(missing), 1000):
            part = missing[at : at + 1000]
            for key, value in zip(part, self._read(part), strict=True):
                if value is not None:
                    self._known[key] = unpack_name(value)[1]

    def get(self, key: bytes) -> Name | None:
        """The name of a key that was learned; None if the state does not know it."""
        return self._known.get(key)

    def text(self, key: bytes) -> str:
        """The name as text; the key as hex if it has none."""
        name = self._known.get(key)
        return str(name) if name is not None else key.hex()
