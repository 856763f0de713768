"""A folder with events that could not be sent, shared by any number of processes.

    <folder>/<random name>/lock            held (flock) by the process that writes here, as long as it lives
    <folder>/<random name>/00000001.spool  records, see `records`; at most `segment_bytes` and one record long

Every process has a room of its own, so nobody waits for anybody. A room whose lock can be had belongs to nobody: its
process is dead, and whoever takes the lock first (`adopt`) sends what is in it. The kernel gives the lock back however
a process ends. A room is made under a name that begins with a dot and gets its own name when it is locked, so that
nobody adopts it before.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from headwater.errors import ConfigError, DeliveryError, Dropped
from headwater.spool import records

_LOCK: Final = "lock"
_SUFFIX: Final = ".spool"
_SEGMENT_BYTES: Final = 1024 * 1024
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE})
"""Says nothing of the file: it can be opened as soon as something else is closed."""
_MORE_FILES: Final = "raise the limit of open files: ulimit -n"
_MODE: Final = 0o600
"""Events name datasets and jobs: for the job's own user alone."""


class Room:
    """One process's part of the folder: written at the end, read from the beginning. Not thread-safe.

    Args:
        path: its folder, whose lock is held.
        lock: the descriptor that holds it.
        count: told what was passed over while reading: `cut`, `damaged`, `unreadable`.

    Raises:
        OSError: it cannot be looked at. The lock is still the caller's.
    """

    def __init__(self, path: Path, lock: int, *, segment_bytes: int, count: Callable[[str], None]) -> None:
        self.path = path
        self._lock = lock
        self._segment_bytes = segment_bytes
        self._count = count
        self._segments: deque[Path] = deque(sorted(_segments_in(path)))
        self._next_number = 1 + max((_number(segment) for segment in self._segments), default=0)
        self._writing = -1
        self._written = 0
        self._unsent: deque[records.Record] = deque()
        self._reading: Path | None = None

    def has_records(self) -> bool:
        """Whether something is left to send; what is left of it may turn out to be damaged."""
        return bool(self._unsent or self._segments)

    def append(self, batch: Iterable[bytes], has_room: Callable[[int], bool]) -> None:
        """Write records to the end and sync them.

        Raises:
            Dropped: `disk_full`, `spool_full` (`has_room` said no) or `spool_failed`; none of the batch is kept.
        """
        data = b"".join(batch)
        try:
            if not has_room(len(data)):
                raise Dropped("the spool is full", remedy="raise HEADWATER_SPOOL_BYTES", reason="spool_full")
            self._append(data)
        except OSError as error:
            self._cut_back()
            raise _dropped(error, self.path.parent) from error

    def peek(self, most: int) -> list[records.Record]:
        """The oldest records that are not sent, at most so many; fewer at the end of a segment. A segment that cannot be read
        is left on disk, for the next process.

        Raises:
            DeliveryError: nothing can be read now, for too many files are open; nothing is lost by it.
        """
        while not self._unsent and self._segments:
            if not self._read(self._segments[0]):
                self._segments.popleft()
            elif not self._unsent:
                self._drop_segment()
        return [self._unsent[at] for at in range(min(most, len(self._unsent)))]

    def sent(self, count: int) -> None:
        """The oldest so many records are sent: never read again, unless the machine dies before the mark is on disk."""
        end = 0
        for _ in range(count):
            end = self._unsent.popleft().end
        if not self._unsent:
            self._drop_segment()
        elif self._reading is not None:
            with contextlib.suppress(OSError), self._reading.open("r+b") as file:  # a repetition is a duplicate
                file.seek(records.SENT_AT)
                file.write(records.sent_offset(end))

    def close(self) -> None:
        """Let go: what is left is for whoever comes next; an empty room is removed."""
        self._stop_writing()
        if self.is_empty():
            shutil.rmtree(self.path, ignore_errors=True)
        self.forget()

    def is_empty(self) -> bool:
        """Whether nothing is left on disk, as far as one can look: neither something to send nor what could not be read."""
        try:
            return not self.has_records() and not _segments_in(self.path)
        except OSError:
            return False

    def forget(self) -> None:
        """Close the descriptors and nothing else: in a forked child, whose parent has them too and keeps the lock."""
        for descriptor in (self._writing, self._lock):
            if descriptor >= 0:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        self._writing = self._lock = -1

    def _append(self, data: bytes) -> None:
        if self._writing >= 0 and self._written + len(data) > self._segment_bytes:
            self._stop_writing()
        if self._writing < 0:
            self._begin_segment()
        _write_all(self._writing, data, self._written)
        os.fsync(self._writing)
        self._written += len(data)

    def _begin_segment(self) -> None:
        path = self.path / f"{self._next_number:08d}{_SUFFIX}"
        self._next_number += 1
        self._writing = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        self._segments.append(path)
        self._written = 0
        _write_all(self._writing, records.head(), 0)
        self._written = records.HEAD_BYTES
        _sync_folder(self.path)

    def _stop_writing(self) -> None:
        if self._writing >= 0:
            with contextlib.suppress(OSError):
                os.close(self._writing)
            self._writing = -1

    def _cut_back(self) -> None:
        """After a failed write: what may be there of it must not be read later, it is counted as dropped."""
        if self._writing >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(self._writing, self._written)
            # After a failed sync nobody knows what is on disk: go on in a new segment.
            self._stop_writing()
            if self._written <= records.HEAD_BYTES:
                with contextlib.suppress(OSError):
                    self._segments.pop().unlink()

    def _read(self, segment: Path) -> bool:
        if self._writing >= 0 and segment == self._segments[-1]:
            self._stop_writing()  # what comes now goes into a new segment, so that this one can be removed when sent
        try:
            data = segment.read_bytes()
        except OSError as error:
            if error.errno in _EXHAUSTED:
                why = f"the spool {self.path.parent} cannot be read now: {error.strerror}"
                raise DeliveryError(why, remedy=_MORE_FILES, retriable=True) from error
            self._count("unreadable")
            return False
        self._reading = segment
        for found in records.scan(data):
            if isinstance(found, records.Damage):
                self._count(found.reason)
            else:
                self._unsent.append(found)
        return True

    def _drop_segment(self) -> None:
        segment = self._segments.popleft()
        self._reading = None
        with contextlib.suppress(OSError):
            segment.unlink()


