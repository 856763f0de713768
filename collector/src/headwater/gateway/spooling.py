"""The spool beside Kafka: what Kafka does not take now is synced to disk, and goes out when it does again.

The folder is `headwater.spool`'s: one room a process, rooms of dead processes are taken over. It is worked on by one thread,
in the order of the calls; the loop never waits for a disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from confluent_kafka import KafkaError

from headwater.errors import DeliveryError, Dropped
from headwater.gateway.durable import Durable, is_too_large
from headwater.openlineage.records import Record
from headwater.runtime.producing import advice
from headwater.spool import records as spooled
from headwater.spool.store import SpoolFolder

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_AT_ONCE: Final = 500
_PAUSE_S: Final = 1.0
_PAUSE_TOO_LARGE_S: Final = 15.0
"""Until events that are too large for the topic are tried again, if nothing else is in the spool."""


class Spool:
    """Keeps records on disk and sends them on. `start` it on the loop, `close` it at the end.

    Args:
        path, max_bytes: the folder and its bound, over all processes that share it.

    Raises:
        ConfigError: the folder cannot be made or written to.
    """

    def __init__(self, path: str, *, max_bytes: int, durable: Durable) -> None:
        self._folder = SpoolFolder(path, max_bytes=max_bytes)
        self._durable = durable
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="headwater-spool")
        self._waiting: list[tuple[Record, asyncio.Future[DeliveryError | None]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._draining: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self.kept = 0
        self.sent = 0
        self.refused = 0
        self.too_large = 0
        self.full = False
        self._pause_s = _PAUSE_S
        self._round_began: int | None = None
        """What was set back first since anything else was sent."""

    def start(self) -> None:
        """Send on what is there, from now on."""
        self._draining = asyncio.get_running_loop().create_task(self._drain())

    async def keep(self, record: Record) -> DeliveryError | None:
        """Sync a record to disk; the error if that cannot be."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[DeliveryError | None] = loop.create_future()
        self._waiting.append((record, done))
        if self._writing is None or self._writing.done():
            self._writing = loop.create_task(self._write())
        return await done

    async def keep_all(self, records: list[Record]) -> DeliveryError | None:
        """As `keep`, for several: all of them or none."""
        found = await asyncio.gather(*(self.keep(record) for record in records))
        return next((error for error in found if error is not None), None)

    async def close(self) -> None:
        """Stop; what is on disk is for the next process."""
        if self._draining is not None:
            self._draining.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._draining
        if self._writing is not None:
            await self._writing
        await self._on_thread(self._folder.close)
        self._thread.shutdown()

    async def _write(self) -> None:
        """What came while the last lot was written is one lot, with one sync."""
        while self._waiting:
            lot, self._waiting = self._waiting, []
            error: DeliveryError | None = None
            try:
                await self._on_thread(lambda lot=lot: self._folder.append([(each.key, each.value) for each, _ in lot]))  # type: ignore[misc]  # bound now
            except Dropped as dropped:
                error = dropped
                self.refused += len(lot)
                if not self.full:
                    log.error("the spool takes nothing more: %s", dropped.message)
            except Exception:
                log.exception("the spool failed")
                error = Dropped("the spool failed", reason="internal")  # or its clients would wait for ever
                self.refused += len(lot)
            else:
                self.kept += len(lot)
                self._wake.set()
            self.full = error is not None
            for _, done in lot:
                if not done.done():
                    done.set_result(error)

    async def _drain(self) -> None:
        while await self._on_thread(self._folder.adopt):
            log.info("events of a gateway that ended are taken over from the spool")
        while True:
            self._wake.clear()
            try:
                while await self._drained_some():
                    pass
            except DeliveryError as error:
                log.warning("%s; %s", error.message, error.remedy)
            except Exception:
                log.exception("sending from the spool failed; it is tried again")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s):
                    await self._wake.wait()
            await asyncio.sleep(_PAUSE_S / 2 if self._wake.is_set() else 0)

    async def _drained_some(self) -> bool:
        room = await self._on_thread(lambda: self._folder.adopted() or self._folder.own())
        if room is None or self._durable.refusal(0):
            return False
        batch: list[spooled.Record] = await self._on_thread(lambda: room.peek(_AT_ONCE))
        if not batch:
            return False
        failed = await self._durable.deliver_all([Record(each.key, each.value, "") for each in batch])
        too_large = {at for at, error in failed.items() if is_too_large(error)}
        arrived = min(failed.keys() - too_large, default=len(batch))
        back = [batch[at] for at in sorted(too_large) if at < arrived]
        if back and not await self._behind_the_others(back):
            arrived, back = min(too_large), []
        if arrived:
            await self._on_thread(lambda: room.sent(arrived))
            self.sent += arrived - len(back)
            self.full = False
        around = self._is_around(back, failed, others=arrived > len(back))
        self._pause_s = _PAUSE_TOO_LARGE_S if around else _PAUSE_S
        return arrived == len(batch) and not around

    async def _behind_the_others(self, records: list[spooled.Record]) -> bool:
        """They were promised, so they are kept until the topic takes them; nothing waits for them. False if that cannot be."""
        try:
            await self._on_thread(lambda: self._folder.append([(each.key, each.value) for each in records], moved=True))
        except Dropped as error:
            log.error("what is too large for the topic holds up what was spooled after it: %s", error.message)
            return False
        self.too_large += len(records)
        return True

    def _is_around(self, back: list[spooled.Record], failed: dict[int, KafkaError], *, others: bool) -> bool:
        """Whether nothing is left but what was set back already."""
        if others:
            self._round_began = None
        if not back:
            return False
        first = hash(back[0].value)
        if self._round_began is None:
            why = next(error for error in failed.values() if is_too_large(error))
            log.warning("in the spool they wait behind the others: %s", advice(self._durable.topic, why))
            self._round_began = first
            return False
        return self._round_began == first

    async def _on_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
