"""The benchmark's modes, as far as they are arithmetic: plans, goals, reports, calls, memory, take-over, comparison."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from headwater.runtime.errors import RefusedError
from headwater_processor.local.bench.bench import MODES
from headwater_processor.local.bench.compare import with_ratio
from headwater_processor.local.bench.compare_job import decoded, edges, written
from headwater_processor.local.bench.figures import together, with_ceiling
from headwater_processor.local.bench.goals import against_goals
from headwater_processor.local.bench.machine import cpu_model, machine_facts, redis_version
from headwater_processor.local.bench.memory import graph_figures, id_figures
from headwater_processor.local.bench.percentiles import percentile
from headwater_processor.local.bench.redis_calls import call_figures
from headwater_processor.local.bench.report import as_markdown, write_report
from headwater_processor.local.bench.sdk import emit_figures
from headwater_processor.local.bench.sections import sections
from headwater_processor.local.bench.synthetic import DATASETS_A_JOB, graph_records, id_records
from headwater_processor.local.bench.takeover import Sight, largest_gap_s, takeover_figures
from headwater_processor.local.bench_cli import plan_of
from headwater_processor.local.workload import CDC_BURST, Workload
from headwater_schemas.codec import Rejected, decode
from headwater_schemas.events import LineageEvent
from headwater_schemas.registry import SchemaStore

T = 1_790_000_000_000_000
CHOSEN: dict[str, Any] = {
    "modes": (), "events": 1000, "workloads": (), "partitions": 4, "datasets": 10, "seed": 1, "rates": (),
    "latency_seconds": 5.0, "workers": 1, "during": (), "sweep": 10, "compare": (), "compare_events": 1000,
    "sizes": (10,), "ids": (10,), "takeover_ids": 10, "emits": 100,
}  # fmt: skip


def event(value: bytes) -> LineageEvent:
    found = decode(value, SchemaStore())
    assert not isinstance(found, Rejected)
    return found


# --- plans ------------------------------------------------------------------------------------------------------------


def test_without_a_mode_it_is_throughput_then_latency_of_both_workloads_as_ever() -> None:
    plan = plan_of(CHOSEN, ())
    assert (plan.modes, plan.workloads, plan.rates) == (("throughput", "latency"), ("narrow", "wide"), (1000,))
    assert plan.every_latency


def test_all_means_every_mode_every_workload_and_three_rates() -> None:
    plan = plan_of({**CHOSEN, "modes": ("all",)}, ())
    assert (plan.modes, plan.workloads, plan.rates) == (MODES, ("narrow", "wide", "cdc"), (1000, 5000, 10_000))
    assert plan.during == ("rebalance",)


def test_what_is_named_is_measured_once() -> None:
    asked = {"modes": ("sdk", "sdk"), "workloads": ("cdc", "both", "cdc"), "rates": (7,)}
    plan = plan_of({**CHOSEN, **asked}, ())
    assert (plan.modes, plan.workloads, plan.rates) == (("sdk",), ("cdc", "narrow", "wide"), (7,))


# --- workloads --------------------------------------------------------------------------------------------------------


def test_a_busy_sink_says_a_hundred_records_for_each_change() -> None:
    said = [event(record.value) for record in Workload(seed=2, datasets=1000, cdc=True).records(20_000)]
    new = list({each.event_id: each for each in said}.values())
    bursts = 1 + sum(one.job != other.job for one, other in itertools.pairwise(new))
    assert len(new) / bursts == pytest.approx(CDC_BURST, rel=0.05)
    assert all(use.measures[0].rows > 0 for each in new for use in each.outputs)


def test_a_graph_has_a_dataset_and_two_edges_for_each_event() -> None:
    said = [event(record.value) for record in graph_records(300, T)]
    assert len({each.outputs[0].name for each in said}) == 300
    assert len({(str(each.job), use.name) for each in said for use in (*each.inputs, *each.outputs)}) >= 2 * 300 - 300
    assert len({edge for record in graph_records(300, T) for edge in edges(decoded(record.value))}) == 600
    assert len({each.job for each in said}) == 300 / DATASETS_A_JOB


def test_records_for_ids_differ_in_nothing_but_their_id() -> None:
    said = [event(record.value) for record in id_records(1_000, T)]
    assert len({each.event_id for each in said}) == 1_000
    assert len({each.job for each in said}) == 64
    assert {each.event_time_us for each in said} == {T}
    assert [record.value for record in id_records(9, T)] == [record.value for record in id_records(9, T)]


# --- figures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "share", "found"),
    [([], 0.5, None), ([7], 0.999, 7), ([1, 2], 0.5, 1), (list(range(1, 1001)), 0.99, 990), ([1, 2, 3], 1.0, 3)],
)
def test_a_percentile_is_a_sample(samples: list[float], share: float, found: float | None) -> None:
    assert percentile(samples, share) == found


def report(began: list[float] | None, cpu_s: float, plan_s: float = 1.0) -> dict[str, Any]:
    stages = {"plan": plan_s} if began else {}
    return {"began": began, "cpu_s": cpu_s, "stages_s": stages, "batches": 2, "operations": 3, "images": 4}


def test_workers_are_added_up_from_the_first_record_of_any() -> None:
    found = together([report([11.0, 0.5], 9.0), report([10.0, 0.4], 9.0), report(None, 0.7)])
    assert found["began"] == [10.0, pytest.approx(1.6)]
    assert found["stages_s"] == {"plan": 2.0}
    assert (found["batches"], found["operations"], found["images"]) == (6, 9, 12)


def test_the_share_of_the_raw_loop_is_told() -> None:
    found = with_ceiling({"events_per_cpu_second": 100}, {"events_per_cpu_second": 1000})
    assert found["share_of_raw"] == 0.1
    assert with_ceiling({"events_per_cpu_second": None}, {"events_per_cpu_second": 1})["share_of_raw"] is None


def test_calls_that_apply_events_are_told_from_other_commands() -> None:
    entries = [{"duration": us, "command": b"EVALSHA abc 12 more"} for us in (1000, 3000, 2000)]
    found = call_figures([*entries, {"duration": 9000, "command": b"HGETALL key"}], "abc")
    assert (found["calls"], found["p50_ms"], found["p99_ms"]) == (3, 2.0, 3.0)
    assert (found["longest_command_ms"], found["longest_command"]) == (9.0, "HGETALL")


def test_the_longest_script_is_named_and_no_calls_are_no_figures() -> None:
    assert call_figures([{"duration": 5, "command": b"evalsha abc 1"}], "abc")["longest_command"] == "EVALSHA apply"
    assert call_figures([], "abc")["p99_ms"] is None


def test_edges_ids_and_datasets_are_charged_to_their_tables() -> None:
    seen = {"tables": {"edge": 300, "ez": 60, "ax": 40, "s": 99, "ds": 500}, "redis_bytes": 1000,
            "rss_before_bytes": 10, "rss_bytes": 20, "peak_rss_bytes": 30}  # fmt: skip
    found = graph_figures(10, seen)
    assert (found["redis_bytes_per_edge"], found["redis_bytes_per_dataset"]) == (20.0, 50.0)
    ids = id_figures(11, seen)
    assert (ids["redis_bytes_per_id"], ids["worker_bytes_per_id"]) == (9.0, 0.91)


def test_the_ratio_is_ours_to_theirs() -> None:
    found = with_ratio({"events": 100, "cpu_seconds": 2.0, "wall_seconds": 4.0}, 1000)
    assert (found["events_per_cpu_second"], found["events_per_second"], found["ours_to_theirs"]) == (50, 25, 20.0)


def test_the_compared_job_reads_events_as_the_contract_says() -> None:
    said = [decoded(record.value) for record in Workload(seed=5, datasets=50).records(300)]
    assert {each["event_type"] for each in said} >= {"RUNNING", "START", "COMPLETE"}
    assert any(written(each) for each in said)
    assert not [each for each in said if each["event_type"] == "START" and written(each)]
    assert all(list(edges(each)) for each in said)


def test_emit_times_become_percentiles() -> None:
    assert emit_figures([1.0, 2.0, 30.04]) == {"p50_us": 2.0, "p99_us": 30.0, "p99_9_us": 30.0, "max_us": 30.0}


# --- take-over --------------------------------------------------------------------------------------------------------


def sights() -> list[Sight]:
    """Partition 0 is lost at 10.0, taken at 13.0, applied at 13.5; partition 1 has a gap of 0.7 at 12."""
    kept = {9.0: 1, 9.5: 2, 10.5: 3, 11.0: 4, 11.3: 4, 11.7: 5, 13.0: 6, 13.5: 7}
    lost = {9.0: ("a", 5), 9.5: ("a", 6), 13.0: ("b", 6), 13.5: ("b", 7)}
    found, last = [], ("a", 6)
    for at_s, next_ in kept.items():
        last = lost.get(at_s, last)
        found.append(Sight(at_s, (last, ("k", next_))))
    return found


def test_a_takeover_counts_from_the_loss_to_the_first_new_event() -> None:
    found = takeover_figures(sights(), 10.0, 0)
    assert found["seconds_to_first_new_event"] == 3.5
    assert found["seconds_until_taken"] == 3.0
    assert found["seconds_from_taken_to_first_new_event"] == 0.5
    assert found["kept_largest_gap_seconds"] == pytest.approx(1.3)


def test_a_partition_that_nobody_took_over_is_no_figure() -> None:
    with pytest.raises(RefusedError, match="not taken over"):
        takeover_figures(sights()[:-2], 10.0, 0)


def test_a_gap_that_has_not_ended_counts() -> None:
    still = [Sight(at_s, (("k", 1),)) for at_s in (1.0, 2.0, 5.0)]
    assert largest_gap_s(still, 0, 1.0) == 4.0


# --- goals and reports ------------------------------------------------------------------------------------------------


DOCUMENT: dict[str, Any] = {
    "machine_facts": {"cpu": "Some | CPU", "cpus": 2, "compiled": True},
    "settings": {"events": 1000, "modes": ["throughput"]},
    "workloads": {
        "narrow": {
            "events": 1000, "events_per_cpu_second_with_redis": 60_000, "redis_calls": {"p50_ms": 1.0, "p99_ms": 4.0},
            "compare": {"does": "…", "faust": {"events_per_cpu_second": 3000, "ours_to_theirs": 20.0},
                        "quix": {"skipped": "quixstreams is not installed"}},
        },
    },
    "latency": [
        {"workload": "narrow", "rate_per_second": 1000, "p50_ms": 8.0, "p99_ms": 75.0, "p99_9_ms": 80.0,
         "worker_cores": 0.1, "redis_cores": 0.05, "not_seen": 0, "sender_behind_ms_max": 0.1},
    ],
}  # fmt: skip


def test_each_goal_says_what_was_measured_and_how_far_it_is() -> None:
    found = {line["figure"]: line for line in against_goals(DOCUMENT)}
    far = found["events per CPU second, worker and Redis, narrow"]
    assert (far["goal"], far["measured"], far["met"], far["how_far"]) == ("≥ 120,000", 60_000, False, "50% of the goal")
    assert found["times stock Faust"]["met"]
    assert found["latency at 1,000/s, p99"]["how_far"] == "1.5 times the goal"
    assert found["cores at 1,000/s, worker and Redis"]["measured"] == pytest.approx(0.15)


def test_what_was_not_measured_has_no_goal() -> None:
    assert against_goals({"workloads": {}}) == []
    assert not [line for line in against_goals(DOCUMENT) if "Quix" in line["figure"] or "10,000/s" in line["figure"]]


def test_a_latency_during_something_is_not_held_against_the_goal() -> None:
    disturbed = {**DOCUMENT["latency"][0], "during": "sweep", "p50_ms": 500.0}
    found = {line["figure"]: line for line in against_goals({"latency": [disturbed, *DOCUMENT["latency"]]})}
    assert found["latency at 1,000/s, p50"]["measured"] == 8.0


def test_the_report_is_markdown_and_json_side_by_side(tmp_path: Path) -> None:
    document = {**DOCUMENT, "goals": against_goals(DOCUMENT)}
    markdown, beside = write_report(document, tmp_path / "figures.md")
    assert json.loads(beside.read_text(encoding="utf-8")) == document
    text = markdown.read_text(encoding="utf-8")
    assert beside.name == "figures.json"
    assert "Some \\| CPU" in text
    assert all(f"## {title}" in text for title in ("Machine", "Throughput", "Latency, creation to delta", "Goals"))
    assert "They do not:" in text
    assert "quixstreams is not installed" in text


def test_a_report_shows_only_what_was_measured() -> None:
    bare: dict[str, Any] = {"machine_facts": {}, "settings": {}, "workloads": {}}
    assert list(sections(bare)) == []
    assert "## Machine" in as_markdown(bare)


def test_every_mode_has_a_table() -> None:
    ids = {"seen_ids": 1, "redis_bytes": 1, "redis_bytes_per_id": 9.0, "worker_bytes_per_id": 8.0,
           "worker_rss_bytes": 1, "worker_peak_rss_bytes": 1}  # fmt: skip
    gone = {"seconds_to_first_new_event": 1.0, "seconds_until_taken": 0.9,
            "seconds_from_taken_to_first_new_event": 0.1, "kept_largest_gap_seconds": 0.2}  # fmt: skip
    document = {
        "memory": {"seen_ids": [ids]},
        "takeover": {"live_ids": 5, "leave": gone, "kill": gone},
        "sdk": {"emit": {"memory": emit_figures([1.0])}, "import_ms": {"headwater": 7.5}},
    }
    assert [each.title for each in sections(document)] == ["Memory by seen ids", "Take-over of a partition", "SDK"]


# --- the machine ------------------------------------------------------------------------------------------------------


def test_the_processor_has_the_name_of_its_first_core() -> None:
    assert cpu_model("processor\t: 0\nmodel name\t: Fast 9000\nmodel name\t: Other\n") == "Fast 9000"
    assert cpu_model("processor : 0\n") == ""


def test_valkey_is_called_by_its_own_name() -> None:
    assert redis_version({"redis_version": "7.2.4", "valkey_version": "9.1.0"}) == "Valkey 9.1.0"
    assert redis_version({"redis_version": "8.0.1"}) == "Redis 8.0.1"


def test_the_facts_name_machine_and_libraries() -> None:
    assert {"cpu", "cpus", "kernel", "python", "compiled", "librdkafka", "redis-py"} <= set(machine_facts())
