"""The laboratory's alert oracle finds what is wrong with an alert: each of its questions is answered no by somebody."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.lab.clocks import Acknowledged, Clocks, untrue_proofs
from tests.support.lab.ledger import unescaped
from tests.support.lab.pages import AlertOracle, Evidence, Policies, Proven, Target, dataset_key
from tests.support.oracle.drive import new_model

S = 1_000_000
ORDERS = dataset_key("kafka://b:9092", "orders")
WRITTEN_US = 1_000 * S
KEPT_UNTIL_US = WRITTEN_US + 10 * S


def line(at_us: int, *command: bytes) -> bytes:
    """What MONITOR says of a command inside a script."""
    quoted = b" ".join(b'"' + argument + b'"' for argument in command)
    return b"+%d.%06d [0 lua] " % divmod(at_us, S) + quoted


def hex_of(key: bytes) -> bytes:
    """Binary as MONITOR prints it."""
    return b"".join(b"\\x%02x" % byte for byte in key)


def clocks(*lines: bytes) -> Clocks:
    """The log of these lines."""
    heard = Clocks("shop", unescaped)
    for each in lines:
        heard.hear(each)
    return heard


def oracle(heard: Clocks, *proven: Proven) -> AlertOracle:
    """Orders may be ten seconds old from policy version 5 on; they were written at 1,000 s, as partition 2 proves."""
    evidence = Evidence(new_model(with_registry=False))
    known = evidence.whole.state.dataset(ORDERS)
    known.credits = {WRITTEN_US, *(each.at_us for each in proven)}
    known.last_write = (max(known.credits), b"who")
    known.asserted = 1
    evidence.alone[2, ORDERS] = [Proven(10, WRITTEN_US), *proven]
    return AlertOracle(Policies({ORDERS: [(5, Target(10 * S, critical=True))]}, 5), evidence, heard)


def firing(**more: Any) -> dict[str, Any]:
    """A FIRING that is right."""
    right = {"policy_version": 5, "as_of": KEPT_UNTIL_US + S, "deadline": KEPT_UNTIL_US, "severity": "PAGE"}
    return right | {"state": "FIRING"} | more


HEARD = (
    line(900 * S, b"HSET", b"{hw:shop}:wp", hex_of(ORDERS), b"\\x04"),
    line(1_000 * S, b"HSET", b"{hw:shop}:f:2", b"mx", b"7", b"next", b"20"),
    line(1_012 * S, b"HSET", b"{hw:shop}:asof", b"2", str(KEPT_UNTIL_US + S).encode()),
)


def test_what_was_overdue_by_all_that_was_known_is_a_right_alert() -> None:
    assert not oracle(clocks(*HEARD)).of_firing(ORDERS, firing())


@pytest.mark.parametrize(
    ("wrong", "alert"),
    [
        ("nobody had set a target", firing(policy_version=4)),
        ("a TICKET though the policy is critical", firing(severity="TICKET")),
        ("its deadline had not passed", firing(as_of=KEPT_UNTIL_US)),
        ("its deadline is that of no write", firing(deadline=KEPT_UNTIL_US - S)),
    ],
)
def test_what_policies_and_writes_do_not_explain_is_found(wrong: str, alert: dict[str, Any]) -> None:
    assert oracle(clocks(*HEARD)).of_firing(ORDERS, alert) == wrong


def test_an_alert_for_a_lag_of_ours_is_found() -> None:
    """A write that was applied when as-of was said, and that the judge did not see."""
    younger = Proven(19, WRITTEN_US + 5 * S)
    assert "was known, so it was due" in oracle(clocks(*HEARD), younger).of_firing(ORDERS, firing())


def test_a_write_that_was_not_surely_known_excuses_the_alert() -> None:
    not_applied = Proven(20, WRITTEN_US + 5 * S)
    assert not oracle(clocks(*HEARD), not_applied).of_firing(ORDERS, firing())
    not_known_to_write = clocks(*HEARD[1:])
    assert not oracle(not_known_to_write, Proven(19, WRITTEN_US + 5 * S)).of_firing(ORDERS, firing())


def test_an_incident_resolves_only_by_a_write_in_time() -> None:
    judges = oracle(clocks(*HEARD))
    assert judges.of_resolved(ORDERS, firing(state="RESOLVED")) == "no write was young enough"
    assert not judges.of_resolved(ORDERS, firing(state="RESOLVED", as_of=KEPT_UNTIL_US))
    assert not judges.of_resolved(ORDERS, firing(state="RESOLVED", policy_version=4))


def test_what_is_overdue_at_the_end_must_fire_and_nothing_else() -> None:
    judges = oracle(clocks(*HEARD))
    judges.evidence.whole.state.emitters[bytes(12)] = KEPT_UNTIL_US
    judges.evidence.whole.state.datasets[ORDERS].last_write = (WRITTEN_US, bytes(12))
    late_us, early_us = KEPT_UNTIL_US + 10 * S, KEPT_UNTIL_US - S
    assert "does not fire" in judges.of_the_end(ORDERS, False, (late_us, late_us))
    assert "and fires" in judges.of_the_end(ORDERS, True, (early_us, early_us))
    assert not judges.of_the_end(ORDERS, True, (late_us, late_us))
    assert not judges.of_the_end(ORDERS, False, (early_us, early_us))


def test_as_of_that_was_said_before_an_older_record_was_applied_is_found() -> None:
    told = Acknowledged()
    told.note(2, 19, KEPT_UNTIL_US)
    told.note(2, 20, KEPT_UNTIL_US + 2 * S)
    told.note(2, None, KEPT_UNTIL_US)  # answered as a duplicate: it is there, but nobody says where
    assert untrue_proofs(clocks(*HEARD), told) == []
    told.note(2, 20, KEPT_UNTIL_US)
    assert "offset 20 had been acknowledged" in untrue_proofs(clocks(*HEARD), told)[0]


def test_a_fence_that_moves_with_its_as_of_counts_and_one_missed_in_a_gap_does_not() -> None:
    moved = line(1_013 * S, b"HSET", b"{hw:shop}:f:2", b"mx", b"7", b"next", b"30")
    assert clocks(*HEARD, moved).applied_by(2, KEPT_UNTIL_US) == 30
    heard = clocks(*HEARD[:2])
    heard.deaf()
    heard.hear(HEARD[2])
    assert heard.applied_by(2, KEPT_UNTIL_US) == 0
