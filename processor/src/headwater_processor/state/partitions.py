"""The fences, clocks and counters of the partitions, from their hashes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headwater_processor.state.values import PartitionState


def read_partition(
    number: int, fence: Mapping[bytes, bytes], as_of: Mapping[bytes, bytes], lateness_us: int
) -> PartitionState:
    """One partition from its hash `f:<p>` and the hash `asof`; a partition nobody has opened yet is all zeros."""

    def integer(field: bytes, default: int = 0) -> int:
        return int(float(fence.get(field) or default))

    newest = integer(b"mx", -1)
    return PartitionState(
        partition=number,
        epoch=fence.get(b"epoch", b"").decode(errors="replace"),
        next_offset=integer(b"next"),
        topic=fence.get(b"topic", b"").decode(errors="replace"),
        max_event_time_us=max(newest, 0),
        watermark_us=newest - lateness_us if newest >= 0 else 0,
        as_of_us=int(float(as_of.get(str(number).encode()) or 0)),
        applied=integer(b"applied"),
        duplicates=integer(b"dup"),
        late=integer(b"late"),
        future=integer(b"future"),
        undeduped=integer(b"undeduped"),
        bad=integer(b"bad"),
        stopped=_stopped(fence.get(b"stopped", b"")),
    )


def domain_as_of(partitions: Sequence[PartitionState]) -> int:
    """The minimum over all partitions; 0 as long as one of them is unknown."""
    return min((partition.as_of_us for partition in partitions), default=0)


def _stopped(value: bytes) -> str:
    return "" if value in (b"", b"0") else value.decode(errors="replace")
