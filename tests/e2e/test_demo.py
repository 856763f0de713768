"""The demo as a person meets it: it lives, it shows what went wrong, it stops and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from headwater_processor.local.demo_doors import SILENT_GROUP
from headwater_processor.local.demo_doors import TOPIC as REVIEWS
from headwater_processor.local.scenario import KAFKA, MEANT, MISSPELT, REVIEWS_MART, SALES_MART, STALE_MART

HEADWATER = [sys.executable, "-m", "headwater.cli"]
LIVING_S = 60.0
STALE_S = 60.0
"""45 s from the start of the world, and some for a machine that runs other tests as well."""
STOP_S = 10.0
BROKERLESS_S = 30.0
"""Some 13 s on a quiet machine: each that has something to say to the broker gives it a few seconds."""

T = TypeVar("T")


@dataclass(slots=True)
class Demo:
    """A running demo and where its output goes."""

    process: subprocess.Popen[bytes]
    log: Path
    environment: Mapping[str, str]

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another command of ours, which finds the demo by itself."""
        return subprocess.run(
            [*HEADWATER, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            env=dict(self.environment),
            check=False,
        )

    def status(self) -> dict[str, Any] | None:
        """The status as an object; None as long as there is none."""
        done = self.ask("--output", "json", "status")
        if done.returncode:
            return None
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def dataset(self, name: str) -> dict[str, Any]:
        """One dataset of the status, empty as long as it is not known."""
        found = self.status() or {"datasets": []}
        return next((dataset for dataset in found["datasets"] if dataset["name"] == name), {})


def begun(folder: Path) -> Demo:
    """A demo of its own: other commands find it only with its environment."""
    log = folder / "demo.log"
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("HEADWATER_")},
        "XDG_RUNTIME_DIR": str(folder),
        "XDG_STATE_HOME": str(folder),
        "TMPDIR": str(folder),
        "PYTHONUNBUFFERED": "1",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*HEADWATER, "demo"],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
    return Demo(process, log, environment)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    begins = begun(tmp_path_factory.mktemp("demo"))
    yield begins
    if begins.process.poll() is None:
        begins.process.send_signal(signal.SIGINT)
        begins.process.wait(STOP_S)


def within(seconds: float, ask: Callable[[], T | None], demo: Demo, what: str) -> T:
    """The first true answer; fails with the demo's output if there is none in time."""
    deadline_s = time.monotonic() + seconds
    while time.monotonic() < deadline_s:
        if demo.process.poll() is not None:
            break
        if answer := ask():
            return answer
        time.sleep(0.5)
    pytest.fail(f"not within {seconds:.0f} s: {what}\n--- the demo said\n{demo.log.read_text()}", pytrace=False)


def discovered(demo: Demo) -> dict[str, Any]:
    """The job of the consumer that tells nothing, once it has committed and discovery has seen it."""

    def found() -> dict[str, Any] | None:
        done = demo.ask("--output", "json", "trace", f"{KAFKA}/{REVIEWS}", "--downstream")
        jobs = json.loads(done.stdout)["jobs"] if done.returncode == 0 else ()
        return next((job for job in jobs if job["name"] == f"group/{SILENT_GROUP}"), None)

    return within(LIVING_S, found, demo, "the group of the search index")


def processes(column: str) -> dict[int, str]:
    """What `ps` says in that column, of each process."""
    listing = subprocess.run(["ps", "-eo", f"pid=,{column}="], capture_output=True, text=True, check=True).stdout
    return {int(pid): said for pid, said in (line.split(maxsplit=1) for line in listing.splitlines())}


def children_of(pid: int) -> set[int]:
    """All descendants that run now."""
    parents = {child: int(parent) for child, parent in processes("ppid").items()}
    found: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in found | {pid}} - found:
        found |= more
    return found


def running(pids: set[int]) -> set[int]:
    """Those that still run (zombies of another parent do not count)."""
    return {pid for pid, stat in processes("stat").items() if stat[0] != "Z"} & pids


def test_the_demo_lives_within_a_minute(demo: Demo) -> None:
    def living() -> bool:
        found = demo.status()
        return bool(found and found["counts"]["datasets"] >= 25 and found["as_of"])

    within(LIVING_S, living, demo, "25 datasets and an as-of")


def test_the_table_that_is_no_longer_written_becomes_stale(demo: Demo) -> None:
    def stale() -> dict[str, Any] | None:
        found = demo.dataset(STALE_MART.name)
        return found if found.get("state") == "STALE" else None

    found = within(STALE_S, stale, demo, f"{STALE_MART} is STALE")
    assert found["owner"] == "team-warehouse"
    assert found["reason"]
    alerts = (demo.status() or {})["alerts"]
    assert ("DatasetStale", STALE_MART.name) in {(a["kind"], a["name"]) for a in alerts if a["state"] == "FIRING"}
    assert demo.ask("status", "--state", "STALE", "--fail").returncode == 1


