"""What an emitter needs of a way out, and nothing more.

To write one: a class with the four methods of `Transport`. The emitter calls them from one thread, one call at a
time; `settle` may be called from any thread. Raise `DeliveryError` (with `retriable`) and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from headwater.errors import DeliveryError
from headwater_schemas.events import LineageEvent


@dataclass(frozen=True, slots=True)
class Encoded:
    """An event ready to travel: partition key, Avro bytes in single-object encoding, and what they say."""

    key: bytes
    value: bytes
    event: LineageEvent


Settle = Callable[[int, DeliveryError | None], None]
"""Called with how many events met the same end: delivered (None) or given up (why)."""


class Transport(Protocol):
    """A way out. Every event taken is settled exactly once, at the latest in `close`."""

    def send(self, batch: Sequence[Encoded], settle: Settle) -> int:
        """Take events from the front of the batch, return how many; the others are offered again later.

        Must not wait for the network. Less than the whole batch is back-pressure, not loss. A `DeliveryError` means
        that none of the batch was taken: retriable, it is offered again; otherwise it is counted as failed.
        """
        ...

    def poll(self, timeout_s: float) -> None:
        """Settle what has met its end meanwhile; wait at most `timeout_s` for the first."""
        ...

    def flush(self, timeout_s: float) -> int:
        """Wait until all that was taken is settled; returns how many are not after `timeout_s`."""
        ...

    def close(self, timeout_s: float) -> None:
        """Settle the rest within about `timeout_s`, giving up what cannot be delivered, and let go of resources."""
        ...
