"""The SDK with a spool while real Kafka is away, frozen, slow or without the topic: what was promised is there
afterwards. Longer and with more of everything: `tests/faults/test_sdk_faults.py`."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.outage_job import ALL_IS_WELL_S, emit
from tests.support.outages import (
    Job,
    ids_in,
    new_topic,
    server_of,
    spooling,
    wait_until_empty,
    wait_until_replayed,
)
from tests.support.services import KafkaService

from headwater.transports import spool
from headwater_processor.local.bench.sdk import emit_times_us

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that a test can wait for."""
    monkeypatch.setattr(spool, "_LONGEST_PAUSE_S", 0.5)
    monkeypatch.setattr(spool, "_LOOK_FOR_ORPHANS_S", 0.2)


def test_a_frozen_broker_costs_nothing_and_holds_up_nobody(
    own: KafkaService, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    prefix, topic = new_topic(own)
    with spooling(own, prefix, tmp_path) as emitter:
        ids = emit(emitter, "before", 100)
        assert emitter.flush(20) == 0
        server_of(own).freeze()
        try:
            ids += emit(emitter, "while", 1_000)
            took_us = emit_times_us(emitter, 2_000, rate=2_000)
            assert emitter.flush(20) == 0  # on disk
            assert emitter.stats().spooled > 0
        finally:
            server_of(own).thaw()
        wait_until_replayed(emitter)
        ids += emit(emitter, "after", 100)
        assert emitter.flush(20) == 0
        stats = emitter.stats()
        assert (stats.failed, dict(stats.dropped)) == (0, {})
    found = ids_in(own, topic, set(ids))
    assert set(ids) <= found.keys()
    assert list(tmp_path.iterdir()) == []
    record_property("emit_p99_us", took_us[1_980])
    assert took_us[1_980] < 1_000


def test_threads_of_a_job_do_not_wait_for_a_slow_broker(own: KafkaService, tmp_path: Path) -> None:
    """It answers for a tenth of a second, then nobody for three."""
    prefix, topic = new_topic(own)
    ids: list[str] = []
    slowest_s = [0.0] * 3

    def work(thread: int) -> None:
        for at in range(60):
            began_s = time.perf_counter()
            ids.extend(emit(emitter, f"thread-{thread}-{at}", 10))
            slowest_s[thread] = max(slowest_s[thread], time.perf_counter() - began_s)
            time.sleep(0.02)

    with spooling(own, prefix, tmp_path) as emitter:
        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(3)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            server_of(own).freeze()
            time.sleep(0.3)
            server_of(own).thaw()
            time.sleep(0.1)
        assert emitter.flush(20) == 0
        wait_until_replayed(emitter)
        stats = emitter.stats()
    assert (stats.offered, stats.failed, dict(stats.dropped)) == (1_800, 0, {})
    assert max(slowest_s) < 0.3  # ten events; to wait for the broker but once would be more
    assert set(ids) <= ids_in(own, topic, set(ids)).keys()


def test_events_for_a_topic_that_nobody_has_created_yet_wait_on_disk(own: KafkaService, tmp_path: Path) -> None:
    prefix = f"{own.unique('out')}."
    with spooling(own, prefix, tmp_path) as emitter:
        ids = emit(emitter, "early", 300)
        assert emitter.flush(20) == 0
        assert emitter.stats().spooled == 300
        topic = own.create_topic(f"{prefix}events")
        wait_until_replayed(emitter)
    assert set(ids) <= ids_in(own, topic, set(ids)).keys()


def test_forked_workers_send_each_event_once_while_all_is_well(own: KafkaService, tmp_path: Path) -> None:
    prefix, topic = new_topic(own)
    ids = Job(own, prefix, tmp_path, "fork", patience_s=ALL_IS_WELL_S).promised()
    assert len(ids) == 3 * 200
    assert ids_in(own, topic, ids) == Counter(dict.fromkeys(ids, 1))


def test_in_asyncio_neither_an_outage_nor_a_close_keeps_the_loop(own: KafkaService, tmp_path: Path) -> None:
    prefix, topic = new_topic(own)

    async def job() -> list[str]:
        emitter = spooling(own, prefix, tmp_path)
        late_s, ids = 0.0, []
        server_of(own).freeze()
        for at in range(50):
            began_s = time.monotonic()
            ids += emit(emitter, f"task-{at}", 5)
            await asyncio.sleep(0.01)
            late_s = max(late_s, time.monotonic() - began_s - 0.01)
        server_of(own).thaw()
        await asyncio.to_thread(emitter.close)
        assert late_s < 0.5  # two shared cores: nothing of ours waits, but the machine may
        return ids

    try:
        ids = set(asyncio.run(job()))
    finally:
        server_of(own).thaw()
    with spooling(own, prefix, tmp_path) as heir:  # sends what was left on disk, if anything was
        wait_until_empty(tmp_path)
        assert heir.flush(20) == 0
    assert ids <= ids_in(own, topic, ids).keys()


def test_what_many_processes_promised_while_kafka_was_down_is_there_when_it_is_back(
    own: KafkaService, tmp_path: Path
) -> None:
    prefix, topic = new_topic(own)
    with spooling(own, prefix, tmp_path) as survivor:
        promised = set(emit(survivor, "survivor", 200))
        assert survivor.flush(20) == 0
        server_of(own).kill()
        promised |= set(emit(survivor, "survivor", 200))
        for job in [Job(own, prefix, tmp_path, end) for end in ("close", "exit", "fork", "TERM", "KILL")]:
            promised |= job.promised()
        assert len(promised) == 400 + 200 * (1 + 1 + 3 + 1 + 1)
        assert survivor.flush(20) == 0
        server_of(own).start()
        wait_until_replayed(survivor)
        wait_until_empty(tmp_path)
        stats = survivor.stats()
        assert (stats.failed, dict(stats.dropped)) == (0, {})
        # Of the dead processes every record was sent by one adopter, once.
        assert stats.transport["replayed"] == stats.spooled + len(promised) - 400
    assert promised <= ids_in(own, topic, promised).keys()
