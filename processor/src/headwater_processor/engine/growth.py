"""Walks over all names, in small steps, and counts who brought new ones (`core.growth`).

The owner of shard 0 walks for the whole domain, a step with each sweep: NAMES_A_STEP names out of `names`, and the records of
those that look made. So nothing is paid for with an event, and nothing is stored but the alert. A walk takes a second for each
NAMES_A_STEP names; then it rests as long as it took, EVERY_S at least. The hours that count are those before its begin.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from headwater_processor.adapters.shard_store import ShardStore
from headwater_processor.core.growth import Offender, Tally, skeleton
from headwater_processor.state.layout import (
    KIND_DATASET,
    KIND_JOB,
    DatasetRecord,
    JobRecord,
    unpack_name,
)
from headwater_schemas.events import Name
from headwater_schemas.ids import KEY_BYTES

NAMES_A_STEP: Final = 500
EVERY_S: Final = 300.0
_NOBODY: Final = bytes(KEY_BYTES)


class GrowthWalk:
    """Used by the shards' thread. What others read (`new`, `left_out`) is replaced whole."""

    def __init__(
        self, store: ShardStore, *, every_s: float = EVERY_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._every_s = every_s
        self._clock = clock
        self._tally: Tally | None = None
        self._cursor = 0
        self._begun_at = self._next_at = -1e9
        self.new: Mapping[str, int] = {}
        """Datasets and jobs with made names that were new in the last hour that was counted."""
        self.left_out = 0
        self.counted = False
        """Whether a walk has come to its end, and these are figures."""

    def step(self, as_of_us: int) -> Tally | None:
        """Go on, or begin anew if it is time; the count, when a walk has come to its end."""
        if self._tally is None:
            if as_of_us <= 0 or self._clock() < self._next_at:
                return None
            self._tally, self._cursor, self._begun_at = Tally(as_of_us), 0, self._clock()
        tally = self._tally
        self._cursor, found = self._store.many(
            [("HSCAN", self._store.keys("names"), self._cursor, "COUNT", NAMES_A_STEP)]
        )[0]
        self._count(tally, found if isinstance(found, dict) else dict(zip(found[::2], found[1::2], strict=True)))
        self._cursor = int(self._cursor)
        if self._cursor:
            return None
        self._tally = None
        self._next_at = max(self._begun_at + self._every_s, 2 * self._clock() - self._begun_at)
        self.new, self.left_out, self.counted = dict(tally.new), tally.left_out, True
        return tally

    def stop(self) -> None:
        """Shard 0 is another's now."""
        self._tally = None
        self._next_at = -1e9
        self.new, self.left_out, self.counted = {}, 0, False

    def _count(self, tally: Tally, names: Mapping[bytes, bytes]) -> None:
        made: dict[bytes, tuple[bytes, Name, str]] = {}
        for key, value in names.items():
            kind = value[:1]
            if kind in (KIND_DATASET, KIND_JOB):
                name = unpack_name(value)[1]
                bare = skeleton(name.name)
                if bare:
                    made[key] = (kind, name, bare)
        if not made:
            return
        keys = list(made)
        records = self._read([("ds" if made[key][0] == KIND_DATASET else "job", key) for key in keys])
        young: list[tuple[bytes, int, bytes]] = []
        """Key, first seen, and who is asked for the emitter: a job, or the emitter itself."""
        for key, value in zip(keys, records, strict=True):
            if value is None:
                continue
            if made[key][0] == KIND_DATASET:
                dataset = DatasetRecord.unpack(value)
                first_us, who = dataset.first_seen_us, dataset.first_job
            else:
                job = JobRecord.unpack(value)
                first_us, who = job.first_seen_us, job.emitter
            if tally.counts(first_us):
                young.append((key, first_us, who))
        if not young:
            return
        emitters = self._emitters(
            {who for key, _, who in young if made[key][0] == KIND_DATASET},
            {who for key, _, who in young if made[key][0] == KIND_JOB},
        )
        for key, first_us, who in young:
            kind, name, bare = made[key]
            emitter = emitters.get((kind, who), "")
            offender = (
                Offender("emitter", Name("", emitter)) if emitter else Offender("namespace", Name(name.namespace, ""))
            )
            tally.add("dataset" if kind == KIND_DATASET else "job", name, bare, first_us, offender)

    def _emitters(self, jobs: set[bytes], emitters: set[bytes]) -> dict[tuple[bytes, bytes], str]:
        """The emitter of each job (asked for by a dataset), and of each emitter key (asked for by a job), by its name."""
        jobs -= {b"", _NOBODY}
        records = dict(zip(sorted(jobs), self._read([("job", job) for job in sorted(jobs)]), strict=True))
        of_job = {job: JobRecord.unpack(value).emitter for job, value in records.items() if value is not None}
        keys = sorted({*emitters, *of_job.values()} - {b"", _NOBODY})
        values = self._read([("names", key) for key in keys])
        names = {key: unpack_name(value)[1].name for key, value in zip(keys, values, strict=True) if value is not None}
        told = {(KIND_DATASET, job): names[key] for job, key in of_job.items() if key in names}
        return told | {(KIND_JOB, key): names[key] for key in emitters if key in names}

    def _read(self, fields: Sequence[tuple[str, bytes]]) -> list[Any]:
        """Fields of tables, one call for each table."""
        tables = sorted({table for table, _ in fields})
        commands = [("HMGET", self._store.keys(t), *(key for table, key in fields if table == t)) for t in tables]
        found = dict(zip(tables, map(iter, self._store.many(commands)), strict=True)) if commands else {}
        return [next(found[table]) for table, _ in fields]
