"""The allowed age that a status says in words is read back as it was meant."""

from __future__ import annotations

import pytest

from headwater_processor.core.freshness import DatasetFacts, allowed_age_said, judge_freshness
from headwater_processor.core.judge_settings import JudgeSettings, time_said, when
from headwater_processor.core.policies import Effective
from headwater_schemas.deltas import FreshnessState
from headwater_schemas.events import Name

S = 1_000_000
T = 1_790_000_000_250_000


@pytest.mark.parametrize("age_us", [1 * S, 15 * S, 26 * 3600 * S, (9 * 86_400 + 5 * 3600 + 7) * S])
@pytest.mark.parametrize("idle_us", [0, 7 * S])
def test_the_age_of_a_policy_is_read_to_the_second(age_us: int, idle_us: int) -> None:
    facts = DatasetFacts(Name("n", "d"), last_write_us=T, idle_through_us=T + idle_us)
    policy = Effective(subject="p, so due by (x)", max_age_us=age_us)
    as_of_us = T + age_us + idle_us // 2
    verdict = judge_freshness(facts, policy, as_of_us, JudgeSettings())
    assert verdict.state in (FreshnessState.FRESH, FreshnessState.IDLE)
    assert allowed_age_said(verdict.reason) == age_us


@pytest.mark.parametrize(
    "reason",
    [
        "",
        "no proof of write yet: it was only read",
        "learning 3/8: no policy",
        "not judged yet",
        "last write 9 9 UTC, allowed age x, so due by 9 9 UTC",
    ],
)
def test_a_reason_without_an_age_says_none(reason: str) -> None:
    assert allowed_age_said(reason) == 0


def test_a_time_is_read_as_it_was_written() -> None:
    assert time_said(when(T)) == T // S * S
