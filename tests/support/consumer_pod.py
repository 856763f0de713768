"""A pod of a consumer job: `python -m tests.support.consumer_pod SERVERS TOPIC GROUP`.

Reads a topic and writes what it read to a dataset, as a job in production does: at each batch the file, then the commit.
SIGTERM ends it in order. Prints a line when it has nothing left to read.
"""

from __future__ import annotations

import signal
import sys
import threading

import headwater
from headwater.kafka import Consumer, Lineage


def main() -> None:
    """See the module's text."""
    servers, topic, group = sys.argv[1:]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    settings = {
        "bootstrap.servers": servers,
        "group.id": group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "session.timeout.ms": 3_000,
        "heartbeat.interval.ms": 500,
    }
    consumer = Consumer(settings, lineage=Lineage(every_s=0.5))
    consumer.subscribe([topic])
    done = said = 0
    while not stop.is_set():
        batch = [message for message in consumer.consume(100, 0.2) if message.error() is None]
        if batch:
            headwater.current_run().writes("s3://lake", "orders/daily", rows=len(batch))
            consumer.commit(asynchronous=False)
            done += len(batch)
        elif done > said:
            said = done
            print(f"read {done}", flush=True)  # noqa: T201 - the test waits for it
    consumer.close()


if __name__ == "__main__":
    main()
