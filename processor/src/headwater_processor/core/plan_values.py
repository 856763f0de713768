"""The values around a plan: the rules it follows, the counts it moves, the call it becomes."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that decide what an event means. All times in microseconds."""

    lateness_us: int = 300_000_000
    max_future_us: int = 300_000_000
    horizon_us: int = 86_400_000_000
    bucket_us: int = 3_600_000_000
    backfill_age_us: int = 86_400_000_000
    seen_ids_max: int = 20_000_000
    closed_runs_max: int = 200_000
    shards: int = 16


@dataclass(slots=True)
class Counters:
    """Absolute counts of a partition since it began."""

    applied: int = 0
    dup: int = 0
    late: int = 0
    future: int = 0
    undeduped: int = 0
    bad: int = 0


@dataclass(slots=True)
class Plan:
    """One fenced call, ready to be sent, and what must be acknowledged elsewhere before it."""

    partition: int
    expected: int
    next: int
    token: bytes
    blobs: list[bytes]
    """What is written, in calls of a bounded size; the last one moves the fence."""
    buckets: list[str]
    packed_ids: list[bytes]
    dropped_buckets: list[str]
    mx_us: int
    floor: int
    counters: tuple[int, int, int, int, int, int]
    late: list[tuple[int, int]] = field(default_factory=list)
    """Row in the batch and by how many microseconds it was late."""
    records: int = 0
    operations: int = 0
    """Planned writes: what a call costs in Redis."""
    shards_touched: int = 0
    """Bit s: the outbox of shard s gets an entry."""
    oldest_us: int = 0
    """When its first record came to the log; 0: nobody says. Measured, never used."""
