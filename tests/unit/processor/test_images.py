"""From names in an outbox to images, and classes of aliases: pure, by example."""

from __future__ import annotations

from typing import Any

import pytest

from headwater_processor.core.about import DATASET_FACTS, JOB_FACTS
from headwater_processor.engine.facts import classes_of
from headwater_processor.engine.images import Facts, Painter, Wanted, judged, parse_names, shard_key, status_of
from headwater_processor.engine.names import Named
from headwater_processor.state.layout import (
    AliasRecord,
    DatasetRecord,
    EdgeRecord,
    FreshnessRecord,
    JobRecord,
    JudgedRecord,
    pack_about,
    pack_schema_version,
    pack_successor,
)
from headwater_schemas.codec import decode_delta, encode_delta
from headwater_schemas.deltas import Aspect, EdgeKind, Entity, FreshnessState, GraphDelta
from headwater_schemas.events import Name
from headwater_schemas.ids import dataset_key, edge_key, emitter_key, job_key

T = 1_740_787_200_000_000
MINUTE_US = 60_000_000
ID, RUN = bytes(range(16)), bytes(range(16, 32))
ORDERS, DAILY, FLOW = Name("kafka://b1:9092", "orders"), Name("kafka://b1:9092", "daily"), Name("jobs", "flow")
IN, OUT, JOB, SDK = dataset_key(ORDERS), dataset_key(DAILY), job_key(FLOW), emitter_key("sdk")
NAMES = {IN: Named(ORDERS), OUT: Named(DAILY), JOB: Named(FLOW), SDK: Named(Name("", "sdk"))}
READS, WRITES, DERIVES = edge_key(b"r", IN, JOB), edge_key(b"w", JOB, OUT), edge_key(b"d", IN, OUT)


def image(name: bytes, facts: Facts) -> GraphDelta | None:
    found = Painter(facts, NAMES.get, T + 9).image(name, 77)
    if found is None:
        return None
    key, value = found
    delta = decode_delta(value)
    assert delta.key == key
    assert encode_delta(delta) == value
    return delta


def painted(name: bytes, facts: Facts) -> GraphDelta:
    found = image(name, facts)
    assert found is not None
    return found


# --- names ---------------------------------------------------------------------------------------------------------------

ALL_NAMES = [
    b"d" + IN, b"f" + IN, b"j" + JOB, b"e" + READS, b"a" + IN + OUT, b"r" + JOB + RUN, b"n" + IN, b"sd" + IN, b"m" + SDK,
    b"bj" + JOB,
]  # fmt: skip


def test_an_outbox_entry_is_its_names_one_after_the_other() -> None:
    assert list(parse_names(b"".join(ALL_NAMES))) == ALL_NAMES
    assert list(parse_names(b"")) == []


def test_what_a_newer_version_names_ends_the_entry() -> None:
    assert list(parse_names(b"d" + IN + b"?" + b"d" + OUT)) == [b"d" + IN]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (b"d" + IN, IN), (b"f" + IN, IN), (b"j" + JOB, JOB), (b"a" + IN + OUT, IN), (b"r" + JOB + RUN, JOB),
        (b"n" + IN, IN), (b"sj" + JOB, JOB), (b"bd" + IN, IN), (b"m" + SDK, SDK), (b"e" + READS, IN), (b"e" + WRITES, OUT),
        (b"e" + DERIVES, OUT),
    ],
)  # fmt: skip
def test_a_name_lives_in_the_shard_of_its_key(name: bytes, key: bytes) -> None:
    assert shard_key(name) == key


def test_each_table_is_read_once_for_all_names_and_answers_find_their_place() -> None:
    wanted = Wanted(ALL_NAMES)
    commands = wanted.commands(lambda table: table)
    tables = [command[1] for command in commands]
    assert len(tables) == len(set(tables))
    answers: list[Any] = [
        [None if command[0] == "ZMSCORE" and field == IN else b"1.5e1" if command[0] == "ZMSCORE" else command[1].encode()
         for field in command[2:]]
        for command in commands
    ]  # fmt: skip
    facts = wanted.facts(answers)
    assert facts.ds == {IN: b"ds"}
    assert facts.dz == {}
    assert facts.jz == {JOB: 15}
    assert facts.edge == {READS: b"edge"}
    assert facts.run == {JOB + RUN: b"run"}
    assert wanted.statuses == [b"d" + IN]


def test_no_names_read_nothing() -> None:
    wanted = Wanted([])
    assert wanted.commands(lambda table: table) == []
    assert wanted.facts([]) == Facts()


# --- images ----------------------------------------------------------------------------------------------------------------


