"""From the tables of the state to values: datasets and jobs, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from headwater_processor.core.about import TAGS_OF
from headwater_processor.core.runs import Run
from headwater_processor.state.about import NOTHING_SAID, About
from headwater_processor.state.layout import (
    KIND_DATASET,
    KIND_JOB,
    NO_KEY,
    DatasetRecord,
    FreshnessRecord,
    JobRecord,
    JudgedRecord,
    minute_of,
    unpack_about,
    unpack_name,
    unpack_schema_version,
    unpack_successor,
)
from headwater_processor.state.runs import (
    LOST,
    JobHistory,
    RunImage,
    keys_named_by,
    run_image,
    run_text,
    unpack_history,
    unpack_run,
)
from headwater_processor.state.store import StateStore, batches
from headwater_processor.state.values import DatasetState, JobState
from headwater_schemas.events import Name
from headwater_schemas.ids import KEY_BYTES, shard_of


class Loader:
    """Reads datasets and jobs by key. `as_of_us` and `run_timeout_us` decide which open runs are lost."""

    def __init__(self, store: StateStore, shards: int, *, as_of_us: int = 0, run_timeout_us: int = 0) -> None:
        self._store = store
        self._shards = shards
        self._as_of_us = as_of_us
        self._run_timeout_us = run_timeout_us
        self._is_anything_said: bool | None = None

    def names(self, keys: Iterable[bytes]) -> dict[bytes, Name]:
        """The names of those keys that have one."""
        wanted = sorted({key for key in keys if key and key != NO_KEY})
        return {key: unpack_name(value)[1] for key, value in self._store.get_many("names", wanted).items()}

    def datasets(self, keys: Sequence[bytes]) -> Iterator[tuple[bytes, DatasetState]]:
        """The datasets with these keys, in order; a key without a name is left out."""
        for batch in batches(keys):
            yield from self._dataset_batch(batch)

    def _dataset_batch(self, keys: list[bytes]) -> Iterator[tuple[bytes, DatasetState]]:
        names, ds, fr, sv, mv = self._store.get_tables(("names", "ds", "fr", "sv", "mv"), keys)
        asserted = self._store.scores("dz", keys)
        judged = self._store.get_sharded("st", KIND_DATASET, keys, self._shards)
        about = self._about(KIND_DATASET, keys)
        records = {key: DatasetRecord.unpack(value) for key, value in ds.items()}
        fresh = {key: FreshnessRecord.unpack(value) for key, value in fr.items()}
        moved = {key: unpack_successor(value) for key, value in mv.items()}
        others = self.names(
            [r.first_job for r in records.values()] + [f.job for f in fresh.values()] + list(moved.values())
        )
        for key in keys:
            if key in names:
                yield (
                    key,
                    _dataset(
                        unpack_name(names[key])[1],
                        asserted.get(key, 0),
                        records.get(key, DatasetRecord()),
                        fresh.get(key, FreshnessRecord()),
                        JudgedRecord.unpack(judged[key]) if key in judged else _NOT_JUDGED,
                        others,
                        schema_version=unpack_schema_version(sv[key]) if key in sv else "",
                        renamed_to=moved.get(key, b""),
                        about=about.get(key, NOTHING_SAID),
                    ),
                )

    def _about(self, kind: bytes, keys: Sequence[bytes]) -> dict[bytes, About]:
        """What is said of those nodes of a kind of which something is said."""
        if self._is_anything_said is None:  # most domains of jobs that use the SDK alone have no facets at all
            self._is_anything_said = self._store.counts([("HLEN", "about")])[0] > 0
        if not self._is_anything_said:
            return {}
        texts: dict[bytes, dict[bytes, bytes]] = {}
        tags = TAGS_OF[kind]
        for field, value in self._store.get_many("about", [key + tag for key in keys for tag in tags]).items():
            texts.setdefault(field[:KEY_BYTES], {})[field[KEY_BYTES:]] = unpack_about(value)[2]
        return {key: About.of(said) for key, said in texts.items()}

    def open_runs(self, jobs: Iterable[bytes] | None = None) -> dict[bytes, dict[bytes, int]]:
        """The open runs by job, of these jobs or of all: job key + run id, and the end of the minute in which it was last heard."""
        wanted = None if jobs is None else set(jobs)
        shards = range(self._shards) if wanted is None else sorted({shard_of(job, self._shards) for job in wanted})
        found: dict[bytes, dict[bytes, int]] = {}
        for shard in shards:
            for batch in self._store.members("ro", shard):
                for member, heard_by_us in batch:
                    if wanted is None or member[:KEY_BYTES] in wanted:
                        found.setdefault(member[:KEY_BYTES], {})[member] = heard_by_us
        return found

    def jobs(self, keys: Sequence[bytes], *, with_open_runs: bool = True) -> Iterator[tuple[bytes, JobState]]:
        """The jobs with these keys with their runs, in order; a key without a name is left out.

        Open runs are looked for in all of those of the shards: who needs none says so.
        """
        open_runs = self.open_runs(keys) if with_open_runs else {}
        for batch in batches(keys):
            yield from self._job_batch(batch, open_runs)

    def _job_batch(
        self, keys: list[bytes], open_runs: Mapping[bytes, Mapping[bytes, int]]
    ) -> Iterator[tuple[bytes, JobState]]:
        names, job, jr = self._store.get_tables(("names", "job", "jr"), keys)
        seen = self._store.scores("jz", keys)
        judged = self._store.get_sharded("st", KIND_JOB, keys, self._shards)
        about = self._about(KIND_JOB, keys)
        records = {key: JobRecord.unpack(value) for key, value in job.items()}
        emitters = self.names(record.emitter for record in records.values())
        live = self._run_images({run: by_us for key in keys for run, by_us in open_runs.get(key, {}).items()})
        for key in keys:
            if key in names:
                history = unpack_history(jr[key]) if key in jr else JobHistory()
                record = records.get(key, JobRecord())
                emitter = emitters.get(record.emitter)
                status = JudgedRecord.unpack(judged[key]) if key in judged else _NOT_JUDGED
                said = about.get(key, NOTHING_SAID)
                yield (
                    key,
                    JobState(
                        name=unpack_name(names[key])[1],
                        first_seen_us=record.first_seen_us,
                        last_seen_us=minute_of(seen.get(key, 0)),
                        streaming=record.streaming,
                        emitter=emitter.name if emitter else "",
                        unlinked=status.unlinked,
                        runs=_merge_runs(live.get(key, []), history.runs),
                        last_ok=history.last_ok,
                        owner=status.owner or said.owner,
                        about=said,
                    ),
                )

    def _run_images(self, heard_by_us: Mapping[bytes, int]) -> dict[bytes, list[RunImage]]:
        """Images of run records by job. `heard_by_us` has job key + run id, and the end of the minute of its last word."""
        records = self._store.get_many("run", list(heard_by_us))
        runs: dict[bytes, Run] = {field: unpack_run(value) for field, value in records.items()}
        names = {key: str(name) for key, name in self.names(keys_named_by(runs.values())).items()}
        images: dict[bytes, list[RunImage]] = {}
        for field, run in runs.items():
            image = run_image(
                field[KEY_BYTES:],
                run,
                names,
                heard_by_us=heard_by_us[field],
                as_of_us=self._as_of_us,
                run_timeout_us=self._run_timeout_us,
            )
            images.setdefault(field[:KEY_BYTES], []).append(image)
        return images


_FRESH: Final = frozenset({"FRESH", "RECOVERED"})
_NOT_JUDGED: Final = JudgedRecord(reason="not judged yet")


def _dataset(
    name: Name,
    asserted_us: int,
    record: DatasetRecord,
    fresh: FreshnessRecord,
    judged: JudgedRecord,
    others: Mapping[bytes, Name],
    *,
    schema_version: str,
    renamed_to: bytes,
    about: About,
) -> DatasetState:
    def text(key: bytes) -> str:
        return str(others[key]) if key in others else ""

    return DatasetState(
        name=name,
        present=asserted_us > record.retracted_us,
        first_seen_us=record.first_seen_us,
        last_seen_us=asserted_us,
        retracted_us=record.retracted_us,
        truncated_us=record.truncated_us,
        first_read_us=record.first_read_us,
        first_written_us=record.first_written_us,
        last_write_us=fresh.last_write_us,
        data_through_us=fresh.data_through_us,
        last_failure_us=fresh.last_failure_us,
        idle_through_us=fresh.idle_through_us,
        state=judged.state,
        reason=judged.reason,
        since_us=judged.since_us,
        deadline_us=_deadline_us(judged, fresh),
        unlinked=judged.unlinked,
        kind=judged.kind,
        candidates=judged.candidates,
        owner=judged.owner or about.owner,
        policy_version=judged.policy_version,
        written_by=text(fresh.job),
        written_by_run=run_text(fresh.run_id),
        first_touched_by=text(record.first_job),
        schema_version=schema_version,
        renamed_to=text(renamed_to),
        about=about,
    )


def _deadline_us(judged: JudgedRecord, fresh: FreshnessRecord) -> int:
    """While a dataset is fresh every write moves its deadline on; it is judged again only when the one that is stored has come."""
    if judged.state not in _FRESH or not judged.max_age_us:
        return judged.deadline_us
    return max(judged.deadline_us, fresh.last_write_us + judged.max_age_us)


def _merge_runs(live: Sequence[RunImage], history: Sequence[RunImage]) -> tuple[RunImage, ...]:
    """Open runs as they are now, then what the history has; newest first. A run that was judged lost stays lost."""
    lost = {image.run: image for image in history if image.state == LOST}
    current = [lost.get(image.run, image) for image in live]
    known = {image.run for image in current}
    merged = [*current, *(image for image in history if image.run not in known)]
    return tuple(sorted(merged, key=lambda image: image.started_us, reverse=True))
