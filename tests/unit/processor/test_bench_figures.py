"""The benchmark's arithmetic: what was seen becomes figures."""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from typing import Any

import pytest

from headwater.runtime.models import Settings
from headwater_processor.local.bench import process
from headwater_processor.local.bench.bench import Bench, InterruptedBenchError, Plan
from headwater_processor.local.bench.figures import memory_figures, rows, throughput_figures
from headwater_processor.local.bench.fill import Filled
from headwater_processor.local.bench.latency import Seen, prepare, summary, written_by
from headwater_processor.local.bench.throughput import Look, Watched
from headwater_processor.local.workload import Workload
from headwater_schemas.events import DatasetUse, EventType, LineageEvent, Measure, Name

ORDERS = Name("s3://shop", "orders")
USED = DatasetUse("s3://shop", "orders", measures=(Measure(rows=5),))


def look(at_s: float, next_: int, left: int, worker_s: float, redis_s: float = 0.0) -> Look:
    return Look(at_s, next_, left, worker_s, redis_s, {"hw-engine": worker_s / 2})


def watched() -> Watched:
    looks = (
        look(9.9, 0, 0, 1.0, 5.0),
        look(10.0, 0, 0, 1.2, 5.0),
        look(11.0, 500, 9, 2.0, 5.2),
        look(12.0, 1000, 9, 3.0, 5.5),
        look(13.0, 1000, 0, 3.2, 5.6),
        look(17.0, 1000, 0, 3.3, 5.6),
    )
    return Watched(looks, looks[4], 50_000_000)


REPORT: dict[str, Any] = {
    "began": [10.5, 1.2],
    "stages_s": {"consume": 0.1, "decode": 0.5, "publish": 0.4},
    "batches": 7,
    "operations": 90,
    "images": 33,
    "cpu_s": 3.3,
}


def filled() -> Filled:
    return Filled(1000, 250_000, Workload())


def test_cpu_counts_from_the_first_record_to_the_moment_nothing_is_left() -> None:
    figures = throughput_figures(filled(), watched(), [REPORT])
    assert figures["worker_cpu_seconds"] == pytest.approx(2.0)
    assert figures["redis_cpu_seconds"] == pytest.approx(0.6)
    assert figures["wall_seconds"] == pytest.approx(2.5)
    assert figures["events_per_cpu_second"] == 500
    assert figures["events_per_cpu_second_with_redis"] == round(1000 / 2.6)
    assert figures["event_bytes"] == 250.0


def test_the_seconds_until_all_is_applied_are_told_apart() -> None:
    figures = throughput_figures(filled(), watched(), [REPORT])
    assert figures["wall_seconds_to_applied"] == pytest.approx(1.5)
    assert figures["worker_cpu_seconds_to_applied"] == pytest.approx(1.8)


def test_a_thread_is_charged_only_for_what_it_used_after_the_first_record() -> None:
    assert throughput_figures(filled(), watched(), [REPORT])["thread_cpu_seconds"] == {"hw-engine": 1.0}


def test_bytes_per_seen_id_leave_out_events_that_were_too_old_for_a_bucket() -> None:
    figures = memory_figures({"applied": 110, "undeduped": 10}, 880, 1000, 5000)
    assert figures["seen_ids"] == 100
    assert figures["bytes_per_seen_id"] == 8.8
    assert figures["state_bytes"] == 4000


def test_the_table_has_a_column_for_each_workload_and_json_can_hold_all() -> None:
    memory = memory_figures({"applied": 1000, "undeduped": 0}, 8000, 0, 1 << 20)
    figures = {**throughput_figures(filled(), watched(), [REPORT]), "redis": memory, "latency": summary([1500, 2500])}
    document = {"workloads": {"narrow": figures, "wide": {**figures, "latency": {}}}}
    table = {row["figure"]: row for row in rows(json.loads(json.dumps(document)))}
    assert table["events per worker CPU second"]["wide"] == "500"
    assert table["latency p50, ms"] == {"figure": "latency p50, ms", "narrow": "1.5", "wide": None}
    assert table["stage decode, s"]["narrow"] == "0.50"


def test_a_table_without_latency_has_no_lines_for_it() -> None:
    memory = memory_figures({"applied": 1000, "undeduped": 0}, 8000, 0, 1 << 20)
    document = {"workloads": {"wide": {**throughput_figures(filled(), watched(), [REPORT]), "redis": memory}}}
    assert not [row for row in rows(document) if "latency" in row["figure"]]


