"""The oracle: records in offset order in, expected counters, seen ids, letters and state out.

SEMANTICS.md, section 2. Plain on purpose: one record after the other, no batches, no columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.oracle.elements import Event, Rules
from tests.support.oracle.state import State
from tests.support.oracle.wire import BadRecordError, Schema, WireDecoder

from headwater_schemas.naming import canonical_dataset


@dataclass(slots=True)
class Letter:
    """A record that must be in the dead letters, or in the late copies."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    reason: str


@dataclass(slots=True)
class Partition:
    """The fence, the counters and the seen ids of one partition."""

    next: int = 0
    mx_us: int = -1
    floor: int = 0
    applied: int = 0
    dup: int = 0
    late: int = 0
    future: int = 0
    undeduped: int = 0
    bad: int = 0
    buckets: dict[int, set[bytes]] = field(default_factory=dict)
    future_buckets: dict[int, set[bytes]] = field(default_factory=dict)
    live_ids: int = 0

    def counters(self) -> dict[str, int]:
        names = ("next", "applied", "dup", "late", "future", "undeduped", "bad")
        return {name: getattr(self, name) for name in names}

    def buckets_by_name(self) -> dict[str, int]:
        """Live buckets as Redis names them, with the number of ids."""
        usual = {str(number): len(ids) for number, ids in self.buckets.items() if ids}
        return usual | {f"F{number}": len(ids) for number, ids in self.future_buckets.items() if ids}


def canonical(namespace: str, name: str) -> tuple[str, str]:
    """The canonical id of a dataset: the one thing taken from the product, because it is tested on its own."""
    found = canonical_dataset(namespace, name)
    return found.namespace, found.name


class Model:
    """Feed it records by partition in offset order, then read `partitions`, `state`, `bad` and `late`."""

    def __init__(
        self,
        by_fingerprint: Mapping[bytes, Schema],
        by_id: Mapping[int, Schema] | None = None,
        rules: Rules | None = None,
        canonical: Callable[[str, str], tuple[str, str]] = canonical,
    ) -> None:
        self.rules = rules or Rules()
        self.decoder = WireDecoder(by_fingerprint, by_id)
        self.state = State(self.rules, canonical)
        self.partitions: dict[int, Partition] = {}
        self.bad: dict[tuple[int, int], Letter] = {}
        self.late: dict[tuple[int, int], Letter] = {}

    def feed(
        self, partition: int, offset: int, timestamp_ms: int, value: bytes | None, key: bytes | None = None
    ) -> None:
        """One record of the events topic."""
        p = self.partitions.setdefault(partition, Partition(next=offset))
        p.next = offset + 1
        try:
            event = self.decoder.decode(value)
            check_usable(event)
        except BadRecordError as error:
            p.bad += 1
            self.bad[partition, offset] = Letter(partition, offset, key, value, str(error))
            return
        append_us = timestamp_ms * 1000
        is_future = event["event_time"] > append_us + self.rules.max_future_us
        is_late = not is_future and self._advance(p, event["event_time"])
        undeduped = not is_future and event["event_time"] // self.rules.bucket_us < p.floor
        if not undeduped and self._seen(p, event, append_us, is_future):
            p.dup += 1
            return
        # Reading: `applied` rises once for an undeduped record, and it may be late as well (it always is).
        p.applied += 1
        p.undeduped += undeduped
        p.late += is_late
        p.future += is_future
        if is_late:
            self.late[partition, offset] = Letter(partition, offset, key, value, "late")
        self.state.merge(event, partition, append_us, undeduped)

    def _advance(self, p: Partition, event_time_us: int) -> bool:
        """Moves the watermark and the floor; whether the record was late."""
        is_late = p.mx_us >= 0 and event_time_us < p.mx_us - self.rules.lateness_us
        p.mx_us = max(p.mx_us, event_time_us)
        self._raise_floor(p, (p.mx_us - self.rules.horizon_us) // self.rules.bucket_us)
        return is_late

    def _raise_floor(self, p: Partition, floor: int) -> None:
        if floor <= p.floor:
            return
        p.floor = floor
        # Reading: a bucket of future ids leaves like any other, by the number in its name.
        for buckets in (p.buckets, p.future_buckets):
            for number in [number for number in buckets if number < floor]:
                p.live_ids -= len(buckets.pop(number))

    def _seen(self, p: Partition, event: Event, append_us: int, is_future: bool) -> bool:
        """Whether the id was seen in its bucket; remembers it if not."""
        event_id = event["event_id"]
        if is_future:
            if any(event_id in ids for ids in p.future_buckets.values()):
                return True
            ids = p.future_buckets.setdefault(append_us // self.rules.bucket_us, set())
        else:
            ids = p.buckets.setdefault(event["event_time"] // self.rules.bucket_us, set())
            if event_id in ids:
                return True
        ids.add(event_id)
        p.live_ids += 1
        while p.live_ids > self.rules.seen_ids_max and p.buckets:
            self._raise_floor(p, min(p.buckets) + 1)
        return False

    def expected_total(self, partition: int) -> int:
        """bad + dup + applied: records seen."""
        p = self.partitions[partition]
        return p.bad + p.dup + p.applied

    def open_runs(self) -> dict[bytes, int]:
        """Run key to `seen` of every run that is open."""
        return {key: run.seen for key, run in self.state.runs.items() if run.is_open}


def check_usable(event: dict[str, Any]) -> None:
    """Raises BadRecordError for an event that decodes but says nothing usable."""
    if event["event_time"] < 1:
        raise BadRecordError("event_time")
    uses = len(event["inputs"]) + len(event["outputs"])
    if any(not 0 <= measure["dataset"] < uses for measure in event["measures"]):
        raise BadRecordError("measure_index")
