"""What producers say of a dataset or job, in lines for people. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.text import Text

from headwater.cli.printing import printable
from headwater_processor.state.about import About

_SHOWN: Final = (
    ("", "description"), ("tags", "tags"), ("code", "code"), ("engine", "engine"), ("sql", "sql"), ("query", "query"),
    ("type", "job_type"), ("version", "version"), ("catalog", "catalog"), ("source", "source"),
    ("storage", "storage"), ("in", "hierarchy"), ("part", "subset"),
)  # fmt: skip
"""Title and field, in the order in which somebody on call asks."""


def about_lines(owner: str, about: About) -> Iterator[Text]:
    """One line a fact; what nobody says has none."""
    if owner:
        yield _line("owner", owner)
    for title, field in _SHOWN:
        said = getattr(about, field)
        if said:
            yield _line(title, ", ".join(said) if isinstance(said, tuple) else said)


def _line(title: str, said: str) -> Text:
    return Text(f"{title} " if title else "", "dim").append(printable(said), "" if title else "italic")
