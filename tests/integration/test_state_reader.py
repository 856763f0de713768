"""The reader of the state, on a real Redis that holds what SEMANTICS.md, section 4, says."""

from __future__ import annotations

import pytest
import redis
from tests.support.state_writer import StateWriter

from headwater_processor.core.alerts import Machine, State, fingerprint, incident_id
from headwater_processor.core.runs import Run
from headwater_processor.state import (
    About,
    AmbiguousNameError,
    LayoutError,
    NoStateError,
    StateReader,
    UnknownDatasetError,
)
from headwater_processor.state.layout import DatasetRecord, FreshnessRecord, JobRecord, JudgedRecord
from headwater_processor.state.runs import JobHistory, OffsetImage, RunImage, offset_key
from headwater_schemas.events import Name
from headwater_schemas.ids import dataset_key, emitter_key, job_key

T = 1_700_000_000_000_000
S = 1_000_000
SHOP = "postgres://shop:5432"
KAFKA = "kafka://broker:9092"
ORDERS_TABLE = Name(SHOP, "shop.public.orders")
ORDERS = Name(KAFKA, "orders")
MART = Name("s3://lake", "marts/orders")
CDC = Name("cdc", "orders-connector")
LOADER = Name("k8s", "orders-loader")
RUN = bytes(range(16))


@pytest.fixture
def domain() -> str:
    return "test"


@pytest.fixture
def writer(redis_client: redis.Redis, domain: str) -> StateWriter:
    return StateWriter(redis_client, domain)


@pytest.fixture
def reader(redis_client: redis.Redis, domain: str) -> StateReader:
    return StateReader(redis_client, domain)


def chain(writer: StateWriter) -> None:
    """orders table -> CDC -> topic -> loader -> mart."""
    for name in (ORDERS_TABLE, ORDERS, MART):
        writer.dataset(name, asserted_us=T, record=DatasetRecord(first_seen_us=T))
    for job in (CDC, LOADER):
        writer.job(job, asserted_us=T)
    writer.reads(ORDERS_TABLE, CDC, asserted_us=T)
    writer.writes(CDC, ORDERS, asserted_us=T)
    writer.reads(ORDERS, LOADER, asserted_us=T)
    writer.writes(LOADER, MART, asserted_us=T)


def test_an_empty_redis_is_said_to_have_no_state(reader: StateReader) -> None:
    with pytest.raises(NoStateError, match="no state of domain 'test'"):
        reader.summary()


def test_state_of_another_layout_is_refused_with_advice(writer: StateWriter, reader: StateReader) -> None:
    writer.meta(layout="2")
    with pytest.raises(LayoutError, match="layout 2, this version of Headwater reads layout 1"):
        next(reader.datasets())


def test_a_dataset_comes_with_everything_that_is_known_of_it(writer: StateWriter, reader: StateReader) -> None:
    writer.job(LOADER, asserted_us=T)
    writer.dataset(
        MART,
        asserted_us=T + 9,
        record=DatasetRecord(T, 1, 2, T + 3, T + 4, RUN, job_key(LOADER)),
        fresh=FreshnessRecord(T + 5, T + 6, T + 7, T + 8, RUN, RUN, job_key(LOADER)),
        judged=JudgedRecord("STALE", "no write for 20 s", T + 1, T + 2, "written_never_read", 7, "team-x", ("a/b",)),
        schema_version="v3",
        renamed_to=ORDERS,
    )
    writer.dataset(ORDERS)

    found = reader.dataset(MART)

    assert (found.name, found.present) == (MART, True)
    assert (found.first_seen_us, found.last_seen_us, found.retracted_us, found.truncated_us) == (T, T + 9, 1, 2)
    assert (found.first_read_us, found.first_written_us) == (T + 3, T + 4)
    assert (found.last_write_us, found.data_through_us) == (T + 5, T + 6)
    assert (found.last_failure_us, found.idle_through_us) == (T + 7, T + 8)
    assert (found.state, found.reason, found.since_us, found.deadline_us) == (
        "STALE",
        "no write for 20 s",
        T + 1,
        T + 2,
    )
    assert (found.unlinked, found.candidates) == ("written_never_read", ("a/b",))
    assert (found.owner, found.policy_version, found.schema_version) == ("team-x", 7, "v3")
    assert found.written_by == found.first_touched_by == "k8s/orders-loader"
    assert found.written_by_run == "00010203-0405-0607-0809-0a0b0c0d0e0f"
    assert found.renamed_to == "kafka://broker:9092/orders"


