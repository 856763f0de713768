"""The oracle's generator: repeatable, of every kind, and readable by somebody else's Avro."""

from __future__ import annotations

import io
from collections import Counter
from typing import Any

import fastavro
import pytest
from tests.support.oracle.contract import (
    BY_FINGERPRINT,
    BY_ID,
    WRITERS,
    Draft,
    encode_datum,
    encode_tail,
    frame,
)
from tests.support.oracle.generator import Generator
from tests.support.oracle.model import Model
from tests.support.oracle.records import Options, Record, schema_records
from tests.support.oracle.wire import WireDecoder, crc64_avro

OPTIONS = Options(20_000, seed=3, datasets=60, confluent=0.3)


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return list(Generator(OPTIONS).records())


def test_the_same_seed_gives_the_same_records(records: list[Record]) -> None:
    assert list(Generator(OPTIONS).records()) == records


def test_shares_are_as_asked(records: list[Record]) -> None:
    kinds = Counter(record.kind.partition(":")[0] for record in records)
    share = {kind: count / len(records) for kind, count in kinds.items()}
    assert share["duplicate"] == pytest.approx(0.1, rel=0.15)
    assert share["late"] == pytest.approx(0.009, rel=0.3)
    assert share["future"] == pytest.approx(0.0009, rel=0.8)
    assert share["hostile"] == pytest.approx(0.0045, rel=0.4)
    assert {record.partition for record in records} == set(range(OPTIONS.partitions))


def test_a_duplicate_repeats_key_bytes_and_partition_of_an_earlier_record(records: list[Record]) -> None:
    seen: set[tuple[object, ...]] = set()
    for record in records:
        identity = (record.partition, record.key, record.value)
        assert record.kind != "duplicate" or identity in seen
        seen.add(identity)


def test_append_times_never_go_back(records: list[Record]) -> None:
    times = [record.timestamp_ms for record in records]
    assert times == sorted(times)


def test_every_record_that_is_meant_well_is_read(records: list[Record]) -> None:
    decoder = WireDecoder(BY_FINGERPRINT, BY_ID)
    hostile = {record.value for record in records if record.kind.startswith(("hostile", "unknown"))}
    good = [record for record in records if record.value not in hostile]
    assert len([decoder.decode(record.value) for record in good]) > 0.98 * len(records)


def test_the_model_sees_every_kind_of_thing(records: list[Record]) -> None:
    model = Model(BY_FINGERPRINT, BY_ID)
    offsets: Counter[int] = Counter()
    for record in records:
        model.feed(record.partition, offsets[record.partition], record.timestamp_ms, record.value, record.key)
        offsets[record.partition] += 1
    for name in ("applied", "dup", "late", "future", "undeduped", "bad"):
        assert sum(getattr(each, name) for each in model.partitions.values()) > 0, name
    assert all(model.expected_total(number) == offsets[number] for number in offsets)
    state = model.state
    assert {key[:1] for key in state.edges} == {b"r", b"w", b"d"}
    assert any(key[1:13] == key[13:] for key in state.edges)
    assert state.aliases
    assert state.emits
    assert any(not d.present for d in state.datasets.values())
    assert any(d.retracted and d.present for d in state.datasets.values())
    assert any(d.idle_through for d in state.datasets.values())
    assert any(d.renamed_to[0] for d in state.datasets.values())
    assert any(run.is_open for run in state.runs.values())
    assert any(len(run.partitions) > 1 for run in state.runs.values())
    assert any(run.parent[0] and run.offsets for run in state.runs.values())


@pytest.mark.parametrize("writer", sorted(WRITERS))
@pytest.mark.parametrize("confluent", [False, True])
def test_our_encoder_is_read_by_fastavro_and_by_our_decoder_alike(writer: str, confluent: bool) -> None:
    uses = [{"namespace": "s3://x", "name": "ü", "aliases": [{"namespace": "a", "name": "b"}]}]
    tail = encode_tail(job={"namespace": "n", "name": "j"}, inputs=uses, error="x", facets=b"{}", backfill=True)
    draft = Draft(
        b"i" * 16,
        1_700_000_000_000_000,
        "ABORT",
        tail,
        parent_run_id=b"p" * 16,
        measures=[(0, -1, 1 << 40, 1 << 41, -1, 0, 5, 0)] * 3,
        sized_block=True,
        nominal_end_us=7,
    )
    datum = encode_datum(draft, writer)
    decoded = WireDecoder(BY_FINGERPRINT, BY_ID).decode(frame(datum, writer, confluent))
    plain = _without_logical_types(WRITERS[writer])
    buffer = io.BytesIO(datum)
    assert decoded == fastavro.schemaless_reader(buffer, fastavro.parse_schema(plain), None)
    assert not buffer.read()


def _without_logical_types(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _without_logical_types(value) for key, value in schema.items() if key != "logicalType"}
    return [_without_logical_types(each) for each in schema] if isinstance(schema, list) else schema


def test_the_model_s_state_does_not_depend_on_how_partitions_interleave(records: list[Record]) -> None:
    as_made, one_by_one = Model(BY_FINGERPRINT, BY_ID), Model(BY_FINGERPRINT, BY_ID)
    placed = [
        (record.partition, offset, record)
        for number in range(OPTIONS.partitions)
        for offset, record in enumerate(each for each in records if each.partition == number)
    ]
    for partition, offset, record in placed:
        one_by_one.feed(partition, offset, record.timestamp_ms, record.value, record.key)
    for partition, offset, record in sorted(placed, key=lambda each: each[2].timestamp_ms):
        as_made.feed(partition, offset, record.timestamp_ms, record.value, record.key)
    assert as_made.partitions == one_by_one.partitions
    for name in ("names", "jobs", "edges", "emitters", "emits", "aliases", "runs", "datasets"):
        assert getattr(as_made.state, name) == getattr(one_by_one.state, name), name


def test_fingerprints_are_those_of_the_specification() -> None:
    assert crc64_avro(b'"int"') == 0x7275D51A3F395C8F
    assert [record.key for _, record in schema_records()] == [key.hex().encode() for key in BY_FINGERPRINT]
