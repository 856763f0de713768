"""What producers say of a dataset or job, read from the table `about`: owners, description, tags, code, engine … Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

import msgspec

from headwater_processor.core.about import FACTS


@dataclass(frozen=True, slots=True)
class About:
    """The facts of one node, each as it was said last; empty where nobody says it (`core.about` has where each comes from).

    A fact is of the whole node, whoever said it: of a dataset that two jobs write, the later of them.
    """

    owners: tuple[str, ...] = ()
    description: str = ""
    tags: tuple[str, ...] = ()
    catalog: str = ""
    source: str = ""
    storage: str = ""
    version: str = ""
    hierarchy: str = ""
    subset: str = ""
    sql: str = ""
    code: str = ""
    job_type: str = ""
    engine: str = ""
    query: str = ""

    @property
    def owner(self) -> str:
        """The owners as one text."""
        return ", ".join(self.owners)

    @classmethod
    def of(cls, texts: Mapping[bytes, bytes]) -> About:
        """From the texts of the table by the byte of each fact. A byte of a newer version is passed over."""
        said: dict[str, Any] = {}  # Any: a text, or texts
        for tag, text in texts.items():
            fact = FACTS.get(tag)
            if fact is not None and text:
                shown = text.decode(errors="replace")
                said[fact.name] = tuple(shown.split("\n")) if fact.lists else shown
        return cls(**said)

    def as_object(self) -> dict[str, Any]:
        """For JSON: what is said, and nothing else."""
        said = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: list(value) if isinstance(value, tuple) else value for name, value in said if value}

    @classmethod
    def from_json(cls, text: str) -> About:
        """From an image. Raises msgspec.MsgspecError for what is none; what a newer version says beside is passed over."""
        said: dict[str, Any] = msgspec.json.decode(text, type=dict[str, str | tuple[str, ...]])
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in said.items() if name in known})

    def as_json(self) -> str:
        """The object as text."""
        return msgspec.json.encode(self.as_object()).decode()


NOTHING_SAID: Final = About()
"""Of a node that nobody says anything about."""