def test_the_core_of_a_dataset_shows_all_that_is_stored() -> None:
    record = DatasetRecord(T, 0, T + 3, T + 1, T + 2, ID, JOB)
    facts = Facts(
        ds={IN: record.pack()},
        dz={IN: T + MINUTE_US + 7},
        sv={IN: pack_schema_version(T, ID, "v2")},
        mv={IN: pack_successor(T, ID, OUT)},
    )
    delta = painted(b"d" + IN, facts)
    assert (delta.key, delta.version, delta.as_of_us) == ("DATASET|CORE|kafka://b1:9092|orders", 77, T + 9)
    assert (delta.entity, delta.aspect, delta.present, delta.event_id) == (Entity.DATASET, Aspect.CORE, True, ID)
    assert (delta.first_seen_us, delta.last_seen_us) == (T, T + MINUTE_US)
    core = delta.dataset
    assert core is not None
    assert (core.first_read_us, core.first_written_us, core.truncated_at_us) == (T + 1, T + 2, T + 3)
    assert (core.first_touched_by, core.schema_version, core.renamed_to) == (str(FLOW), "v2", str(DAILY))


@pytest.mark.parametrize(
    ("asserted", "retracted", "present"), [(5, 4, True), (5, 5, False), (4, 5, False), (0, 0, False)]
)
def test_a_dataset_is_present_while_it_was_asserted_after_it_was_retracted(
    asserted: int, retracted: int, present: bool
) -> None:
    facts = Facts(ds={IN: DatasetRecord(T, retracted).pack()}, dz={IN: asserted} if asserted else {})
    assert painted(b"d" + IN, facts).present is present


def test_freshness_shows_times_and_who_wrote_last() -> None:
    facts = Facts(
        ds={IN: DatasetRecord(T).pack()},
        dz={IN: T},
        fr={IN: FreshnessRecord(T, T + 1, T + 2, T + 3, ID, RUN, JOB, SDK).pack()},
    )
    delta = painted(b"f" + IN, facts)
    fresh = delta.freshness
    assert fresh is not None
    assert (fresh.last_write_us, fresh.data_through_us, fresh.last_failure_us, fresh.idle_through_us) == (
        T,
        T + 1,
        T + 2,
        T + 3,
    )
    assert (fresh.written_by, delta.event_id, delta.run_id, delta.present) == (str(FLOW), ID, RUN, True)


def test_freshness_that_nobody_proved_names_nobody() -> None:
    delta = painted(b"f" + IN, Facts(fr={IN: FreshnessRecord(last_failure_us=T).pack()[:32]}))
    assert delta.freshness is not None
    assert (delta.freshness.written_by, delta.event_id, delta.run_id, delta.present) == ("", None, None, False)


def test_a_job_shows_when_it_was_seen() -> None:
    delta = painted(b"j" + JOB, Facts(job={JOB: JobRecord(T, first_event_id=ID).pack()}, jz={JOB: T + 5}))
    assert (delta.key, delta.present, delta.first_seen_us, delta.last_seen_us) == ("JOB|CORE|jobs|flow", True, T, T)


@pytest.mark.parametrize(
    ("edge", "kind", "key"),
    [
        (READS, EdgeKind.READS, "EDGE|READS|kafka://b1:9092|orders|jobs|flow"),
        (WRITES, EdgeKind.WRITES, "EDGE|WRITES|jobs|flow|kafka://b1:9092|daily"),
        (DERIVES, EdgeKind.DERIVES, "EDGE|DERIVES|kafka://b1:9092|orders|kafka://b1:9092|daily"),
    ],
)
def test_an_edge_points_the_way_the_data_flows(edge: bytes, kind: EdgeKind, key: str) -> None:
    facts = Facts(edge={edge: EdgeRecord(T, ID, RUN).pack()}, ez={edge: T + 5}, dz={IN: T, OUT: T})
    delta = painted(b"e" + edge, facts)
    assert (delta.key, delta.edge, delta.present) == (key, kind, True)
    assert (delta.event_id, delta.run_id, delta.first_seen_us, delta.last_seen_us) == (ID, RUN, T, T)


@pytest.mark.parametrize(("edge", "ends"), [(READS, (IN,)), (WRITES, (OUT,)), (DERIVES, (IN, OUT))])
def test_an_edge_goes_with_any_dataset_end_that_was_retracted_since(edge: bytes, ends: tuple[bytes, ...]) -> None:
    for end in (IN, OUT):
        facts = Facts(edge={edge: EdgeRecord(T).pack()}, ez={edge: 5}, ds={end: DatasetRecord(1, 5).pack()})
        facts.dz.update({IN: 6, OUT: 6})
        assert painted(b"e" + edge, facts).present is (end not in ends)
        facts.ez[edge] = 6
        assert painted(b"e" + edge, facts).present


@pytest.mark.parametrize(("edge", "ends"), [(READS, (IN,)), (WRITES, (OUT,)), (DERIVES, (IN, OUT))])
def test_an_edge_asserted_in_the_minute_of_a_removal_comes_back_with_the_dataset(
    edge: bytes, ends: tuple[bytes, ...]
) -> None:
    for end in ends:
        facts = Facts(edge={edge: EdgeRecord(T).pack()}, ez={edge: 59}, ds={end: DatasetRecord(1, 5).pack()})
        facts.dz.update({IN: 4, OUT: 4})
        assert not painted(b"e" + edge, facts).present
        facts.dz[end] = 6
        assert painted(b"e" + edge, facts).present


