"""The oracle itself, on cases whose answer a person can see."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from tests.support.oracle import hostile
from tests.support.oracle.contract import BY_FINGERPRINT, BY_ID, Draft, Measure, encode_datum, encode_tail, frame
from tests.support.oracle.elements import Dataset, Rules, Run, entity_key
from tests.support.oracle.model import Model

S = 1_000_000
MINUTE = 60 * S
HOUR = 60 * MINUTE
T = 500_000 * HOUR
"""A full hour in 2027: the start of bucket 500,000."""
JOB = {"namespace": "n", "name": "j"}
NO_JOB = {"namespace": "", "name": ""}
RUN = b"r" * 16

A, B = {"namespace": "bigquery", "name": "a"}, {"namespace": "bigquery", "name": "b"}


def key_of(name: str) -> bytes:
    return entity_key(b"dbigquery\0" + name.encode())


JOB_KEY = entity_key(b"jn\0j")


class Case:
    """A model that is told one event after the other."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.model = Model(BY_FINGERPRINT, BY_ID, rules)
        self._ids = itertools.count(1)
        self._offsets: dict[int, int] = {}

    def say(
        self,
        event_type: str,
        at_us: int = T,
        *,
        partition: int = 0,
        event_id: int | None = None,
        run: bytes = bytes(16),
        job: dict[str, str] = JOB,
        measures: list[Measure] | None = None,
        nominal_end_us: int = 0,
        append_us: int | None = None,
        **tail: Any,
    ) -> int:
        """One event; its number, which is its id. It was appended when it happened unless said otherwise."""
        number = event_id if event_id is not None else next(self._ids)
        draft = Draft(
            number.to_bytes(16, "big"),
            at_us,
            event_type,
            encode_tail(job=job, **tail),
            run_id=run,
            measures=measures or [],
            nominal_end_us=nominal_end_us,
        )
        self.feed(frame(encode_datum(draft)), partition, append_us if append_us is not None else at_us)
        return number

    def feed(self, value: bytes | None, partition: int = 0, append_us: int = T) -> None:
        offset = self._offsets.get(partition, 0)
        self._offsets[partition] = offset + 1
        self.model.feed(partition, offset, append_us // 1000, value)

    def dataset(self, name: str) -> Dataset:
        return self.model.state.datasets[key_of(name)]

    @property
    def run(self) -> Run:
        return self.model.state.runs[JOB_KEY + RUN]

    def counters(self, partition: int = 0) -> dict[str, int]:
        return {name: value for name, value in self.model.partitions[partition].counters().items() if value}


@pytest.fixture
def case() -> Case:
    return Case()


def test_outputs_of_the_start_are_written_when_the_run_completes(case: Case) -> None:
    case.say("START", T, run=RUN, inputs=[A], outputs=[B])
    assert case.dataset("b").last_write == (0, b"")
    case.say("COMPLETE", T + MINUTE, run=RUN)
    assert case.dataset("b").last_write[0] == T + MINUTE
    assert case.dataset("a").last_write[0] == 0
    assert not case.run.is_open


def test_a_start_that_arrives_after_its_end_is_credited_all_the_same(case: Case) -> None:
    case.say("COMPLETE", T + MINUTE, run=RUN, partition=1)
    case.say("START", T, run=RUN, outputs=[B], partition=0)
    assert case.dataset("b").last_write[0] == T + MINUTE
    assert (case.run.first, case.run.started, case.run.seen) == (T, T, T + MINUTE)


def test_a_duplicate_is_counted_and_changes_nothing(case: Case) -> None:
    case.say("COMPLETE", T, event_id=9, outputs=[B])
    case.say("COMPLETE", T, event_id=9, outputs=[A])
    assert case.counters() == {"next": 2, "applied": 1, "dup": 1}
    assert key_of("a") not in case.model.state.datasets


def test_the_same_id_on_another_partition_is_no_duplicate(case: Case) -> None:
    for partition in (0, 1):
        case.say("COMPLETE", T, event_id=9, outputs=[B], partition=partition)
        assert case.counters(partition) == {"next": 1, "applied": 1}


def test_an_event_six_minutes_behind_is_late_and_merged(case: Case) -> None:
    case.say("COMPLETE", T, outputs=[A])
    case.say("COMPLETE", T - 6 * MINUTE, outputs=[B])
    case.say("COMPLETE", T - 5 * MINUTE, outputs=[B])
    assert case.counters() == {"next": 3, "applied": 3, "late": 1}
    assert case.dataset("b").last_write[0] == T - 5 * MINUTE
    assert list(case.model.late) == [(0, 1)]


def test_a_far_future_event_is_credited_at_the_broker_s_time_and_moves_no_watermark(case: Case) -> None:
    case.say("COMPLETE", T + 9 * 24 * HOUR, outputs=[A], append_us=T)
    assert case.dataset("a").last_write[0] == T + 5 * MINUTE
    assert case.model.partitions[0].mx_us == -1
    assert case.model.partitions[0].buckets_by_name() == {"F500000": 1}


def test_a_future_id_is_known_in_every_future_bucket(case: Case) -> None:
    case.say("COMPLETE", T + 100 * HOUR, event_id=5, outputs=[A], append_us=T)
    case.say("COMPLETE", T + 100 * HOUR, event_id=5, outputs=[A], append_us=T + 2 * HOUR)
    assert case.counters() == {"next": 2, "applied": 1, "future": 1, "dup": 1}


def test_an_event_older_than_the_horizon_is_merged_again_and_touches_no_run(case: Case) -> None:
    case.say("COMPLETE", T, outputs=[A])
    for _ in range(2):
        case.say("COMPLETE", T - 26 * HOUR, event_id=7, run=RUN, outputs=[B])
    assert case.counters() == {"next": 3, "applied": 3, "late": 2, "undeduped": 2}
    assert case.dataset("b").asserted == T - 26 * HOUR
    assert case.dataset("b").last_write[0] == 0
    assert case.model.state.runs == {}


def test_buckets_leave_when_the_watermark_has_passed_the_horizon(case: Case) -> None:
    case.say("COMPLETE", T, outputs=[A])
    case.say("COMPLETE", T + 30 * HOUR, outputs=[A])
    assert case.model.partitions[0].floor == 500_006
    assert case.model.partitions[0].buckets_by_name() == {"500030": 1}


def test_too_many_ids_cost_the_oldest_bucket() -> None:
    case = Case(Rules(seen_ids_max=2))
    for hours in range(3):
        case.say("COMPLETE", T + hours * HOUR, outputs=[A])
    assert case.model.partitions[0].floor == 500_001
    assert case.model.partitions[0].buckets_by_name() == {"500001": 1, "500002": 1}


def test_of_a_rename_the_old_name_goes_and_the_new_one_comes(case: Case) -> None:
    case.say("COMPLETE", T, outputs=[A])
    previous = {"previous_namespace": A["namespace"], "previous_name": A["name"]}
    case.say("OTHER", T + S, outputs=[{**B, "lifecycle": "RENAME", **previous}])
    assert (case.dataset("a").present, case.dataset("b").present) == (False, True)
    assert case.dataset("a").renamed_to[1][16:] == key_of("b")


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_a_dropped_dataset_lives_if_it_was_written_later_whatever_arrives_first(case: Case, order: tuple[int]) -> None:
    events = [("COMPLETE", T, A), ("OTHER", T + S, {**A, "lifecycle": "DROP"}), ("COMPLETE", T + 2 * S, A)]
    for number in order:
        event_type, at_us, output = events[number]
        case.say(event_type, at_us, event_id=number + 1, outputs=[output], partition=number)
    assert case.dataset("a").present
    assert case.dataset("a").retracted == T + S
    assert case.model.state.edges[b"w" + JOB_KEY + key_of("a")].asserted == T - T % (60 * S) + 60 * S - 1


def test_a_drop_asserts_neither_dataset_nor_edge(case: Case) -> None:
    case.say("OTHER", T, outputs=[{**A, "lifecycle": "DROP"}])
    assert case.dataset("a").asserted == 0
    assert case.model.state.edges == {}
    assert list(case.model.state.jobs) == [JOB_KEY]


@pytest.mark.parametrize(
    ("measure", "proves"),
    [
        ((1, -1, -1, -1, 3, -1, -1, 0), True),
        ((1, 0, 5, 5, -1, -1, -1, 0), True),
        ((1, 0, 5, 4, 0, -1, -1, 0), False),
        ((0, 0, 5, 9, 7, -1, -1, 0), False),
    ],
)
def test_rows_or_offsets_of_an_output_prove_a_write(case: Case, measure: Measure, proves: bool) -> None:
    case.say("RUNNING", T, run=RUN, inputs=[A], outputs=[B], measures=[measure])
    assert case.dataset("b").last_write[0] == (T if proves else 0)


def test_a_heartbeat_that_is_caught_up_makes_the_outputs_idle(case: Case) -> None:
    case.say("RUNNING", T, run=RUN, inputs=[A], outputs=[B], measures=[(0, 0, -1, -1, 0, -1, 0, 0)])
    assert (case.dataset("b").idle_through, case.dataset("b").last_write[0]) == (T, 0)
    case.say("RUNNING", T + S, run=RUN, inputs=[A], outputs=[B], measures=[(0, 0, -1, -1, 0, -1, 3, 0)])
    assert case.dataset("b").idle_through == T


def test_a_failed_run_fails_its_outputs_and_fail_beats_abort(case: Case) -> None:
    case.say("START", T, run=RUN, outputs=[B])
    case.say("FAIL", T + S, run=RUN, error="boom")
    case.say("ABORT", T + S, run=RUN)
    assert case.dataset("b").last_failure == T + S
    assert case.run.failed[:2] == (T + S, 2)
    assert case.run.failed[3] == b"boom"


def test_a_restartable_run_opens_again_until_it_completes(case: Case) -> None:
    case.say("FAIL", T, run=RUN, restartable=True)
    assert not case.run.is_open
    case.say("RUNNING", T + S, run=RUN, restartable=True)
    assert JOB_KEY + RUN in case.model.open_runs()
    case.say("COMPLETE", T + 2 * S, run=RUN, restartable=True)
    assert JOB_KEY + RUN not in case.model.open_runs()


def test_a_backfill_reaches_far_and_proves_nothing_fresh(case: Case) -> None:
    case.say("COMPLETE", T, run=RUN, outputs=[B], nominal_end_us=T - 48 * HOUR)
    assert (case.dataset("b").last_write[0], case.dataset("b").data_through) == (0, T - 48 * HOUR)
    assert (case.run.complete[0], case.run.credit[0]) == (T, 0)


def test_data_cannot_reach_further_than_the_broker_s_clock_allows(case: Case) -> None:
    measure = (0, -1, -1, -1, -1, -1, -1, T + 9 * HOUR)
    case.say("OTHER", T, job=NO_JOB, outputs=[B], measures=[measure])
    assert case.dataset("b").data_through == T + 5 * MINUTE
    assert case.dataset("b").last_write[0] == 0


def test_at_the_same_time_the_larger_event_id_wins(case: Case) -> None:
    first = case.say("COMPLETE", T, outputs=[{**A, "schema_version": "v2"}], partition=0)
    second = case.say("COMPLETE", T, outputs=[{**A, "schema_version": "v1"}], partition=1)
    assert case.dataset("a").schema_version[1] == second.to_bytes(16, "big") + b"v1"
    assert case.dataset("a").first_seen == (-T, bytes(255 - byte for byte in first.to_bytes(16, "big")) + JOB_KEY)


def test_spellings_of_one_dataset_are_one(case: Case) -> None:
    case.say("COMPLETE", T, inputs=[{"namespace": "s3a://lake", "name": "x"}])
    case.say("COMPLETE", T + S, inputs=[{"namespace": "s3://lake", "name": "x"}])
    assert len(case.model.state.datasets) == 1


def test_a_self_loop_is_two_edges_and_a_stated_one_is_one(case: Case) -> None:
    case.say("COMPLETE", T, inputs=[A], outputs=[A])
    stated = {
        "source_namespace": "bigquery",
        "source_name": "a",
        "target_namespace": "bigquery",
        "target_name": "a",
    }
    case.say("OTHER", T, job=NO_JOB, edges=[stated])
    a = key_of("a")
    assert set(case.model.state.edges) == {b"r" + a + JOB_KEY, b"w" + JOB_KEY + a, b"d" + a + a}


def test_an_alias_is_a_pair_and_asserts_nothing(case: Case) -> None:
    case.say("COMPLETE", T, inputs=[{**A, "aliases": [B]}])
    assert case.model.state.aliases == {min(key_of("a"), key_of("b")) + max(key_of("a"), key_of("b")): T}
    assert key_of("b") in case.model.state.names
    assert key_of("b") not in case.model.state.datasets


def test_offsets_of_a_run_widen_for_each_partition(case: Case) -> None:
    for first, last in ((5, 9), (2, 3), (20, 19)):
        case.say("RUNNING", T, run=RUN, inputs=[A], measures=[(0, 3, first, last, 0, -1, -1, 0)])
    assert case.run.offsets == {b"i" + key_of("a") + b"\0\3": [2, 9]}


def test_a_run_split_over_two_partitions_has_no_one_writer_for_certain(case: Case) -> None:
    case.say("START", T, run=RUN, outputs=[A], partition=0)
    case.say("COMPLETE", T, run=RUN, partition=1)
    assert case.run.partitions == {0, 1}
    assert case.dataset("a").writers == set()
    case.say("COMPLETE", T, outputs=[A], partition=1)
    assert case.dataset("a").writers == {1}


@pytest.mark.parametrize("way", [pytest.param(way, id=way.__name__) for way in hostile.ALWAYS_BAD])
def test_hostile_bytes_are_bad_and_change_nothing(case: Case, way: hostile.Way) -> None:
    draft = Draft(bytes(16), T, "RUNNING", encode_tail(job=JOB, inputs=[A]))
    case.feed(way(random.Random(1), frame(encode_datum(draft))))
    assert case.counters() == {"next": 1, "bad": 1}
    assert case.model.bad[0, 0].reason
    assert case.model.state.names == {}


def test_a_schema_nobody_registered_is_bad(case: Case) -> None:
    draft = Draft(bytes(16), T, "RUNNING", encode_tail(job=JOB))
    case.feed(hostile.unknown_fingerprint(random.Random(1), frame(encode_datum(draft))))
    assert case.counters() == {"next": 1, "bad": 1}