@pytest.mark.parametrize(
    ("state", "max_age_us", "deadline_us"), [("FRESH", 100, T + 150), ("FRESH", 0, T + 2), ("STALE", 100, T + 2)]
)
def test_while_a_dataset_is_fresh_its_deadline_moves_on_with_every_write(
    writer: StateWriter, reader: StateReader, state: str, max_age_us: int, deadline_us: int
) -> None:
    record = JudgedRecord(state, deadline_us=T + 2, max_age_us=max_age_us)
    writer.dataset(MART, asserted_us=T, record=DatasetRecord(T), fresh=FreshnessRecord(T + 50), judged=record)
    assert reader.dataset(MART).deadline_us == deadline_us


def test_what_is_none_in_the_state_is_zero(writer: StateWriter, reader: StateReader) -> None:
    writer.dataset(MART, asserted_us=T, record=DatasetRecord(first_seen_us=T))
    found = reader.dataset(MART)
    assert (found.first_read_us, found.first_written_us, found.last_write_us) == (0, 0, 0)
    assert (found.state, found.reason) == ("UNKNOWN", "not judged yet")


def test_a_dropped_dataset_is_known_but_not_listed(writer: StateWriter, reader: StateReader) -> None:
    writer.dataset(MART, asserted_us=T, record=DatasetRecord(first_seen_us=T, retracted_us=T))
    assert list(reader.datasets()) == []
    assert [d.name for d in reader.datasets(present_only=False)] == [MART]
    assert reader.dataset(MART).present is False


def test_filters_are_joined(writer: StateWriter, reader: StateReader) -> None:
    writer.dataset(MART, asserted_us=T, judged=JudgedRecord("STALE", owner="a"))
    writer.dataset(ORDERS, asserted_us=T, judged=JudgedRecord("FRESH", owner="a", unlinked="read_never_written"))
    writer.dataset(ORDERS_TABLE, asserted_us=T, judged=JudgedRecord("STALE", owner="b"))
    assert [d.name for d in reader.datasets(states={"STALE"}, owner="a")] == [MART]
    assert [d.name for d in reader.datasets(namespace=SHOP)] == [ORDERS_TABLE]
    assert [d.name for d in reader.datasets(unlinked=True)] == [ORDERS]


def test_many_datasets_come_once_each(writer: StateWriter, reader: StateReader) -> None:
    names = {Name("s3://lake", f"part-{i}") for i in range(2500)}
    for name in names:
        writer.dataset(name, asserted_us=T)
    found = [dataset.name for dataset in reader.datasets()]
    assert len(found) == len(names)
    assert set(found) == names


@pytest.mark.parametrize(
    "text",
    ["s3://lake/marts/orders", "s3a://lake/marts/orders", "marts/orders"],
)
def test_a_dataset_is_found_by_any_spelling(writer: StateWriter, reader: StateReader, text: str) -> None:
    writer.dataset(MART, asserted_us=T)
    assert reader.resolve(text) == MART


def test_the_longest_namespace_that_fits_wins(writer: StateWriter, reader: StateReader) -> None:
    writer.dataset(Name("a", "b/c"), asserted_us=T)
    writer.dataset(Name("a/b", "c"), asserted_us=T)
    assert reader.resolve("a/b/c") == Name("a/b", "c")


def test_a_name_in_two_namespaces_asks_which(writer: StateWriter, reader: StateReader) -> None:
    writer.dataset(Name("kafka://a:9092", "orders"), asserted_us=T)
    writer.dataset(Name("kafka://b:9092", "orders"), asserted_us=T)
    with pytest.raises(AmbiguousNameError, match="kafka://a:9092/orders, kafka://b:9092/orders"):
        reader.resolve("orders")


def test_an_unknown_name_is_answered_with_the_nearest(writer: StateWriter, reader: StateReader) -> None:
    chain(writer)
    with pytest.raises(UnknownDatasetError, match="Did you mean") as caught:
        reader.dataset("kafka://broker:9092/ordres")
    assert caught.value.near[0] == "kafka://broker:9092/orders"


