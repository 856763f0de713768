"""Records of the state: what is packed comes back, and what is short is refused with a sentence."""

from __future__ import annotations

import pytest

from headwater_processor.core.runs import Run
from headwater_processor.state.errors import LayoutError
from headwater_processor.state.layout import (
    AliasRecord,
    DatasetRecord,
    EdgeRecord,
    FreshnessRecord,
    JobRecord,
    JudgedRecord,
    Keys,
    dataset_ends,
    last_emitter,
    pack_name,
    pack_partitions,
    split_edge_key,
    unpack_name,
    unpack_partitions,
    was_read,
    was_written,
)
from headwater_processor.state.near import near_names
from headwater_processor.state.runs import JobHistory, OffsetImage, RunImage, pack_history, run_image, unpack_history
from headwater_schemas.events import Name
from headwater_schemas.ids import DERIVES, READS, WRITES, edge_key

ID = bytes(range(16))
A, B = b"a" * 12, b"b" * 12
T = 1_700_000_000_000_000


def test_a_dataset_record_comes_back_with_its_minima() -> None:
    record = DatasetRecord(T, T + 1, 0, T + 2, 0, ID, A)
    assert DatasetRecord.unpack(record.pack()) == record


def test_a_dataset_record_without_a_job_comes_back() -> None:
    assert DatasetRecord.unpack(DatasetRecord(T).pack()) == DatasetRecord(T)


def test_records_of_freshness_jobs_edges_and_aliases_come_back() -> None:
    fresh = FreshnessRecord(T, T, 0, 1, ID, ID, A, B)
    job = JobRecord(T, 0, T + 1, True, ID, A)
    edge = EdgeRecord(T, ID, ID)
    assert FreshnessRecord.unpack(fresh.pack()) == fresh
    assert JobRecord.unpack(job.pack()) == job
    assert EdgeRecord.unpack(edge.pack()) == edge
    assert AliasRecord.unpack(AliasRecord(2, 1).pack()).present


def test_who_told_of_the_last_write_is_read_alone() -> None:
    assert last_emitter(FreshnessRecord(T, 0, 0, 0, ID, ID, A, B).pack()) == B
    assert last_emitter(FreshnessRecord(T).pack()[:32]) == b""


def test_freshness_without_who_wrote_is_read() -> None:
    assert FreshnessRecord.unpack(FreshnessRecord(0, T).pack()[:32]).data_through_us == T


def test_a_record_that_is_too_short_is_refused_by_name() -> None:
    with pytest.raises(LayoutError, match="table 'ds' has 3 bytes where at least 40 belong"):
        DatasetRecord.unpack(b"abc")


@pytest.mark.parametrize(("read_us", "written_us"), [(0, 0), (T, 0), (0, T), (T, T)])
def test_which_halves_of_a_dataset_are_known_is_told_without_the_rest(read_us: int, written_us: int) -> None:
    stored = DatasetRecord(T, first_read_us=read_us, first_written_us=written_us).pack()
    assert (was_read(stored), was_written(stored)) == (bool(read_us), bool(written_us))


def test_a_judgement_may_lack_what_came_later() -> None:
    judged = JudgedRecord("LATE", "why", 1, 2, "read-never-written", 3, "me", ("x/y",), 9, "leaf")
    assert JudgedRecord.unpack(judged.pack()) == judged
    assert JudgedRecord.unpack(b"\x93\x03\xa0\x05") == JudgedRecord("STALE", "", 5)


def test_the_ends_of_an_edge_that_can_be_removed_are_datasets() -> None:
    assert dataset_ends(edge_key(READS, A, B)) == (A,)
    assert dataset_ends(edge_key(WRITES, A, B)) == (B,)
    assert dataset_ends(edge_key(DERIVES, A, B)) == (A, B)
    with pytest.raises(LayoutError, match="not an edge key"):
        split_edge_key(b"x" * 25)


def test_keys_share_the_hash_tag_of_their_domain() -> None:
    keys = Keys("prod")
    assert (keys.table("ds"), keys.part("st", 3)) == ("{hw:prod}:ds", "{hw:prod}:st:3")


def test_names_and_bitmaps_come_back() -> None:
    assert unpack_name(pack_name(b"d", Name("a", "b/ü"))) == (b"d", Name("a", "b/ü"))
    assert unpack_partitions(pack_partitions([0, 7, 9])) == (0, 7, 9)
    assert pack_partitions([9]) == b"\x00\x02"


def test_a_history_comes_back() -> None:
    offsets = (OffsetImage(direction="in", dataset="k/t", partition=0, first=1, last=2),)
    image = RunImage(run="r", state="COMPLETE", runtime={"pod": "p"}, offsets=offsets)
    history = JobHistory(runs=[image], last_ok=image)
    assert unpack_history(pack_history(history)) == history
    with pytest.raises(LayoutError, match="'jr'"):
        unpack_history(b"[]")


def test_a_failed_run_says_why_and_when() -> None:
    run = Run(first=T, seen=T + 2, failed=(T + 2, 2, ID, b"out of memory"), outputs=A)
    image = run_image(ID, run, {A: "s3://lake/x"})
    assert (image.state, image.ended_us, image.error) == ("FAIL", T + 2, "out of memory")
    assert (image.started_us, image.outputs) == (T, ("s3://lake/x",))


def test_the_nearest_names_come_first() -> None:
    known = ["kafka://b:9092/orders", "kafka://b:9092/order-items", "s3://lake/returns", "kafka://b:9092/payments"]
    assert near_names("kafka://b:9092/ordres", known)[0] == "kafka://b:9092/orders"
    assert near_names("ordres", known)[0] == "kafka://b:9092/orders"
    assert near_names("zzz", known) == []
