"""What others build on is written down, and does not change by accident."""

from __future__ import annotations

from pathlib import Path

from tests.support.public_surface import surface

import headwater.testing

KEPT = Path(__file__).with_name("public_surface.txt")


def test_the_public_surface_is_the_one_that_is_written_down() -> None:
    """If a change is meant: `python -m tests.support.public_surface > tests/unit/collector/public_surface.txt`."""
    assert surface() == KEPT.read_text(encoding="utf-8")


def test_the_names_for_tests_are_sorted_and_there() -> None:
    assert headwater.testing.__all__ == sorted(headwater.testing.__all__)
