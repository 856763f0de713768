"""The command line's root: it loads what is used, takes options anywhere, and answers mistakes in sentences."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import click
import pytest

from headwater.cli import root as root_module
from headwater.cli.context import Invocation
from headwater.cli.root import run
from headwater.errors import BrokerUnavailable
from headwater.runtime.errors import RedisUnavailable, RefusedError, UsageError

_Add = Callable[[Exception], None]


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("HEADWATER_CONFIG", "HEADWATER_KAFKA_BOOTSTRAP_SERVERS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> _Add:
    """A command `fail` that raises what the test says."""

    def add(error: Exception) -> None:
        @click.command()
        def fail() -> None:
            raise error

        found = EntryPoint("fail", "tests:fail", root_module.GROUP)
        monkeypatch.setattr(root_module, "_entry_points", lambda: {"fail": found})
        monkeypatch.setattr(root_module, "_loaded", lambda _found: fail)

    return add


def test_help_lists_every_command_and_every_exit_code_without_loading_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in root_module._entry_points())
    assert all(code in said for code in ("  2 ", "  3 ", "  4 ", "  70 ", "  130 "))


def test_every_command_of_ours_has_its_line_of_help() -> None:
    ours = {name for name, found in root_module._entry_points().items() if found.value.startswith("headwater")}
    assert ours == set(root_module.SHORT_HELP)


def test_the_root_loads_no_client() -> None:
    code = (
        "import sys; from headwater.cli.root import run; run(['--version'])\n"
        "print([m for m in ('confluent_kafka', 'redis', 'faust', 'fastavro', 'numpy', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("line", ["--output json --domain shop config show", "config show --output json --domain shop"])
def test_global_options_stand_before_or_after_the_command(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(line.split()) == 0
    rows = {row["key"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["domain"] == {"key": "domain", "value": "shop", "origin": "--set domain"}


def test_a_table_that_is_piped_is_plain_columns_with_a_head_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "show", "--changed", "--set", "processor.shards=4"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["key", "value", "origin"],
        ["processor.shards", "4", "--set", "processor.shards"],
    ]


def test_settings_can_be_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "show", "--explain", "--changed", "--set", "processor.shards=4", "--set", "kafka.a.b=1"]) == 0
    head, shards, foreign = capsys.readouterr().out.splitlines()
    assert head.split()[-1] == "means"
    assert "fixed when a domain begins" in shards or "fixed when a domain begins" in foreign
    assert "CONFIGURATION.md" in shards or "CONFIGURATION.md" in foreign


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("confg", ("there is no command 'confg'", "did you mean headwater config?")),
        ("config show --nope", ("No such option", "headwater config show --help")),
        ("--set domain config show", ("no key=value", "--set")),
        ("--set processor.shard=4 config show", ("processor.shard", "did you mean processor.shards?")),
        ("--config none.toml config show", ("none.toml", "No such file")),
        ("--output xml config show", ("xml", "table")),
        ("emit", ("say what to send", "--openlineage")),
        ("emit --job a/b --reads onlyone", ("requires 2 arguments", "headwater emit --help")),
        ("emit --job nameonly", ("nameonly", "namespace/name")),
        ("tail alerts --from noon", ("noon", "beginning")),
        ("policy validate none.yaml", ("none.yaml", "No such file")),
    ],
)
def test_wrong_usage_is_two_lines_and_exit_code_2(
    line: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(line.split()) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert all(word in said.err for word in words), said.err
    assert "Traceback" not in said.err
    assert [text.partition(":")[0] for text in said.err.splitlines()] == ["error", "try"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("a"), 2),
        (BrokerUnavailable("a"), 3),
        (RedisUnavailable("a"), 3),
        (RefusedError("a"), 4),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("a"), 70),
    ],
)
def test_each_kind_of_error_has_its_exit_code(
    error: Exception, code: int, failing: _Add, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(error)
    assert run(["fail"]) == code
    assert "Traceback" not in capsys.readouterr().err


def test_a_group_without_a_command_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config"]) == 2
    assert "Print every setting" in capsys.readouterr().err


def test_global_options_can_be_handed_on_to_a_child() -> None:
    told = Invocation(flags={"domain": "shop", "redis.url": "redis://a"}, config="a.toml", verbosity=2)
    again = ["--output", "table", "--config", "a.toml", "--set", "domain=shop", "--set", "redis.url=redis://a"]
    assert told.as_arguments() == [*again, "--verbose", "--verbose"]


def test_a_bug_shows_its_traceback_only_when_asked(failing: _Add, capsys: pytest.CaptureFixture[str]) -> None:
    failing(ZeroDivisionError("by zero"))
    assert run(["fail"]) == 70
    assert "-vv" in capsys.readouterr().err
    assert run(["fail", "-vv"]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_a_password_in_an_error_is_masked(failing: _Add, capsys: pytest.CaptureFixture[str]) -> None:
    failing(RedisUnavailable("no redis://me:hush@host:1"))
    assert run(["fail"]) == 3
    assert "hush" not in capsys.readouterr().err


def test_a_command_whose_library_is_missing_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = EntryPoint("far", "no_such_library.cli:far", root_module.GROUP)
    monkeypatch.setattr(root_module, "_entry_points", lambda: {"far": found})
    assert run(["far"]) == 2
    said = capsys.readouterr().err
    assert "needs no_such_library" in said
    assert "pip install 'headwater[cli]'" in said


def test_whoever_closes_the_pipe_gets_no_complaint() -> None:
    command = f"{sys.executable} -m headwater.cli config show | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_valid_policies_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.yaml").write_text("- dataset: a b\n  max_age: 5m")
    assert run(["policy", "validate", "p.yaml", "-o", "json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)[0]["max_age_ms"] == 300_000
    assert said.err == "1 policy is right.\n"


def test_a_wrong_policy_ends_with_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.yaml").write_text("- dataset: a b\n  maxage: 5m")
    assert run(["policy", "validate", "p.yaml"]) == 4
    assert "did you mean 'max_age'?" in capsys.readouterr().err
