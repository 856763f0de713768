"""What an emitter needs of a way out, and nothing more.

To write one: a class with the four methods of `Transport`. The emitter calls them from one thread, one call at a
time; `settle` may be called from any thread. Raise `DeliveryError` (with `retriable`) and nothing else.

The other protocols are for those who can do more: give back what is on its way (`Recallable`: what a spool or a
fallback needs to save it), live on in a forked child (`Forkable`), work while no event comes (`Busy`), end quickly
(`Hurried`), count things of their own (`Counting`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

from headwater.errors import DeliveryError, EventError
from headwater_schemas.events import LineageEvent


@dataclass(frozen=True, slots=True)
class Encoded:
    """An event ready to travel: partition key, Avro bytes in single-object encoding, and, where known, what they say."""

    key: bytes
    value: bytes
    known: LineageEvent | None = None

    @property
    def event(self) -> LineageEvent:
        """What the bytes say; decoded if it is not known.

        Raises:
            EventError: they were written with another schema than ours, or are damaged.
        """
        return self.known if self.known is not None else _decoded(self.value)


class Settle(Protocol):
    """Called with how many events met the same end: delivered (None), or why not; 0 tells of trouble without loss.

    `lost` are those events, where there was an error: whoever saves or counts them needs to know which.
    """

    def __call__(self, count: int, error: DeliveryError | None, lost: Sequence[Encoded] = (), /) -> None: ...


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


@runtime_checkable
class Recallable(Protocol):
    """Gives back what it has taken and not settled."""

    def recall(self) -> None:
        """Settle everything on its way as lost, now; some of it may arrive nevertheless. Sending may go on afterwards."""
        ...


@runtime_checkable
class Forkable(Protocol):
    """Lives on in a forked child."""

    def after_fork(self) -> Self:
        """The same way out for this process, sharing nothing with the parent's. Called in the child, by its new thread.

        Nothing of the old one is touched again, closed or freed: its threads and locks are the parent's.
        """
        ...


@runtime_checkable
class Disowning(Protocol):
    """Holds something that a forked child must not keep, such as a lock."""

    def disown(self) -> None:
        """Called in the child at the fork: close descriptors that are the parent's, and touch nothing else."""
        ...


@runtime_checkable
class Busy(Protocol):
    """Has work of its own."""

    def idle_s(self) -> float | None:
        """After how many seconds at most `poll` should be called again; None: not before the next event."""
        ...


@runtime_checkable
class Hurried(Protocol):
    """Can end faster than by waiting."""

    def hurry(self) -> None:
        """The emitter is about to close: do not wait for the network any more, keep what comes where it is safe."""
        ...

    def save(self) -> None:
        """The process may end at any moment: keep what is on its way where it is safe, then go on as before."""
        ...


@runtime_checkable
class Counting(Protocol):
    """Counts things beside the emitter's books."""

    def counts(self) -> Mapping[str, int]:
        """Names and counts; may be called from any thread."""
        ...


def _decoded(value: bytes) -> LineageEvent:
    from headwater_schemas.codec import Rejected, decode, own_schema
    from headwater_schemas.schema import WriterSchema

    class OwnSchema:
        def resolve(self, ref: bytes | int) -> WriterSchema | Rejected:
            own = own_schema()
            return own if ref == own.fingerprint else Rejected("unknown_schema", f"fingerprint {ref!r} is not ours")

    decoded = decode(value, OwnSchema())
    if isinstance(decoded, Rejected):
        raise EventError(
            f"the event's bytes cannot be read: {decoded}", remedy="send it with the version that wrote it"
        )
    return decoded
