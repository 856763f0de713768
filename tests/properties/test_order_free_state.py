"""The state depends on what was said, not on its order, its batches, its partitions or who forgot what meanwhile."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.driving import MINUTE_US, Said, State, Worker, forget_domain, state
from tests.support.services import RedisService
from tests.support.small_worlds import histories

from headwater_processor.core.runs import Run, status
from headwater_processor.engine.images import parse_names, shard_key
from headwater_processor.state.layout import DatasetRecord, dataset_ends, unpack_about, unpack_schema_version

_serial = itertools.count()


@dataclass(frozen=True, slots=True)
class Way:
    """One way for a history to arrive. `seed` decides order, repetitions, borders and partitions."""

    seed: int
    partitions: int
    batch_max: int
    forgets: bool
    """Whether every view is thrown away in the middle."""
    workers: int = 1
    """Two share the partitions, and know nothing of each other."""


WAYS = st.builds(
    Way, st.integers(0, 1 << 32), st.integers(1, 3), st.sampled_from([1, 3, 100]), st.booleans(), st.integers(1, 2)
)


def arrive(url: str, history: list[Said], way: Way | None) -> State:
    """The state after a history came this way; without one: at once, in one batch, on one partition."""
    domain = f"order-{next(_serial)}"
    workers = [Worker(url, domain, way.partitions if way else 1, seed=n) for n in range(way.workers if way else 1)]
    try:
        if way is None:
            workers[0].apply(0, history)
        else:
            _arrive(workers, history, way)
        return state(workers[0].client, domain)
    finally:
        forget_domain(workers[0].client, domain)
        for worker in workers:
            worker.close()


Watch = Callable[[Worker, int, list[Said]], None]


def apply(worker: Worker, partition: int, batch: list[Said]) -> None:
    worker.apply(partition, batch)


def _arrive(workers: list[Worker], history: list[Said], way: Way, watched: Watch = apply) -> None:
    rng = random.Random(way.seed)
    homes = {id(said): rng.randrange(way.partitions) for said in history}
    queue = [*history, *rng.sample(history, rng.randint(0, len(history)))]
    rng.shuffle(queue)
    owners = [workers[partition % len(workers)] for partition in range(way.partitions)]
    for partition, owner in enumerate(owners):
        owner.take(partition)
    middle = len(queue) // 2 if way.forgets else -1
    at = 0
    while at < len(queue):
        size = rng.randint(1, way.batch_max)
        piece = queue[at : at + size]
        for partition in range(way.partitions):
            batch = [said for said in piece if homes[id(said)] == partition]
            if batch:
                watched(owners[partition], partition, batch)
        if at <= middle < at + size:
            owners.reverse()
            for worker in workers:
                worker.forget()
            for partition, owner in enumerate(owners):
                owner.take(partition)
        at += size


def lagging(exact: int, stored: int) -> bool:
    """What is written once a minute."""
    return 0 <= exact - stored < MINUTE_US


def assert_same_run(exact: Run, stored: Run) -> None:
    for name in ("first", "started", "complete", "credit", "failed", "flags", "idle", "inputs", "outputs", "offsets"):
        assert getattr(stored, name) == getattr(exact, name), name
    assert lagging(exact.seen, stored.seen)
    assert lagging(exact.running, stored.running)
    assert lagging(exact.runtime[0], stored.runtime[0])
    assert lagging(exact.parent[0], stored.parent[0])
    if abs(exact.running - exact.failed[0]) >= MINUTE_US:
        assert status(stored) == status(exact)


def assert_same(exact: State, stored: State) -> None:
    for table, expected in exact.tables.items():
        assert stored.tables[table] == expected, table
    assert stored.writers == exact.writers
    assert stored.runs.keys() == exact.runs.keys()
    for key, run in exact.runs.items():
        assert_same_run(run, stored.runs[key])
        if key in stored.alive and key in exact.alive:
            if run.failed[0]:  # it may have been closed meanwhile, and then only its record knew
                assert lagging(exact.alive[key], stored.alive[key])
            else:
                assert stored.alive[key] == exact.alive[key]


def about_name(field: bytes) -> bytes:
    """The name of the image that shows a fact: capitals are of datasets."""
    return b"b" + (b"d" if field[12:].isupper() else b"j") + field[:12]


def assert_everything_is_named(found: State) -> None:
    """Whoever publishes is told of everything that there is."""
    tables = found.tables
    wanted = {b"d" + key for key in (*tables["ds"], *tables["dz"], *tables["sv"])}
    wanted |= {b"f" + key for key in tables["fr"]} | {b"j" + key for key in tables["job"]}
    wanted |= {b"e" + key for key in tables["edge"]} | {b"a" + key for key in tables["al"]}
    wanted |= {about_name(field) for field in tables["about"]}
    wanted |= {b"r" + key for key in found.runs}
    assert wanted <= found.named


@pytest.fixture(scope="module")
def url(redis_server: RedisService) -> Iterator[str]:
    redis_server.flush()
    yield redis_server.url
    redis_server.flush()


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(histories(), WAYS)
def test_the_state_is_the_same_whichever_way_a_history_arrives(url: str, history: list[Said], way: Way) -> None:
    exact = arrive(url, history, None)
    stored = arrive(url, history, way)
    assert_same(exact, stored)
    assert_everything_is_named(exact)
    assert_everything_is_named(stored)


# --- what is named -------------------------------------------------------------------------------------------------


def datasets_present(found: State) -> set[bytes]:
    ds, dz = found.tables["ds"], found.tables["dz"]
    return {key for key, asserted in dz.items() if asserted > DatasetRecord.unpack(ds[key]).retracted_us}


def edges_present(found: State) -> set[bytes]:
    ds, ez = found.tables["ds"], found.tables["ez"]
    there = datasets_present(found)
    return {
        key
        for key, asserted in ez.items()
        if all(end in there and asserted > DatasetRecord.unpack(ds[end]).retracted_us for end in dataset_ends(key))
    }


def changed(before: dict[bytes, Any], after: dict[bytes, Any]) -> set[bytes]:
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}


def to_the_minute(scores: dict[bytes, float]) -> dict[bytes, int]:
    return {key: int(score) // MINUTE_US for key, score in scores.items()}


def versions(tables: dict[str, dict[bytes, Any]]) -> dict[bytes, str]:
    return {key: unpack_schema_version(value) for key, value in tables["sv"].items()}


def texts(tables: dict[str, dict[bytes, Any]]) -> dict[bytes, bytes]:
    return {field: unpack_about(value)[2] for field, value in tables["about"].items()}


def must_be_named(before: State, after: State) -> set[bytes]:
    """What an image shows otherwise than before, as names; edges that a removal took may be named by their dataset."""
    old, new = before.tables, after.tables
    wanted = set[bytes]()
    wanted |= {b"d" + key for key in changed(versions(old), versions(new))}
    wanted |= {about_name(field) for field in changed(texts(old), texts(new))}
    for table, kind in (("ds", b"d"), ("mv", b"d"), ("fr", b"f"), ("job", b"j"), ("edge", b"e")):
        wanted |= {kind + key for key in changed(old[table], new[table])}
    for table, kind in (("dz", b"d"), ("jz", b"j"), ("ez", b"e")):
        wanted |= {kind + key for key in changed(to_the_minute(old[table]), to_the_minute(new[table]))}
    wanted |= {b"a" + key for key in changed(old["al"], new["al"]) if key not in old["al"]}
    moved = datasets_present(before) ^ datasets_present(after)
    wanted |= {b"d" + key for key in moved}
    wanted |= {about_name(field) for field in new["about"] if field[:12] in moved}
    back = datasets_present(after) - datasets_present(before)  # the drain names their edges
    wanted |= {
        b"e" + key
        for key in edges_present(before) ^ edges_present(after)
        if not any(end in back for end in dataset_ends(key))
    }
    return wanted | {b"r" + key for key in changed(before.runs, after.runs)}


def in_outbox(worker: Worker, domain: str, shard: int) -> set[bytes]:
    entries: Any = worker.client.lrange(f"{{hw:{domain}}}:o:{shard}", 0, -1)
    return {name for entry in entries for name in parse_names(entry)}


def covered(name: bytes, named: dict[int, set[bytes]], shards: int) -> bool:
    """Whether the outbox of the right shard names it."""
    said = named.get(shard_key(name)[0] % shards, set())
    return name in said or (name[:1] == b"e" and any(b"n" + end in said for end in dataset_ends(name[1:])))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(histories(max_size=25), WAYS)
def test_every_call_names_what_it_changed_in_the_shard_where_it_lives(url: str, history: list[Said], way: Way) -> None:
    domain = f"named-{next(_serial)}"
    workers = [Worker(url, domain, way.partitions, seed=n) for n in range(way.workers)]
    shards = workers[0].rules.shards

    def watched(worker: Worker, partition: int, batch: list[Said]) -> None:
        before = state(worker.client, domain)
        worker.client.delete(*(f"{{hw:{domain}}}:o:{shard}" for shard in range(shards)))
        worker.apply(partition, batch)
        named = {shard: in_outbox(worker, domain, shard) for shard in range(shards)}
        wanted = must_be_named(before, state(worker.client, domain))
        assert [name for name in sorted(wanted) if not covered(name, named, shards)] == []

    try:
        _arrive(workers, history, way, watched)
    finally:
        forget_domain(workers[0].client, domain)
        for worker in workers:
            worker.close()