@pytest.mark.parametrize(
    ("samples_us", "p50", "p99", "highest"),
    [([5000], 5.0, 5.0, 5.0), ([1000, 2000], 1.0, 2.0, 2.0), (list(range(1000, 101_000, 1000)), 50.0, 99.0, 100.0)],
)
def test_percentiles_are_samples_by_nearest_rank(samples_us: list[int], p50: float, p99: float, highest: float) -> None:
    found = summary(samples_us)
    assert (found["p50_ms"], found["p99_ms"], found["max_ms"]) == (p50, p99, highest)


def test_no_samples_give_no_percentiles() -> None:
    assert summary([]) == {"samples": 0, "p50_ms": None, "p99_ms": None, "p99_9_ms": None, "max_ms": None}


def test_an_image_answers_every_event_up_to_its_last_write() -> None:
    seen = Seen(100, {ORDERS: deque([100, 200, 300])})
    seen.image(ORDERS, 200, 900)
    assert seen.latencies_us == [800, 700]
    assert seen.not_seen() == 1


def test_an_image_that_says_nothing_new_is_no_sample() -> None:
    seen = Seen(0, {ORDERS: deque([100])})
    seen.image(ORDERS, 100, 150)
    seen.image(ORDERS, 100, 950)
    seen.image(Name("s3://shop", "other"), 100, 950)
    assert seen.latencies_us == [50]


def test_events_of_the_beginning_are_left_out() -> None:
    seen = Seen(200, {ORDERS: deque([100, 200])})
    seen.image(ORDERS, 200, 300)
    assert seen.latencies_us == [100]


def test_what_is_not_seen_can_be_asked_for_while_images_arrive() -> None:
    """A reader thread tells of them; iterating over what it takes from ended a benchmark."""
    count = 20_000
    seen = Seen(0, {ORDERS: deque(range(count))})

    def tell() -> None:
        for at in range(count):
            seen.image(ORDERS, at, at)

    telling = threading.Thread(target=tell)
    telling.start()
    left = count
    while left:
        assert seen.not_seen() <= left
        left = seen.not_seen()
    telling.join()


@pytest.mark.parametrize(
    ("event_type", "use", "proves"),
    [
        (EventType.RUNNING, USED, True),
        (EventType.RUNNING, DatasetUse("s3://shop", "orders"), False),
        (EventType.COMPLETE, DatasetUse("s3://shop", "orders"), True),
        (EventType.START, USED, False),
        (EventType.FAIL, USED, False),
    ],
)
def test_only_what_proves_a_write_is_waited_for(event_type: EventType, use: DatasetUse, *, proves: bool) -> None:
    event = LineageEvent(bytes(16), 1, event_type, outputs=(use,))
    assert written_by(event) == ([ORDERS] if proves else [])


def test_the_schedule_has_its_events_at_fixed_moments_and_waits_for_no_duplicate() -> None:
    schedule = prepare(Workload(seed=3, datasets=20), 1_000_000, 500, 1000)
    assert schedule.times_us == list(range(1_000_000, 1_500_000, 1000))
    waiting = [time_us for times in schedule.writes.values() for time_us in times]
    assert len(waiting) == len(set(waiting))
    assert 200 < len(waiting) < 500
    assert all(list(times) == sorted(times) for times in schedule.writes.values())


def test_this_process_is_found_in_proc() -> None:
    process.require_proc()
    before_s = process.cpu_s(os.getpid())
    assert before_s > 0
    # Threads that have ended count for the process, not for the list.
    assert 0 < sum(process.threads_s(os.getpid()).values()) <= process.cpu_s(os.getpid()) + 0.5
    assert process.peak_rss_bytes(os.getpid()) > 1_000_000
    assert process.child_of(2**22) is None


def test_a_benchmark_that_is_told_to_stop_stops_at_the_next_check() -> None:
    stop = threading.Event()
    plan = Plan(1, ("narrow",), 1, 10, 1, (1,), 0.0, ())
    bench = Bench(plan, Settings(), lambda _text: None, stop)
    bench.check()
    stop.set()
    with pytest.raises(InterruptedBenchError):
        bench.pause(60.0)
