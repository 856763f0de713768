"""Cases that once failed: each is run with the tests."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tests.support.model.steps import Case

KEPT: Final[Mapping[str, Case]] = MappingProxyType(
    {
        "a heartbeat after somebody else ended the run": Case(
            (
                ("say", 0, 203, 7), ("poll", 0, 40), ("say", 0, 83, 2), ("poll", 0, 1), ("say", 1, 83, 2), ("say", 0, 40, 5),
            ),
            worker=0,
            fresh=True,
        ),
        "names that a refused call of another partition was to write": Case(
            (("arm", 0, 1, ("die",)), ("say", 1, 56, 8), ("drain", 0), ("poll", 0, 3), ("say", 0, 70, 4), ("back",)),
            worker=0,
            fresh=False,
        ),
        "images of a Redis that was set back": Case(
            (
                ("take", 1, 0), ("say", 0, 62, 3), ("poll", 1, 40), ("sweep", 1), ("crash", 1, 1), ("say", 0, 215, 6),
                ("poll", 1, 8), ("save",), ("poll", 1, 1), ("drain", 1), ("crash", 1, 3), ("back",), ("drain", 1),
            ),
            worker=1,
            fresh=True,
        ),
    }
)  # fmt: skip
