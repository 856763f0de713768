"""The emitter's background thread: encodes, hands over, waits for the outcome, and gives up in time.

It shares the interpreter lock with the job. So that the job's thread never waits long for it, it works in slices of
half a millisecond and sleeps between them; the figures are in the collector's README.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from headwater.buffer import Buffer
from headwater.doors.rules import NameRules
from headwater.errors import DeliveryError, Dropped, EventError, Spooled
from headwater.masking import error_text, mask
from headwater.transports.base import Busy, Encoded, Forkable, Hurried, Transport
from headwater_schemas import codec, ids
from headwater_schemas.events import NIL_UUID, DatasetUse, LineageEvent, Name, Runtime
from headwater_schemas.naming import canonical_dataset
from headwater_schemas.topics import MAX_EVENT_BYTES

Item = tuple[LineageEvent, int]
Stamp = tuple[str, str, Runtime]

_BATCH: Final = 64
_SLICE_S: Final = 0.0005
_PAUSE_S: Final = 0.00005
_UNSEEN_S: Final = 0.005
"""So long after a batch the job's thread wakes us not: events that come close together wait for each other instead."""
_LOOK_AGAIN_S: Final = 0.02
"""How often the outcome of what is on its way is asked for while the job is silent."""
_CLOSE_RESERVE_S: Final = 0.3
"""Kept back from close's deadline for the transport to let go of its resources."""
_HURRY_S: Final = 1.5
"""So long before close's deadline (or halfway, if that is later) a transport that can save events is told to."""


class Sender:
    """Moves events from a buffer to a transport, in its own thread, until the buffer is closed and empty.

    Args:
        stamp: emitter, producer and runtime for events that bring none.
        close_by_s: when everything has to be over, on the monotonic clock; infinite until close is called.
        complain: told the reason and the details of each loss; expected to keep its own pace.
        rules: what is done to names; None: nothing.
        forked: the transport is the parent's; this process makes its own of it.
    """

    def __init__(
        self,
        buffer: Buffer[Item],
        transport: Transport,
        *,
        stamp: Stamp,
        close_by_s: Callable[[], float],
        complain: Callable[[str, str], None],
        rules: NameRules | None = None,
        forked: bool = False,
    ) -> None:
        self._buffer = buffer
        self.transport = transport
        self._forked = forked
        self._hurried = False
        self._hurry_from_s = float("inf")
        self._save = False
        self._stamp = stamp
        self._rules = rules
        self._close_by_s = close_by_s
        self._complain = complain

    def work(self) -> None:
        """The thread's life."""
        try:
            if self._forked and isinstance(self.transport, Forkable):
                self.transport = self.transport.after_fork()
            self._deliver_until_closed()
            self.transport.close(max(0.0, self._left_s()))
        except Exception as error:  # noqa: BLE001 - a bug here or in a transport must end in the books, not in the job
            self._buffer.close("internal")
            self._buffer.note(error_text(error))
            self._complain("internal", error_text(error))
        self._buffer.give_up()

    def save(self) -> None:
        """Ask, from any thread, that what is on its way be kept on disk where there is one, instead of waited for."""
        self._save = True

    def _deliver_until_closed(self) -> None:
        waiting: list[Encoded] = []
        wait_s = _LOOK_AGAIN_S
        while True:
            if not waiting:
                items = self._buffer.take(_BATCH, self._idle_s(), unseen_s=_UNSEEN_S)
                if not items and self._closing():
                    return
                waiting = self._encoded(items)
            self._hurry()
            if self._left_s() <= 0:
                self._buffer.dropped(len(waiting), "unsent")
                return
            taken = self._send(waiting)
            waiting = waiting[taken:]
            # Back-pressure: look again after a while, and after twice as long while nothing moves.
            wait_s = _LOOK_AGAIN_S if taken or not waiting else min(2 * wait_s, 1.0)
            self.transport.poll(min(wait_s, max(0.0, self._left_s())) if waiting else 0.0)

    def _send(self, batch: Sequence[Encoded]) -> int:
        if not batch:
            return 0
        try:
            return self.transport.send(batch, self._settle)
        except DeliveryError as error:
            why = mask(str(error))
            self._complain(error.reason, why)
            if error.retriable:
                self._buffer.note(why)
                return 0
            self._buffer.failed(len(batch), why, error.reason)
        except Exception as error:  # noqa: BLE001 - a bug in a transport must end in the books, not in the job
            self._buffer.failed(len(batch), error_text(error), "internal")
            self._complain("internal", error_text(error))
        return len(batch)

    def _settle(self, count: int, error: DeliveryError | None, _lost: Sequence[Encoded] = (), /) -> None:
        if error is None:
            self._buffer.delivered(count)
            return
        if isinstance(error, Spooled):
            self._buffer.spooled(count)
            return
        why = mask(str(error))
        if not count:
            self._buffer.note(why)
        elif isinstance(error, Dropped):
            self._buffer.dropped(count, error.reason, why)
        else:
            self._buffer.failed(count, why, error.reason)
        self._complain(error.reason, why)

    def _hurry(self) -> None:
        """When the end is near, or when asked: whoever can save events does so instead of waiting."""
        if self._save:
            self._save = False
            if isinstance(self.transport, Hurried):
                self.transport.save()
        if self._hurried or not self._closing():
            return
        now_s, by_s = time.monotonic(), self._close_by_s()
        if self._hurry_from_s == float("inf"):
            self._hurry_from_s = max(by_s - _HURRY_S, (now_s + by_s) / 2)
        if now_s >= self._hurry_from_s:
            self._hurried = True
            if isinstance(self.transport, Hurried):
                self.transport.hurry()

    def _encoded(self, items: Sequence[Item]) -> list[Encoded]:
        encoded = []
        slice_began_s = time.perf_counter()
        for item in items:
            try:
                encoded.append(encode(item, self._stamp, self._rules))
            except Exception as error:  # noqa: BLE001 - one event that cannot be written must not hold up the others
                reason = error.reason if isinstance(error, EventError) else "invalid"
                why = error_text(error)
                self._buffer.dropped(1, reason, why)
                self._complain(reason, why)
            if time.perf_counter() - slice_began_s > _SLICE_S:
                time.sleep(_PAUSE_S)
                slice_began_s = time.perf_counter()
        return encoded

    def _idle_s(self) -> float | None:
        if self._buffer.pending():
            return _LOOK_AGAIN_S
        return self.transport.idle_s() if isinstance(self.transport, Busy) else None

    def _closing(self) -> bool:
        return self._close_by_s() != float("inf")

    def _left_s(self) -> float:
        return self._close_by_s() - time.monotonic() - _CLOSE_RESERVE_S


