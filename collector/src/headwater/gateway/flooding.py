"""Equal events of a flood at the gateway: one goes on for all of them, and none is answered before that one is durable."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from headwater.doors.floods import Floods
from headwater.openlineage.records import Record

_MS: Final = 1_000


class FloodGate:
    """Which of a flood's records are sent, and who waits for them. On the event loop's thread."""

    def __init__(self, floods: Floods[Record] | None = None, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.floods = floods or Floods[Record]()
        self._clock_s = clock_s
        self._under_way: dict[bytes, asyncio.Future[bool]] = {}

    async def taken(self, record: Record) -> Record | None:
        """The record to be sent in the place of this one: `settled` is owed for it. None: an equal one is durable."""
        while (first := self._under_way.get(record.flood)) is not None:
            await asyncio.shield(first)
        return self.taken_now(record)[0]

    def taken_now(self, record: Record) -> tuple[Record | None, asyncio.Future[bool] | None]:
        """As `taken`, without waiting: where one is under way for this one, its future says whether it became durable."""
        first = self._under_way.get(record.flood)
        chosen = self.floods.offer(
            record.flood, record, at_us=record.time_us, size=len(record.value), now_ms=self.now_ms()
        )
        if chosen is None:
            return None, first
        if first is None:
            self._under_way[record.flood] = asyncio.get_running_loop().create_future()
        return chosen, None

    def settled(self, key: bytes, *, durable: bool) -> None:
        """What became of the record that was sent for the others."""
        if not durable:
            self.floods.forget(key)
        first = self._under_way.pop(key, None)
        if first is not None and not first.done():
            first.set_result(durable)

    def said(self, record: Record) -> Record:
        """The durable record that says what this one says; itself, if that is not known any more."""
        return self.floods.said(record.flood) or record

    def now_ms(self) -> int:
        """Of a clock that goes forward."""
        return int(self._clock_s() * _MS)
