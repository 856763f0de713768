"""Appends events to a file, one JSON object a line, in the form of `headwater.eventjson`.

For jobs without a broker at hand and for tests: `headwater emit` sends such a file later, and since event ids travel
with it, sending it twice changes nothing. Several processes may append to one file: each batch is one write of whole
lines to a file opened for appending.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from headwater.errors import ConfigError, DeliveryError
from headwater.eventjson import to_json
from headwater.transports.base import Encoded, Settle


class FileTransport:
    """Appends to `path`; the folder must exist. Delivered means: handed to the operating system.

    Raises:
        ConfigError: the file cannot be opened for appending.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        try:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise ConfigError(
                f"cannot append lineage events to {self._path}: {error.strerror}",
                remedy="name a writable file in an existing folder",
            ) from error

    def send(self, batch: Sequence[Encoded], settle: Settle) -> int:
        """Append the batch; all of it or, where the disk is full, none that counts."""
        lines = b"".join(to_json(encoded.event) + b"\n" for encoded in batch)
        try:
            written = 0
            while written < len(lines):
                written += os.write(self._file, lines[written:])
        except OSError as error:
            raise DeliveryError(
                f"cannot write to {self._path}: {error.strerror}", remedy="make room on the disk", retriable=False
            ) from error
        settle(len(batch), None)
        return len(batch)

    def poll(self, timeout_s: float) -> None:
        """Nothing is ever on its way."""

    def flush(self, timeout_s: float) -> int:
        """Nothing is ever on its way."""
        return 0

    def close(self, timeout_s: float) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
