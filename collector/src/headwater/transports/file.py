"""Appends events to a file, one JSON object a line, in the form of `headwater.eventjson`.

For jobs without a broker at hand and for tests: `headwater emit` sends such a file later, and since event ids travel
with it, sending it twice changes nothing. Several processes may append to one file: each batch is one write of whole
lines to a file opened for appending.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from headwater.errors import ConfigError, Dropped
from headwater.transports.base import Encoded, Settle
from headwater.transports.lines import json_lines

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class FileTransport:
    """Appends to `path`; the folder must exist. Delivered means: handed to the operating system.

    Raises:
        ConfigError: the file cannot be opened for appending.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._torn = False
        try:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise ConfigError(
                f"cannot append lineage events to {self._path}: {error.strerror}",
                remedy="name a writable file in an existing folder",
            ) from error

    def send(self, batch: Sequence[Encoded], settle: Settle) -> int:
        """Append the batch; all of it or, where the disk is full, none that counts (`disk_full`)."""
        lines, written = json_lines(batch, settle)
        try:
            self._append(lines)
        except OSError as error:
            reason = "disk_full" if error.errno in _FULL else "file_failed"
            why = Dropped(
                f"cannot write to {self._path}: {error.strerror}", remedy="make room on the disk", reason=reason
            )
            settle(len(written), why, written)
        else:
            settle(len(written), None)
        return len(batch)

    def after_fork(self) -> Self:
        """The same file: it is open for appending, which processes may share."""
        return self

    def _append(self, lines: bytes) -> None:
        if self._torn:
            lines = b"\n" + lines  # half a line stands at the end: what comes must not be taken for its rest
        done = 0
        try:
            while done < len(lines):
                done += os.write(self._file, lines[done:])
            self._torn = False
        except OSError:
            self._torn = self._torn or done > 0
            raise

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
