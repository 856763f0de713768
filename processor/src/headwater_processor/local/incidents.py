"""Incidents out of the records of `lineage.alerts`, and what people decided about them. Pure, but for `read` and `put`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from headwater.cli.producing import Producing
from headwater.cli.reading import reading
from headwater.runtime.errors import RefusedError
from headwater.runtime.models import Settings
from headwater_schemas.alerts import Alert, AlertState
from headwater_schemas.codec import Malformed, decode_alert, decode_decision, encode_decision, is_decision
from headwater_schemas.decisions import NEVER_SILENT, Decision, covering
from headwater_schemas.topics import catalogue

MOST_DECISIONS: Final = 1_000
"""Decisions that hold at a time. Workers read the topic whole at their start, so it stays small."""

_SHORTEST_ID: Final = 4


@dataclass(slots=True)
class Incident:
    """One incident: its transitions in order, and the decisions that cover it now."""

    transitions: list[Alert] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)

    @property
    def last(self) -> Alert:
        """What was said last."""
        return self.transitions[-1]

    @property
    def firing(self) -> bool:
        """Whether it still fires. RESOLVED is final, whatever copies of FIRING come behind it."""
        return all(one.state is not AlertState.RESOLVED for one in self.transitions)


@dataclass(frozen=True, slots=True)
class Desk:
    """What the topics of alerts and policies hold: incidents, oldest first, and decisions that hold; `expired` are keys of
    those that do not."""

    incidents: Sequence[Incident]
    decisions: Sequence[Decision]
    expired: Sequence[str]

    def find(self, text: str) -> Incident:
        """The incident whose id is, or begins with, this. Raises RefusedError: none, or several."""
        wanted = text.strip().lower()
        found = [one for one in self.incidents if one.last.incident_id.startswith(wanted)]
        if len(wanted) < _SHORTEST_ID or not found:
            raise RefusedError(
                f"there is no incident {text!r} (at least {_SHORTEST_ID} digits of its id)",
                remedy="headwater alerts list --all  # names them",
            )
        if len(found) > 1:
            ids = ", ".join(one.last.incident_id for one in found[:3])
            raise RefusedError(f"{len(found)} incidents begin with {text!r}: {ids}", remedy="give more digits")
        return found[0]


def gather(alerts: Iterable[Alert]) -> list[Incident]:
    """Incidents of alerts in the order of the topic; a transition that is there twice counts once."""
    incidents: dict[str, Incident] = {}
    seen: set[str] = set()
    for alert in alerts:
        if alert.alert_id not in seen:
            seen.add(alert.alert_id)
            incidents.setdefault(alert.incident_id, Incident()).transitions.append(alert)
    return sorted(incidents.values(), key=lambda one: (one.last.since_us, one.last.incident_id))


def worth_showing(incident: Incident) -> bool:
    """The watchdog always fires; who looks for trouble does not look for it."""
    return incident.last.kind != NEVER_SILENT


def read(settings: Settings, now_us: int) -> Desk:
    """Both topics, whole. Raises DeliveryError; RefusedError if one does not exist."""
    topics = catalogue(settings.topic_prefix)
    alerts, stored = [], dict[str, Decision]()
    with reading(settings.kafka, topics["alerts"].name) as reader:
        for message in reader.records(reader.bounds()):
            try:
                alerts.append(decode_alert(message.value() or b""))
            except Malformed:
                continue  # a tombstone, or of a version to come
    with reading(settings.kafka, topics["policies"].name) as reader:
        for message in reader.records(reader.bounds()):
            key, value = _key(message.key()), message.value()
            try:
                if value is None:
                    stored.pop(key, None)
                elif is_decision(value):
                    stored[key] = decode_decision(value)
            except Malformed:
                continue
    decisions = [one for one in stored.values() if one.holds(now_us)]
    incidents = gather(alerts)
    for incident in incidents:
        incident.decisions = covering(decisions, incident.last, now_us)
    return Desk(incidents, decisions, [key for key, one in stored.items() if not one.holds(now_us)])


def put(settings: Settings, desk: Desk, decision: Decision) -> None:
    """Put a decision in force, and remove those that have expired. Raises RefusedError if there are too many."""
    others = [one for one in desk.decisions if one.key != decision.key]
    if len(others) >= MOST_DECISIONS:
        raise RefusedError(
            f"{len(others)} acknowledgements and silences hold already, which is the limit",
            remedy="headwater alerts list  # names the silences; take some back, or silence with a pattern",
        )
    _write(settings, {decision.key: encode_decision(decision)} | dict.fromkeys(set(desk.expired) - {decision.key}))


def take_back(settings: Settings, desk: Desk, keys: Iterable[str]) -> None:
    """Take decisions back, and remove those that have expired. Raises DeliveryError."""
    _write(settings, dict.fromkeys([*keys, *desk.expired]))


def now_us() -> int:
    """The wall clock: people decide by it."""
    return time.time_ns() // 1_000


def _write(settings: Settings, records: dict[str, bytes | None]) -> None:
    with Producing(settings.kafka, catalogue(settings.topic_prefix)["policies"].name) as producing:
        for key, value in records.items():
            producing.send(key.encode(), value, key)
    producing.raise_first_failure()


def _key(key: bytes | str | None) -> str:
    return key.decode(errors="replace") if isinstance(key, bytes) else key or ""
