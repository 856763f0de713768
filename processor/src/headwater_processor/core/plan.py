"""What a batch does to the state, worked out in the owner's memory: `PartitionPlanner.plan`.

The rules are SEMANTICS.md, sections 2 and 3. A plan is a value: the bytes of one fenced call, and what has to be sent
elsewhere before it. It is built on the planner's view of the partition (seen ids, watermark, counters), which is ahead of
Redis by the plans that are not applied yet; when a call is refused the view is thrown away and loaded anew.

`Knowledge` is what this worker knows to be in Redis already, so that a batch sends only what changes something. Leaving
something out is safe because the state only grows: what an earlier plan carries is applied, or replayed, before anybody
relies on it. It is dropped whole when a call is refused or the graph's generation moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from headwater_processor.core.batch import Batch
from headwater_processor.core.decode import FEW, Columns
from headwater_processor.core.knowledge import Knowledge
from headwater_processor.core.plan_values import Counters, Plan, Rules
from headwater_processor.core.seen import Seen, SeenBucket, hash_id, hash_ids

__all__ = ["Counters", "Knowledge", "PartitionPlanner", "Plan", "Rules"]


MANY: Final = 500
"""Records of a batch from which ids are sorted and looked up as arrays: before, a set is quicker."""


class PartitionPlanner:
    """The owner's view of one partition. Used by one thread."""

    def __init__(self, partition: int, rules: Rules, knowledge: Knowledge, secret: tuple[int, int]) -> None:
        self.partition = partition
        self.rules = rules
        self.knowledge = knowledge
        self.secret = secret
        self.seen = Seen()
        self.next = 0
        self.mx_us = -1
        self.floor = -1
        self.counters = Counters()

    def plan(self, columns: Columns, append_us: Sequence[int], next_offset: int, token: bytes) -> Plan:
        """The call for one batch. `append_us` is by row of the batch; `next_offset` is one past its last record."""
        batch = Batch(self.partition, self.rules, self.knowledge, token)
        late: list[tuple[int, int]] = []
        if len(columns.rows) > FEW:
            late = self._walk(columns, append_us, batch)
        elif columns.rows:
            late = self._walk_few(columns, append_us, batch)
        self.counters.bad += len(columns.bad)
        gone = self._expire(append_us)
        counters = self.counters
        plan = Plan(
            partition=self.partition,
            expected=self.next,
            next=next_offset,
            token=token,
            blobs=batch.blobs(),
            buckets=batch.buckets,
            packed_ids=batch.packed_ids,
            dropped_buckets=gone,
            mx_us=self.mx_us,
            floor=self.floor,
            counters=(counters.applied, counters.dup, counters.late, counters.future, counters.undeduped, counters.bad),
            late=late,
            records=len(append_us),
            operations=batch.operations,
            shards_touched=batch.shards_touched,
            oldest_us=append_us[0] if append_us else 0,
        )
        self.next = next_offset
        return plan

    def _walk(self, columns: Columns, append_us: Sequence[int], batch: Batch) -> list[tuple[int, int]]:
        rules, counters = self.rules, self.counters
        n = len(columns.rows)
        times = columns.times
        appended = np.fromiter((append_us[row] for row in columns.rows), np.int64, n)
        limit = appended + rules.max_future_us
        future = times > limit
        credit = np.minimum(times, limit)
        valid = np.where(future, -1, times)
        running = np.maximum.accumulate(np.concatenate((np.array([self.mx_us], np.int64), valid)))
        before = running[:-1]
        lateness = np.where((before >= 0) & ~future, before - rules.lateness_us - times, -1)
        hashes = hash_ids(b"".join(columns.ids), self.secret)
        new = self._admit(times, running[1:], future, appended, hashes, batch)
        self.mx_us = int(running[-1])
        late: list[tuple[int, int]] = []
        late_list = lateness.tolist() if bool((lateness > 0).any()) else None
        future_list = future.tolist() if bool(future.any()) else None
        credit_times = credit.tolist()
        appends = appended.tolist()
        add = batch.add
        applied = 0
        types, ids, run_ids = columns.types, columns.ids, columns.run_ids
        templates, extras = columns.templates, columns.extras
        for i in range(n):
            verdict = new[i]
            if not verdict:
                continue
            applied += 1
            if late_list is not None and late_list[i] > 0:
                late.append((columns.rows[i], late_list[i]))
            if future_list is not None and future_list[i]:
                counters.future += 1
            add(credit_times[i], types[i], ids[i], run_ids[i], templates[i], extras[i], appends[i], verdict == 2)
        counters.applied += applied
        counters.dup += n - applied
        counters.late += len(late)
        return late

    def _walk_few(self, columns: Columns, append_us: Sequence[int], batch: Batch) -> list[tuple[int, int]]:
        """The same, record by record: arrays of a few cost more than they save."""
        rules, counters = self.rules, self.counters
        late: list[tuple[int, int]] = []
        fresh: dict[str, list[int]] = {}
        hashes = [hash_id(ident, self.secret) for ident in columns.ids]
        times: list[int] = columns.times.tolist()
        floor = self.floor
        for i, row in enumerate(columns.rows):
            time_us, appended = times[i], append_us[row]
            limit = appended + rules.max_future_us
            ahead = time_us > limit
            before = self.mx_us
            if not ahead and time_us > before:
                self.mx_us = time_us
            floor = max((self.mx_us - rules.horizon_us) // rules.bucket_us, self.floor)
            verdict = self._admit_one(
                time_us // rules.bucket_us, floor, ahead, appended // rules.bucket_us, hashes[i], fresh
            )
            if not verdict:
                counters.dup += 1
                continue
            counters.applied += 1
            if ahead:
                counters.future += 1
            elif before >= 0 and time_us < before - rules.lateness_us:
                late.append((row, before - rules.lateness_us - time_us))
            batch.add(
                min(time_us, limit), columns.types[i], columns.ids[i], columns.run_ids[i], columns.templates[i],
                columns.extras[i], appended, verdict == 2,
            )  # fmt: skip
        self.floor = max(self.floor, floor)
        counters.late += len(late)
        self._note(fresh, batch)
        return late

    def _admit(
        self,
        times: npt.NDArray[np.int64],
        running: npt.NDArray[np.int64],
        future: npt.NDArray[np.bool_],
        appended: npt.NDArray[np.int64],
        hashes: npt.NDArray[np.uint64],
        batch: Batch,
    ) -> list[int]:
        """For each record: 0 duplicate, 1 new, 2 older than the horizon (merged, but nobody can tell if it came before)."""
        bucket_us = self.rules.bucket_us
        numbers = times // bucket_us
        floors = np.maximum((running - self.rules.horizon_us) // bucket_us, self.floor)
        self.floor = max(self.floor, int(floors[-1]))
        plain = not bool(future.any()) and not bool((numbers < floors).any())
        low, high = int(numbers.min()), int(numbers.max())
        full = self.seen.total + len(hashes) > self.rules.seen_ids_max
        if plain and low == high and not full:
            return self._admit_one_bucket(low, hashes, batch)
        return self._admit_each(numbers, floors, future, appended // bucket_us, hashes, batch)

    def _admit_one_bucket(self, number: int, hashes: npt.NDArray[np.uint64], batch: Batch) -> list[int]:
        bucket = self.seen.bucket(number)
        if len(hashes) >= MANY:
            new, added = bucket.admit_many(hashes)
            batch.seen_packed(str(number), added)
            self.seen.total += len(added)
            return new
        hot = bucket.hot
        known = _settled(bucket, hashes)
        verdicts = []
        fresh: list[int] = []
        for i, value in enumerate(hashes.tolist()):
            if value in hot or (known is not None and known[i]):
                verdicts.append(0)
            else:
                hot.add(value)
                fresh.append(value)
                verdicts.append(1)
        batch.seen(str(number), fresh)
        self.seen.total += len(fresh)
        bucket.settle_if_large()
        return verdicts

    def _admit_each(
        self,
        numbers: npt.NDArray[np.int64],
        floors: npt.NDArray[np.int64],
        future: npt.NDArray[np.bool_],
        append_buckets: npt.NDArray[np.int64],
        hashes: npt.NDArray[np.uint64],
        batch: Batch,
    ) -> list[int]:
        fresh: dict[str, list[int]] = {}
        rows = zip(
            numbers.tolist(), floors.tolist(), future.tolist(), append_buckets.tolist(), hashes.tolist(), strict=True
        )
        verdicts = [self._admit_one(*row, fresh) for row in rows]
        self._note(fresh, batch)
        return verdicts

    def _admit_one(
        self, number: int, floor: int, ahead: bool, append_bucket: int, value: int, fresh: dict[str, list[int]]
    ) -> int:
        seen = self.seen
        if ahead:
            if seen.in_future(value, floor):
                return 0
            seen.future_bucket(append_bucket).hot.add(value)
            name = f"F{append_bucket}"
        elif number < floor:
            self.counters.undeduped += 1
            return 2
        else:
            bucket = seen.bucket(number)
            if bucket.contains(value):
                return 0
            bucket.hot.add(value)
            name = str(number)
        fresh.setdefault(name, []).append(value)
        seen.total += 1
        return 1

    def _note(self, fresh: dict[str, list[int]], batch: Batch) -> None:
        for name, values in fresh.items():
            batch.seen(name, values)
        self.seen.settle(fresh)

    def _expire(self, append_us: Sequence[int]) -> list[str]:
        """Buckets that the watermark, or the bound, has passed: they go whole."""
        rules, seen = self.rules, self.seen
        gone = [str(number) for number in seen.drop_below(self.floor)] if seen.buckets else []
        while seen.total > rules.seen_ids_max and len(seen.buckets) > 1:
            self.floor = min(seen.buckets) + 1
            gone += [str(number) for number in seen.drop_below(self.floor)]
        if seen.future:
            gone += [f"F{number}" for number in seen.drop_future_below(self.floor)]
        return gone


def _settled(bucket: SeenBucket, hashes: npt.NDArray[np.uint64]) -> list[bool] | None:
    """By record, whether it is in the settled runs; looked up in order, which is what makes it cheap."""
    if not bucket.runs:
        return None
    order = np.argsort(hashes)
    found = bucket.settled(hashes[order])
    if not bool(found.any()):
        return None
    by_record = np.empty(len(hashes), np.bool_)
    by_record[order] = found
    result: list[bool] = by_record.tolist()
    return result
