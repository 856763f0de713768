"""The gate, which divides the tests between two cores, forgets none."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_every_folder_that_make_test_runs_is_run_by_the_gate() -> None:
    folders = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["testpaths"]
    gate = (ROOT / ".ci" / "run").read_text()
    assert [folder for folder in folders if f" {folder} " not in gate.replace('"', " ")] == []


def test_what_one_core_leaves_out_the_other_runs() -> None:
    gate = (ROOT / ".ci" / "run").read_text()
    assert "${heavy[*]}" in gate
    assert "${heavy[*]/#/--ignore=}" in gate
