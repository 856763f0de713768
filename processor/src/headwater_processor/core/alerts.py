"""The alert machine: one for each fingerprint (a kind of alert and its subject), stepped by what was observed.

Rules
-----
1. Every change of an alert is in the table `TRANSITIONS`; nothing else in Headwater fires or resolves an alert.
2. The machine knows only as-of time. An observation older than the newest one it has taken changes nothing; a breach at
   the same as-of neither: while as-of stands still, nothing new is known and nobody is paged.
3. An **incident** begins with FIRING and ends with RESOLVED, one of each. Its id is a hash of the fingerprint and the
   deadline that was breached, so a worker that fires it again after a crash says the same thing again. If the same
   or an earlier deadline is breached after its incident was resolved (a policy was changed to and fro), a repetition
   count makes it a new incident.
4. A breach fires when it has lasted `for_us` since the deadline. Time in which the subject was not judged (HOLD) does
   not count: after it the duration begins again.
5. A firing alert resolves when it has been well for `clear_us`. A breach meanwhile goes back to FIRING and is the same
   incident: no second firing.
6. GONE (dropped, policy taken back, nothing to judge any more) resolves at once.

Theory of operation: `step` turns an observation into a signal, looks up the next state, and repeats until the state
stays, for a duration of 0 holds at once. What the table does not name changes nothing.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import msgspec

from headwater_schemas.alerts import AlertState, Severity


class State(enum.IntEnum):
    """Where a machine is. The numbers are stored."""

    QUIET = 0
    PENDING = 1
    FIRING = 2
    CLEARING = 3


class Finding(enum.Enum):
    """What a judge found: BREACHED or OK, HOLD (cannot be judged now), GONE (nothing to judge any more)."""

    BREACHED = "breached"
    OK = "ok"
    HOLD = "hold"
    GONE = "gone"


class Signal(enum.Enum):
    """A finding, and whether it has lasted long enough."""

    BREACH = "breach"
    BREACH_HELD = "breach for long enough"
    OK = "ok"
    OK_HELD = "ok for long enough"
    GONE = "gone"


TRANSITIONS: Final[Mapping[tuple[State, Signal], State]] = MappingProxyType(
    {
        (State.QUIET, Signal.BREACH): State.PENDING,
        (State.QUIET, Signal.BREACH_HELD): State.PENDING,
        (State.PENDING, Signal.BREACH_HELD): State.FIRING,
        (State.PENDING, Signal.OK): State.QUIET,
        (State.PENDING, Signal.OK_HELD): State.QUIET,
        (State.PENDING, Signal.GONE): State.QUIET,
        (State.FIRING, Signal.OK): State.CLEARING,
        (State.FIRING, Signal.OK_HELD): State.CLEARING,
        (State.FIRING, Signal.GONE): State.QUIET,
        (State.CLEARING, Signal.BREACH): State.FIRING,
        (State.CLEARING, Signal.BREACH_HELD): State.FIRING,
        (State.CLEARING, Signal.OK_HELD): State.QUIET,
        (State.CLEARING, Signal.GONE): State.QUIET,
    }
)

ANNOUNCED: Final[Mapping[tuple[State, State], AlertState]] = MappingProxyType(
    {
        (State.PENDING, State.FIRING): AlertState.FIRING,
        (State.FIRING, State.QUIET): AlertState.RESOLVED,
        (State.CLEARING, State.QUIET): AlertState.RESOLVED,
    }
)
"""The changes that are published; all others are silent."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What was found of one subject, at as-of `at_us`. `deadline_us` is the one that is breached or still ahead."""

    fingerprint: str
    finding: Finding
    at_us: int
    deadline_us: int = 0
    for_us: int = 0
    clear_us: int = 0
    severity: Severity = Severity.TICKET