def test_the_walk_goes_up_to_the_source_and_knows_the_distances(writer: StateWriter, reader: StateReader) -> None:
    chain(writer)
    trace = reader.upstream(MART)
    assert {d.name for d in trace.datasets} == {MART, ORDERS, ORDERS_TABLE}
    assert [job.name for job in trace.jobs] == [LOADER, CDC]
    assert trace.distance == {MART: 0, ORDERS: 1, ORDERS_TABLE: 2}
    assert {(e.kind, e.source, e.target) for e in trace.edges} == {
        ("WRITES", LOADER, MART),
        ("READS", ORDERS, LOADER),
        ("WRITES", CDC, ORDERS),
        ("READS", ORDERS_TABLE, CDC),
    }
    assert reader.downstream(MART).jobs == ()


def test_the_walk_stops_at_its_depth(writer: StateWriter, reader: StateReader) -> None:
    chain(writer)
    assert {d.name for d in reader.downstream(ORDERS_TABLE, depth=1).datasets} == {ORDERS_TABLE, ORDERS}


def test_a_cycle_and_a_self_loop_are_walked_once(writer: StateWriter, reader: StateReader) -> None:
    chain(writer)
    writer.reads(MART, CDC, asserted_us=T)
    writer.reads(MART, LOADER, asserted_us=T)
    trace = reader.upstream(MART, depth=50)
    assert len(trace.datasets) == 3
    assert len(trace.jobs) == 2


def test_a_stated_edge_is_followed_beside_the_jobs(writer: StateWriter, reader: StateReader) -> None:
    chain(writer)
    writer.derives(ORDERS_TABLE, MART, asserted_us=T)
    trace = reader.upstream(MART, depth=1)
    assert trace.distance == {MART: 0, ORDERS_TABLE: 1, ORDERS: 1}
    assert "DERIVES" in {edge.kind for edge in trace.edges}


def test_an_edge_older_than_the_removal_of_its_dataset_is_gone(writer: StateWriter, reader: StateReader) -> None:
    chain(writer)
    writer.dataset(ORDERS, asserted_us=T + 2, record=DatasetRecord(T, retracted_us=T + 1))
    assert {d.name for d in reader.upstream(MART).datasets} == {MART}
    writer.writes(CDC, ORDERS, asserted_us=T + 2)
    assert [e.source for e in reader.edges(ORDERS) if e.present] == [CDC]


def test_two_names_of_one_dataset_are_walked_as_one(writer: StateWriter, reader: StateReader) -> None:
    chain(writer)
    other = Name("hive://meta:9083", "marts.orders")
    dashboard = Name("bi", "revenue")
    writer.dataset(other, asserted_us=T)
    writer.job(dashboard, asserted_us=T)
    writer.reads(other, dashboard, asserted_us=T)
    assert reader.downstream(MART).jobs == ()
    writer.alias(MART, other, asserted_us=T)
    trace = reader.downstream(MART)
    assert [job.name for job in trace.jobs] == [dashboard]
    assert {frozenset(group) for group in trace.same_as} == {frozenset((MART, other))}
    writer.alias(MART, other, asserted_us=T, retracted_us=T)
    assert reader.downstream(MART).jobs == ()


def test_a_job_shows_its_open_run_with_pod_and_offsets(writer: StateWriter, reader: StateReader) -> None:
    chain(writer)
    writer.emitter("k8s:orders-loader")
    writer.job(LOADER, asserted_us=T, record=JobRecord(T, streaming=True, emitter=emitter_key("k8s:orders-loader")))
    key = offset_key("in", dataset_key(ORDERS), 3)
    run = Run(
        first=T,
        started=T,
        seen=T + S,
        running=T + S,
        flags=1,
        inputs=dataset_key(ORDERS),
        runtime=(T, RUN, b'{"pod":"loader-0","image":"loader:1","node":""}'),
        parent=(T, RUN, RUN, job_key(CDC)),
        offsets=[key, 10, 20],
    )
    writer.run(LOADER, RUN, run, is_open=True)
    writer.history(LOADER, JobHistory(runs=[RunImage(run="old", state="FAIL", started_us=T - S)]))

    job = reader.job(LOADER)

    assert job is not None
    assert (job.streaming, job.emitter) == (True, "k8s:orders-loader")
    assert [(r.run[:8], r.state) for r in job.runs] == [("00010203", "OPEN"), ("old", "FAIL")]
    assert job.last is not None
    assert job.last.runtime == {"pod": "loader-0", "image": "loader:1"}
    assert job.last.parent_job == "cdc/orders-connector"
    expected = OffsetImage(direction="in", dataset="kafka://broker:9092/orders", partition=3, first=10, last=20)
    assert job.last.offsets == (expected,)
    assert [r.state for r in job.open] == ["OPEN"]


