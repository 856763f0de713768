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

from headwater.errors import DeliveryError, Dropped
from headwater.gateway.durable import Durable
from headwater.openlineage.records import Record
from headwater.spool import records as spooled
from headwater.spool.store import SpoolFolder

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_AT_ONCE: Final = 500
_PAUSE_S: Final = 1.0


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
        self.full = False

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
            except OSError as error:
                log.warning("the spool cannot be read now, and is tried again: %s", error)
            except Exception:
                log.exception("sending from the spool failed; it is tried again")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PAUSE_S):
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
        arrived = min(failed, default=len(batch))
        if arrived:
            await self._on_thread(lambda: room.sent(arrived))
            self.sent += arrived
            self.full = False
        return not failed

    async def _on_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