def encode(item: Item, stamp: Stamp, rules: NameRules | None = None) -> Encoded:
    """Complete the event, give it the names that the rules have for it, and write it.

    Raises:
        EventError: its bytes are more than a record may hold.
    """
    event, time_us = item
    emitter, producer, runtime = stamp
    event = replace(
        event,
        event_id=event.event_id if event.event_id != NIL_UUID else ids.new_event_id(),
        event_time_us=time_us,
        emitter=event.emitter or emitter or _speaker(event, runtime),
        producer=event.producer or producer,
        runtime=runtime if event.runtime is None else event.runtime,
        inputs=_without_credentials(event.inputs),
        outputs=_without_credentials(event.outputs),
    )
    if rules is not None:
        event = rules.apply(event)
    value = codec.encode_single_object(event)
    if len(value) > MAX_EVENT_BYTES:
        raise EventError(
            f"the event has {len(value)} bytes",
            remedy=f"at most {MAX_EVENT_BYTES} fit: drop facets",
            reason="too_large",
        )
    return Encoded(ids.partition_key(event), value, event)


def _speaker(event: LineageEvent, runtime: Runtime) -> str:
    return f"sdk:{event.job}" if event.job.name else f"sdk:{runtime.k8s_namespace or 'unknown'}"


def _without_credentials(uses: tuple[DatasetUse, ...]) -> tuple[DatasetUse, ...]:
    """The same, and where a namespace holds an `@` or a query, under its canonical name, which holds no secret."""
    if not any("@" in use.namespace or "?" in use.namespace for use in uses):
        return uses
    return tuple(_canonical(use) for use in uses)


def _canonical(use: DatasetUse) -> DatasetUse:
    name: Name = canonical_dataset(use.namespace, use.name)
    return replace(use, namespace=name.namespace, name=name.name)
