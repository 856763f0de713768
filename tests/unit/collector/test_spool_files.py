"""The spool's files: what is written is read again, in order; what is damaged is passed over and counted."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.descriptors import no_file_can_be_opened

from headwater.errors import ConfigError, DeliveryError, Dropped
from headwater.spool import records
from headwater.spool.records import Damage, Record, head, packed, scan
from headwater.spool.store import SpoolFolder

_ROOM_ENOUGH = 1024 * 1024


def _file(*values: bytes) -> bytes:
    return head() + b"".join(packed(b"key", value) for value in values)


def _values(data: bytes) -> list[bytes]:
    return [found.value for found in scan(data) if isinstance(found, Record)]


def _reasons(data: bytes) -> list[str]:
    return [found.reason for found in scan(data) if isinstance(found, Damage)]


def test_records_are_read_as_they_were_written() -> None:
    assert _values(_file(b"one", b"", b"three" * 1000)) == [b"one", b"", b"three" * 1000]
    assert _reasons(_file(b"one")) == []
    assert list(scan(b"")) == []
    assert list(scan(head())) == []


@pytest.mark.parametrize("cut", range(1, len(packed(b"key", b"last"))))
def test_a_file_that_ends_in_a_record_loses_that_record_alone(cut: int) -> None:
    data = _file(b"one", b"two", b"last")[:-cut]
    assert _values(data) == [b"one", b"two"]
    assert _reasons(data) == ["cut"]


@pytest.mark.parametrize("at", range(len(packed(b"key", b"two"))))
def test_a_flipped_byte_costs_the_record_that_it_is_in(at: int) -> None:
    data = bytearray(_file(b"one", b"two", b"three"))
    data[len(_file(b"one")) + at] ^= 0x55
    assert _values(bytes(data)) == [b"one", b"three"]
    assert _reasons(bytes(data)) == ["damaged"]


@pytest.mark.parametrize("at", range(records.HEAD_BYTES))
def test_a_damaged_head_costs_no_record(at: int) -> None:
    data = bytearray(_file(b"one", b"two"))
    data[at] ^= 0xFF
    assert _values(bytes(data)) == [b"one", b"two"]


def test_a_record_that_holds_the_mark_of_another_is_one_record() -> None:
    inner = packed(b"k", b"inside")
    assert _values(_file(inner, b"two")) == [inner, b"two"]


def test_noise_is_passed_over() -> None:
    noise = os.urandom(4096)
    assert _values(noise) == []
    assert _values(_file(b"one") + noise + packed(b"key", b"two")) == [b"one", b"two"]


def test_what_is_sent_is_not_read_again() -> None:
    data = bytearray(_file(b"one", b"two"))
    first = next(iter(scan(bytes(data))))
    data[records.SENT_AT : records.HEAD_BYTES] = records.sent_offset(first.end)
    assert _values(bytes(data)) == [b"two"]


def _all(folder: SpoolFolder) -> list[bytes]:
    found = []
    while (room := folder.own() or folder.adopted()) is not None:
        some = room.peek(10)
        found += [record.value for record in some]
        room.sent(len(some)) if some else None
    return found


def _some(begin: int, count: int = 5) -> list[tuple[bytes, bytes]]:
    return [(b"k", b"%d" % at) for at in range(begin, begin + count)]


def test_a_folder_gives_back_in_order_and_is_empty_afterwards(tmp_path: Path) -> None:
    folder = SpoolFolder(tmp_path, max_bytes=_ROOM_ENOUGH)
    for begin in range(0, 50, 5):
        folder.append(_some(begin))
    assert _all(folder) == [b"%d" % at for at in range(50)]
    folder.close()
    assert list(tmp_path.iterdir()) == []


def test_what_a_dead_process_left_is_adopted_by_one_and_no_living_one_is_robbed(tmp_path: Path) -> None:
    dead, living = (SpoolFolder(tmp_path, max_bytes=_ROOM_ENOUGH) for _ in range(2))
    dead.append(_some(0))
    living.append(_some(100))
    dead.forget()  # what the kernel does for a process that was killed
    first, second = (SpoolFolder(tmp_path, max_bytes=_ROOM_ENOUGH) for _ in range(2))
    assert first.adopt()
    assert not second.adopt()
    assert _all(first) == [b"%d" % at for at in range(5)]
    assert first.counts() == {"adopted": 1}
    assert _all(living) == [b"%d" % at for at in range(100, 105)]
    for folder in (first, second, living):
        folder.close()
    assert list(tmp_path.iterdir()) == []


def test_an_adopter_that_dies_half_way_leaves_the_rest_to_the_next(tmp_path: Path) -> None:
    dead = SpoolFolder(tmp_path, max_bytes=_ROOM_ENOUGH)
    dead.append(_some(0))
    dead.forget()
    first = SpoolFolder(tmp_path, max_bytes=_ROOM_ENOUGH)
    assert first.adopt()
    room = first.adopted()
    assert room is not None
    assert len(room.peek(3)) == 3
    room.sent(3)
    first.forget()
    second = SpoolFolder(tmp_path, max_bytes=_ROOM_ENOUGH)
    assert second.adopt()
    assert _all(second) == [b"3", b"4"]


def test_a_damaged_file_of_a_dead_process_is_counted_and_the_rest_of_it_sent(tmp_path: Path) -> None:
    dead = SpoolFolder(tmp_path, max_bytes=_ROOM_ENOUGH)
    dead.append(_some(0))
    dead.forget()
    (file,) = tmp_path.glob("*/*.spool")
    data = bytearray(file.read_bytes())
    data[-1] ^= 0xFF
    file.write_bytes(bytes(data) + b"HWR\x01\x00")
    heir = SpoolFolder(tmp_path, max_bytes=_ROOM_ENOUGH)
    assert heir.adopt()
    assert _all(heir) == [b"0", b"1", b"2", b"3"]
    assert heir.counts() == {"adopted": 1, "damaged": 1}


def test_the_folder_grows_no_further_than_its_bound(tmp_path: Path) -> None:
    folder = SpoolFolder(tmp_path, max_bytes=64 * 1024)
    kept = []

    def fill() -> None:
        for at in range(1000):
            folder.append([(b"k", bytes(1000))])
            kept.append(at)

    with pytest.raises(Dropped) as caught:
        fill()
    assert caught.value.reason == "spool_full"
    assert sum(file.stat().st_size for file in tmp_path.glob("*/*.spool")) <= 64 * 1024
    assert len(_all(folder)) == len(kept) >= 60
    folder.append(_some(0))  # and there is room again


def test_a_room_that_its_process_removes_while_the_folder_is_measured_counts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = SpoolFolder(tmp_path, max_bytes=_ROOM_ENOUGH)
    leaving, look = tmp_path / "leaving", os.scandir
    leaving.mkdir()

    def looks(path: Any) -> Any:
        if path == leaving and leaving.exists():
            leaving.rmdir()  # it was there when the rooms were listed
        return look(path)

    monkeypatch.setattr(os, "scandir", looks)
    folder.append(_some(0))
    assert not leaving.exists()
    assert _all(folder) == [value for _, value in _some(0)]


@contextlib.contextmanager
def small_files() -> Iterator[None]:
    """No file of this process may grow beyond 8 KiB: what a full disk looks like from inside.

    Only while the spool is written: pytest's own output may be such a file.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8 * 1024, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_drops_what_does_not_fit_and_keeps_what_did(tmp_path: Path) -> None:
    folder = SpoolFolder(tmp_path, max_bytes=_ROOM_ENOUGH)
    with small_files():
        for at in range(7):
            folder.append([(b"k", b"%d" % at * 1000)])
        with pytest.raises(Dropped, match="make room") as caught:
            folder.append([(b"k", bytes(8 * 1024))])
        folder.append([(b"k", b"after")])
    assert caught.value.reason == "disk_full"
    assert [value[:1] for value in _all(folder)] == [b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"a"]
    assert folder.counts() == {}


