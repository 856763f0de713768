"""The policies of a worker, told by its settings and by the topic."""

from __future__ import annotations

import pytest

from headwater_processor.engine.policy_table import PolicyTable
from headwater_schemas.codec import Malformed, encode_decision, encode_policy
from headwater_schemas.decisions import Decision, DecisionKind
from headwater_schemas.events import Name
from headwater_schemas.policies import Policy

ORDERS = Name("pg://db:5432", "orders")
DECISION = Decision("decision:silence:1", DecisionKind.SILENCE, "ada", 1, 2, subject="*")


def owner(table: PolicyTable) -> str:
    return table.compiled().for_dataset(ORDERS).owner


def test_the_topic_has_the_last_word_over_the_settings() -> None:
    table = PolicyTable([Policy("s", ORDERS.namespace, ORDERS.name, owner="settings")])
    assert owner(table) == "settings"
    assert table.take(b"s", encode_policy(Policy("s", ORDERS.namespace, ORDERS.name, owner="topic")), 4)
    assert (owner(table), table.compiled().version) == ("topic", 4)
    assert table.take(b"s", None, 5)
    assert (owner(table), table.compiled().version) == ("settings", 5)


def test_decisions_about_alerts_are_read_over_without_a_new_version() -> None:
    table = PolicyTable()
    table.take(b"s", encode_policy(Policy("s", "*", "*", owner="ada")), 1)
    assert not table.take(DECISION.key.encode(), encode_decision(DECISION), 2)
    assert not table.take(DECISION.key.encode(), None, 3)
    assert (owner(table), table.compiled().version) == ("ada", 1)


def test_what_is_neither_is_refused_and_leaves_what_was() -> None:
    table = PolicyTable()
    table.take(b"s", encode_policy(Policy("s", "*", "*", owner="ada")), 1)
    with pytest.raises(Malformed):
        table.take(b"s", b"\xc3\x01noise--", 2)
    assert owner(table) == "ada"
