"""The fixture `lineage`, found by pytest through the entry point `pytest11`; loaded by nothing else.

The SDK is imported when a test asks for the fixture, so that other test suites of the same environment pay nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from headwater.testing.recorder import Recorder


@pytest.fixture
def lineage() -> Iterator[Recorder]:
    """Records what `@headwater.job` functions, and jobs that take `lineage.emitter`, say about their lineage."""
    from headwater.testing.recorder import recording

    with recording() as recorder:
        yield recorder