def test_a_run_silent_for_longer_than_the_time_out_is_lost(
    writer: StateWriter, redis_client: redis.Redis, domain: str
) -> None:
    chain(writer)
    for partition in (0, 1):
        writer.partition(partition, as_of_us=T + 100 * S)
    writer.run(LOADER, RUN, Run(first=T, seen=T), is_open=True)
    job = StateReader(redis_client, domain, run_timeout_us=10 * S).job(LOADER)
    assert job is not None
    assert [r.state for r in job.runs] == ["LOST"]


def test_partitions_have_clocks_and_counters(writer: StateWriter, reader: StateReader) -> None:
    writer.partition(0, as_of_us=T, next="12", mx=str(T), applied="9", dup="2", bad="1", late="1", epoch="3:x")
    writer.partition(1, as_of_us=T - S, stopped="too many bad records")
    first, second = reader.partitions()
    assert (first.next_offset, first.applied, first.duplicates, first.bad) == (12, 9, 2, 1)
    assert first.watermark_us == T - 300 * S
    assert (second.watermark_us, second.stopped) == (0, "too many bad records")
    assert reader.summary().as_of_us == T - S


def test_as_of_is_unknown_while_one_partition_is(writer: StateWriter, reader: StateReader) -> None:
    writer.partition(0, as_of_us=T, applied="5")
    chain(writer)
    summary = reader.summary()
    assert (summary.as_of_us, summary.datasets, summary.jobs, summary.edges, summary.applied) == (0, 3, 2, 4, 5)


def test_alerts_that_fire_come_first_and_quiet_ones_not_at_all(writer: StateWriter, reader: StateReader) -> None:
    stale = fingerprint("DatasetStale", "dataset", SHOP, ORDERS_TABLE.name)
    writer.alert_machine(1, stale, Machine(State.FIRING, T + 9, T + 5, T))
    writer.alert_machine(2, fingerprint("RunNeverEnded", "job", "k8s", "loader"), Machine(State.PENDING, T, T))
    writer.alert_machine(2, fingerprint("DatasetStale", "dataset", "a", "b"), Machine(State.QUIET, T, T))
    first, second = reader.alerts()
    assert (first.kind, first.state, first.subject_kind, first.subject) == (
        "DatasetStale",
        "FIRING",
        "dataset",
        ORDERS_TABLE,
    )
    assert (first.since_us, first.deadline_us, first.incident_id) == (T + 5, T, incident_id(stale, T))
    assert (second.state, second.subject, second.incident_id) == ("PENDING", Name("k8s", "loader"), "")
    assert reader.summary().alerts_firing == 1


def test_what_producers_say_comes_with_each_node_and_owns_it_where_no_policy_does(
    writer: StateWriter, reader: StateReader
) -> None:
    judged = JudgedRecord("FRESH", owner="team-x")
    mart = writer.dataset(MART, asserted_us=T, record=DatasetRecord(T), judged=judged)
    orders = writer.dataset(ORDERS, asserted_us=T, record=DatasetRecord(T))
    writer.dataset(ORDERS_TABLE, asserted_us=T, record=DatasetRecord(T))
    writer.said(mart, {"O": "team:a", "T": "pii\ntier=gold", "?": "of a newer version"})
    writer.said(orders, {"O": "team:a\nteam:b", "D": ""})
    writer.said(writer.job(LOADER, asserted_us=T), {"q": "select 1", "o": "team:etl"})
    assert (reader.dataset(MART).owner, reader.dataset(MART).about) == (
        "team-x",
        About(owners=("team:a",), tags=("pii", "tier=gold")),
    )
    assert (reader.dataset(ORDERS).owner, reader.dataset(ORDERS).about.description) == ("team:a, team:b", "")
    assert reader.dataset(ORDERS_TABLE).about == About()
    job = reader.job(LOADER)
    assert job is not None
    assert (job.owner, job.about.sql) == ("team:etl", "select 1")
    assert {d.name for d in reader.datasets(owner="team:a")} == {MART, ORDERS}
