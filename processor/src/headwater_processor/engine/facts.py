"""Reads what the judge needs: facts of datasets (as classes of aliases), jobs and emitters, in batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from headwater_processor.adapters.shard_store import ShardStore
from headwater_processor.core.about import DATASET_OWNERS, JOB_OWNERS
from headwater_processor.core.aliases import Candidates, Role
from headwater_processor.core.freshness import DatasetFacts, merge_class
from headwater_processor.core.judge import EmitterFacts
from headwater_processor.core.policies import PolicySet
from headwater_processor.core.unlinked import JobFacts
from headwater_processor.engine.names import NameBook
from headwater_processor.state.layout import (
    KIND_DATASET,
    AliasRecord,
    DatasetRecord,
    FreshnessRecord,
    JobRecord,
    last_emitter,
    unpack_about,
    unpack_name,
    unpack_partitions,
)
from headwater_processor.state.runs import JobHistory, unpack_history
from headwater_schemas.events import Name
from headwater_schemas.ids import KEY_BYTES, READS, WRITES, dataset_key

ALIASES_EVERY_S: Final = 5.0
ALIASES_OF_NEW_S: Final = 1.0
"""How old the known aliases may be when a dataset is looked at for the first time: its event may have told of them."""
CANDIDATES_EVERY_S: Final = 30.0
EMITTER_DATASETS_MAX: Final = 1000
WRITERS_MAX: Final = 20
INPUTS_MAX: Final = 50
"""Jobs that write a dataset, and datasets that they read; with more of them nothing is explained by its inputs."""
UPSTREAM_MAX: Final = 200
"""Datasets before a dataset among which it is looked for itself, for who feeds itself is not explained by its inputs; and
datasets after a silent emitter that are counted."""
_NOBODY: Final = bytes(KEY_BYTES)


class FactReader:
    """Facts out of the tables. Used by the shards' thread; `clock` is monotonic, for what is kept a few seconds; `alive` is
    called while much is read."""

    def __init__(
        self,
        store: ShardStore,
        names: NameBook,
        clock: Callable[[], float] = time.monotonic,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._names = names
        self._clock = clock
        self._alive = alive
        self._classes: dict[bytes, tuple[bytes, ...]] = {}
        self._classes_at = -1e9
        self._classes_policies: object = None
        self._candidates: Candidates | None = None
        self._candidates_at = -1e9
        self._critical = 0
        self._critical_at = -1e9
        self._critical_of: PolicySet | None = None

    def name(self, key: bytes) -> Name:
        """The name of a key; its hex if the state has none."""
        self._names.learn([key])
        return self._names.get(key) or Name("", key.hex())

    # ---- datasets --------------------------------------------------------------------------------------------------

    def datasets(
        self, keys: Sequence[bytes], policies: PolicySet, *, aliases_s: float = ALIASES_EVERY_S
    ) -> dict[bytes, DatasetFacts]:
        """Facts of datasets, merged with their aliases (as they were known so long ago at most); those of which nothing is known
        are left out."""
        self._alive()
        if not keys:
            return {}
        self._refresh_classes(policies, aliases_s)
        members = {key: self._classes.get(key, (key,)) for key in keys}
        single = self._single({each for group in members.values() for each in group})
        found: dict[bytes, DatasetFacts] = {}
        for key, group in members.items():
            if key not in single:
                continue
            known = [single[key], *(single[each] for each in group if each != key and each in single)]
            found[key] = merge_class(known) if len(known) > 1 else known[0]
        return found

    def _single(self, keys: Iterable[bytes]) -> dict[bytes, DatasetFacts]:
        keys = list(keys)
        table = self._store.keys
        ds, dz, fr, wp, cad, owners = self._store.many(
            [
                ("HMGET", table("ds"), *keys),
                ("ZMSCORE", table("dz"), *keys),
                ("HMGET", table("fr"), *keys),
                ("HMGET", table("wp"), *keys),
                ("HMGET", table("cad"), *keys),
                ("HMGET", table("about"), *(key + DATASET_OWNERS for key in keys)),
            ]
        )
        fresh = {key: FreshnessRecord.unpack(value) for key, value in zip(keys, fr, strict=True) if value is not None}
        cores = {key: DatasetRecord.unpack(value) for key, value in zip(keys, ds, strict=True) if value is not None}
        emitters = self._emitters({record.emitter for record in fresh.values()} - {_NOBODY})
        people = {r.job for r in fresh.values()} | {r.first_job for r in cores.values()} | set(emitters)
        self._names.learn([*keys, *(people - {b"", _NOBODY})])
        unwritten = self._without_writer([key for key in keys if key not in fresh or fresh[key].job in (b"", _NOBODY)])
        facts: dict[bytes, DatasetFacts] = {}
        for at, key in enumerate(keys):
            name, core = self._names.get(key), cores.get(key)
            if name is None or (core is None and dz[at] is None):
                continue
            facts[key] = self._facts(
                name, core or DatasetRecord(), int(float(dz[at] or 0)), fresh.get(key) or FreshnessRecord(),
                emitters, wp[at], cad[at], _owner(owners[at]), key not in unwritten,
            )  # fmt: skip
        return facts

    def _facts(
        self,
        name: Name,
        core: DatasetRecord,
        asserted_us: int,
        fresh: FreshnessRecord,
        emitters: Mapping[bytes, tuple[int, int]],
        writers: bytes | None,
        cadence: bytes | None,
        owner: str,
        writer_known: bool,
    ) -> DatasetFacts:
        seen_us, covers = emitters.get(fresh.emitter, (0, 0))
        emitter = self._names.get(fresh.emitter)
        return DatasetFacts(
            name=name,
            present=asserted_us > core.retracted_us,
            asserted_us=asserted_us,
            first_seen_us=core.first_seen_us,
            first_read_us=core.first_read_us,
            first_written_us=core.first_written_us,
            retracted_us=core.retracted_us,
            last_write_us=fresh.last_write_us,
            data_through_us=fresh.data_through_us,
            last_failure_us=fresh.last_failure_us,
            idle_through_us=fresh.idle_through_us,
            written_by=self._names.get(fresh.job),
            emitter=emitter.name if emitter is not None else "",
            emitter_seen_us=seen_us,
            emitter_datasets=covers,
            partitions=unpack_partitions(writers) if writers else (),
            cadence_slots=cadence,
            touched_by=self._names.get(core.first_job),
            stated_owner=owner,
            writer_known=writer_known,
        )

    def _without_writer(self, keys: Sequence[bytes]) -> set[bytes]:
        """Of these, the datasets that no job was ever told to write."""
        edges = self._edges([key + WRITES for key in keys], 1)
        return {key for key, found in zip(keys, edges, strict=True) if not found}

    def _edges(self, prefixes: Sequence[bytes], most: int) -> list[list[bytes]]:
        """The edges of the nodes (node key, and the kind of the edge), at most so many of each."""
        if not prefixes:
            return []
        ax = self._store.keys("ax")
        found = self._store.many(
            [("ZRANGEBYLEX", ax, b"[" + at, b"(" + at + b"\xff" * 25, "LIMIT", 0, most) for at in prefixes]
        )
        return [[member[KEY_BYTES:] for member in members] for members in found]

    def inputs_of(self, key: bytes, policies: PolicySet) -> list[DatasetFacts]:
        """What the jobs that write a dataset read, without itself: what it is made of. Empty if that says nothing of it: a job
        reads nothing, an input is not known, there are too many, or the dataset feeds itself."""
        own = set(self.members_of(key, policies))
        before = self._one_before(own)
        if not before:
            return []
        seen = set(before)
        fresh = seen
        while fresh:  # upstream, until there is nothing new
            farther: set[bytes] = set()
            for each in fresh:
                found = self._one_before(set(self.members_of(each, policies)), needs_inputs=False)
                if found is None:
                    return []
                farther |= found
            if farther & own or len(seen) > UPSTREAM_MAX:
                return []
            fresh = farther - seen
            seen |= fresh
        inputs = self.datasets(sorted(before), policies)
        return list(inputs.values()) if len(inputs) == len(before) else []

    def _one_before(self, keys: set[bytes], *, needs_inputs: bool = True) -> set[bytes] | None:
        """What the writers of these names of a dataset read; None if that is not to be told."""
        writes = self._edges([key + WRITES for key in sorted(keys)], WRITERS_MAX + 1)
        jobs = sorted({edge[1 : 1 + KEY_BYTES] for edges in writes for edge in edges})
        if len(jobs) > WRITERS_MAX:
            return None
        reads = self._edges([job + READS for job in jobs], INPUTS_MAX + 1)
        if needs_inputs and not all(reads):
            return None
        found = {edge[1 : 1 + KEY_BYTES] for edges in reads for edge in edges} - (keys if needs_inputs else set())
        return found if len(found) <= INPUTS_MAX else None

    def made_of(self, keys: Sequence[bytes]) -> int:
        """How many other datasets are made of these, near or far, as the jobs tell; at most UPSTREAM_MAX are looked for."""
        own = {each for key in keys for each in self._classes.get(key, (key,))}
        seen, fresh = set(own), set(own)
        while fresh and len(seen) - len(own) < UPSTREAM_MAX:
            reads = self._edges([key + READS for key in sorted(fresh)], WRITERS_MAX)
            jobs = sorted({edge[-KEY_BYTES:] for edges in reads for edge in edges})
            writes = self._edges([job + WRITES for job in jobs], INPUTS_MAX)
            found = {edge[-KEY_BYTES:] for edges in writes for edge in edges}
            fresh = {each for key in found for each in self._classes.get(key, (key,))} - seen
            seen |= fresh
        return len({self._classes.get(key, (key,)) for key in seen - own})

    def _emitters(self, keys: set[bytes]) -> dict[bytes, tuple[int, int]]:
        """When each was heard last, and how many datasets it covers."""
        if not keys:
            return {}
        ordered = list(keys)
        table = self._store.keys
        answers = self._store.many(
            [("ZMSCORE", table("mz"), *ordered)]
            + [("ZLEXCOUNT", table("ex"), b"[" + key, b"(" + key + b"\xff" * 13) for key in ordered]
        )
        return {
            key: (int(float(seen or 0)), int(count))
            for key, seen, count in zip(ordered, answers[0], answers[1:], strict=True)
        }

    # ---- jobs and emitters -----------------------------------------------------------------------------------------

    def jobs(self, keys: Sequence[bytes]) -> dict[bytes, JobFacts]:
        """Facts of jobs; those of which nothing is known are left out."""
        if not keys:
            return {}
        table = self._store.keys
        job, jz, jr, parents, owners = self._store.many(
            [
                ("HMGET", table("job"), *keys),
                ("ZMSCORE", table("jz"), *keys),
                ("HMGET", table("jr"), *keys),
                ("ZMSCORE", table("ex"), *(_NOBODY + key for key in keys)),
                ("HMGET", table("about"), *(key + JOB_OWNERS for key in keys)),
            ]
        )
        records = {key: JobRecord.unpack(value) for key, value in zip(keys, job, strict=True) if value is not None}
        self._names.learn([*keys, *(r.emitter for r in records.values() if r.emitter != _NOBODY)])
        found: dict[bytes, JobFacts] = {}
        for at, key in enumerate(keys):
            record, name = records.get(key), self._names.get(key)
            if record is None or name is None:
                continue
            emitter = self._names.get(record.emitter)
            history = unpack_history(jr[at]) if jr[at] is not None else JobHistory()
            last_ok = history.last_ok
            found[key] = JobFacts(
                name=name,
                asserted_us=int(float(jz[at] or 0)),
                first_seen_us=record.first_seen_us,
                first_input_us=record.first_input_us,
                first_output_us=record.first_output_us,
                streaming=record.streaming,
                emitter=emitter.name if emitter is not None else "",
                parent_of_runs=parents[at] is not None,
                last_complete_us=last_ok.ended_us if last_ok is not None else 0,
                stated_owner=_owner(owners[at]),
                last_started_us=max((run.started_us for run in history.runs), default=0),
            )
        return found

    def emitter(self, key: bytes, policies: PolicySet) -> EmitterFacts | None:
        """An emitter and the datasets it covers; None if nobody of that name ever spoke."""
        table = self._store.keys
        seen, members = self._store.many(
            [
                ("ZSCORE", table("mz"), key),
                ("ZRANGEBYLEX", table("ex"), b"[" + key, b"(" + key + b"\xff" * 13, "LIMIT", 0, EMITTER_DATASETS_MAX),
            ]
        )
        self._names.learn([key])
        name = self._names.get(key)
        if seen is None or name is None:
            return None
        covered = [member[KEY_BYTES:] for member in members]
        datasets = self.datasets(self._last_written_by(key, covered), policies)
        return EmitterFacts(name.name, int(float(seen)), tuple(datasets.values()), len(covered))

    def _last_written_by(self, emitter: bytes, keys: list[bytes]) -> list[bytes]:
        """Those whose last write the emitter told of: only they tell of its silence, and of many it covers they are few."""
        if not keys:
            return []
        (fresh,) = self._store.many([("HMGET", self._store.keys("fr"), *keys)])
        return [
            key for key, value in zip(keys, fresh, strict=True) if value is not None and last_emitter(value) == emitter
        ]

    # ---- aliases ---------------------------------------------------------------------------------------------------

    def _refresh_classes(self, policies: PolicySet, every_s: float = ALIASES_EVERY_S) -> None:
        now = self._clock()
        if now - self._classes_at < every_s and self._classes_policies is policies:
            return
        self._classes_at, self._classes_policies = now, policies
        stored: dict[bytes, bytes] = self._store.many([("HGETALL", self._store.keys("al"))])[0]
        pairs = [
            (pair[:KEY_BYTES], pair[KEY_BYTES:]) for pair, value in stored.items() if AliasRecord.unpack(value).present
        ]
        pairs += [(dataset_key(one), dataset_key(other)) for one, other in policies.aliases()]
        self._classes = classes_of(pairs)

    def members_of(self, key: bytes, policies: PolicySet) -> tuple[bytes, ...]:
        """The keys of a dataset's class of aliases, sorted; itself alone, if it has none."""
        self._refresh_classes(policies)
        return self._classes.get(key, (key,))

    # ---- what matters ----------------------------------------------------------------------------------------------

    def critical(self, policies: PolicySet) -> int:
        """How many known datasets people declared critical. Counted anew when policies change, or each half minute."""
        now = self._clock()
        if self._critical_of is not policies or now - self._critical_at > CANDIDATES_EVERY_S:
            self._critical_of, self._critical_at = policies, now
            self._critical = sum(policies.for_dataset(name).critical for name in self._all_datasets())
        return self._critical

    def _all_datasets(self) -> Iterable[Name]:
        cursor = 0
        while True:
            self._alive()
            cursor, found = self._store.many([("HSCAN", self._store.keys("names"), cursor, "COUNT", 1000)])[0]
            for value in _pairs(found).values():
                if value[:1] == KIND_DATASET:
                    yield unpack_name(value)[1]
            if int(cursor) == 0:
                return

    # ---- candidates ------------------------------------------------------------------------------------------------

    def candidates(self) -> Candidates:
        """Every dataset by name, with what was done to it: for "did you mean". Read anew every half minute at most."""
        now = self._clock()
        if self._candidates is None or now - self._candidates_at > CANDIDATES_EVERY_S:
            self._candidates, self._candidates_at = self._read_candidates(), now
        return self._candidates

    def _read_candidates(self) -> Candidates:
        candidates = Candidates()
        table, cursor = self._store.keys, 0
        while True:
            self._alive()
            cursor, found = self._store.many([("HSCAN", table("names"), cursor, "COUNT", 1000)])[0]
            names = _pairs(found)
            keys = [key for key, value in names.items() if value[:1] == KIND_DATASET]
            if keys:
                records = self._store.many([("HMGET", table("ds"), *keys)])[0]
                for key, value in zip(keys, records, strict=True):
                    if value is not None:
                        record = DatasetRecord.unpack(value)
                        role = (Role.WRITTEN if record.first_written_us else Role(0)) | (
                            Role.READ if record.first_read_us else Role(0)
                        )
                        candidates.add(unpack_name(names[key])[1], role)
            if int(cursor) == 0:
                return candidates


def _owner(stored: bytes | None) -> str:
    """The owners that producers state, as one text."""
    return unpack_about(stored)[2].decode(errors="replace").replace("\n", ", ") if stored is not None else ""


def _pairs(found: Any) -> dict[bytes, bytes]:
    """The answer of HSCAN, which clients give as a mapping or as a flat list."""
    return found if isinstance(found, dict) else dict(zip(found[::2], found[1::2], strict=True))


def classes_of(pairs: Iterable[tuple[bytes, bytes]]) -> dict[bytes, tuple[bytes, ...]]:
    """For each key that has aliases, its whole class, sorted (union of all pairs it is reached by)."""
    root: dict[bytes, bytes] = {}

    def find(key: bytes) -> bytes:
        while root.setdefault(key, key) != key:
            root[key] = root[root[key]]
            key = root[key]
        return key

    for one, other in pairs:
        a, b = find(one), find(other)
        if a != b:
            root[max(a, b)] = min(a, b)
    groups: dict[bytes, list[bytes]] = {}
    for key in list(root):
        groups.setdefault(find(key), []).append(key)
    return {key: tuple(sorted(group)) for group in groups.values() for key in group}
