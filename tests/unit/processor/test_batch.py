"""What a batch adds up to: the parts of the call, unpacked."""

from __future__ import annotations

import pytest
from tests.support.gathering import (
    DAILY,
    DAY_US,
    FLOW,
    IN,
    NIL,
    ORDERS,
    OUT,
    READS,
    RUN,
    SDK,
    SHARDS,
    TOKEN,
    WRITES,
    Gathered,
    T,
    fresh,
    measure,
    output,
    template,
)

from headwater_processor.core.batch import SLOT_US
from headwater_processor.core.decode import MeasureRow
from headwater_processor.core.knowledge import Knowledge, minute_end
from headwater_processor.core.lattice import ALIAS, DS, FR, JOB, NO_MIN, ONE, invert
from headwater_processor.core.plan_values import Rules
from headwater_processor.core.runs import OFFSETS_MAX
from headwater_processor.core.template import Template
from headwater_schemas.events import DatasetUse, DirectEdge, Lifecycle, Name, Processing
from headwater_schemas.ids import job_key, shard_of

# --- names and graph --------------------------------------------------------------------------------------------------


def test_an_event_names_asserts_and_connects_what_it_says() -> None:
    parts = Gathered().add("OTHER", template(), number=7).call()
    event_id = (7).to_bytes(16, "big")
    assert parts["names"].keys() == {IN, OUT, FLOW, SDK}
    assert parts["dz"] == {IN: T, OUT: T}
    assert parts["jz"] == {FLOW: minute_end(T)}
    assert parts["ez"] == {READS: minute_end(T), WRITES: minute_end(T)}
    assert parts["mz"] == {SDK: T}
    assert parts["ex"] == [b"0", SDK + OUT]
    assert set(parts["ax"][1::2]) == {IN + READS, FLOW + READS, FLOW + WRITES, OUT + WRITES}
    assert parts["ds"][IN] == DS.pack(-T, 0, 0, -T, NO_MIN) + invert(event_id) + FLOW
    assert parts["ds"][OUT] == DS.pack(-T, 0, 0, NO_MIN, -T) + invert(event_id) + FLOW
    assert parts["edge"][READS] == ONE.pack(-T) + invert(event_id) + NIL
    assert parts["job"][FLOW] == JOB.pack(-T, -T, -T, 0) + invert(event_id) + SDK


def test_names_go_to_the_outbox_of_the_shard_where_each_lives() -> None:
    parts = Gathered().add("OTHER", template()).call()
    expected: dict[int, set[bytes]] = {}
    for key, name in (
        (IN, b"d" + IN),
        (OUT, b"d" + OUT),
        (FLOW, b"j" + FLOW),
        (IN, b"e" + READS),
        (OUT, b"e" + WRITES),
    ):
        expected.setdefault(shard_of(key, SHARDS), set()).add(name)
    assert parts["outbox"] == expected


def test_many_events_of_a_template_add_up_to_first_and_last() -> None:
    tail, gathered = template(), Gathered()
    for number, c in enumerate((T + 5, T, T + 9, T), 1):
        gathered.add("OTHER", tail, c, number=number)
    parts = gathered.call()
    assert parts["dz"] == {IN: T + 9, OUT: T + 9}
    # Of equal times the smaller id was first.
    assert parts["edge"][READS] == ONE.pack(-T) + invert((2).to_bytes(16, "big")) + NIL


def test_templates_that_share_names_meet_in_one_record() -> None:
    stated = template(job=Name("", ""), inputs=(), outputs=(), edges=(DirectEdge(DAILY, ORDERS),))
    parts = Gathered().add("OTHER", template(), T + 5).add("OTHER", stated, T, number=2).call()
    assert DS.unpack_from(parts["ds"][OUT]) == (-T, 0, 0, -T, -(T + 5))
    assert parts["ds"][OUT][DS.size :] == invert((2).to_bytes(16, "big"))  # no job touched it first
    assert parts["dz"] == {IN: T + 5, OUT: T + 5}


def test_a_batch_of_nothing_writes_nothing() -> None:
    gathered = Gathered()
    parts = gathered.call()
    assert not any(parts.values())
    assert (gathered.batch.operations, gathered.batch.shards_touched) == (0, 0)