class SpoolFolder:
    """The folder as one process sees it: its own room, and those that it has adopted. Not thread-safe.

    Args:
        path: made if it is not there.
        max_bytes: of all rooms together. Processes that write at the same time may exceed it together by a segment
            each: 1 MiB, or an eighth of the bound if that is less.

    Raises:
        ConfigError: the folder cannot be made or written to, or the system has no `flock`.
    """

    def __init__(self, path: str | Path, *, max_bytes: int) -> None:
        self.path = Path(path)
        self._max_bytes = max_bytes
        self._segment_bytes = max(4096, min(_SEGMENT_BYTES, max_bytes // 8))
        self._counts: Counter[str] = Counter()
        self._allowed = 0
        self._adopted: list[Room] = []
        self._left: set[Path] = set()
        """Rooms of dead processes in which is only what we cannot read: for another process, with other rights."""
        self._own: Room | None = None
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._own = self._new_room()
        except (OSError, ImportError) as error:
            why = error.strerror if isinstance(error, OSError) else "this system has no flock"
            raise ConfigError(
                f"cannot spool lineage events in {self.path}: {why}",
                remedy="name a folder that the job may write to, on a local disk",
            ) from error

    def counts(self) -> dict[str, int]:
        """What was passed over (`cut`, `damaged`, `unreadable`), and `adopted`: rooms of dead processes taken over."""
        return dict(self._counts)

    def append(self, batch: Sequence[tuple[bytes, bytes]], *, moved: bool = False) -> None:
        """Keep keys and values, synced to disk. `moved`: they are here already, so no bound is asked.

        Raises:
            Dropped: none of them is kept; `reason` says why.
        """
        if self._own is None:
            try:
                self._own = self._new_room()
            except OSError as error:
                raise _dropped(error, self.path) from error
        try:
            has_room = (lambda _: True) if moved else self._has_room
            self._own.append((records.packed(key, value) for key, value in batch), has_room)
        except Dropped as error:
            if error.reason == "spool_failed" and not self._own.path.exists():
                self._own.forget()  # somebody removed it; the next batch gets a new one
                self._own = None
            raise

    def own(self) -> Room | None:
        """The own room, if something is in it."""
        return self._own if self._own is not None and self._own.has_records() else None

    def adopted(self) -> Room | None:
        """An adopted room in which something is left. Empty ones are removed."""
        while self._adopted:
            if self._adopted[0].has_records():
                return self._adopted[0]
            room = self._adopted.pop(0)
            if not room.is_empty():
                self._left.add(room.path)
            room.close()
        return None

    def adopt(self) -> bool:
        """Take over one room whose process is dead, if there is one."""
        for path in self._rooms():
            if path in self._left or (self._own is not None and path == self._own.path):
                continue
            lock = _locked(path / _LOCK)
            if lock < 0:
                continue
            try:
                room = self._room(path, lock)
            except OSError:
                os.close(lock)  # another time
                continue
            self._adopted.append(room)
            if room.has_records():
                self._counts["adopted"] += 1
                return True
        return False

    def close(self) -> None:
        """Let go of every room."""
        for room in (*self._adopted, *((self._own,) if self._own is not None else ())):
            room.close()
        self._adopted, self._own = [], None

    def forget(self) -> None:
        """In a forked child: close the descriptors that are the parent's."""
        for room in (*self._adopted, *((self._own,) if self._own is not None else ())):
            room.forget()

    def _rooms(self) -> list[Path]:
        try:
            return sorted(entry for entry in self.path.iterdir() if not entry.name.startswith(".") and entry.is_dir())
        except OSError:
            return []

    def _new_room(self) -> Room:
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = uuid.uuid4().hex
        unfinished, path = self.path / f".{name}", self.path / name
        lock = -1
        try:
            unfinished.mkdir(mode=0o700)
            (unfinished / _LOCK).touch(_MODE)
            lock = _locked(unfinished / _LOCK)
            if lock < 0:
                raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
            unfinished.rename(path)
            _sync_folder(self.path)
            return self._room(path, lock)
        except OSError:
            for made in (unfinished, path):
                with contextlib.suppress(OSError):  # by calls that open nothing, for that may be what cannot be done
                    (made / _LOCK).unlink(missing_ok=True)
                    made.rmdir()
            if lock >= 0:
                os.close(lock)
            raise

    def _room(self, path: Path, lock: int) -> Room:
        return Room(path, lock, segment_bytes=self._segment_bytes, count=self._note)

    def _note(self, reason: str) -> None:
        self._counts[reason] += 1

    def _has_room(self, size: int) -> bool:
        """Whether so many bytes more are within the bound; the folder is measured once a segment, not once a batch."""
        if self._allowed < size:
            used = sum(_size(segment) for room in self._rooms() for segment in _segments_in(room))
            if used + size > self._max_bytes:
                return False
            self._allowed = max(size, min(self._max_bytes - used, self._segment_bytes))
        self._allowed -= size
        return True


def _dropped(error: OSError, folder: Path) -> Dropped:
    """What an error of the system means for what was to be kept."""
    reason, remedy = "spool_failed", "make it writable"
    if error.errno in _FULL:
        reason, remedy = "disk_full", "make room on the disk"
    elif error.errno in _EXHAUSTED:
        remedy = _MORE_FILES
    return Dropped(f"cannot write to the spool {folder}: {error.strerror}", remedy=remedy, reason=reason)


def _number(segment: Path) -> int:
    return int(segment.stem) if segment.stem.isascii() and segment.stem.isdigit() else 0


def _segments_in(room: Path) -> list[Path]:
    try:
        return list(room.glob(f"*{_SUFFIX}"))
    except FileNotFoundError:
        return []  # emptied and removed by its owner between two looks; pathlib only forgives a room that was never there


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # sent and removed by its owner meanwhile


def _locked(path: Path) -> int:
    """A descriptor that holds the lock of this file, or -1: somebody has it, or the file is gone."""
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return -1
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink:
            return descriptor  # else: its owner has sent everything and removed it while we were looking
    except OSError:
        pass
    os.close(descriptor)
    return -1


def _write_all(descriptor: int, data: bytes, at: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], at + done)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
