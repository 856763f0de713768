"""The alert machines in `am:<s>` as the reader shows them. Pure."""

from __future__ import annotations

import msgspec

from headwater_processor.core.alerts import State, decode, incident_id
from headwater_processor.state.errors import LayoutError
from headwater_processor.state.values import AlertState
from headwater_schemas.events import Name

_FINGERPRINT_PARTS = 4


def read_alert(fingerprint: bytes, value: bytes) -> AlertState | None:
    """One machine; None if it is quiet.

    Raises:
        LayoutError: it is no machine of this layout.
    """
    text = fingerprint.decode(errors="replace")
    try:
        machine = decode(value)
    except msgspec.MsgspecError as error:
        raise LayoutError(f"the alert machine {text!r} in table 'am' cannot be read: {error}") from error
    if machine.state is State.QUIET:
        return None
    kind, subject_kind, namespace, name = (text.split("|", _FINGERPRINT_PARTS - 1) + [""] * 3)[:_FINGERPRINT_PARTS]
    fired = machine.state in (State.FIRING, State.CLEARING)
    return AlertState(
        fingerprint=text,
        kind=kind,
        state=machine.state.name,
        subject_kind=subject_kind,
        subject=Name(namespace.replace("%7C", "|").replace("%25", "%"), name),
        since_us=machine.since_us,
        deadline_us=machine.deadline_us if fired else 0,
        incident_id=incident_id(text, machine.deadline_us, machine.repeat) if fired else "",
    )
