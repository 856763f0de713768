"""An exception as text: what, where, what caused it; never a secret, never without bounds."""

from __future__ import annotations

import pytest

from headwater.failures import LONGEST_CHARS, failure_text


def _raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001 - it is handed on
        return caught


def test_the_first_line_says_what_and_the_next_where_innermost_first() -> None:
    def deep() -> None:
        raise ValueError("no such column")

    with pytest.raises(ValueError, match="column") as caught:
        deep()
    first, second, third = failure_text(caught.value).splitlines()[:3]
    assert first == "ValueError: no such column"
    assert "deep() in " in second
    assert "test_failures.py:" in second
    assert "test_the_first_line_says_what" in third


def test_causes_are_told_and_a_suppressed_context_is_not() -> None:
    outer, inner = RuntimeError("outer"), OSError("inner")
    outer.__cause__ = inner
    assert "caused by OSError: inner" in failure_text(_raised(outer))
    hidden = RuntimeError("outer")
    hidden.__context__, hidden.__suppress_context__ = inner, True
    assert "inner" not in failure_text(_raised(hidden))


def test_causes_in_a_circle_end() -> None:
    one, two = RuntimeError("one"), RuntimeError("two")
    one.__cause__, two.__cause__ = two, one
    assert failure_text(one).count("caused by") == 1


def test_members_of_a_group_are_told() -> None:
    group = ExceptionGroup("several", [ValueError(f"number {at}") for at in range(8)])
    text = failure_text(group)
    assert "- ValueError: number 4" in text
    assert "3 exceptions more" in text


def test_secrets_are_masked_in_messages_causes_and_members() -> None:
    error = ExceptionGroup("password=hunter2", [ValueError("token: hunter2")])
    error.__cause__ = OSError("postgres://me:hunter2@db/x")
    assert "hunter2" not in failure_text(error)


def test_a_deep_recursion_of_long_messages_stays_within_bounds() -> None:
    def deeper(depth: int) -> None:
        if depth == 0:
            raise ValueError("x" * 1_000_000)
        deeper(depth - 1)

    with pytest.raises(ValueError, match="x") as caught:
        deeper(500)
    text = failure_text(caught.value)
    assert len(text) <= LONGEST_CHARS
    assert "calls further out" in text


def test_an_exception_that_raises_when_it_is_looked_at_is_reported_all_the_same() -> None:
    class HostileError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

        @property
        def __cause__(self) -> BaseException | None:  # type: ignore[override]  # hostile it is
            raise RuntimeError

    text = failure_text(_raised(HostileError()))
    assert "HostileError: <no message" in text
    assert "cannot be read: RuntimeError" in text


def test_a_text_stays_a_text() -> None:
    assert failure_text("three rows are bad") == "three rows are bad"
