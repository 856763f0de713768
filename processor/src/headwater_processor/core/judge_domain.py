"""Headwater's own alerts: nothing is judged, a partition stands still, and the one that always fires."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from headwater_processor.core import wording
from headwater_processor.core.alerts import Finding, Machine, Observation, step
from headwater_processor.core.desk import Desk, Judgement, alert_of
from headwater_processor.core.judge_settings import JudgeSettings
from headwater_processor.core.policies import Effective
from headwater_schemas.alerts import Alert


def judge_blind(
    domain: str,
    frozen_since_us: int,
    unjudged_critical: int,
    why: str,
    now_us: int,
    machines: Mapping[str, Machine],
    settings: JudgeSettings,
) -> Judgement:
    """Judge Headwater itself: nothing is judged while as-of stands still. Times are of the state's clock, not as-of.

    `frozen_since_us` is when as-of last moved; `unjudged_critical` how many datasets with criticality HIGH or CRITICAL
    wait for it.
    """
    desk = Desk(machines, now_us, Effective(), settings)
    deadline_us = frozen_since_us + settings.blind_after_us
    finding = Finding.BREACHED if now_us > deadline_us else Finding.OK
    desk.look(deadline_us + 1 if finding is Finding.OK else 0)
    desk.step(wording.blind(domain, frozen_since_us, unjudged_critical, why, now_us), finding, deadline_us)
    return desk.judgement(None)


def judge_partition(
    topic: str,
    partition: int,
    stopped_since_us: int,
    reason: str,
    resume: str,
    now_us: int,
    machines: Mapping[str, Machine],
) -> Judgement:
    """The alert of a partition that was stopped (0: it runs). `resume` is the command that lets it go on."""
    desk = Desk(machines, now_us, Effective(), JudgeSettings())
    finding = Finding.BREACHED if stopped_since_us else Finding.OK
    desk.step(wording.partition_stopped(topic, partition, stopped_since_us, reason, resume), finding, stopped_since_us)
    return desk.judgement(None)


def watchdog(domain: str, now_us: int) -> Alert:
    """The alert that always fires. Its ids never change; only `as_of_us` moves, and whoever misses it knows we are
    dead.
    """
    case = wording.watchdog(domain)
    fired = step(None, Observation(case.fingerprint, Finding.BREACHED, 1, severity=case.severity)).transitions[0]
    return alert_of(case, replace(fired, at_us=now_us), -1)
