"""Jobs with a spool while Kafka comes and goes for longer: one end of a process after the other, and a topic that goes."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import pytest
from tests.support.outage_job import emit
from tests.support.outages import (
    Job,
    ids_in,
    new_topic,
    server_of,
    spooling,
    wait_until_empty,
    wait_until_replayed,
)
from tests.support.processes import wait_until
from tests.support.services import KafkaService

from headwater.transports import spool

pytestmark = pytest.mark.timeout(300)

ENDS = ("close", "exit", "fork", "TERM", "KILL")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that a test can wait for."""
    monkeypatch.setattr(spool, "_LONGEST_PAUSE_S", 2.0)
    monkeypatch.setattr(spool, "_LOOK_FOR_ORPHANS_S", 0.5)


def test_what_each_process_of_a_long_outage_promised_is_there(own: KafkaService, tmp_path: Path) -> None:
    """Each ends alone, so that the next one finds what it left, cannot send it either, and leaves both."""
    prefix, topic = new_topic(own)
    server_of(own).kill()
    promised: set[str] = set()
    for end in ENDS * 3:
        promised |= Job(own, prefix, tmp_path, end, count=1_000).promised()
    assert len(promised) == 3 * 1_000 * (1 + 1 + 3 + 1 + 1)
    server_of(own).start()
    with spooling(own, prefix, tmp_path) as heir:
        wait_until_empty(tmp_path)
        assert heir.stats().transport["replayed"] == len(promised)
    assert promised <= ids_in(own, topic, promised).keys()


def test_a_broker_that_comes_and_goes_loses_nothing_of_threads_and_processes(own: KafkaService, tmp_path: Path) -> None:
    prefix, topic = new_topic(own)
    server, chance = server_of(own), random.Random(7)
    over = threading.Event()
    ids: list[str] = []
    slowest_s = [0.0] * 3

    def work(thread: int) -> None:
        while not over.is_set():
            began_s = time.perf_counter()
            ids.extend(emit(emitter, f"thread-{thread}", 10))
            slowest_s[thread] = max(slowest_s[thread], time.perf_counter() - began_s)
            over.wait(0.02)

    with spooling(own, prefix, tmp_path) as emitter:
        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(3)]
        for thread in threads:
            thread.start()
        promised: set[str] = set()
        try:
            for turn in range(6):
                server.kill() if turn % 2 else server.freeze()
                jobs = [Job(own, prefix, tmp_path, end) for end in chance.sample(ENDS, 2)]
                over.wait(chance.uniform(0.5, 4.0))
                server.start() if turn % 2 else server.thaw()
                for job in jobs:
                    promised |= job.promised()
                over.wait(chance.uniform(0.5, 2.0))
        finally:
            over.set()
            for thread in threads:
                thread.join()
        assert emitter.flush(30) == 0
        wait_until_replayed(emitter)
        wait_until_empty(tmp_path)
        stats = emitter.stats()
    assert (stats.offered, stats.failed, dict(stats.dropped)) == (len(ids), 0, {})
    assert max(slowest_s) < 0.5  # ten events, never as long as one outage
    wanted = promised | set(ids)
    assert wanted <= ids_in(own, topic, wanted).keys()


def test_a_topic_that_is_deleted_and_made_again_gets_what_was_emitted_between(
    own: KafkaService, tmp_path: Path
) -> None:
    prefix, topic = new_topic(own)
    with spooling(own, prefix, tmp_path) as emitter:
        emit(emitter, "before", 100)
        assert emitter.flush(20) == 0
        own.delete_topic(topic)
        ids = set(emit(emitter, "between", 500))
        wait_until(lambda: emitter.stats().spooled == 500, within_s=20, what="all on disk")
        own.create_topic(topic)
        wait_until_replayed(emitter)
        assert (emitter.stats().failed, dict(emitter.stats().dropped)) == (0, {})
    assert ids <= ids_in(own, topic, ids).keys()
