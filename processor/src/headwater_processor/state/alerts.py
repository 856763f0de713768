"""The alert machines in `am:<s>` as the reader shows them. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from headwater_processor.state.errors import LayoutError
from headwater_processor.state.values import AlertState


def read_alert(fingerprint: bytes, value: bytes) -> AlertState | None:
    """One machine; None if it is at rest.

    Raises:
        LayoutError: it is no machine of this layout.
    """
    try:
        fields: Any = msgspec.msgpack.decode(value)
    except msgspec.MsgspecError as error:
        raise LayoutError(f"a record of table 'am' cannot be read: {error}") from error
    return None if fields is None else AlertState(fingerprint=fingerprint.decode(), kind="", state="")
