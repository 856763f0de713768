"""Answers on standard output: a table for people, JSON for programs. Everything else goes to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from headwater.cli.context import invocation
from headwater.cli.printing import printable

Row = Mapping[str, Any]  # Any: what JSON can hold


def emit_rows(context: click.Context, rows: Sequence[Row], columns: Sequence[str]) -> None:
    """Print rows: JSON with all their keys, or a table of `columns`.

    On a terminal the table is drawn by rich (which respects NO_COLOR); otherwise it is plain columns that are never
    cut, with a head line, for grep and awk.
    """
    if invocation(context).wants_json:
        emit_json(list(rows))
    elif sys.stdout.isatty():
        _draw(rows, columns)
    else:
        _plain(rows, columns)


def emit_json(document: Any) -> None:  # Any: what JSON can hold
    """Print one JSON document, indented."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")


def emit_json_line(document: Row) -> None:
    """Print one JSON document as one line, at once."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def note(context: click.Context, text: str) -> None:
    """A word to the person, on standard error; not with `--quiet`."""
    if invocation(context).verbosity >= 0:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _draw(rows: Sequence[Row], columns: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_text(row.get(column)) for column in columns))
    Console(highlight=False, markup=False).print(table)


def _plain(rows: Sequence[Row], columns: Sequence[str]) -> None:
    lines = [list(columns), *([_text(row.get(column)) for column in columns] for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    for line in lines:
        cells = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def _text(value: object) -> str:
    """A cell: on one line, whatever somebody called a dataset."""
    return printable(_words(value))


def _words(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    return str(value)
