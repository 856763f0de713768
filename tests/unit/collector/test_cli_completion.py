"""Completion: the script works in a real bash, and names that hold colons survive it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.support.shell import completed

from headwater.cli.completion import SHELLS, answer
from headwater.cli.root import root, run


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_gets_a_script_that_asks_headwater(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert f"_HEADWATER_COMPLETE={shell}_complete" in script
    found = shutil.which(shell)
    if found is not None:
        subprocess.run([found, "-n", "/dev/stdin"], input=script, text=True, check=True)


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("line", "wanted"),
    [("headwater policy ", {"apply", "show", "test", "validate"}), ("headwater trace ord", {""})],
)
def test_bash_offers_what_headwater_answers_and_nothing_where_redis_is_away(
    line: str, wanted: set[str], tmp_path: Path
) -> None:
    assert set(completed(line, tmp_path, {"HEADWATER_REDIS__URL": "redis://127.0.0.1:1/0"})) == wanted


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("headwater comp", {"plain,completion"}),
        ("headwater status --state ST", {"plain,STALE"}),
        ("headwater graph export --for", {"plain,--format"}),
        ("headwater --domain shop graph export --format gr", {"plain,graphml"}),
        ("headwater graph diff li", {"plain,live", "file,li"}),
        ("headwater no-such-command ", set()),
        ("headwater --output nonsense status --st", {"plain,--state"}),
    ],
)
def test_commands_options_and_choices_are_completed(
    line: str, wanted: set[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COMP_LINE", line)
    assert answer(root, "bash_complete") == 0
    said = capsys.readouterr()
    assert (set(said.out.splitlines()), said.err) == (wanted, "")


def test_a_question_that_nobody_understands_is_answered_by_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(root, "tcsh_complete") == 1
    assert answer(root, "bash_source") == 1
    assert capsys.readouterr() == ("", "")
