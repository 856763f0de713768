"""The SDK with a spool while real Kafka is away, frozen, or refuses to write: what was promised is there afterwards."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer
from tests.support.outage_job import emit
from tests.support.processes import wait_until
from tests.support.services import KafkaServer, KafkaService

from headwater import Emitter
from headwater.transports import spool
from headwater.transports.base import Encoded
from headwater.transports.kafka import KafkaTransport
from headwater.transports.spool import SpoolTransport
from headwater_processor.local.bench.sdk import emit_times_us

pytestmark = pytest.mark.timeout(180)

_PATIENCE_S = 1.0


@pytest.fixture(scope="module")
def own(kafka: KafkaService) -> Iterator[KafkaService]:
    """A Kafka that these tests may hurt; asked for after `kafka`, so that they are skipped where there is none."""
    try:
        server = KafkaServer()
        server.start()
    except RuntimeError as error:
        pytest.skip(f"needs a Kafka of its own: {error}")
    yield KafkaService(server.bootstrap_servers, "own", server=server)
    server.close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that a test can wait for."""
    monkeypatch.setattr(spool, "_LONGEST_PAUSE_S", 0.5)
    monkeypatch.setattr(spool, "_LOOK_FOR_ORPHANS_S", 0.5)


def _server(own: KafkaService) -> KafkaServer:
    assert own.server is not None
    return own.server


def _ids(own: KafkaService, topic: str, wanted: set[str], within_s: float = 30) -> Counter[str]:
    """How often each event id is in the topic, once all that are wanted are there, or the time is over."""
    settings = {"bootstrap.servers": own.bootstrap_servers, "group.id": own.unique("g"), "log_level": 0}
    found: Counter[str] = Counter()
    with Consumer(settings | {"auto.offset.reset": "earliest"}) as consumer:
        consumer.subscribe([topic])
        deadline = time.monotonic() + within_s
        while wanted - found.keys() and time.monotonic() < deadline:
            for message in consumer.consume(1_000, 0.5):
                value = message.value()
                if message.error() is None and isinstance(value, bytes):
                    found[Encoded(b"", value).event.event_id.hex()] += 1
    return found


def _topic(own: KafkaService) -> tuple[str, str]:
    prefix = f"{own.unique('out')}."
    return prefix, own.create_topic(f"{prefix}events")


def _emitter(own: KafkaService, prefix: str, folder: Path) -> Emitter:
    kafka = KafkaTransport(own.bootstrap_servers, topic_prefix=prefix)
    return Emitter(SpoolTransport(kafka, folder, patience_s=_PATIENCE_S), job="orders")


def _replayed(emitter: Emitter) -> None:
    def nothing_left() -> bool:
        stats = emitter.stats()
        return stats.transport.get("replayed", 0) >= stats.spooled

    wait_until(nothing_left, within_s=60, what="the replay")


