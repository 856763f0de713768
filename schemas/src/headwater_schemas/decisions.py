"""What people decide about alerts (`avro/decision.v1.avsc`): acknowledgements and silences. Plain values and their rules.

They stand on `lineage.policies` beside the policies, under keys that begin with `KEY_PREFIX`. They change nothing of what
the processor judges and publishes; whoever notifies asks `covers`.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from headwater_schemas.alerts import Alert

KEY_PREFIX: Final = "decision:"
OWN_KINDS: Final = frozenset({"HeadwaterBlind", "PartitionStopped"})
"""Alerts about Headwater itself: a silence covers them only if it names their kind."""

NEVER_SILENT: Final = "Watchdog"
"""Its silence is what wakes people; no decision covers it."""


class DecisionKind(enum.Enum):
    """What was decided. UNKNOWN is what a later version wrote; it covers nothing here."""

    UNKNOWN = "UNKNOWN"
    ACK = "ACK"
    SILENCE = "SILENCE"


@dataclass(frozen=True, slots=True)
class Decision:
    """One acknowledgement (of `incident_id`) or silence (of `alert_kind` and `subject`). Times are microseconds, UTC."""

    key: str
    kind: DecisionKind
    by: str
    made_us: int
    until_us: int
    note: str = ""
    incident_id: str = ""
    fingerprint: str = ""
    alert_kind: str = ""
    subject: str = ""

    def holds(self, now_us: int) -> bool:
        """Whether it still says something."""
        return now_us < self.until_us

    def covers(self, alert: Alert) -> bool:
        """Whether it is about this alert, as long as it holds."""
        if alert.kind == NEVER_SILENT:
            return False
        if self.kind is DecisionKind.ACK:
            return alert.incident_id == self.incident_id
        if self.kind is not DecisionKind.SILENCE or self.alert_kind not in ("", alert.kind):
            return False
        if not self.alert_kind and alert.kind in OWN_KINDS:
            return False
        return matches(self.subject, subject_of(alert))


def ack_key(incident_id: str) -> str:
    """The Kafka key of an acknowledgement: one for each incident."""
    return f"{KEY_PREFIX}ack:{incident_id}"


def silence_key(alert_kind: str, subject: str) -> str:
    """The Kafka key of a silence: one for each kind and pattern, so that saying it again prolongs it."""
    digest = hashlib.blake2b(f"{alert_kind}\0{subject}".encode(), digest_size=6).hexdigest()
    return f"{KEY_PREFIX}silence:{digest}"


def subject_of(alert: Alert) -> str:
    """The subject of an alert in one text, as patterns are held against it."""
    return f"{alert.namespace}/{alert.name}".strip("/")


def matches(pattern: str, subject: str) -> bool:
    """Whether a pattern with `*` (any characters, also none) and `?` (one) is this subject; everything else is literal."""
    return fnmatchcase(subject, pattern.replace("[", "[[]"))


def covering(decisions: Iterable[Decision], alert: Alert, now_us: int) -> list[Decision]:
    """The decisions that are about an alert now, the one that holds longest first."""
    found = [one for one in decisions if one.holds(now_us) and one.covers(alert)]
    return sorted(found, key=lambda one: (-one.until_us, one.key))