def test_the_misspelt_topic_is_shown_with_the_name_that_was_meant(demo: Demo) -> None:
    def loose() -> dict[str, Any] | None:
        found = demo.dataset(MISSPELT.name)
        return found if found.get("candidates") else None

    found = within(STALE_S, loose, demo, f"{MISSPELT} hangs loose, with a suggestion")
    assert found["unlinked"] == "read-never-written"
    assert found["candidates"][0] == str(MEANT)
    assert str(MEANT) in demo.ask("status", "--unlinked").stdout


def test_the_trace_of_a_mart_ends_at_pods_and_offsets(demo: Demo) -> None:
    done = demo.ask("--output", "json", "trace", str(SALES_MART), "--upstream")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {"kafka", "postgres", "s3", "snowflake"} <= {d["namespace"].partition(":")[0] for d in found["datasets"]}
    sink = next(job for job in found["jobs"] if job["name"] == "orders-sink")
    run = sink["runs"][0]
    assert run["runtime"]["pod"].startswith("orders-sink-")
    assert {"direction": "in", "dataset": "kafka://broker.shop:9092/orders-enriched"}.items() <= run["offsets"][
        0
    ].items()
    assert run["offsets"][0]["last"] >= run["offsets"][0]["first"] >= 0
    said = demo.ask("trace", str(SALES_MART)).stdout
    assert "pod shop/orders-sink-" in said
    assert "offsets" in said


def test_the_reviews_come_by_real_doors_from_the_table_to_the_dashboard(demo: Demo) -> None:
    """Change data capture, a Kafka client that says what it reads, OpenLineage by HTTP: one trace."""

    def whole() -> dict[str, Any] | None:
        done = demo.ask("--output", "json", "trace", "looker://acme/dashboards/reviews", "--upstream")
        found: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
        return found if "shop.public.reviews" in {d["name"] for d in found.get("datasets", ())} else None

    found = within(LIVING_S, whole, demo, "a trace from the dashboard to the table")
    assert {REVIEWS_MART.name, "raw/reviews", "headwater-demo.public.reviews"} <= {d["name"] for d in found["datasets"]}
    sink = next(job for job in found["jobs"] if job["name"] == "reviews-sink")
    assert sink["runs"][0]["offsets"][0]["last"] >= 0
    heard = {job["emitter"].partition(":")[0] for job in (demo.status() or {})["jobs"]}
    assert {"cdc", "openlineage", "sdk"} <= heard, heard


def test_a_consumer_that_tells_nothing_is_discovered(demo: Demo) -> None:
    silent = discovered(demo)
    told = {job["name"]: job["emitter"] for job in (demo.status() or {})["jobs"]}
    assert told[silent["name"]] == f"discover:{KAFKA}"


def test_a_typing_error_is_answered_with_the_nearest_name(demo: Demo) -> None:
    done = demo.ask("trace", f"{MEANT.namespace}/odrers")
    assert done.returncode == 4
    assert str(MEANT) in done.stderr
    assert "Traceback" not in done.stderr


def test_the_crash_and_the_new_pod_are_in_the_history_of_the_job(demo: Demo) -> None:
    def crashed() -> dict[str, Any] | None:
        done = demo.ask("--output", "json", "status", "--job", "k8s://shop/order-enricher")
        found: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
        return found if {"FAIL", "OPEN"} <= {run["state"] for run in found.get("runs", ())} else None

    runs = within(STALE_S, crashed, demo, "a failed and an open run")["runs"]
    failed = next(run for run in runs if run["state"] == "FAIL")
    assert "OutOfMemoryError" in failed["error"]
    assert failed["runtime"]["pod"] != runs[0]["runtime"]["pod"]


def test_what_happened_was_told_as_it_happened(demo: Demo) -> None:
    def told() -> bool:
        said = demo.log.read_text()
        return "new dataset" in said and "DatasetStale" in said and "crashed" in said and "ReadNeverWritten" in said

    within(STALE_S, told, demo, "lines about the graph, the crash and the alerts")


def test_ctrl_c_stops_everything_within_ten_seconds(demo: Demo) -> None:
    children = children_of(demo.process.pid)
    assert len(children) >= 3
    began_s = time.monotonic()
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(STOP_S + 5) == 0, demo.log.read_text()
    assert time.monotonic() - began_s < STOP_S
    assert running(children) == set()
    after = demo.ask("status")
    assert after.returncode not in (0, 1)
    assert "Traceback" not in after.stderr


def test_a_demo_whose_broker_dies_says_so_and_leaves_nothing_running(tmp_path: Path) -> None:
    """Its consumers have commits to make by then, for which librdkafka waits 45 s."""
    demo = begun(tmp_path)
    try:
        discovered(demo)
        children = children_of(demo.process.pid)
        commands = processes("args")
        (broker,) = (pid for pid in children if "headwater_processor.local.broker" in commands.get(pid, ""))
        os.kill(broker, signal.SIGKILL)
        assert demo.process.wait(BROKERLESS_S) == 3, demo.log.read_text()
        said = demo.log.read_text()
        assert "the embedded broker ended by itself" in said
        assert "Traceback" not in said
        assert running(children) == set()
    finally:
        demo.process.kill()
        demo.process.wait()
