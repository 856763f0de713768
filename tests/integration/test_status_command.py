"""`headwater status` and `headwater trace` as commands, on state that was written by hand to a real Redis."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner, Result
from tests.support.processes import wait_until
from tests.support.state_writer import StateWriter

from headwater.cli.context import Invocation
from headwater_processor.core.alerts import Machine, State, fingerprint
from headwater_processor.local.status_cli import status
from headwater_processor.local.trace_cli import trace
from headwater_processor.state.layout import DatasetRecord, JudgedRecord
from headwater_schemas.events import Name

T = 1_700_000_000_000_000
ORDERS, MART = Name("kafka://b:9092", "orders"), Name("s3://lake", "marts/orders")
LOADER = Name("k8s", "loader")


@pytest.fixture
def state(redis_client: redis.Redis, redis_db: str, monkeypatch: pytest.MonkeyPatch) -> StateWriter:
    monkeypatch.setenv("HEADWATER_REDIS__URL", redis_db)
    monkeypatch.setenv("HEADWATER_DOMAIN", "test")
    writer = StateWriter(redis_client, "test")
    for partition in (0, 1):
        writer.partition(partition, as_of_us=T, applied="10")
    stale = JudgedRecord("STALE", "no write for 40 s", T, T, "", 1, "team-lake")
    writer.dataset(MART, asserted_us=T, record=DatasetRecord(T), judged=stale)
    writer.dataset(ORDERS, asserted_us=T, record=DatasetRecord(T), judged=JudgedRecord("FRESH", owner="team-shop"))
    writer.job(LOADER, asserted_us=T)
    writer.reads(ORDERS, LOADER, asserted_us=T)
    writer.writes(LOADER, MART, asserted_us=T)
    machine = Machine(State.FIRING, T, T, T)
    writer.alert_machine(0, fingerprint("DatasetStale", "dataset", MART.namespace, MART.name), machine)
    return writer


def run_status(*arguments: str, output: str = "table") -> Result:
    return CliRunner().invoke(status, arguments, obj=Invocation(output=output))


@pytest.mark.usefixtures("state")
def test_status_shows_the_worst_first_with_owner_and_reason() -> None:
    done = run_status()
    assert done.exit_code == 0
    assert "2 datasets, 1 job, 20 events · 2 partitions · 1 alert firing" in done.output
    assert done.output.index("s3://lake/marts/orders") < done.output.index("kafka://b:9092/orders")
    assert "team-lake" in done.output
    assert "no write for 40 s" in done.output


@pytest.mark.usefixtures("state")
def test_status_as_json_is_one_document() -> None:
    found = json.loads(run_status("--state", "stale", output="json").stdout)
    assert [dataset["name"] for dataset in found["datasets"]] == ["marts/orders"]
    assert found["counts"]["datasets"] == 2
    assert found["alerts"][0]["state"] == "FIRING"


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [((), 1), (("--owner", "team-shop"), 0), (("--namespace", "s3://lake"), 1), (("--state", "FRESH"), 0)],
)
def test_fail_looks_at_what_passed_the_filters(arguments: tuple[str, ...], code: int) -> None:
    assert run_status("--fail", *arguments).exit_code == code


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("--state", "STALE", "--state", "FRESH"), ["marts/orders", "orders"]),
        (("--owner", "team-shop", "--owner", "nobody"), ["orders"]),
        (("--name", "marts/*"), ["marts/orders"]),
        (("--name", "9092"), ["orders"]),
        (("--sort", "name"), ["orders", "marts/orders"]),
        (("--namespace", "s3://lake", "--namespace", "kafka://b:9092", "--sort", "state"), ["marts/orders", "orders"]),
    ],
)
def test_filters_and_orders_choose_what_is_shown(arguments: tuple[str, ...], names: list[str]) -> None:
    found = json.loads(run_status(*arguments, output="json").stdout)
    assert [dataset["name"] for dataset in found["datasets"]] == names


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize("name", ["loader", "k8s/loader"])
def test_a_job_is_found_by_its_name(name: str) -> None:
    done = run_status("--job", name)
    assert done.exit_code == 0
    assert "k8s/loader" in done.output


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--job", "laoder"), "there is no job named 'laoder'. Did you mean k8s/loader?"),
        (("--emitter", "nobody"), "no emitter named 'nobody' was ever heard"),
    ],
)
def test_what_does_not_exist_ends_with_4_and_a_sentence(arguments: tuple[str, ...], said: str) -> None:
    done = run_status(*arguments)
    assert done.exit_code == 4
    assert said in done.output


def test_a_watch_in_a_pipe_tells_changes_and_ends_with_0_at_ctrl_c(state: StateWriter, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "headwater.cli", "status", "--watch", "0.1", "--output", "json"]
    with (tmp_path / "seen").open("wb") as file:
        watching = subprocess.Popen(command, stdout=file)
        try:
            wait_until(lambda: len(_seen(tmp_path)) == 1, within_s=30, what="the first look")
            state.dataset(ORDERS, asserted_us=T, judged=JudgedRecord("LATE", owner="team-shop"))
            wait_until(lambda: len(_seen(tmp_path)) == 2, within_s=20, what="the change")
            watching.send_signal(signal.SIGINT)
            assert watching.wait(20) == 0
        finally:
            watching.kill()
            watching.wait()
    assert [found["counts"]["by_state"]["LATE"] for found in _seen(tmp_path)] == [0, 1]


def _seen(folder: Path) -> list[Any]:
    return [json.loads(line) for line in (folder / "seen").read_text(encoding="utf-8").splitlines()]


@pytest.mark.usefixtures("state")
def test_another_domain_has_no_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_DOMAIN", "nope")
    done = run_status()
    assert done.exit_code == 4
    assert "there is no state of domain 'nope'" in done.output


def test_a_redis_that_is_not_there_is_said_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_REDIS__URL", "redis://127.0.0.1:1/0")
    done = run_status()
    assert done.exit_code == 3
    assert "Redis cannot be read" in done.output


@pytest.mark.usefixtures("state")
def test_trace_draws_the_way_up_and_the_way_down() -> None:
    up = CliRunner().invoke(trace, [str(MART)])
    down = CliRunner().invoke(trace, ["orders", "--downstream"])
    assert "written by job k8s/loader" in up.output
    assert "read by job k8s/loader" in down.output


@pytest.mark.usefixtures("state")
def test_trace_of_an_unknown_name_ends_with_4_and_the_nearest() -> None:
    done = CliRunner().invoke(trace, ["s3://lake/marts/ordres"])
    assert done.exit_code == 4
    assert "Did you mean s3://lake/marts/orders" in done.output