def test_versions_renames_and_aliases_are_those_of_the_last_writer() -> None:
    def versioned(version: str) -> Template:
        return template(inputs=(DatasetUse(ORDERS.namespace, ORDERS.name, version, (DAILY,)),))

    parts = Gathered().add("OTHER", versioned("v2"), T + 1, number=1).add("OTHER", versioned("v1"), T, number=9).call()
    assert parts["sv"] == {IN: ONE.pack(T + 1) + (1).to_bytes(16, "big") + b"v2"}
    assert parts["al"] == {min(IN, OUT) + max(IN, OUT): ALIAS.pack(T + 1, 0)}


def owned_by(owner: str) -> Template:
    return template(facets=b'{"job": {"ownership": {"owners": [{"name": "%s"}]}}}' % owner.encode())


def test_a_fact_is_that_of_its_last_writer_and_the_later_id_decides_between_equal_times() -> None:
    a, b = owned_by("team:a"), owned_by("team:b")
    gathered = Gathered().add("OTHER", a, T + 1, number=5).add("OTHER", b, T, number=9).add("OTHER", a, T - 1, number=7)
    assert gathered.call()["about"] == {FLOW + b"o": ONE.pack(T + 1) + (5).to_bytes(16, "big") + b"team:a"}
    gathered = Gathered().add("OTHER", b, T, number=9).add("OTHER", a, T, number=8).add("OTHER", a, T, number=7)
    assert gathered.call()["about"] == {FLOW + b"o": ONE.pack(T) + (9).to_bytes(16, "big") + b"team:b"}


def test_events_without_facets_write_no_facts() -> None:
    assert Gathered().add("OTHER", template()).call()["about"] == {}


# --- lifecycle -----------------------------------------------------------------------------------------------------------


def test_a_drop_retracts_and_names_its_neighbourhood_in_every_shard() -> None:
    parts = Gathered().add("OTHER", template(inputs=(), outputs=output(Lifecycle.DROP))).call()
    assert DS.unpack_from(parts["ds"][OUT]) == (NO_MIN, T, 0, NO_MIN, NO_MIN)
    assert (parts["dz"], parts["ez"], parts["gone"]) == ({}, {}, {OUT: T})
    assert all(b"n" + OUT in parts["outbox"][shard] for shard in range(SHARDS))
    assert {b"d" + OUT, b"bd" + OUT} <= parts["outbox"][shard_of(OUT, SHARDS)]


def test_a_rename_retracts_the_old_name_and_says_where_it_went() -> None:
    parts = Gathered().add("OTHER", template(inputs=(), outputs=output(Lifecycle.RENAME, ORDERS)), number=3).call()
    assert DS.unpack_from(parts["ds"][IN])[1] == T
    assert parts["mv"] == {IN: ONE.pack(T) + (3).to_bytes(16, "big") + OUT}
    assert (parts["dz"], parts["gone"]) == ({OUT: T}, {IN: T})


def test_a_truncation_is_noted_and_nothing_is_retracted() -> None:
    parts = Gathered().add("OTHER", template(outputs=output(Lifecycle.TRUNCATE))).call()
    assert DS.unpack_from(parts["ds"][OUT])[1:3] == (0, T)
    assert parts["gone"] == {}