def test_a_frozen_broker_costs_nothing_and_holds_up_nobody(
    own: KafkaService, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    prefix, topic = _topic(own)
    with _emitter(own, prefix, tmp_path) as emitter:
        ids = emit(emitter, "before", 500)
        assert emitter.flush(20) == 0
        _server(own).freeze()
        try:
            ids += emit(emitter, "while", 2_000)
            took_us = emit_times_us(emitter, 5_000, rate=5_000)
            assert emitter.flush(20) == 0  # on disk
            assert emitter.stats().spooled > 0
        finally:
            _server(own).thaw()
        _replayed(emitter)
        ids += emit(emitter, "after", 100)
        assert emitter.flush(20) == 0
        stats = emitter.stats()
        assert (stats.failed, dict(stats.dropped)) == (0, {})
    found = _ids(own, topic, set(ids))
    assert set(ids) <= found.keys()
    assert list(tmp_path.iterdir()) == []
    record_property("emit_p99_us", took_us[4_950])
    assert took_us[4_950] < 1_000


def test_events_for_a_topic_that_nobody_has_created_yet_wait_on_disk(own: KafkaService, tmp_path: Path) -> None:
    prefix = f"{own.unique('out')}."
    with _emitter(own, prefix, tmp_path) as emitter:
        ids = emit(emitter, "early", 300)
        assert emitter.flush(20) == 0
        assert emitter.stats().spooled == 300
        topic = own.create_topic(f"{prefix}events")
        _replayed(emitter)
    assert set(ids) <= _ids(own, topic, set(ids)).keys()


def test_forked_workers_send_each_event_once_while_all_is_well(own: KafkaService, tmp_path: Path) -> None:
    prefix, topic = _topic(own)
    done = subprocess.run(_job(own, prefix, tmp_path, "well", "fork"), capture_output=True, text=True, check=True)
    ids = set(done.stdout.split())
    assert len(ids) == 3 * 200
    assert _ids(own, topic, ids) == Counter(dict.fromkeys(ids, 1))


def test_in_asyncio_neither_an_outage_nor_a_close_keeps_the_loop(own: KafkaService, tmp_path: Path) -> None:
    prefix, topic = _topic(own)

    async def job() -> list[str]:
        emitter = _emitter(own, prefix, tmp_path)
        late_s, ids = 0.0, []
        _server(own).freeze()
        for at in range(100):
            began_s = time.monotonic()
            ids += emit(emitter, f"task-{at}", 5)
            await asyncio.sleep(0.01)
            late_s = max(late_s, time.monotonic() - began_s - 0.01)
        _server(own).thaw()
        await asyncio.to_thread(emitter.close)
        assert late_s < 0.5  # two shared cores: nothing of ours waits, but the machine may
        return ids

    try:
        ids = set(asyncio.run(job()))
    finally:
        _server(own).thaw()
    with _emitter(own, prefix, tmp_path) as heir:  # sends what was left on disk, if anything was
        wait_until(lambda: not list(tmp_path.glob("*/*.spool")), within_s=30, what="an empty spool")
        assert heir.flush(20) == 0
    assert ids <= _ids(own, topic, ids).keys()


def test_what_many_processes_promised_while_kafka_was_down_is_there_when_it_is_back(
    own: KafkaService, tmp_path: Path
) -> None:
    prefix, topic = _topic(own)
    with _emitter(own, prefix, tmp_path) as survivor:
        promised = set(emit(survivor, "survivor", 200))
        assert survivor.flush(20) == 0
        _server(own).kill()
        promised |= set(emit(survivor, "survivor", 200))
        for end in ("close", "exit", "fork"):
            done = subprocess.run(_job(own, prefix, tmp_path, end, end), capture_output=True, text=True, check=True)
            promised |= set(done.stdout.split())
        for how in (signal.SIGTERM, signal.SIGKILL):
            promised |= _ended_by(how, _job(own, prefix, tmp_path, how.name, "wait"))
        assert len(promised) == 400 + 200 * (1 + 1 + 3 + 1 + 1)
        assert survivor.flush(20) == 0
        _server(own).start()
        _replayed(survivor)
        wait_until(lambda: not list(tmp_path.glob("*/*.spool")), within_s=60, what="an empty spool")
        stats = survivor.stats()
        assert (stats.failed, dict(stats.dropped)) == (0, {})
        # Of the dead processes every record was sent by one adopter, once.
        assert stats.transport["replayed"] == stats.spooled + len(promised) - 400
    assert promised <= _ids(own, topic, promised).keys()


def _job(own: KafkaService, prefix: str, folder: Path, name: str, end: str) -> list[str]:
    module = "tests.support.outage_job"
    return [sys.executable, "-m", module, own.bootstrap_servers, prefix, str(folder), name, "200", end]


def _ended_by(how: signal.Signals, command: list[str]) -> set[str]:
    """What the job had promised when it was told, or made, to end."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    ids = set()
    while (line := process.stdout.readline().strip()) not in {"", "ready"}:
        ids.add(line)
    began_s = time.monotonic()
    process.send_signal(how)
    process.communicate(timeout=20)
    assert process.returncode == -how
    assert time.monotonic() - began_s < 6
    return ids