class Machine(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """The memory of one alert. Times are microseconds of as-of.

    `seen_us`: newest observation taken. `since_us`: when the state was entered. `held_us`: last time it could not be
    judged. The incident is `(deadline_us, repeat)`; `highest_us` is the largest deadline that ever fired. `severity` is
    kept from FIRING to RESOLVED: receivers take it for part of the alert's identity.
    """

    state: State = State.QUIET
    seen_us: int = 0
    since_us: int = 0
    deadline_us: int = 0
    repeat: int = 0
    highest_us: int = 0
    held_us: int = 0
    severity: Severity = Severity.TICKET


@dataclass(frozen=True, slots=True)
class Transition:
    """A change to be published. `since_us` is when the breach began: the deadline."""

    fingerprint: str
    incident_id: str
    alert_id: str
    state: AlertState
    deadline_us: int
    at_us: int
    severity: Severity


@dataclass(frozen=True, slots=True)
class Step:
    """What an observation led to. `next_look_us` is the as-of at which time alone can change something; 0: never."""

    machine: Machine
    transitions: tuple[Transition, ...]
    next_look_us: int


def fingerprint(kind: str, subject_kind: str, namespace: str, name: str) -> str:
    """The identity of an alert, readable: kind, subject kind, namespace and name between bars.

    Bars in the namespace are escaped and the name comes last, so two subjects never share one.
    """
    return f"{kind}|{subject_kind}|{namespace.replace('%', '%25').replace('|', '%7C')}|{name}"


def incident_id(fingerprint: str, deadline_us: int, repeat: int = 0) -> str:
    """32 hexadecimal digits that name an incident."""
    text = f"{fingerprint}\0{deadline_us}" + (f"\0{repeat}" if repeat else "")
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def alert_id(incident: str, state: AlertState) -> str:
    """32 hexadecimal digits that name one transition of an incident."""
    return hashlib.blake2b(f"{incident}\0{state.value}".encode(), digest_size=16).hexdigest()


def step(machine: Machine | None, observation: Observation) -> Step:
    """Take one observation. Taking it again changes nothing. None is a machine that has seen nothing."""
    before = machine or Machine()
    o = observation
    if o.at_us < before.seen_us or (o.at_us == before.seen_us and machine and o.finding is Finding.BREACHED):
        return Step(before, (), _next_look(before, o))
    now = msgspec.structs.replace(before, seen_us=o.at_us)
    if o.finding is Finding.HOLD:
        now = msgspec.structs.replace(now, held_us=o.at_us)
        return Step(now, (), _next_look(now, o))
    transitions: list[Transition] = []
    while (state := TRANSITIONS.get((now.state, _signal(now, o)))) is not None and state is not now.state:
        announced = ANNOUNCED.get((now.state, state))
        now = _enter(now, state, o)
        if announced:
            transitions.append(_transition(now, announced, o))
    return Step(now, tuple(transitions), _next_look(now, o))


def encode(machine: Machine) -> bytes:
    """The machine as msgpack: an array, without what is at its default at the end."""
    return msgspec.msgpack.encode(machine)


def decode(data: bytes) -> Machine:
    """The machine back from its bytes. Raises `msgspec.DecodeError` if they are none."""
    return _DECODER.decode(data)


def to_mermaid() -> str:
    """The table as a Mermaid state diagram; what is published stands behind a slash."""
    arrows: dict[tuple[State, State], list[str]] = {}
    for (state, signal), target in TRANSITIONS.items():
        arrows.setdefault((state, target), []).append(signal.value)
    lines = ["stateDiagram-v2", "    [*] --> QUIET"]
    for (state, target), signals in arrows.items():
        announced = ANNOUNCED.get((state, target))
        said = f" / {announced.value}" if announced else ""
        lines.append(f"    {state.name} --> {target.name}: {' or '.join(signals)}{said}")
    return "\n".join(lines) + "\n"


_DECODER: Final = msgspec.msgpack.Decoder(Machine)


def _breach_begun_us(machine: Machine, o: Observation) -> int:
    """From when the for-duration counts: the deadline, or the end of the time in which nobody could judge."""
    return max(o.deadline_us, machine.held_us)


def _signal(machine: Machine, o: Observation) -> Signal:
    if o.finding is Finding.GONE:
        return Signal.GONE
    if o.finding is Finding.BREACHED:
        held = o.at_us - _breach_begun_us(machine, o) >= o.for_us
        return Signal.BREACH_HELD if held else Signal.BREACH
    # "Well for clear_us" is counted in CLEARING only: elsewhere it has just begun.
    well_us = o.at_us - machine.since_us if machine.state is State.CLEARING else 0
    return Signal.OK_HELD if well_us >= o.clear_us else Signal.OK


def _enter(machine: Machine, state: State, o: Observation) -> Machine:
    entered = msgspec.structs.replace(machine, state=state, since_us=o.at_us)
    if (machine.state, state) != (State.PENDING, State.FIRING):
        return entered
    new = o.deadline_us > machine.highest_us
    return msgspec.structs.replace(
        entered,
        deadline_us=o.deadline_us,
        repeat=0 if new else machine.repeat + 1,
        highest_us=max(o.deadline_us, machine.highest_us),
        severity=o.severity,
    )


def _transition(machine: Machine, state: AlertState, o: Observation) -> Transition:
    incident = incident_id(o.fingerprint, machine.deadline_us, machine.repeat)
    said = alert_id(incident, state)
    return Transition(o.fingerprint, incident, said, state, machine.deadline_us, o.at_us, machine.severity)


def _next_look(machine: Machine, o: Observation) -> int:
    if o.at_us < machine.seen_us:
        return machine.seen_us + 1
    if o.finding is Finding.BREACHED and machine.state in (State.QUIET, State.CLEARING):
        return machine.seen_us + 1  # not taken, for as-of stood still
    if o.finding is Finding.BREACHED and machine.state is State.PENDING:
        return max(_breach_begun_us(machine, o) + o.for_us, machine.seen_us + 1)
    if o.finding is Finding.OK:
        ahead = o.deadline_us + 1 if o.deadline_us else 0
        if machine.state is State.CLEARING:
            cleared = machine.since_us + o.clear_us
            return min(cleared, ahead) if ahead else cleared
        return ahead
    return 0
