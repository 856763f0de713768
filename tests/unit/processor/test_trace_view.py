"""What `headwater trace` and `headwater status` print, from values alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from headwater_processor.local import status_view, trace_view
from headwater_processor.local.status_view import StatusReport
from headwater_processor.local.texts import ago, count, iso, length
from headwater_processor.state.about import About
from headwater_processor.state.runs import OffsetImage, RunImage
from headwater_processor.state.values import (
    AlertState,
    DatasetState,
    EdgeState,
    JobState,
    PartitionState,
    Summary,
    Trace,
)
from headwater_schemas.events import Name

NOW = 1_700_000_000_000_000
S = 1_000_000
TOPIC, MART, JOB = Name("kafka://b:9092", "orders"), Name("s3://lake", "mart"), Name("k8s", "loader")
RUN = RunImage(
    run="0190-run",
    state="OPEN",
    started_us=NOW - 60 * S,
    seen_us=NOW - S,
    runtime={"pod": "loader-0", "k8s_namespace": "shop", "image": "loader:1"},
    offsets=tuple(OffsetImage(direction="in", dataset=str(TOPIC), partition=p, first=p, last=p + 9) for p in range(12)),
)


def text_of(what: RenderableType) -> str:
    console = Console(width=160)
    with console.capture() as captured:
        console.print(what)
    return captured.get()


def trace(*extra: EdgeState, same_as: tuple[tuple[Name, ...], ...] = (), truncated: bool = False) -> Trace:
    edges = (
        EdgeState("WRITES", JOB, MART, True),
        EdgeState("READS", TOPIC, JOB, True),
        *extra,
    )
    return Trace(
        root=MART,
        direction="upstream",
        depth=3,
        as_of_us=NOW,
        datasets=(
            DatasetState(MART, True, state="STALE", last_write_us=NOW - 40 * S),
            DatasetState(TOPIC, True, unlinked="read-never-written", candidates=("kafka://b:9092/order",)),
        ),
        jobs=(JobState(JOB, streaming=True, runs=(RUN,)),),
        edges=edges,
        same_as=same_as,
        truncated=truncated,
    )


def test_the_tree_goes_down_to_the_pod_and_the_offsets() -> None:
    said = text_of(trace_view.as_tree(trace(), NOW))
    assert "s3://lake/mart  STALE  written 40 s ago" in said
    assert "written by job k8s/loader" in said
    assert "last run OPEN 0190-run  started 1 min ago, last heard 1.0 s ago" in said
    assert "pod shop/loader-0, image loader:1" in said
    assert "read orders offsets [0] 0–9 [1] 1–10" in said
    assert "… and 4 more partitions" in said
    assert "read, but nobody writes it  meant: kafka://b:9092/order" in said


def test_a_cycle_is_drawn_once() -> None:
    said = text_of(trace_view.as_tree(trace(EdgeState("WRITES", JOB, TOPIC, True)), NOW))
    assert said.count("last run OPEN") == 1
    assert "(shown above)" in said


def test_a_self_loop_is_named() -> None:
    assert "reads s3://lake/mart itself" in text_of(trace_view.as_tree(trace(EdgeState("READS", MART, JOB, True)), NOW))


def test_a_stated_edge_comes_before_the_jobs() -> None:
    said = text_of(trace_view.as_tree(trace(EdgeState("DERIVES", TOPIC, MART, True)), NOW))
    assert said.index("stated by a producer") < said.index("written by job")


def test_other_names_and_cuts_are_said() -> None:
    said = text_of(trace_view.as_tree(trace(same_as=((MART, Name("hive", "mart")),), truncated=True), NOW))
    assert "same as hive/mart" in said
    assert "not all are shown" in said


def test_a_dataset_without_a_writer_says_so() -> None:
    alone = Trace(MART, "upstream", 3, NOW, (DatasetState(MART, True),), (), ())
    assert "nothing upstream: no job that we know of writes it" in text_of(trace_view.as_tree(alone, NOW))


def test_the_object_of_a_trace_names_its_edges_and_offsets() -> None:
    found = trace_view.as_object(trace(), "prod")
    assert (found["domain"], found["root"], found["as_of"]) == ("prod", "s3://lake/mart", "2023-11-14T22:13:20.000000Z")
    assert found["edges"][0]["kind"] == "WRITES"
    assert found["jobs"][0]["runs"][0]["offsets"][3] == {
        "direction": "in",
        "dataset": "kafka://b:9092/orders",
        "partition": 3,
        "first": 3,
        "last": 12,
    }


def report(*datasets: DatasetState, partitions: tuple[PartitionState, ...] = ()) -> StatusReport:
    found = status_view.worst_first(datasets)
    return StatusReport(
        summary=Summary("prod", 0, len(partitions), 16, NOW - 2 * S, len(found), 1, 2, 1234, 1),
        partitions=partitions,
        alerts=(
            AlertState("w", "Watchdog", "FIRING", "domain", Name("", "prod")),
            AlertState("s", "EmitterSilent", "FIRING", "emitter", Name("", "sdk:x")),
        ),
        datasets=found,
        jobs=(JobState(JOB, unlinked="job-without-inputs"),),
        counts=Counter(dataset.state for dataset in found),
    )


def test_the_worst_comes_first_and_the_head_line_says_how_far_we_see() -> None:
    fresh = DatasetState(TOPIC, True, state="FRESH", last_write_us=NOW - S, deadline_us=NOW + 20 * S)
    stale = DatasetState(MART, True, state="STALE", reason="no write for 40 s", owner="team-x")
    said = text_of(status_view.as_lines(report(fresh, stale), NOW, limit=50))
    assert "domain prod · everything seen up to 2.0 s ago · 2 datasets, 1 job, 1,234 events" in said
    assert "1 alert firing" in said
    assert said.index("s3://lake/mart") < said.index("kafka://b:9092/orders")
    assert "in 20 s" in said
    assert "EmitterSilent fires for emitter sdk:x" in said
    assert "job k8s/loader  reads nothing" in said


def test_what_is_cut_off_and_what_is_stopped_is_said() -> None:
    stopped = PartitionState(3, as_of_us=0, stopped="7 % of 1,000 records were bad")
    many = [DatasetState(Name("a", str(i)), True, state="FRESH") for i in range(5)]
    said = text_of(status_view.as_lines(report(*many, partitions=(stopped,)), NOW, limit=2))
    assert "… and 3 more datasets" in said
    assert "partition 3 is STOPPED: 7 % of 1,000 records were bad" in said
    assert "then: headwater worker resume PARTITION" in said
    assert "Not read to its end yet: partition 3" in said


def test_the_object_of_a_status_has_the_documented_fields() -> None:
    found = status_view.as_object(report(DatasetState(MART, True, state="STALE")))
    assert set(found) == {"domain", "as_of", "counts", "partitions", "alerts", "datasets", "jobs"}
    assert found["counts"]["by_state"]["STALE"] == 1
    assert found["counts"]["alerts_firing"] == 1
    assert found["datasets"][0]["last_write"] is None


@pytest.mark.parametrize(
    ("time_us", "said"),
    [(4_200_000, "4.2 s"), (40 * S, "40 s"), (125 * S, "2 min 5 s"), (7200 * S, "2 h"), (90_000 * S, "1 d 1 h")],
)
def test_lengths_have_their_two_largest_units(time_us: int, said: str) -> None:
    assert length(time_us) == said


def test_times_are_said_as_people_do() -> None:
    assert (ago(0, NOW), ago(NOW - 5 * S, NOW), ago(NOW + 5 * S, NOW)) == ("never", "5.0 s ago", "in 5.0 s")
    assert (count(1, "dataset"), count(12_000, "dataset")) == ("1 dataset", "12,000 datasets")
    assert iso(0) is None


# --- what producers say -----------------------------------------------------------------------------------------------

SAID = About(
    owners=("team:data",),
    description="Orders\x1b[2J of the shop",
    tags=("pii", "tier=gold"),
    version="7",
    code="git/x @ 1",
)


def test_what_is_said_stands_under_the_node_and_cannot_command_the_terminal() -> None:
    base = trace()
    told = replace(
        base,
        datasets=(replace(base.datasets[0], about=SAID, owner="shop"), *base.datasets[1:]),
        jobs=(replace(base.jobs[0], about=About(engine="Spark 3.5", sql="select 1"), owner="team:data"),),
    )
    said = text_of(trace_view.as_tree(told, NOW))
    for line in ("owner shop", "Orders\\x1b[2J of the shop", "tags pii, tier=gold", "engine Spark 3.5", "sql select 1"):
        assert line in said
    assert said.count("owner team:data") == 1
    assert trace_view.as_object(told, "d")["datasets"][0]["about"]["owners"] == ["team:data"]


def test_a_root_of_which_much_is_said_and_that_nobody_writes_still_says_so() -> None:
    alone = Trace(MART, "upstream", 1, NOW, (DatasetState(MART, True, about=SAID),), (), ())
    assert "no job that we know of writes it" in text_of(trace_view.as_tree(alone, NOW))


def test_a_job_alone_is_told_with_its_facts() -> None:
    job = JobState(JOB, owner="team:data", about=SAID)
    assert "code git/x @ 1" in text_of(trace_view.job_lines(job, NOW))
    told = status_view.job_object(job)
    assert (told["owner"], told["about"]["version"]) == ("team:data", "7")
