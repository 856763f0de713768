from __future__ import annotations

import hashlib
import subprocess
import sys
import uuid

import pytest

from headwater_schemas import ids
from headwater_schemas.events import DatasetUse, DirectEdge, EventType, LineageEvent, Name
from headwater_schemas.naming import canonical_dataset


def test_keys_are_the_hashes_that_the_semantics_page_gives() -> None:
    name = Name("postgres://db:5432", "d.s.tä")
    text = "postgres://db:5432\0d.s.tä".encode()
    assert ids.dataset_key(name) == hashlib.blake2b(b"d" + text, digest_size=12).digest()
    assert ids.job_key(name) == hashlib.blake2b(b"j" + text, digest_size=12).digest()
    assert ids.emitter_key("sdk:x") == hashlib.blake2b(b"e\0sdk:x", digest_size=12).digest()


def test_every_spelling_of_a_dataset_has_one_key() -> None:
    assert ids.dataset_key_of("postgresql://DB:5432", "t") == ids.dataset_key(
        canonical_dataset("postgres://db:5432", "t")
    )


def test_an_edge_lives_with_its_dataset_end_and_a_stated_one_with_its_target() -> None:
    dataset, job, other = (bytes([n]) * 12 for n in (1, 2, 3))
    assert ids.edge_shard_key(ids.edge_key(ids.READS, dataset, job)) == dataset
    assert ids.edge_shard_key(ids.edge_key(ids.WRITES, job, dataset)) == dataset
    assert ids.edge_shard_key(ids.edge_key(ids.DERIVES, dataset, other)) == other
    assert len(ids.edge_key(ids.READS, dataset, job)) == ids.EDGE_KEY_BYTES
    assert ids.shard_of(bytes([35]) + bytes(11), 16) == 3


def test_event_ids_are_uuids_of_version_7_in_the_order_of_time() -> None:
    early, late = ids.uuid7(1_000, b"\xff" * 10), ids.uuid7(1_001, bytes(10))
    assert early < late
    for value in (early, late, ids.new_event_id(), ids.new_run_id()):
        made = uuid.UUID(bytes=value)
        assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert int.from_bytes(early[:6], "big") == 1_000
    with pytest.raises(ValueError, match="10 random bytes"):
        ids.uuid7(1, b"")


def test_ten_thousand_fresh_ids_differ() -> None:
    assert len({ids.new_event_id() for _ in range(10_000)}) == 10_000


def test_a_derived_id_is_the_uuid_of_version_5_of_the_content() -> None:
    assert ids.derived_event_id(b"content") == uuid.uuid5(ids.DERIVED_IDS, "content").bytes


def _event(**fields: object) -> LineageEvent:
    return LineageEvent(bytes(15) + b"\x07", 1, EventType.OTHER, **fields)  # type: ignore[arg-type] # any field


def test_an_event_is_keyed_by_its_job_else_first_output_else_first_input() -> None:
    a, b = DatasetUse("s3a://x", "/a"), DatasetUse("s3://x", "b")
    edge = DirectEdge(Name("s3://x", "s"), Name("s3a://x", "t"))
    assert ids.partition_key(_event(job=Name("ns", "j"), inputs=(a,), outputs=(b,))) == b"ns/j"
    assert ids.partition_key(_event(inputs=(b,), outputs=(a, b))) == b"s3://x/a"
    assert ids.partition_key(_event(inputs=(a,))) == b"s3://x/a"
    assert ids.partition_key(_event(edges=(edge,))) == b"s3://x/t"
    assert ids.partition_key(_event()) == bytes(15) + b"\x07"


def test_names_and_ids_load_neither_fastavro_nor_kafka() -> None:
    code = (
        "import sys, headwater_schemas.events, headwater_schemas.ids, headwater_schemas.naming, "
        "headwater_schemas.topics, headwater_schemas.deltas, headwater_schemas.alerts, headwater_schemas.policies; "
        "sys.exit(any(name.split('.')[0] in ('fastavro', 'confluent_kafka') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
