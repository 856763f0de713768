"""The compared job in stock faust-streaming: tables in memory with changelog topics, as they are by default."""

from __future__ import annotations

import logging
from typing import Any

import faust

from headwater_processor.local.bench.compare_job import Job, decoded, edges, written


def main() -> None:
    """Run until the events are read."""
    job = Job.told()
    logging.basicConfig(level="WARNING")  # or nobody would hear why it ended
    app = faust.App(
        job.group, broker=f"kafka://{job.bootstrap}", store="memory://", topic_partitions=job.partitions,
        web_enabled=False, datadir=job.folder, topic_replication_factor=1, consumer_auto_offset_reset="earliest",
    )  # fmt: skip
    seen: Any = app.Table("seen", default=int, partitions=job.partitions)
    last_write: Any = app.Table("last-write", default=int, partitions=job.partitions)
    asserted: Any = app.Table("asserted", default=int, partitions=job.partitions)
    events = app.topic(job.topic, key_serializer="raw", value_serializer="raw", key_type=bytes, value_type=bytes)

    async def work(stream: Any) -> None:
        async for value in stream:
            event = decoded(value)
            event_id, time_us = event["event_id"].hex(), event["event_time"]
            if not seen[event_id]:
                seen[event_id] = time_us
                for name in written(event):
                    if time_us > last_write[name]:
                        last_write[name] = time_us
                for edge in edges(event):
                    if time_us > asserted[edge]:
                        asserted[edge] = time_us
            if job.one():
                job.end()

    app.agent(events)(work)
    faust.Worker(app, loglevel="WARNING", quiet=True, override_logging=False).execute_from_commandline()


if __name__ == "__main__":
    main()
