"""The gateway's spool on its loop: who asks for something to be kept gets an answer, whatever the disk does."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.support.descriptors import no_file_can_be_opened

from headwater.errors import DeliveryError
from headwater.gateway.durable import Durable
from headwater.gateway.spooling import Spool
from headwater.openlineage.records import Record
from headwater.spool.store import SpoolFolder

RECORD = Record(b"key", b"value", "")


def keep_each(folder: Path, records: list[Record]) -> list[DeliveryError | None]:
    """What a spool says that sends nothing on; the first is kept, or not, while no file can be opened."""

    async def kept() -> list[DeliveryError | None]:
        durable = Durable({"bootstrap.servers": "127.0.0.1:1"}, "events", pending_bytes=1000)
        spool = Spool(str(folder), max_bytes=1_000_000, durable=durable)
        with no_file_can_be_opened():
            found = [await asyncio.wait_for(spool.keep(records[0]), 20)]
        found += [await asyncio.wait_for(spool.keep(record), 20) for record in records[1:]]
        await spool.close()
        await durable.close(0)
        return found

    return asyncio.run(kept())


def test_while_no_file_can_be_opened_the_answer_is_why_and_afterwards_all_is_well(tmp_path: Path) -> None:
    refused, *kept = keep_each(tmp_path, [RECORD] * 3)
    assert refused is not None
    assert (refused.reason, refused.remedy) == ("spool_failed", "raise the limit of open files: ulimit -n")
    assert kept == [None, None]
    heir = SpoolFolder(tmp_path, max_bytes=1_000_000)
    assert heir.adopt()
    room = heir.adopted()
    assert room is not None
    assert [record.value for record in room.peek(10)] == [b"value"] * 2


def test_a_bug_of_the_spool_leaves_nobody_without_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(SpoolFolder, "append", bug)
        (refused,) = keep_each(tmp_path, [RECORD])
    assert refused is not None
    assert refused.reason == "internal"
