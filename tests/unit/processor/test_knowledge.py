"""What a batch leaves out, because this worker knows it to be in Redis."""

from __future__ import annotations

from tests.support.gathering import (
    FLOW,
    IN,
    MINUTE_US,
    OUT,
    READS,
    RUN,
    TOKEN,
    WRITES,
    Gathered,
    T,
    template,
)

from headwater_processor.core.knowledge import Knowledge, minute_end
from headwater_processor.core.runs import Run, encode_run
from headwater_schemas.events import Name


def test_what_is_known_is_left_out_but_for_how_late_it_was_seen() -> None:
    knowledge, tail = Knowledge(), template()
    Gathered(knowledge).add("OTHER", tail, T).call()
    parts = Gathered(knowledge).add("OTHER", tail, T + 1, number=2).call()
    assert {name for name, part in parts.items() if part} == {"dz", "mz"}


def test_another_tail_of_the_same_names_says_nothing_new_either() -> None:
    knowledge = Knowledge()
    Gathered(knowledge).add("OTHER", template(), T).call()
    parts = Gathered(knowledge).add("OTHER", template(producer="another"), T + 1, number=2).call()
    assert {name for name, part in parts.items() if part} == {"dz", "mz"}


def test_a_new_minute_names_datasets_edges_and_jobs_again() -> None:
    knowledge, tail = Knowledge(), template()
    Gathered(knowledge).add("OTHER", tail, T).call()
    parts = Gathered(knowledge).add("OTHER", tail, T + MINUTE_US, number=2).call()
    named = set().union(*parts["outbox"].values())
    assert named == {b"d" + IN, b"d" + OUT, b"e" + READS, b"e" + WRITES, b"j" + FLOW}
    assert parts["ds"] == parts["edge"] == parts["job"] == {}
    assert parts["jz"] == {FLOW: minute_end(T + MINUTE_US)}
    assert parts["ez"] == dict.fromkeys((READS, WRITES), minute_end(T + MINUTE_US))


def test_something_earlier_than_known_is_written() -> None:
    knowledge, tail = Knowledge(), template()
    Gathered(knowledge).add("OTHER", tail, T).call()
    parts = Gathered(knowledge).add("OTHER", tail, T - 1, number=2).call()
    assert parts["ds"].keys() == {IN, OUT}
    assert parts["edge"].keys() == {READS, WRITES}
    assert parts["job"].keys() == {FLOW}


def test_a_smaller_event_id_at_the_same_first_time_is_written() -> None:
    knowledge, tail = Knowledge(), template()
    Gathered(knowledge).add("OTHER", tail, T, number=5).call()
    parts = Gathered(knowledge).add("OTHER", tail, T, number=4).call()
    assert parts["ds"].keys() == {IN, OUT}


def test_forgotten_knowledge_is_sent_again_for_tails_that_were_warm() -> None:
    knowledge, tail = Knowledge(), template()
    first = Gathered(knowledge).add("OTHER", tail, T).call()
    knowledge.clear()
    again = Gathered(knowledge).add("OTHER", tail, T).call()
    assert again == first


def test_heartbeats_within_a_minute_write_no_run() -> None:
    knowledge, tail = Knowledge(), template()
    Gathered(knowledge).add("RUNNING", tail, T, run_id=RUN).call()
    parts = Gathered(knowledge).add("RUNNING", tail, T + MINUTE_US - 1, number=2, run_id=RUN).call()
    assert parts["runs"] == {}
    assert parts["ro_add"] == []  # somebody else may have written its end meanwhile, and taken it from the list
    later = Gathered(knowledge).add("RUNNING", tail, T + MINUTE_US, number=3, run_id=RUN).call()
    ((token, run, _),) = later["runs"].values()
    assert (token, run.seen, run.running, run.first) == (TOKEN, T + MINUTE_US, T + MINUTE_US, T)


def test_a_run_that_others_wrote_too_is_learned_for_the_next_call() -> None:
    knowledge, tail = Knowledge(), template()
    Gathered(knowledge).add("START", tail, T, run_id=RUN).call()
    joined = Run(first=T - 9, seen=T, started=T, inputs=IN, outputs=OUT)
    knowledge.learn_run(FLOW + RUN, TOKEN[::-1] + encode_run(joined), TOKEN)
    parts = Gathered(knowledge).add("COMPLETE", tail, T + 1, number=2, run_id=RUN).call()
    ((token, run, _),) = parts["runs"].values()
    assert (token, run.first, run.started) == (TOKEN[::-1], T - 9, T)


def test_what_a_call_learned_is_ignored_when_a_later_plan_spoke_of_the_run() -> None:
    knowledge = Knowledge()
    Gathered(knowledge).add("START", template(), T, run_id=RUN).call()
    before = knowledge.runs[FLOW + RUN]
    knowledge.learn_run(FLOW + RUN, b"another." + encode_run(Run(first=1)), b"earlier.")
    assert knowledge.runs[FLOW + RUN] is before


def test_knowledge_over_its_bound_is_forgotten_and_the_state_is_complete_all_the_same() -> None:
    knowledge = Knowledge(entities_max=4)
    for number in range(1, 20):
        tail = template(job=Name("jobs", f"flow.{number}"))
        parts = Gathered(knowledge).add("OTHER", tail, T + number, number=number).call()
        assert len(parts["edge"]) == 2
        assert len(knowledge.datasets) + len(knowledge.edges) + len(knowledge.jobs) <= 4


def test_of_runs_that_ended_the_last_are_kept_and_what_comes_for_an_older_one_is_joined_by_the_call() -> None:
    knowledge, tail = Knowledge(closed_max=2), template()
    for number in range(1, 5):
        Gathered(knowledge).add("COMPLETE", tail, T + number, number=number, run_id=bytes((number,)) * 16).call()
    open_run = b"\x09" * 16
    Gathered(knowledge).add("RUNNING", tail, T + 5, number=5, run_id=open_run).call()
    assert {key[12:] for key in knowledge.runs} == {b"\x03" * 16, b"\x04" * 16, open_run}
    parts = Gathered(knowledge).add("RUNNING", tail, T + 9, number=9, run_id=b"\x01" * 16).call()
    ((token, run, closed),) = parts["runs"].values()
    assert (token, run.running, closed) == (b"", T + 9, 0)  # under no name: what is stored is not overwritten


def test_of_many_runs_of_a_job_those_are_named_that_its_history_can_show() -> None:
    knowledge, tail = Knowledge(), template()
    batch = Gathered(knowledge)
    for number in range(1, 31):  # of thirty runs the second succeeds last
        run_id = bytes((number,)) * 16
        batch.add("START", tail, T + number, number=number, run_id=run_id)
        ended = "COMPLETE" if number in (1, 2) else "FAIL"
        batch.add(ended, tail, T + 100 + number, number=100 + number, run_id=run_id)
    named = set().union(*batch.call()["outbox"].values())
    shown = {name[13] for name in named if name[:1] == b"r"}
    assert shown == {2, *range(21, 31)}