def test_what_cannot_be_read_while_no_file_can_be_opened_is_read_when_one_can(tmp_path: Path) -> None:
    dead = SpoolFolder(tmp_path, max_bytes=_ROOM_ENOUGH)
    dead.append(_some(0))
    dead.forget()
    heir = SpoolFolder(tmp_path, max_bytes=_ROOM_ENOUGH)
    assert heir.adopt()
    room = heir.adopted()
    assert room is not None
    with no_file_can_be_opened(), pytest.raises(DeliveryError, match=os.strerror(errno.EMFILE)):
        room.peek(10)
    assert _all(heir) == [value for _, value in _some(0)]
    assert heir.counts() == {"adopted": 1}


def test_what_cannot_be_kept_while_no_file_can_be_opened_is_dropped_with_the_reason(tmp_path: Path) -> None:
    folder = SpoolFolder(tmp_path, max_bytes=_ROOM_ENOUGH)
    with no_file_can_be_opened(), pytest.raises(Dropped, match="ulimit -n") as caught:
        folder.append(_some(0))
    assert caught.value.reason == "spool_failed"
    folder.append(_some(10))
    with no_file_can_be_opened():
        folder.append(_some(20))  # its file is open
        folder.close()
    heir = SpoolFolder(tmp_path, max_bytes=_ROOM_ENOUGH)
    assert heir.adopt()
    assert _all(heir) == [value for begin in (10, 20) for _, value in _some(begin)]


