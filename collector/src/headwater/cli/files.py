"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from headwater.runtime.errors import UsageError

_MODE: Final = 0o666


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file that appears under its name when the block ends well; until then, and after an error or Ctrl-C, what was there is
    left as it was.

    Raises:
        UsageError: it cannot be written there.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(0, "it is a directory")
        handle, unfinished = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(unfinished).chmod(_mode_of(path))
        Path(unfinished).replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            Path(unfinished).unlink()
        if isinstance(error, OSError):
            raise _unwritable(path, error) from error
        raise


def write_text(path: Path, pieces: Iterable[str]) -> None:
    """Write a text file as UTF-8, whole or not at all. Raises as `whole_file`."""
    with whole_file(path) as file:
        for piece in pieces:
            file.write(piece.encode())


def _mode_of(path: Path) -> int:
    """The mode of the file that is replaced, else that of a new file."""
    with contextlib.suppress(OSError):
        return path.stat().st_mode & 0o7777
    mask = os.umask(0)
    os.umask(mask)
    return _MODE & ~mask


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"cannot write {path}: {error.strerror}", remedy="name a file in a folder that can be written to")
