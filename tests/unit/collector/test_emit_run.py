"""`headwater emit run -- CMD`: the command's output and exit code are its own, and its run says how it ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.support.processes import wait_until

from headwater.cli.emit import emit

REPORT = {
    "inputs": [{"namespace": "postgres://db:5432", "name": "shop.orders", "rows": 90}],
    "outputs": [{"namespace": "s3://lake", "name": "daily", "rows": 90, "bytes": 4_500, "schema_version": "7"}],
    "file_ids": ["s3://in/orders.csv#v7"],
}


@pytest.fixture
def events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the events go."""
    monkeypatch.setenv("HEADWATER_TRANSPORT", "file")
    monkeypatch.setenv("HEADWATER_FILE", str(tmp_path / "events.jsonl"))
    return tmp_path / "events.jsonl"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(emit, ["run", *arguments], catch_exceptions=False)


def told(events: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in events.read_text().splitlines()]


def writing(report: object, *, then: str = "") -> list[str]:
    """A command that writes the report."""
    code = f"import os, pathlib; pathlib.Path(os.environ['HEADWATER_REPORT']).write_text({report!r}); {then}"
    return ["--", sys.executable, "-c", code]


def test_a_command_that_succeeds_is_a_run_with_what_the_flags_say(events: Path) -> None:
    done = run("--job", "shop/load", "--reads", "s3://lake", "raw", "--writes", "s3a://lake/", "daily", "--", "true")
    assert done.exit_code == 0
    start, complete = told(events)
    assert [start["event_type"], complete["event_type"]] == ["START", "COMPLETE"]
    assert complete["job"] == {"namespace": "shop", "name": "load"}
    assert complete["outputs"] == [{"namespace": "s3://lake", "name": "daily"}]
    assert complete["inputs"] == [{"namespace": "s3://lake", "name": "raw"}]


@pytest.mark.parametrize(("code", "expected"), [("exit(3)", 3), ("exit(255)", 255)])
def test_a_command_that_fails_keeps_its_exit_code_and_is_a_failed_run(events: Path, code: str, expected: int) -> None:
    assert run("--", sys.executable, "-c", code).exit_code == expected
    assert told(events)[-1]["event_type"] == "FAIL"
    assert told(events)[-1]["error"].endswith(f"ended with exit code {expected}")


def test_a_command_that_is_killed_is_an_aborted_run(events: Path) -> None:
    assert run("--", "sh", "-c", "kill -9 $$").exit_code == 128 + signal.SIGKILL
    assert (told(events)[-1]["event_type"], told(events)[-1]["error"]) == (
        "ABORT",
        "sh was ended by signal 9 (SIGKILL)",
    )


@pytest.mark.parametrize(("command", "code"), [("no-such-command", 127), ("/etc/passwd", 126)])
def test_a_command_that_cannot_be_started_is_a_failed_run(events: Path, command: str, code: int) -> None:
    done = run("--", command)
    assert done.exit_code == code
    assert command in done.stderr
    assert told(events)[-1]["event_type"] == "FAIL"


def test_the_report_of_the_command_is_part_of_the_end(events: Path) -> None:
    assert run(*writing(json.dumps(REPORT))).exit_code == 0
    end = told(events)[-1]
    assert end["inputs"][0]["measures"] == [{"rows": 90}]
    assert end["outputs"][0]["measures"] == [{"rows": 90, "bytes": 4_500}]
    assert end["outputs"][0]["schema_version"] == "7"
    assert end["file_ids"] == ["s3://in/orders.csv#v7"]


@pytest.mark.parametrize(
    ("report", "said"),
    [
        ("{not json", "no JSON"),
        ("[]", "no object"),
        ('{"outputs": [{"name": "x"}]}', "outputs[0] of the report has no namespace and name"),
        ('{"outputs": [{"namespace": "n", "name": "x", "rows": "many"}]}', "rows 'many'"),
        ('{"outputs": [{"namespace": "n", "name": "x", "rows": -5}]}', "rows -5"),
        ('{"output": []}', "member 'output' that nobody knows"),
        ('{"inputs": []}\n{broken', "line 2 of the report is no JSON"),
    ],
)
def test_a_report_that_is_wrong_is_named_and_changes_nothing_for_the_command(
    events: Path, report: str, said: str
) -> None:
    done = run(*writing(report))
    assert done.exit_code == 0
    assert said in done.stderr
    assert told(events)[-1]["event_type"] == "COMPLETE"


def test_the_commands_own_runs_are_children_of_this_one(events: Path) -> None:
    code = "import headwater\nwith headwater.default_emitter().run('inner'): pass"
    assert run("--job", "shop/outer", "--", sys.executable, "-c", code).exit_code == 0
    outer = told(events)[0]["run_id"]
    assert {event.get("parent_run_id") for event in told(events) if event["job"]["name"] == "inner"} == {outer}


def test_settings_that_are_wrong_switch_lineage_off_and_the_command_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_TRANSPORT", "pigeon")
    done = run("--", sys.executable, "-c", "exit(4)")
    assert done.exit_code == 4
    assert "lineage is off: HEADWATER_TRANSPORT is 'pigeon'" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("--job", "load", "--", "true")])
def test_what_is_wrong_on_the_line_is_said_before_anything_runs(events: Path, arguments: tuple[str, ...]) -> None:
    with pytest.raises(Exception, match=r"command|namespace"):
        CliRunner().invoke(emit, ["run", *arguments], catch_exceptions=False, standalone_mode=False)
    assert not events.exists()


def test_a_signal_is_the_commands_and_how_it_ends_is_the_end_of_the_run(events: Path, tmp_path: Path) -> None:
    code = "import pathlib, signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); "
    code += f"pathlib.Path({str(tmp_path / 'up')!r}).touch(); signal.pause()"
    command = [sys.executable, "-m", "headwater.cli", "emit", "run", "--", sys.executable, "-c", code]
    with subprocess.Popen(command, env=dict(os.environ)) as process:
        wait_until((tmp_path / "up").exists, within_s=30, what="the command")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert told(events)[-1]["event_type"] == "COMPLETE"
