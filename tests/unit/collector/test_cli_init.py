"""`headwater init`: it writes what loads, asks little, and replaces nothing unasked."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from headwater.cli.context import Invocation
from headwater.cli.init import init, without_password
from headwater.cli.root import run
from headwater.runtime.policy_files import read_policies
from headwater.runtime.settings import load


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def answered(*arguments: str, answers: str = "") -> Result:
    return CliRunner().invoke(init, arguments, input=answers, obj=Invocation())


def test_with_yes_nothing_is_asked_and_what_is_written_loads(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--kafka", 'broker:9092,"odd"', "--redis", "redis://redis:6379/0", "--domain", "shop"]
    assert run(["init", "--yes", *flags, "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == ["headwater.toml", "policies.yaml"]
    settings = load(config="headwater.toml", environ={}, discover=False).settings
    assert settings.kafka.bootstrap_servers == 'broker:9092,"odd"'
    assert (settings.redis.url, settings.domain) == ("redis://redis:6379/0", "shop")
    assert len(read_policies(["policies.yaml"])) == 4


def test_what_is_commented_out_loads_too(tmp_path: Path) -> None:
    assert run(["init", "--yes"]) == 0
    text = (tmp_path / "headwater.toml").read_text(encoding="utf-8")
    lines = [
        line.removeprefix("# ") if line.startswith("# ") and (" = " in line or "[" in line) else line
        for line in text.splitlines()
    ]
    (tmp_path / "all.toml").write_text("\n".join(line for line in lines if not line.startswith("#")), encoding="utf-8")
    settings = load(config="all.toml", environ={}, discover=False).settings
    assert settings.kafka.sasl_mechanism == "SCRAM-SHA-512"
    assert settings.processor.run_timeout_ms == 21_600_000
    policies = (tmp_path / "policies.yaml").read_text(encoding="utf-8")
    (tmp_path / "all.yaml").write_text(
        policies.replace("# - dataset", "- dataset")
        .replace("#   alias_of", "  alias_of")
        .replace("      the same", "  # the same")
    )
    assert any(policy.alias_name for policy in read_policies(["all.yaml"]))


def test_the_defaults_in_comments_are_the_defaults() -> None:
    from headwater.cli.init import settings_text
    from headwater.runtime.models import Settings
    from headwater.runtime.settings import describe

    known = describe(Settings())
    for line in settings_text("k", "r", "d").splitlines():
        if line.startswith("# ") and "_ms = " in line:
            key, value = line.removeprefix("# ").split("#")[0].split(" = ")
            assert known[f"processor.{key}"] == value.strip().replace("_", "")


def test_questions_show_their_defaults_and_take_answers() -> None:
    done = answered(answers="broker:9092\n\nshop\nn\n")
    assert done.exit_code == 0, done.output
    assert "[localhost:9092]" in done.output
    assert not Path("policies.yaml").exists()
    settings = load(config="headwater.toml", environ={}, discover=False).settings
    assert (settings.kafka.bootstrap_servers, settings.redis.url) == ("broker:9092", "redis://localhost:6379/0")


def test_a_wrong_answer_is_asked_for_again() -> None:
    done = answered("--no-policies", answers="broker:9092\nhttp://redis\nredis://redis\nno spaces\nshop\n")
    assert done.exit_code == 0, done.output
    assert "no address of a Redis" in done.output
    settings = load(config="headwater.toml", environ={}, discover=False).settings
    assert (settings.redis.url, settings.domain) == ("redis://redis", "shop")


def test_with_nobody_to_answer_it_says_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "empty").touch()
    with (tmp_path / "empty").open(encoding="utf-8") as nobody:
        monkeypatch.setattr("sys.stdin", nobody)
        assert run(["init", "new"]) == 2
    assert "--yes" in capsys.readouterr().err
    assert not Path("new").exists()


def test_what_is_there_is_only_replaced_when_forced(capsys: pytest.CaptureFixture[str]) -> None:
    Path("policies.yaml").write_text("- {dataset: a b, owner: me}", encoding="utf-8")
    assert run(["init", "--yes"]) == 2
    assert "policies.yaml is there already; nothing was written" in capsys.readouterr().err
    assert not Path("headwater.toml").exists()
    assert run(["init", "--yes", "--no-policies"]) == 0
    assert run(["init", "--yes", "--force"]) == 0
    assert "team-lake" in Path("policies.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("flag", "value", "said"), [("--domain", "no spaces please", "domain"), ("--redis", "localhost", "redis.url")]
)
def test_a_wrong_value_is_named_before_anything_is_written(
    flag: str, value: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["init", "new", "--yes", flag, value]) == 2
    assert said in capsys.readouterr().err
    assert not Path("new").exists()


def test_a_folder_that_cannot_be_made_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").touch()
    assert run(["init", "file/below", "--yes"]) == 2
    assert "file/below" in capsys.readouterr().err


def test_passwords_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "--yes", "--redis", "redis://me:hush@redis:6379/0"]) == 0
    assert "HEADWATER_REDIS__PASSWORD" in capsys.readouterr().err
    assert "hush" not in Path("headwater.toml").read_text(encoding="utf-8")
    assert without_password("redis://:hush@[::1]:6379/1") == ("redis://[::1]:6379/1", True)
    assert without_password("redis://redis:6379/0") == ("redis://redis:6379/0", False)


def test_files_have_the_mode_of_new_files(tmp_path: Path) -> None:
    assert run(["init", "--yes"]) == 0
    (tmp_path / "new").touch()
    assert stat.S_IMODE((tmp_path / "headwater.toml").stat().st_mode) == stat.S_IMODE((tmp_path / "new").stat().st_mode)
