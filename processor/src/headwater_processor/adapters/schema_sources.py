"""Writer schemas for the batch decoder: ours, the schema topic's, a registry's; waiting for what may still come."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from headwater_processor.ports import StoppingError
from headwater_schemas.codec import Rejected
from headwater_schemas.framing import split_frame
from headwater_schemas.registry import RegistryStore, RegistryUnavailable, SchemaStore, Sources
from headwater_schemas.schema import WriterSchema

log = logging.getLogger(__name__)

_STEP_S: Final = 0.05
_NEGATIVE_S: Final = 60.0
_ABSENT_MAX: Final = 10_000


class WaitingSchemas:
    """See core.decode.Schemas. Used by the engine's thread.

    A fingerprint that nobody knows may be on its way in the schema topic: it is waited for once, `wait_s` at most, then
    rejected as `unknown_schema` at once for a minute. A registry that does not answer is waited for as long as it takes: the
    record says nothing wrong. `alive` is called meanwhile; `closing` ends the wait.
    """

    def __init__(
        self,
        store: SchemaStore,
        registry: RegistryStore | None,
        *,
        wait_s: float,
        alive: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sources = Sources(store, registry, lambda: int(clock() * 1000))
        self._wait_s = wait_s
        self._alive = alive
        self._clock = clock
        self._absent: dict[bytes | int, float] = {}
        self.closing = False

    def by_header(self, value: bytes) -> tuple[WriterSchema, int] | Rejected:
        """The schema of a framed value and where its payload begins. Raises Malformed for what is no frame."""
        _, ref, at = split_frame(value)
        found = self._resolve(ref)
        if isinstance(found, Rejected) and found.reason == "unknown_schema" and not isinstance(ref, int):
            found = self._await(ref, found)
        return found if isinstance(found, Rejected) else (found, at)

    def _resolve(self, ref: bytes | int) -> WriterSchema | Rejected:
        complained = False
        while True:
            try:
                return self._sources.resolve(ref)
            except RegistryUnavailable as error:
                if self.closing:
                    raise StoppingError(str(error)) from error
                if not complained:
                    log.warning("%s; the partition waits until it answers", error)
                    complained = True
                self._alive()
                time.sleep(1.0)

    def _await(self, ref: bytes, absent: Rejected) -> WriterSchema | Rejected:
        now = self._clock()
        if self._absent.get(ref, -1e9) > now:
            return absent
        end = now + self._wait_s
        found: WriterSchema | Rejected = absent
        while isinstance(found, Rejected) and self._clock() < end and not self.closing:
            self._alive()
            time.sleep(_STEP_S)
            found = self._sources.resolve(ref)
        if isinstance(found, Rejected):
            if self.closing and self._clock() < end:
                raise StoppingError("a schema was still waited for")  # the next owner waits as long as it takes
            if len(self._absent) > _ABSENT_MAX:
                self._absent.clear()
            self._absent[ref] = self._clock() + _NEGATIVE_S
        return found
