"""What `headwater top` costs: `python -m tests.support.measure_top [--datasets N] [--rate N] [--seconds S]`.

Fills an embedded Redis and the deltas topic of an embedded broker with an invented domain, each event a proven write of
another dataset (the dearest case: an image of its freshness for every event, and one of a job's runs for every fifth), runs the
command on a terminal of its own, and measures CPU and memory of its process and the bytes that it writes.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import random
import select
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from pathlib import Path

import redis
from confluent_kafka import Producer
from tests.support.state_writer import StateWriter

from headwater_processor.core.judge_settings import when
from headwater_processor.local.bench.process import cpu_s as used_s
from headwater_processor.local.bench.process import rss_bytes
from headwater_processor.local.services import start_broker, start_redis
from headwater_processor.state.layout import DatasetRecord, FreshnessRecord, JudgedRecord
from headwater_schemas.codec import encode_delta
from headwater_schemas.deltas import Aspect, Entity, Freshness, FreshnessState, GraphDelta, Runs, Status
from headwater_schemas.events import Name

_SECOND_US = 1_000_000
_ALLOWED_US = 60 * _SECOND_US
_TICKS = 20
"""Portions in which the images of a second are sent."""
_WARM_UP_S = 6.0
_ROWS, _COLUMNS = 30, 100


def main() -> None:
    """Measure and print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=int, default=10_000)
    parser.add_argument("--rate", type=int, default=5_000, help="events a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        broker = start_broker({"lineage.events": 12, "lineage.deltas": 12, "lineage.alerts": 3})
        server = start_redis(Path(folder))
        try:
            names = [Name("kafka://broker:9092", f"area-{n % 97}.dataset-{n:05d}") for n in range(options.datasets)]
            client = redis.Redis.from_url(server.url)
            fill(client, names)
            halt = threading.Event()
            sender = threading.Thread(target=send, args=(broker.bootstrap, client, names, options.rate, halt))
            sender.start()
            try:
                sys.stdout.write(f"{measure(broker.bootstrap, server.url, options.seconds)}\n")
            finally:
                halt.set()
                sender.join()
        finally:
            server.process.stop()
            broker.process.stop()


def fill(client: redis.Redis, names: list[Name]) -> None:
    """The datasets as a worker leaves them in Redis."""
    now_us = time.time_ns() // 1000
    # Typed by hand: a pipeline takes the writer's commands as a client does.
    pipe = client.pipeline(transaction=False)
    writer = StateWriter(pipe, "default", partitions=12)
    for partition in range(12):
        writer.partition(partition, as_of_us=now_us, next="0", applied="0")
    for name in names:
        writer.dataset(
            name,
            asserted_us=now_us,
            record=DatasetRecord(first_seen_us=now_us),
            fresh=FreshnessRecord(last_write_us=now_us),
            judged=JudgedRecord("FRESH", _reason(now_us), now_us, now_us + _ALLOWED_US, "", 1, "team-load", ()),
        )
    pipe.execute()


def send(bootstrap: str, client: redis.Redis, names: list[Name], rate: int, halt: threading.Event) -> None:
    """The images of `rate` events a second, and the fences of the partitions that go on."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "compression.type": "lz4", "log_level": 0})
    rng, sent, began_s = random.Random(1), 0, time.monotonic()
    while not halt.is_set():
        now_us = time.time_ns() // 1000
        for name in rng.sample(names, rate // _TICKS):
            _produce(producer, _freshness(name, now_us))
            sent += 1
            if sent % 5 == 0:
                _produce(producer, _runs(name, now_us))
            if sent % max(1, 60 * rate // len(names)) == 0:
                _produce(producer, _status(name, now_us))
        for partition in range(12):
            client.hset(f"{{hw:default}}:f:{partition}", "applied", str(sent // 12))
            client.hset("{hw:default}:asof", str(partition), str(now_us))
        producer.poll(0)
        ahead_s = began_s + sent / rate - time.monotonic()
        halt.wait(max(0.0, ahead_s))
    producer.flush(5)


def measure(bootstrap: str, redis_url: str, seconds: float) -> str:
    """Run the command on a terminal, and say what it took."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
    command = [sys.executable, "-m", "headwater.cli", "--kafka", bootstrap, "--redis", redis_url, "top"]
    environment = {**os.environ, "TERM": "xterm-256color"}
    process = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    _read(leader, _WARM_UP_S)
    before_s, began_s = used_s(process.pid), time.monotonic()
    written, last = _read(leader, seconds)
    took_s, cpu_s = time.monotonic() - began_s, used_s(process.pid) - before_s
    memory = rss_bytes(process.pid)
    os.write(leader, b"q")
    _read(leader, 2.0)
    process.wait(10)
    os.close(leader)
    events = last.rpartition(b" events/s")[0].rpartition(b"m")[2].decode(errors="replace").strip()
    return (
        f"{100 * cpu_s / took_s:.1f} % of a core over {took_s:.0f} s, {memory / 2**20:.0f} MiB, "
        f"{written / took_s / 1000:.1f} kB/s to the terminal; it shows {events or '?'} events/s"
    )


def _read(leader: int, seconds: float) -> tuple[int, bytes]:
    """How many bytes came within the time, and the last of them that name a rate."""
    until_s, written, last = time.monotonic() + seconds, 0, b""
    while (left_s := until_s - time.monotonic()) > 0:
        if select.select([leader], [], [], left_s)[0]:
            try:
                found = os.read(leader, 65_536)
            except OSError:
                break
            written += len(found)
            last = found if b" events/s" in found else last
    return written, last


def _produce(producer: Producer, delta: GraphDelta) -> None:
    producer.produce("lineage.deltas", encode_delta(delta), delta.key)


def _reason(at_us: int) -> str:
    return f"last write {when(at_us)}, allowed age 1 min (policy load), so due by {when(at_us + _ALLOWED_US)}"


def _freshness(name: Name, at_us: int) -> GraphDelta:
    fresh = Freshness(at_us, at_us, 0, 0, "load/writer")
    key = f"DATASET|FRESHNESS|{name.namespace}|{name.name}"
    return GraphDelta(
        key, at_us, Entity.DATASET, Aspect.FRESHNESS, True, at_us, bytes(16), bytes(16), name.namespace, name.name,
        freshness=fresh,
    )  # fmt: skip


def _status(name: Name, at_us: int) -> GraphDelta:
    status = Status(
        FreshnessState.FRESH, _reason(at_us), at_us, at_us + _ALLOWED_US, owner="team-load", policy_version=1
    )
    key = f"DATASET|STATUS|{name.namespace}|{name.name}"
    return GraphDelta(
        key, at_us, Entity.DATASET, Aspect.STATUS, True, at_us, None, None, name.namespace, name.name, status=status
    )


def _runs(name: Name, at_us: int) -> GraphDelta:
    runs = Runs(1, "01a20a6c-563c-76bd-b1e3-ecb7c6be0f16", "OPEN", history=bytes(os.urandom(500)) * 4)
    key = f"JOB|RUNS|load|{name.name}"
    return GraphDelta(key, at_us, Entity.JOB, Aspect.RUNS, True, at_us, None, None, "load", name.name, runs=runs)


if __name__ == "__main__":
    main()
