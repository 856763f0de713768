"""Which alerts an acknowledgement or a silence covers."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater_schemas.alerts import Alert, AlertState, Severity
from headwater_schemas.codec import (
    Malformed,
    decode_decision,
    decode_policy,
    encode_decision,
    encode_policy,
    is_decision,
)
from headwater_schemas.decisions import Decision, DecisionKind, ack_key, covering, matches, silence_key
from headwater_schemas.policies import Policy

ALERT = Alert(
    "a", "f", "i1", "DatasetStale", AlertState.FIRING, Severity.PAGE, "dataset", "pg://db:5432", "shop.orders"
)
SILENCE = Decision("k", DecisionKind.SILENCE, "ada", 0, 100, subject="pg://db:5432/*")


def test_an_acknowledgement_is_of_one_incident() -> None:
    taken = Decision("k", DecisionKind.ACK, "ada", 0, 100, incident_id="i1")
    assert taken.covers(ALERT)
    assert not taken.covers(dataclasses.replace(ALERT, incident_id="i2"))


def test_a_silence_is_of_subjects_and_if_it_says_so_of_one_kind() -> None:
    assert SILENCE.covers(ALERT)
    assert not SILENCE.covers(dataclasses.replace(ALERT, namespace="pg://other:5432"))
    of_kind = dataclasses.replace(SILENCE, alert_kind="WrittenNeverRead")
    assert not of_kind.covers(ALERT)
    assert of_kind.covers(dataclasses.replace(ALERT, kind="WrittenNeverRead"))


@pytest.mark.parametrize("kind", ["HeadwaterBlind", "PartitionStopped"])
def test_what_headwater_says_of_itself_is_silenced_only_by_its_name(kind: str) -> None:
    own = dataclasses.replace(ALERT, kind=kind)
    everything = dataclasses.replace(SILENCE, subject="*")
    assert not everything.covers(own)
    assert dataclasses.replace(everything, alert_kind=kind).covers(own)


def test_nothing_covers_the_watchdog_nor_does_what_a_later_version_decided_cover_anything() -> None:
    watchdog = dataclasses.replace(ALERT, kind="Watchdog")
    for one in (
        dataclasses.replace(SILENCE, subject="*", alert_kind="Watchdog"),
        Decision("k", DecisionKind.ACK, "ada", 0, 100, incident_id="i1"),
    ):
        assert not one.covers(watchdog)
    assert not dataclasses.replace(SILENCE, kind=DecisionKind.UNKNOWN, incident_id="i1").covers(ALERT)


def test_a_decision_holds_until_its_end() -> None:
    assert covering([SILENCE], ALERT, 99) == [SILENCE]
    assert covering([SILENCE], ALERT, 100) == []


@given(st.text(max_size=30))
def test_a_name_matches_itself_whatever_is_in_it(name: str) -> None:
    assert matches(name, name)


def test_stars_and_question_marks_are_all_that_a_pattern_knows() -> None:
    assert matches("a*c?", "abbcd")
    assert not matches("[a]", "a")
    assert matches("[a]", "[a]")
    assert not matches("ORDERS", "orders")


def test_the_same_silence_has_the_same_key_and_another_kind_another_one() -> None:
    assert silence_key("", "x*") == silence_key("", "x*") != silence_key("DatasetStale", "x*")
    assert ack_key("i1") == "decision:ack:i1"


def test_who_reads_policies_can_tell_decisions_from_them() -> None:
    decision, policy = encode_decision(SILENCE), encode_policy(Policy("s", "n", "*"))
    assert (is_decision(decision), is_decision(policy)) == (True, False)
    for read, value in ((decode_policy, decision), (decode_decision, policy)):
        with pytest.raises(Malformed):
            read(value)
