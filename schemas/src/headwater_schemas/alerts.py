"""Alerts as they go to `lineage.alerts`: plain values; the wire is in `codec`. They mirror `avro/alert.v1.avsc`."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class AlertState(enum.Enum):
    """The two ends of an incident."""

    FIRING = "FIRING"
    RESOLVED = "RESOLVED"


class Severity(enum.Enum):
    """Whom it wakes: somebody at once, somebody in the morning, nobody."""

    PAGE = "PAGE"
    TICKET = "TICKET"
    INFO = "INFO"


@dataclass(frozen=True, slots=True)
class Alert:
    """One transition of one alert; every copy of it has the same `alert_id`. Times are microseconds, UTC, 0 unknown."""

    alert_id: str
    fingerprint: str
    incident_id: str
    kind: str
    state: AlertState
    severity: Severity
    subject_kind: str
    namespace: str = ""
    name: str = ""
    owner: str = ""
    summary: str = ""
    reason: str = ""
    remedy: str = ""
    since_us: int = 0
    deadline_us: int = 0
    as_of_us: int = 0
    policy_version: int = -1
    candidates: tuple[str, ...] = ()
