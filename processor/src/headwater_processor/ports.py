"""What the engine needs from outside, as protocols. Adapters implement them; `tests/contract` holds what they promise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from headwater_processor.core.plan import Counters, Plan


class Refusal(Enum):
    """Why a fenced call changed nothing."""

    FENCED = "FENCED"  # another owner took the partition over
    TOPIC = "TOPIC"  # the topic was recreated
    GEN = "GEN"  # the state was rebuilt
    NEXT = "NEXT"  # the replica was not what is stored


@dataclass(frozen=True, slots=True)
class Fence:
    """A partition as its new owner finds it."""

    partition: int
    epoch: str
    topic: str
    gen: str
    next: int
    mx_us: int
    floor: int
    counters: Counters
    buckets: tuple[str, ...]
    stopped: str
    pass_bad_until: int
    again_until: int = -1
    """Records before this offset were applied before, to a state that was set back since: images of it may have been published."""


@dataclass(frozen=True, slots=True)
class Call:
    """A plan under its fence."""

    plan: Plan
    fence: Fence
    as_of_us: int


@dataclass(frozen=True, slots=True)
class Applied:
    """The call did everything."""

    longest_outbox: int
    joined_runs: tuple[tuple[bytes, bytes], ...] = ()
    """Runs that others had written too: key and joined record, as stored."""


class EmptyStateError(Exception):
    """There is no fence for a partition that was read before: an operator decides what that means."""


class TopicChangedError(Exception):
    """The events topic is not the one the fence belongs to."""


class StoppingError(Exception):
    """The worker is stopping while something it needs is away: nothing is skipped, the next owner goes on."""


class StateStore(Protocol):
    """The state behind its fences."""

    def acquire(self, partition: int, topic: str, begin_at: int | None) -> Fence:
        """Take a partition over. Raises EmptyStateError, TopicChangedError, HeadwaterError."""

    def load_seen(self, partition: int, bucket: str) -> Iterator[bytes]:
        """The log of one bucket, in pieces of packed u64."""

    def send(self, calls: Sequence[Call]) -> None:
        """Hand calls over without waiting; each `send` is answered by one `receive`."""

    def receive(self) -> list[Applied | Refusal]:
        """The outcomes of the oldest unanswered `send`. Waits out what passes (loading, failover, busy)."""

    def prove(self, proofs: Sequence[tuple[Fence, int, int]]) -> list[bool]:
        """Record as-of for (fence, next reached, as-of µs) where nothing is in flight; for each, whether it held: the fence
        is ours and has come that far."""


class Letters(Protocol):
    """Dead and late letters: acknowledged before the call that skips the records."""

    def dead(self, record: RawRecord, reason: str, detail: str) -> None:
        """Queue a record for the dead-letter topic, byte for byte."""

    def late(self, record: RawRecord, lateness_us: int) -> None:
        """Queue a copy of a late record."""

    def wait(self, alive: Callable[[], None]) -> bool:
        """Return when all queued are acknowledged, however long that takes (`alive` is called meanwhile); False if the
        worker is stopping and they are not: then nothing may be skipped."""


class RawRecord(Protocol):
    """A consumed record, as confluent-kafka's Message gives it."""

    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def headers(self) -> list[tuple[str, bytes | None]] | None: ...
    def topic(self) -> str | None: ...
    def partition(self) -> int | None: ...
    def offset(self) -> int | None: ...
    def timestamp(self) -> tuple[int, int]: ...
