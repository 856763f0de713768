"""The session finds the commands in what is printed, and nothing else."""

from __future__ import annotations

from tests.support.session.hints import has_a_hole, hints_in, in_sentences


def test_a_remedy_that_begins_with_a_command_is_one_with_its_comment() -> None:
    assert hints_in("error: no\ntry: headwater status  # names them\n") == ["headwater status  # names them"]
    assert hints_in("error: no\ntry: is it running (--redis)?\n") == []


def test_what_was_meant_and_what_is_quoted_is_a_hint() -> None:
    said = "did you mean headwater status?\nuse `headwater topics create`, or `other`\ntry: headwater status"
    assert hints_in(said) == ["headwater status", "headwater topics create"]


def test_a_command_in_a_sentence_ends_with_it() -> None:
    said = "See who: headwater trace 'kafka://b.c:9092/a b' --upstream --depth 3. If it is right, declare it a source."
    assert in_sentences(said) == ["headwater trace 'kafka://b.c:9092/a b' --upstream --depth 3"]
    assert in_sentences("Look: headwater status --job 's3://x/y'.") == ["headwater status --job 's3://x/y'"]
    assert in_sentences("Headwater judges nothing; headwater is down.") == ["headwater is down"]
    assert in_sentences("nothing to paste") == []


def test_a_hint_that_the_reader_has_to_fill_in_is_no_line_to_paste() -> None:
    assert has_a_hole("headwater trace NAME")
    assert has_a_hole("headwater emit --openlineage <file>")
    assert not has_a_hole("headwater trace 'snowflake://ACME/A.B'")
