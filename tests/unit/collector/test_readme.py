"""The Python in the collector's README runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

README = Path(__file__).resolve().parents[3] / "collector" / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_there_is_something_to_run() -> None:
    assert len(BLOCKS) >= 5


def test_every_block_runs(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one process of pytest: blocks that hold tests are test modules, the others are run as one test each."""
    for at, block in enumerate(BLOCKS):
        name = f"test_block_{at}"
        if "def test_" in block:
            pytester.makepyfile(**{name: block})
        else:
            body = "".join(f"    {line}" if line.strip() else line for line in block.splitlines(keepends=True))
            pytester.makepyfile(**{name: f"def test_it():\n{body}"})
    monkeypatch.setenv("HEADWATER_TRANSPORT", "memory")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-q")
    assert result.ret == 0, result.stdout.str()
    result.assert_outcomes(passed=sum(max(1, block.count("def test_")) for block in BLOCKS))