@pytest.mark.parametrize("but", [0, 1])
def test_what_a_dead_process_left_is_not_lost_on_one_that_can_open_no_file(tmp_path: Path, but: int) -> None:
    dead = SpoolFolder(tmp_path, max_bytes=_ROOM_ENOUGH)
    dead.append(_some(0))
    dead.forget()
    heir = SpoolFolder(tmp_path, max_bytes=_ROOM_ENOUGH)
    with no_file_can_be_opened(but=but):  # one: the lock can be taken, what it guards cannot be looked at
        assert not heir.adopt()
    assert heir.adopt()
    assert _all(heir) == [value for _, value in _some(0)]


def test_a_room_that_cannot_be_made_leaves_nothing_behind(tmp_path: Path) -> None:
    with no_file_can_be_opened(), pytest.raises(ConfigError, match=os.strerror(errno.EMFILE)):
        SpoolFolder(tmp_path, max_bytes=_ROOM_ENOUGH)
    assert list(tmp_path.iterdir()) == []


def test_a_segment_that_cannot_be_read_is_counted_once_and_left_for_the_next_process(tmp_path: Path) -> None:
    dead = SpoolFolder(tmp_path, max_bytes=_ROOM_ENOUGH)
    dead.append(_some(0))
    dead.forget()
    (readable,) = tmp_path.glob("*/*.spool")
    unreadable = readable.with_name("00000000.spool")
    unreadable.mkdir()  # root reads whatever is a file
    heir = SpoolFolder(tmp_path, max_bytes=_ROOM_ENOUGH)
    assert heir.adopt()
    assert _all(heir) == [value for _, value in _some(0)]
    assert not heir.adopt()
    assert heir.counts() == {"adopted": 1, "unreadable": 1}
    heir.close()
    assert unreadable.is_dir()
    assert not readable.exists()
    unreadable.rmdir()
    unreadable.write_bytes(_file(b"mended"))
    next_one = SpoolFolder(tmp_path, max_bytes=_ROOM_ENOUGH)
    assert next_one.adopt()
    assert _all(next_one) == [b"mended"]


def test_a_folder_that_was_removed_is_made_again(tmp_path: Path) -> None:
    folder = SpoolFolder(tmp_path / "spool", max_bytes=100 * _ROOM_ENOUGH)
    folder.append(_some(0))
    for file in sorted((tmp_path / "spool").rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    (tmp_path / "spool").rmdir()

    def fill() -> None:
        for at in range(100):  # the open file takes some more, a new one cannot be made
            folder.append([(b"k", b"%d" % at + bytes(100_000))])

    with pytest.raises(Dropped) as caught:
        fill()
    assert caught.value.reason == "spool_failed"
    folder.append([(b"k", b"again")])
    assert (tmp_path / "spool").is_dir()


def test_a_folder_that_cannot_be_made_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=os.strerror(errno.ENOTDIR)):
        SpoolFolder(tmp_path / "file" / "spool", max_bytes=_ROOM_ENOUGH)
