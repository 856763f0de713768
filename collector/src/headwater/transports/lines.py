"""A batch as lines of JSON, in the form of `headwater.eventjson`: for the ways out that write text."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.errors import DeliveryError, EventError
from headwater.eventjson import to_json
from headwater.transports.base import Encoded, Settle


def json_lines(batch: Sequence[Encoded], settle: Settle) -> tuple[bytes, list[Encoded]]:
    """The lines, and the events in them; an event that cannot be written is settled as failed."""
    lines, written = [], []
    for encoded in batch:
        try:
            lines.append(to_json(encoded.event) + b"\n")
        except EventError as error:
            settle(1, DeliveryError(error.message, remedy=error.remedy), (encoded,))
        else:
            written.append(encoded)
    return b"".join(lines), written
