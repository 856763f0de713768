"""How much a gateway and a bridge take: `python -m tests.support.measure_gateway BOOTSTRAP [--seconds 5] [--only single]`.

Both run as their own processes before a real Kafka (topics of their own, `acks=all`, a token); the CPU that is told is
theirs, all threads. Documents are of many jobs with a run id and a time of their own; `distinct` ones also say something
unique, so that nothing is remembered of them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, cast
from urllib.parse import urlsplit

import orjson
import uvloop
from confluent_kafka import Consumer, Producer, TopicPartition
from tests.support.doors import Door, run_event
from tests.support.processes import wait_until
from tests.support.services import KafkaService

from headwater.gateway.access import hashed

TOKEN: Final = "hw_measure"  # noqa: S105 - of a gateway that lives for the measurement
JOBS: Final = 2_000
BATCH: Final = 500
_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")


def document(number: int, *, distinct: bool) -> bytes:
    """The document of that number."""
    job = number % JOBS
    event = run_event(
        eventTime=f"2026-03-01T12:{number // 60 % 60:02d}:{number % 60:02d}.{number % 1_000_000:06d}Z",
        run={"runId": str(uuid.uuid4()), "facets": {"at": {"offset": number}} if distinct else {}},
        job={"namespace": "etl", "name": f"job-{job}"},
        outputs=[{"namespace": "s3://lake", "name": f"daily/{job}"}],
    )
    return orjson.dumps(event)


def requests(count: int, per_request: int, *, distinct: bool) -> list[bytes]:
    """Whole requests, to be sent as they are."""
    made = []
    for number in range(count):
        many = [document(number * per_request + at, distinct=distinct) for at in range(per_request)]
        body = many[0] if per_request == 1 else b"[" + b",".join(many) + b"]"
        path = b"/api/v1/lineage" + (b"" if per_request == 1 else b"/batch")
        made.append(
            b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer %b\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (path, TOKEN.encode(), len(body), body)
        )
    return made


@dataclass(slots=True)
class Load:
    """What is sent, until when, and what came back."""

    requests: list[bytes]
    until_s: float
    sent: int = 0
    took_s: list[float] = field(default_factory=list)
    failed: int = 0

    def next(self) -> bytes:
        self.sent += 1
        return self.requests[self.sent % len(self.requests)]


class Client(asyncio.Protocol):
    """One connection with one request at a time."""

    def __init__(self, load: Load, done: asyncio.Future[None]) -> None:
        self._load = load
        self._done = done
        self._began_s = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one, but no subclass
        self._send()

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        self._load.took_s.append(now - self._began_s)
        self._load.failed += not data.startswith((b"HTTP/1.1 200", b"HTTP/1.1 204"))
        if now < self._load.until_s:
            self._send()
        elif self._transport is not None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_result(None)

    def _send(self) -> None:
        self._began_s = time.perf_counter()
        if self._transport is not None:
            self._transport.write(self._load.next())


async def drive(url: str, load: Load, connections: int) -> None:
    """Send on so many connections at once until the time is over."""
    parts, loop = urlsplit(url), asyncio.get_running_loop()
    ends: list[asyncio.Future[None]] = [loop.create_future() for _ in range(connections)]
    for end in ends:
        await loop.create_connection(partial(Client, load, end), parts.hostname or "", parts.port or 0)
    await asyncio.gather(*ends)


def cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(values[11]) + int(values[12])) * _TICK_S


def measure_posts(door: Door, name: str, per_request: int, connections: int, seconds: float, *, distinct: bool) -> None:
    """Post for so long, and print a line."""
    many = requests(20_000 if per_request == 1 else 60, per_request, distinct=distinct)
    uvloop.run(drive(door.url, Load(many, time.perf_counter() + 1), connections))  # warm
    load = Load(many, time.perf_counter() + seconds)
    before_s, began_s = cpu_s(door.pid), time.perf_counter()
    uvloop.run(drive(door.url, load, connections))
    wall_s, used_s = time.perf_counter() - began_s, cpu_s(door.pid) - before_s
    took, events = sorted(load.took_s), len(load.took_s) * per_request
    sys.stdout.write(
        f"{name}: {len(took) / wall_s:.0f} requests/s, {events / wall_s:.0f} events/s, p50 {took[len(took) // 2] * 1e3:.1f} ms,"
        f" p99 {took[len(took) * 99 // 100] * 1e3:.1f} ms, {used_s / events * 1e6:.1f} us of CPU an event"
        f" ({events / used_s:.0f} events/s a core), {load.failed} failed\n"
    )
    sys.stdout.flush()


def measure_bridge(kafka: KafkaService, folder: Path, prefix: str, count: int, *, distinct: bool) -> None:
    """Fill the topic, bridge all of it, and print a line."""
    for role in ("openlineage", "deadletter"):
        kafka.create_topic(f"{prefix}{role}", partitions=4)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "compression.type": "lz4", "linger.ms": 20})
    for number in range(count):
        while True:
            try:
                producer.produce(f"{prefix}openlineage", document(number, distinct=distinct), f"job-{number % JOBS}")
            except BufferError:
                producer.poll(0.1)
            else:
                break
    producer.flush()
    told = ["--kafka", kafka.bootstrap_servers, "--set", f"topic_prefix={prefix}", "--set", "metrics.port=0"]
    with Door(folder, "bridge", *told, "--group", f"{prefix}group") as door:
        began_s, before_s = time.perf_counter(), cpu_s(door.pid)
        wait_until(lambda: _ends(kafka, f"{prefix}events") >= count, within_s=120, what="all events", pause_s=0.2)
        wall_s, used_s = time.perf_counter() - began_s, cpu_s(door.pid) - before_s
    sys.stdout.write(
        f"bridge{' distinct' if distinct else ''}: {count / wall_s:.0f} events/s from its start on,"
        f" {used_s / count * 1e6:.1f} us of CPU an event ({count / used_s:.0f} events/s a core)\n"
    )


def _ends(kafka: KafkaService, topic: str) -> int:
    asking = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": "measure"})
    try:
        return sum(asking.get_watermark_offsets(TopicPartition(topic, part), timeout=20)[1] for part in range(4))
    finally:
        asking.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bootstrap")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--records", type=int, default=200_000, help="for the bridge")
    parser.add_argument("--only", choices=["single", "batch", "bridge"])
    options = parser.parse_args()
    kafka = KafkaService(options.bootstrap, "given")
    folder = Path(tempfile.mkdtemp(prefix="headwater-measure-"))
    tokens = folder / "tokens.yaml"
    tokens.write_text(f"tokens: [{{name: measure, sha256: {hashed(TOKEN)}}}]")
    prefix = kafka.unique("measure") + "."
    kafka.create_topic(f"{prefix}events", partitions=4)
    told = ["--kafka", options.bootstrap, "--set", f"topic_prefix={prefix}", "--port", "0", "--tokens", str(tokens)]
    if options.only != "bridge":
        with Door(folder, "gateway", *told) as door:
            for distinct in (False, True):
                more = " distinct" if distinct else ""
                if options.only != "batch":
                    measure_posts(door, f"single{more}", 1, options.connections, options.seconds, distinct=distinct)
                if options.only != "single":
                    measure_posts(door, f"batches of 500{more}", BATCH, 4, options.seconds, distinct=distinct)
    if options.only in (None, "bridge"):
        for distinct in (False, True):
            own = kafka.unique("bridge") + "."
            kafka.create_topic(f"{own}events", partitions=4)
            measure_bridge(kafka, folder, own, options.records, distinct=distinct)


if __name__ == "__main__":
    main()
