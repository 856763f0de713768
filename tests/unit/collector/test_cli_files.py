"""Files that are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.cli.files import whole_file
from headwater.runtime.errors import UsageError


def interrupted(path: Path) -> None:
    with whole_file(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt


def test_an_interruption_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "graph.jsonl"
    path.write_text("before")
    with pytest.raises(KeyboardInterrupt):
        interrupted(path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_seen_until_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "graph.jsonl"
    with whole_file(path) as file:
        file.write(b"all of it")
        assert not path.exists()
    assert path.read_bytes() == b"all of it"


def test_where_nothing_can_be_written_is_said(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none" / "graph.jsonl"):
        with pytest.raises(UsageError, match="cannot write"), whole_file(path):
            pytest.fail("must not get here")
