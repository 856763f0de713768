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
        "an outbox that was set back under entries that wait": Case(
            (
                ("say", 0, 148, 8), ("poll", 0, 3), ("arrive", 0, 3), ("drain", 0), ("poll", 0, 8), ("save",), ("say", 0, 212, 8),
                ("poll", 0, 8), ("answer", 0), ("drain", 0), ("say", 0, 2, 8), ("poll", 0, 8), ("back",), ("say", 1, 73, 1),
                ("poll", 0, 40),
            ),
            worker=0,
            fresh=False,
        ),
        "an outbox that was set back, and a worker that begins anew": Case(
            (
                ("say", 1, 151, 7), ("say", 0, 32, 5), ("poll", 1, 8), ("answer", 1), ("drain", 1), ("poll", 0, 8), ("save",),
                ("say", 1, 146, 8), ("poll", 1, 8), ("answer", 1), ("drain", 1), ("back",), ("say", 0, 81, 8), ("poll", 0, 1),
                ("drain", 1),
            ),
            worker=1,
            fresh=True,
        ),
        "a fact that was another one in the future that was lost": Case(
            (
                ("say", 0, 188, 6), ("say", 0, 229, 5), ("poll", 0, 8), ("say", 0, 156, 5), ("say", 0, 205, 4),
                ("arm", 1, 2, ("several", ("take", 0, 1), ("poll", 0, 8), ("prove", 0), ("sweep", 0))), ("say", 0, 132, 7),
                ("arm", 0, 13, ("several", ("take", 1, 1), ("poll", 1, 8), ("drain", 1))), ("sweep", 0), ("say", 0, 12, 7),
                ("save",), ("poll", 0, 8), ("poll", 0, 8), ("answer", 0), ("clock", 1), ("drain", 1), ("back",),
            ),
            worker=1,
            fresh=True,
        ),
    }
)  # fmt: skip
