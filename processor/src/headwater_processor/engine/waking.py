"""What the owner of a shard keeps in mind for judging, and which news have something looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from headwater_processor.core import alerts as machines_codec
from headwater_processor.core.alerts import Machine
from headwater_processor.core.unlinked import LEAF, READ_NEVER_WRITTEN, SOURCE, WRITTEN_NEVER_READ
from headwater_processor.engine.images import Facts, status_of
from headwater_processor.engine.publishing import Shard
from headwater_processor.state.layout import JudgedRecord, last_write_us, retracted_us, was_read, was_written
from headwater_schemas.deltas import FreshnessState, Status
from headwater_schemas.ids import KEY_BYTES

SLOT_US: Final = 300_000_000


class ShardJudge:
    """A shard's memory for judging: statuses and machines, loaded when the shard is taken over."""

    def __init__(self, shard: Shard, statuses: Mapping[bytes, bytes], machines: Mapping[bytes, bytes]) -> None:
        self.shard = shard
        self.statuses = {member: status_of(JudgedRecord.unpack(value)) for member, value in statuses.items()}
        self.machines: dict[str, Machine] = {
            fingerprint.decode(): machines_codec.decode(value) for fingerprint, value in machines.items()
        }
        self.lost: dict[bytes, frozenset[bytes]] = {}
        self.slots: dict[bytes, int] = {}
        """The five-minute slot of the last write by which a dataset was looked at while it learns its cadence."""
        self.named_lost: set[bytes] = set()
        """Runs whose image as lost was asked for: once, or the asking would wake the judge that asks."""

    def tells_something(self, member: bytes, status: Status | None, fresh: bytes | None) -> bool:
        """Whether a write may change the verdict: while a cadence is learned, only the first write of a slot does."""
        if status is None or status.state is not FreshnessState.UNKNOWN or fresh is None:
            return True
        slot = last_write_us(fresh) // SLOT_US
        if self.slots.get(member) == slot:
            return False
        self.slots[member] = slot
        return True


def to_wake(judge: ShardJudge, names: Sequence[bytes], facts: Facts) -> list[bytes]:
    """Which members of `dl` these names have looked at: what is new, what was removed, and what is not simply well."""
    members: dict[bytes, None] = {}
    statuses, lost = judge.statuses, judge.lost
    for name in names:
        kind = name[:1]
        if kind == b"r":
            if lost and name[1 : 1 + KEY_BYTES] in lost:
                members[name[: 1 + KEY_BYTES]] = None
        elif kind == b"f":
            member = b"d" + name[1:]
            status = statuses.get(member)
            well = status is not None and status.state is FreshnessState.FRESH
            if not well and judge.tells_something(member, status, facts.fr.get(name[1:])):
                members[member] = None
        elif kind == b"d":
            status = statuses.get(name)
            record = facts.ds.get(name[1:])
            if status is None or (record is not None and (retracted_us(record) > 0 or _is_whole(status, record))):
                members[name] = None
        elif kind == b"j":
            status = statuses.get(name)
            if status is None or status.unlinked:
                members[name] = None
        elif kind == b"m":
            members[b"e" + name[1:]] = None
    return list(members)


def _is_whole(status: Status, record: bytes) -> bool:
    """Whether what was missing of a dataset when it was judged is there now: its name comes each minute in which it is told of."""
    if status.kind == SOURCE or status.unlinked == READ_NEVER_WRITTEN:
        return was_written(record)
    if status.kind == LEAF or status.unlinked == WRITTEN_NEVER_READ:
        return was_read(record)
    return False
