"""Write state to Redis by hand, key by key as `processor/SEMANTICS.md`, section 4, says; for tests of what reads it."""

from __future__ import annotations

import redis

from headwater_processor.core.alerts import Machine, encode
from headwater_processor.core.runs import Run, encode_run
from headwater_processor.state.layout import (
    RUN_CALL_BYTES,
    AliasRecord,
    DatasetRecord,
    EdgeRecord,
    FreshnessRecord,
    JobRecord,
    JudgedRecord,
    Keys,
    pack_about,
    pack_name,
    pack_schema_version,
    pack_successor,
)
from headwater_processor.state.runs import JobHistory, pack_history
from headwater_schemas.events import Name
from headwater_schemas.ids import (
    DERIVES,
    READS,
    WRITES,
    dataset_key,
    edge_key,
    emitter_key,
    job_key,
    shard_of,
)

SHARDS = 16


class StateWriter:
    """Puts records of one domain into Redis. Every method writes at once; times are microseconds."""

    def __init__(self, client: redis.Redis, domain: str, *, partitions: int = 2) -> None:
        self._redis = client
        self._keys = Keys(domain)
        self.meta(layout="1", born_us="1", partitions=str(partitions), shards=str(SHARDS), gen="0")

    def meta(self, **fields: str) -> None:
        """Fields of `meta`."""
        for field, value in fields.items():
            self._redis.hset(self._keys.table("meta"), field, value)

    def partition(self, number: int, *, as_of_us: int, **fields: str) -> None:
        """Fields of the fence of a partition, and its as-of."""
        for field, value in fields.items():
            self._redis.hset(self._keys.part("f", number), field, value)
        self._redis.hset(self._keys.table("asof"), str(number), str(as_of_us))

    def dataset(
        self,
        name: Name,
        *,
        asserted_us: int = 0,
        record: DatasetRecord | None = None,
        fresh: FreshnessRecord | None = None,
        judged: JudgedRecord | None = None,
        schema_version: str = "",
        renamed_to: Name | None = None,
    ) -> bytes:
        """A dataset under its canonical name; without `asserted_us` it is only known by name. Returns its key."""
        key = dataset_key(name)
        self._name(b"d", key, name)
        if asserted_us:
            self._redis.zadd(self._keys.table("dz"), {key: asserted_us})
        if record:
            self._put("ds", key, record.pack())
        if fresh:
            self._put("fr", key, fresh.pack())
        if schema_version:
            self._put("sv", key, pack_schema_version(1, bytes(16), schema_version))
        if renamed_to:
            self._put("mv", key, pack_successor(1, bytes(16), dataset_key(renamed_to)))
        if judged:
            self._redis.hset(self._keys.part("st", shard_of(key, SHARDS)), b"d" + key, judged.pack())
        return key

    def said(self, node: bytes, facts: dict[str, str]) -> None:
        """What producers say of a node, by the letter of each fact."""
        for tag, text in facts.items():
            self._put("about", node + tag.encode(), pack_about(1, bytes(16), text.encode()))

    def job(self, name: Name, *, asserted_us: int, record: JobRecord | None = None) -> bytes:
        """A job. Returns its key."""
        key = job_key(name)
        self._name(b"j", key, name)
        self._redis.zadd(self._keys.table("jz"), {key: asserted_us})
        self._put("job", key, (record or JobRecord(first_seen_us=asserted_us)).pack())
        return key

    def emitter(self, name: str) -> bytes:
        """An emitter. Returns its key."""
        key = emitter_key(name)
        self._name(b"e", key, Name("", name))
        return key

    def reads(self, dataset: Name, job: Name, *, asserted_us: int) -> None:
        """The edge from a dataset to a job."""
        self._edge(READS, dataset_key(dataset), job_key(job), asserted_us)

    def writes(self, job: Name, dataset: Name, *, asserted_us: int) -> None:
        """The edge from a job to a dataset."""
        self._edge(WRITES, job_key(job), dataset_key(dataset), asserted_us)

    def derives(self, source: Name, target: Name, *, asserted_us: int) -> None:
        """The stated edge from a dataset to a dataset."""
        self._edge(DERIVES, dataset_key(source), dataset_key(target), asserted_us)

    def alias(self, one: Name, other: Name, *, asserted_us: int, retracted_us: int = 0) -> None:
        """Two names of one dataset."""
        pair = b"".join(sorted((dataset_key(one), dataset_key(other))))
        self._put("al", pair, AliasRecord(asserted_us, retracted_us).pack())

    def run(self, job: Name, run_id: bytes, run: Run, *, is_open: bool) -> None:
        """The record of a run; an open one is also in the list of open runs."""
        field = job_key(job) + run_id
        self._put("run", field, bytes(RUN_CALL_BYTES) + encode_run(run))
        if is_open:
            self._redis.zadd(self._keys.part("ro", shard_of(field, SHARDS)), {field: run.seen})

    def history(self, job: Name, history: JobHistory) -> None:
        """The history of a job."""
        self._put("jr", job_key(job), pack_history(history))

    def alert_machine(self, shard: int, fingerprint: str, machine: Machine) -> None:
        """An alert machine."""
        self._redis.hset(self._keys.part("am", shard), fingerprint, encode(machine))

    def _name(self, kind: bytes, key: bytes, name: Name) -> None:
        self._put("names", key, pack_name(kind, name))

    def _edge(self, kind: bytes, source: bytes, target: bytes, asserted_us: int) -> None:
        edge = edge_key(kind, source, target)
        self._put("edge", edge, EdgeRecord(first_seen_us=asserted_us).pack())
        self._redis.zadd(self._keys.table("ez"), {edge: asserted_us})
        self._redis.zadd(self._keys.table("ax"), {source + edge: 0, target + edge: 0})

    def _put(self, table: str, field: bytes, value: bytes) -> None:
        self._redis.hset(self._keys.table(table), field, value)
