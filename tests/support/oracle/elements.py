"""The elements of the state, one class for each kind of thing, and the settings.

Every element is a join. A pair `(number, payload)` is compared as Python compares tuples, which is the rule of
section 4: the larger first number wins with its payload, at equal numbers the larger payload. A minimum is kept as
the maximum of its negative.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final

NIL: Final = bytes(16)
NO_KEY: Final = bytes(12)
NO_MINIMUM: Final = -(2.0**53)
US: Final = 1_000_000
MAX_RUN_OFFSETS: Final = 256
_INVERTED: Final = bytes(255 - value for value in range(256))

Pair = tuple[int, bytes]
Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings of section 2 and 3; times in microseconds."""

    lateness_us: int = 300 * US
    max_future_us: int = 300 * US
    horizon_us: int = 24 * 3600 * US
    bucket_us: int = 3600 * US
    backfill_age_us: int = 24 * 3600 * US
    seen_ids_max: int = 20_000_000
    shards: int = 16


def invert(event_id: bytes) -> bytes:
    """Event id inverted: behind a negated minimum, the larger payload is the smaller event id."""
    return event_id.translate(_INVERTED)


def entity_name(kind: bytes, namespace: str, name: str) -> bytes:
    return kind + namespace.encode() + b"\0" + name.encode()


def entity_key(named: bytes) -> bytes:
    return hashlib.blake2b(named, digest_size=12).digest()


@dataclass(slots=True)
class Dataset:
    """One dataset: `ds`, `dz`, `sv`, `mv` and `fr` of section 4, and the evidence for what may have been published."""

    first_seen: Pair = (-(2**53), b"")
    asserted: int = 0
    retracted: int = 0
    truncated: int = 0
    first_read: int = -(2**53)
    first_written: int = -(2**53)
    schema_version: Pair = (0, b"")
    renamed_to: Pair = (0, b"")
    last_write: Pair = (0, b"")
    data_through: int = 0
    last_failure: int = 0
    idle_through: int = 0
    writers: set[int] = field(default_factory=set)
    """Partitions that must be in `wp`, whatever the order of arrival; those of runs are looked at in the comparison."""
    credits: set[int] = field(default_factory=set)
    """Every time that ever was a proven write, for checking images of the past; the same for the next ones."""
    throughs: set[int] = field(default_factory=set)
    failures: set[int] = field(default_factory=set)
    idles: set[int] = field(default_factory=set)
    retractions: set[int] = field(default_factory=set)
    truncations: set[int] = field(default_factory=set)
    versions: set[str] = field(default_factory=set)
    renames: set[bytes] = field(default_factory=set)

    @property
    def present(self) -> bool:
        return self.asserted > self.retracted


@dataclass(slots=True)
class Job:
    first_seen: Pair
    asserted: int = 0
    first_input: int = -(2**53)
    first_output: int = -(2**53)
    streaming: bool = False


@dataclass(slots=True)
class Edge:
    first_seen: Pair
    asserted: int = 0


@dataclass(slots=True)
class Run:
    """A run as the join of what was said about it."""

    first: int
    started: int = 0
    """0: no START yet."""
    seen: int = 0
    running: int = 0
    complete: Pair = (0, b"")
    credit: tuple[int, bytes, bytes] = (0, b"", b"")
    failed: tuple[int, int, bytes, bytes] = (0, 0, b"", b"")
    streaming: bool = False
    restartable: bool = False
    idle: int = 0
    inputs: set[bytes] = field(default_factory=set)
    outputs: set[bytes] = field(default_factory=set)
    runtime: tuple[int, bytes, dict[str, str]] = (0, b"", {})
    parent: tuple[int, bytes, bytes, bytes] = (0, b"", b"", b"")
    offsets: dict[bytes, list[int]] = field(default_factory=dict)
    partitions: set[int] = field(default_factory=set)
    credits: set[int] = field(default_factory=set)
    failures: set[int] = field(default_factory=set)
    idles: set[int] = field(default_factory=set)

    @property
    def is_open(self) -> bool:
        """Derived status: not closed (`lost` is a question of as-of, not of the record)."""
        if not self.complete[0] and not self.failed[0]:
            return True
        completed_later = self.complete[0] >= self.failed[0]
        return self.restartable and self.running > self.failed[0] and not completed_later

    @property
    def closed_us(self) -> int:
        return max(self.complete[0], self.failed[0])


@dataclass(frozen=True, slots=True)
class Context:
    """What every part of the merge needs of one event."""

    event: Event
    partition: int
    c: int
    bound_us: int
    undeduped: bool
    event_id: bytes
    run_id: bytes
    job: bytes | None
    emitter: bytes
    """Emitter key, NO_KEY for none."""
    inputs: list[bytes]
    outputs: list[bytes]
    """Dataset keys of all outputs, one an entry."""
    backfill: bool

    @property
    def kind(self) -> str:
        return str(self.event["event_type"])

    @property
    def run(self) -> bytes | None:
        return self.job + self.run_id if self.job is not None and self.run_id != NIL else None

    def who(self) -> bytes:
        """Payload of a proven write."""
        return self.event_id + self.run_id + (self.job or NO_KEY) + self.emitter

    def kept_outputs(self) -> list[tuple[int, bytes]]:
        """(index among the outputs, dataset key) of those that are not dropped."""
        outs = self.event["outputs"]
        return [(at, key) for at, key in enumerate(self.outputs) if outs[at]["lifecycle"] != "DROP"]
