"""Writes events to standard output or standard error, one JSON object a line, in the form of `headwater.eventjson`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final, Self

from headwater.errors import ConfigError, DeliveryError
from headwater.transports.base import Encoded, Settle
from headwater.transports.lines import json_lines

STREAMS: Final = ("stderr", "stdout")


class ConsoleTransport:
    """One line an event. Delivered means: written and flushed.

    Raises:
        ConfigError: the stream is neither `stdout` nor `stderr`.
    """

    def __init__(self, stream: str = "stderr") -> None:
        if stream not in STREAMS:
            raise ConfigError(f"the console has no stream {stream!r}", remedy=f"use one of {', '.join(STREAMS)}")
        self._stream = stream

    def send(self, batch: Sequence[Encoded], settle: Settle) -> int:
        """Write the batch in one go, so that lines of several threads do not mix."""
        lines, written = json_lines(batch, settle)
        stream = getattr(sys, self._stream)  # looked up each time: programs replace it
        try:
            stream.write(lines.decode())
            stream.flush()
        except (OSError, ValueError, AttributeError) as error:  # closed, a broken pipe, or none at all (pythonw)
            settle(len(written), DeliveryError(f"cannot write to {self._stream}: {error}"), written)
        else:
            settle(len(written), None)
        return len(batch)

    def poll(self, timeout_s: float) -> None:
        """Nothing is ever on its way."""

    def flush(self, timeout_s: float) -> int:
        """Nothing is ever on its way."""
        return 0

    def close(self, timeout_s: float) -> None:
        """The stream stays open: it is not ours."""

    def after_fork(self) -> Self:
        """The same stream."""
        return self
