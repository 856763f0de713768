"""What a terminal would obey is written out, wherever a command prints somebody's text."""

from __future__ import annotations

import click
import pytest

from headwater.cli.output import emit_rows
from headwater.cli.printing import printable
from headwater.cli.root import tell
from headwater.errors import HeadwaterError


def test_control_characters_and_line_breaks_are_written_out_and_all_else_stays() -> None:
    assert printable("a\x1b[31m\nb\x9b\u2028\u202e") == "a\\x1b[31m\\x0ab\\x9b\\u2028\\u202e"
    assert printable("größe–注文") == "größe–注文"


def test_a_row_stays_one_line_whatever_a_dataset_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    emit_rows(click.Context(click.Command("x")), [{"name": "orders\nFAKE\x1b[2J"}], ["name"])
    assert capsys.readouterr().out.splitlines() == ["name", "orders\\x0aFAKE\\x1b[2J"]


def test_an_error_that_names_something_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    tell(HeadwaterError("no dataset or\x1b[1Aders", remedy="a\nb"))
    assert capsys.readouterr().err == "error: no dataset or\\x1b[1Aders\ntry: a\nb\n"
