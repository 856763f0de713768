"""A job for the tests of outages: `python -m tests.support.outage_job SERVERS PREFIX SPOOL NAME COUNT END PATIENCE_S`.

Emits COUNT events, waits until each is delivered or on disk, prints their ids, and ends as END says: `close`, `exit`
(`os._exit` at once), `wait` (until a signal comes), `fork` (two children emit as many, each prints its own).
"""

from __future__ import annotations

import os
import sys
import time

from headwater import Emitter, EventType, LineageEvent, Name
from headwater.transports.kafka import KafkaTransport
from headwater.transports.spool import SpoolTransport
from headwater_schemas.ids import new_event_id

PATIENCE_S = 1.0
"""How long Kafka may confirm nothing before it is taken for away, in tests that take it away."""
ALL_IS_WELL_S = 20.0
"""The same where Kafka is there, and only the machine is slow: nothing may go to disk."""


def emit(emitter: Emitter, name: str, count: int) -> list[str]:
    """The ids of the events that were emitted."""
    ids = [new_event_id() for _ in range(count)]
    for event_id in ids:
        emitter.emit(LineageEvent(event_id, 0, EventType.RUNNING, job=Name("shop", name)))
    return [event_id.hex() for event_id in ids]


def say(ids: list[str]) -> None:
    """One write, so that the lines of several processes do not mix."""
    os.write(1, "".join(f"{event_id}\n" for event_id in ids).encode())


def main() -> None:
    """See the module's text."""
    servers, prefix, spool, name, count, end, patience_s = sys.argv[1:]
    transport = SpoolTransport(KafkaTransport(servers, topic_prefix=prefix), spool, patience_s=float(patience_s))
    emitter = Emitter(transport, job=name)
    ids = emit(emitter, name, int(count))
    children = 0
    while end == "fork" and children < 2:
        children += 1
        if os.fork() == 0:
            ids, end = emit(emitter, f"{name}-{children}", int(count)), "child"
    if emitter.flush(20):
        sys.exit("not settled in time")
    say(ids)
    if end == "exit":
        os._exit(0)
    if end == "wait":
        os.write(1, b"ready\n")
        for _ in range(1_200):  # in short steps: Python sees a signal that comes right before a pause only after it
            time.sleep(0.05)
    if end == "fork":
        for _ in range(children):
            os.wait()
    emitter.close()


if __name__ == "__main__":
    main()