# --- freshness ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "row", "proven"),
    [
        ("RUNNING", measure(1, rows=1), True),
        ("OTHER", measure(1, rows=1), True),
        ("RUNNING", measure(1, first=0, last=0), True),
        ("RUNNING", measure(1, rows=0), False),
        ("RUNNING", measure(1, first=5, last=4), False),
        ("RUNNING", measure(1, first=-1, last=4), False),
        ("START", measure(1, rows=1), False),
        ("FAIL", measure(1, rows=1), False),
        ("RUNNING", measure(0, rows=1), False),
    ],
)
def test_a_measure_of_an_output_proves_a_write(kind: str, row: MeasureRow, proven: bool) -> None:
    parts = Gathered().add(kind, template(), run_id=RUN, measures=(row,)).call()
    assert (fresh(parts)[0] == T) is proven
    assert parts["wp"] == ([OUT, 2] if proven else [])
    assert parts["cad"] == ([OUT, T // SLOT_US] if proven else [])


def test_completion_without_a_run_proves_the_outputs_and_says_who() -> None:
    parts = Gathered().add("COMPLETE", template(), number=4).call()
    assert parts["fr"] == {OUT: FR.pack(T, 0, 0, 0) + (4).to_bytes(16, "big") + NIL + FLOW + SDK}


def test_who_is_zeros_where_nobody_is_named() -> None:
    parts = Gathered().add("COMPLETE", template(job=Name("", ""), emitter="")).call()
    assert parts["fr"][OUT][FR.size + 32 :] == bytes(24)


def test_of_two_proofs_at_one_time_the_larger_event_id_says_who() -> None:
    for first, second in ((1, 2), (2, 1)):
        parts = Gathered().add("COMPLETE", template(), number=first).add("COMPLETE", template(), number=second).call()
        assert parts["fr"][OUT][FR.size :][:16] == (2).to_bytes(16, "big")


@pytest.mark.parametrize("kind", ["FAIL", "ABORT"])
def test_failure_without_a_run_is_noted_for_the_outputs(kind: str) -> None:
    parts = Gathered().add(kind, template()).call()
    assert fresh(parts) == (0, 0, T, 0)
    assert parts["wp"] == []


def test_data_reaches_no_further_than_the_clock_of_the_broker_allows() -> None:
    rows = (measure(1, through=T - 5), measure(1, through=T + 99 * DAY_US))
    parts = Gathered().add("RUNNING", template(), measures=rows).call()
    assert fresh(parts)[1] == T + 1 + Rules().max_future_us


@pytest.mark.parametrize(("kind", "through"), [("COMPLETE", T - 9), ("RUNNING", 0), ("FAIL", 0)])
def test_a_nominal_end_says_how_far_data_reaches_when_the_run_completed(kind: str, through: int) -> None:
    assert fresh(Gathered().add(kind, template(), run_id=RUN, nominal_end=T - 9).call())[1] == through


@pytest.mark.parametrize("kind", ["FAIL", "ABORT"])
def test_what_failed_says_nothing_of_how_far_data_reaches(kind: str) -> None:
    parts = Gathered().add(kind, template(), run_id=RUN, measures=(measure(1, through=T - 5),)).call()
    assert fresh(parts)[1] == 0


@pytest.mark.parametrize(
    ("backfill", "nominal_end", "proven"),
    [(False, 0, True), (True, 0, False), (False, T - DAY_US, True), (False, T - DAY_US - 1, False)],
)
def test_old_data_written_again_proves_nothing(backfill: bool, nominal_end: int, proven: bool) -> None:
    for run_id in (NIL, RUN):
        parts = Gathered().add("COMPLETE", template(backfill=backfill), run_id=run_id, nominal_end=nominal_end).call()
        assert (fresh(parts)[0] == T) is proven


def test_a_measure_of_a_dropped_output_proves_nothing() -> None:
    dropped = template(outputs=output(Lifecycle.DROP))
    assert Gathered().add("RUNNING", dropped, measures=(measure(1, rows=5, through=T),)).call()["fr"] == {}


# --- runs ----------------------------------------------------------------------------------------------------------------


def test_the_events_of_a_run_add_up_to_one_record() -> None:
    gathered = Gathered()
    gathered.add("START", template(), T, number=1, run_id=RUN)
    gathered.add("RUNNING", template(inputs=(), outputs=()), T + 1, number=2, run_id=RUN)
    gathered.add("COMPLETE", template(inputs=(), outputs=()), T + 2, number=3, run_id=RUN)
    parts = gathered.call()
    ((key, (token, run, closed)),) = parts["runs"].items()
    ended = (3).to_bytes(16, "big")
    assert (key, token, closed) == (FLOW + RUN, b"", True)
    assert (run.first, run.started, run.running, run.seen) == (T, T, T + 1, T + 2)
    assert (run.complete, run.credit) == ((T + 2, ended), (T + 2, ended, SDK))
    assert (run.inputs, run.outputs) == (IN, OUT)
    assert parts["closed"] == [ONE.pack(T + 2) + FLOW + RUN]
    # The outputs that only START knew are credited by COMPLETE.
    assert parts["fr"] == {OUT: FR.pack(T + 2, 0, 0, 0) + ended + RUN + FLOW + SDK}


def test_outputs_that_come_after_the_completion_are_credited_too() -> None:
    knowledge = Knowledge()
    nothing = template(inputs=(), outputs=())
    assert Gathered(knowledge).add("COMPLETE", nothing, T, run_id=RUN).call()["fr"] == {}
    parts = Gathered(knowledge).add("START", template(), T - 5, number=2, run_id=RUN).call()
    assert fresh(parts)[0] == T


def test_an_open_run_is_listed_by_the_minute_in_which_it_was_heard() -> None:
    parts = Gathered().add("START", template(), T, run_id=RUN).call()
    assert parts["ro_add"] == [shard_of(FLOW, SHARDS), [str(minute_end(T)).encode(), FLOW + RUN]]
    assert parts["closed"] == parts["ro_rem"] == []


def test_a_run_that_was_known_to_be_open_leaves_the_list_when_it_ends() -> None:
    knowledge = Knowledge()
    Gathered(knowledge).add("START", template(), T, run_id=RUN).call()
    parts = Gathered(knowledge).add("FAIL", template(error="why"), T + 1, run_id=RUN).call()
    assert parts["ro_rem"] == [shard_of(FLOW, SHARDS), [FLOW + RUN]]
    ((token, run, closed),) = parts["runs"].values()
    assert (token, run.failed, closed) == (TOKEN, (T + 1, 2, (1).to_bytes(16, "big"), b"why"), True)
    assert fresh(parts)[2] == T + 1


def test_without_a_job_or_a_run_id_there_is_no_run() -> None:
    gathered = Gathered().add("START", template(job=Name("", "")), run_id=RUN).add("START", template(), run_id=NIL)
    assert gathered.call()["runs"] == {}


def test_an_event_older_than_the_horizon_opens_no_run_and_is_otherwise_merged() -> None:
    parts = Gathered().add("COMPLETE", template(), run_id=RUN, undeduped=True).call()
    assert parts["runs"] == parts["fr"] == {}
    assert parts["dz"] == {IN: T, OUT: T}


def test_a_run_is_idle_when_every_input_is_read_to_its_end_and_nothing_was_written() -> None:
    caught_up, behind, wrote = measure(0, lag=0), measure(0, partition=1, lag=4), measure(1, rows=3)
    for rows, idle in (((caught_up,), T), ((caught_up, behind), 0), ((caught_up, wrote), 0), ((wrote,), 0), ((), 0)):
        assert Gathered().add("RUNNING", template(), run_id=RUN, measures=rows).run().idle == idle
    parts = Gathered().add("RUNNING", template(), run_id=RUN, measures=(caught_up,)).call()
    assert fresh(parts) == (0, 0, 0, T)


def test_offsets_of_a_run_widen_by_partition_and_odd_ones_are_left_out() -> None:
    rows = (
        measure(0, partition=3, first=5, last=9),
        measure(0, partition=3, first=2, last=4),
        measure(1, partition=0, first=1, last=1),
        measure(0, partition=-1, first=1, last=1),
        measure(0, partition=65_536, first=1, last=1),
        measure(0, partition=4, first=4, last=3),
        measure(0, partition=5, first=0, last=2**53),
    )
    run = Gathered().add("RUNNING", template(), run_id=RUN, measures=rows).run()
    assert run.offsets == [b"i" + IN + b"\0\3", 2, 9, b"o" + OUT + b"\0\0", 1, 1]


def test_offsets_of_one_batch_keep_their_bound() -> None:
    rows = tuple(measure(0, partition=n, first=n, last=n) for n in range(3 * OFFSETS_MAX))
    run = Gathered().add("RUNNING", template(), run_id=RUN, measures=rows).run()
    assert len(run.offsets) == 3 * OFFSETS_MAX


def test_parents_are_kept_by_run_and_job() -> None:
    dag = Name("jobs", "dag")
    parts = Gathered().add("START", template(parent_job=dag), run_id=RUN, parent=RUN[::-1]).call()
    ((_, run, _),) = parts["runs"].values()
    assert run.parent[2:] == (RUN[::-1], job_key(dag))
    assert bytes(12) + job_key(dag) in parts["ex"]


def test_flags_of_all_templates_of_a_run_are_joined() -> None:
    gathered = Gathered().add("START", template(processing=Processing.STREAMING), run_id=RUN)
    assert gathered.add("RUNNING", template(restartable=True), run_id=RUN, number=2).run().flags == 3
