"""The merge laws of apply.lua, asked directly: one call that merges one record into a state that holds another."""

from __future__ import annotations

from typing import Any, Final

import redis

from headwater_processor.adapters.redis_store import Keys, script
from headwater_processor.core.pack import pack

_TABLES: Final = (
    "meta", "names", "ds", "dz", "sv", "mv", "fr", "wp", "cad", "job", "jz", "edge", "ez", "ax", "mz", "ex", "al", "run",
    "gone",
)  # fmt: skip
PLAN_PARTS: Final = 23
_PLACES: Final = {"ds": 1, "sv": 3, "mv": 4, "fr": 5, "job": 6, "edge": 8, "al": 13, "run": 16, "about": 22}
"""Where a plan has the records of a table (from 0)."""
FIELD: Final = bytes(range(28))


class LuaMerge:
    """One domain on a real Redis, with a fence that lets everything through."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._script = client.register_script(script("apply"))
        self._keys = Keys("merge")

    def record(self, table: str, old: bytes, new: bytes) -> bytes:
        """What `table` holds after `new` was merged into `old`."""
        return self._merge(table, old, [FIELD, new])

    def run(self, old: bytes, new: bytes) -> bytes:
        """The joined record of a run that another owner wrote, without the name of the call."""
        return self._merge("run", b"another." + old, [FIELD, b"", b"thistime" + new, 0, 0])[8:]

    def _merge(self, table: str, old: bytes, part: list[Any]) -> bytes:
        key = self._keys
        self._client.hset(key(table), FIELD, old)
        self._client.hset(key("f", 0), mapping={"epoch": "1", "topic": "t", "next": "0"})
        plan: list[Any] = [[] for _ in range(PLAN_PARTS)]
        plan[2] = plan[7] = plan[9] = plan[11] = []
        plan[_PLACES[table]] = part
        keys = [
            key("f", 0),
            *map(key, _TABLES),
            key("rc", 0),
            key("sb", 0),
            key("asof"),
            key("about"),
            key("o", 0),
            key("ro", 0),
        ]
        args: list[Any] = [
            "1",
            "t",
            "0",
            0,
            1,
            -1,
            -1,
            *[0] * 6,
            "",
            0,
            1,
            "thistime",
            1000,
            0,
            pack(plan),
            "",
            "",
            "",
        ]
        answer: Any = self._script(keys, args)
        assert answer[0] == b"OK", answer
        found: Any = self._client.hget(key(table), FIELD)
        return bytes(found)