def test_an_alias_is_present_until_it_is_taken_back() -> None:
    pair = min(IN, OUT) + max(IN, OUT)
    delta = painted(b"a" + pair, Facts(al={pair: AliasRecord(T + 5).pack()}))
    assert (delta.entity, delta.present, delta.last_seen_us) == (Entity.ALIAS, True, T)
    assert not painted(b"a" + pair, Facts(al={pair: AliasRecord(T, T).pack()})).present


def test_a_status_shows_what_was_judged() -> None:
    record = JudgedRecord("STALE", "why", T, T + 1, "", 3, "team", ("one", "two"))
    delta = painted(b"sd" + IN, Facts(st={b"d" + IN: record.pack()}))
    assert (delta.key, delta.aspect) == ("DATASET|STATUS|kafka://b1:9092|orders", Aspect.STATUS)
    assert delta.status is not None
    assert (delta.status.state, delta.status.reason, delta.status.candidates) == (
        FreshnessState.STALE,
        "why",
        ("one", "two"),
    )
    assert judged(status_of(record)) == record


@pytest.mark.parametrize("name", ALL_NAMES)
def test_what_the_state_does_not_have_has_no_image(name: bytes) -> None:
    assert image(name, Facts()) is None


def test_a_dataset_without_a_name_has_no_image() -> None:
    stranger = b"?" * 12
    assert image(b"d" + stranger, Facts(ds={stranger: DatasetRecord(T).pack()})) is None


# --- classes of aliases -----------------------------------------------------------------------------------------------------


def test_aliases_of_aliases_are_one_class_whatever_the_order() -> None:
    a, b, c, d, e = (bytes([n]) * 12 for n in range(5))
    for pairs in ([(a, b), (c, d), (b, c)], [(d, c), (c, b), (b, a)], [(b, a), (b, c), (b, d), (a, d)]):
        assert classes_of([*pairs, (e, e)]) == {
            a: (a, b, c, d),
            b: (a, b, c, d),
            c: (a, b, c, d),
            d: (a, b, c, d),
            e: (e,),
        }


def test_a_long_chain_of_aliases_is_one_class() -> None:
    keys = [n.to_bytes(12, "big") for n in range(5000)]
    classes = classes_of(zip(keys[::-1], keys[-2::-1], strict=False))
    assert classes[keys[0]] == classes[keys[-1]] == tuple(keys)


def test_without_aliases_there_are_no_classes() -> None:
    assert classes_of([]) == {}


# --- what is said about them ----------------------------------------------------------------------------------------------


def test_what_is_said_of_a_dataset_is_an_image_of_its_own() -> None:
    facts = Facts(
        dz={IN: T},
        about={IN + b"O": pack_about(T, ID, b"team:a\nteam:b"), IN + b"V": pack_about(T + 1, RUN, b"7")},
    )
    delta = painted(b"bd" + IN, facts)
    assert (delta.key, delta.aspect, delta.present) == ("DATASET|ABOUT|kafka://b1:9092|orders", Aspect.ABOUT, True)
    assert delta.event_id == RUN
    assert delta.about == '{"owners":["team:a","team:b"],"version":"7"}'


def test_what_is_said_of_a_job_likewise() -> None:
    delta = painted(b"bj" + JOB, Facts(about={JOB + b"q": pack_about(T, ID, b"select 1")}))
    assert (delta.key, delta.entity, delta.present) == ("JOB|ABOUT|jobs|flow", Entity.JOB, True)
    assert delta.about == '{"sql":"select 1"}'


def test_what_was_taken_back_is_not_shown_any_more_and_its_image_says_so() -> None:
    assert painted(b"bj" + JOB, Facts(about={JOB + b"q": pack_about(T, ID, b"")})).about == "{}"


def test_of_a_dataset_that_was_dropped_the_image_is_no_longer_present() -> None:
    record = DatasetRecord(T, T + 1, 0, T, T, ID, JOB)
    facts = Facts(ds={IN: record.pack()}, dz={IN: T}, about={IN + b"O": pack_about(T, ID, b"team:a")})
    assert painted(b"bd" + IN, facts).present is False


def test_of_whom_nobody_says_anything_there_is_no_image() -> None:
    assert image(b"bd" + IN, Facts(dz={IN: T})) is None


def test_all_facts_of_a_node_are_read_with_whether_it_is_there() -> None:
    commands = {command[1]: command[2:] for command in Wanted([b"bd" + IN, b"bj" + JOB]).commands(lambda table: table)}
    assert commands["dz"] == (IN,)
    assert set(commands["about"]) == {IN + tag for tag in DATASET_FACTS} | {JOB + tag for tag in JOB_FACTS}
