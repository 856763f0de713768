"""One report of a benchmark: Markdown for people, JSON for programs, side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headwater_processor.local.bench.compare import DOES, DOES_NOT
from headwater_processor.local.bench.sections import Section, sections


def write_report(document: Mapping[str, Any], path: Path) -> tuple[Path, Path]:
    """Write `path` as Markdown and, beside it, the same name with `.json`; returns both.

    Raises:
        OSError: they cannot be written.
    """
    markdown, beside = path.with_suffix(".md"), path.with_suffix(".json")
    markdown.write_text(as_markdown(document), encoding="utf-8")
    beside.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return markdown, beside


def as_markdown(document: Mapping[str, Any]) -> str:
    """The whole document: machine, settings, a table for each mode, goals."""
    parts = [
        "# Headwater: benchmark\n",
        _facts("Machine", document["machine_facts"]),
        _facts("Run", document["settings"]),
    ]
    for section in sections(document):
        parts.append(f"## {section.title}\n\n{_table(section)}")
        if section.title.startswith("Other processors"):
            parts.append(f"They do: {DOES}. They do not: {DOES_NOT}. Their CPU is that of their process alone.\n")
    return "\n".join(parts)


def _facts(title: str, facts: Mapping[str, Any]) -> str:
    lines = [_line([name.replace("_", " "), _text(value)]) for name, value in facts.items()]
    return "\n".join([f"## {title}\n", "| | |", "|---|---|", *lines, ""])


def _table(section: Section) -> str:
    columns = section.columns
    lines = [_line(columns), _line(["---"] * len(columns))]
    lines += [_line([_text(row.get(column)) for column in columns]) for row in section.rows]
    return "\n".join([*lines, ""])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _text(value: Any) -> str:  # Any: what JSON can hold
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_text(each) for each in value)
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)
