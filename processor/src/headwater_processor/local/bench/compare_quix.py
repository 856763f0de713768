"""The compared job in stock Quix Streams: state in RocksDB with changelog topics, as it is by default.

Its state belongs to the key of a message, which is the job: so a dataset's last write is kept for each job that writes it.
"""

from __future__ import annotations

from typing import Any

from quixstreams import Application

from headwater_processor.local.bench.compare_job import Job, decoded, edges, written


def main() -> None:
    """Run until the events are read."""
    job = Job.told()
    app = Application(
        broker_address=job.bootstrap, consumer_group=job.group, auto_offset_reset="earliest", state_dir=job.folder,
        loglevel="WARNING",
    )  # fmt: skip
    events = app.topic(job.topic, key_deserializer="bytes", value_deserializer="bytes")

    def work(value: bytes, state: Any) -> None:
        event = decoded(value)
        event_id, time_us = event["event_id"].hex(), event["event_time"]
        if not state.exists(event_id):
            state.set(event_id, time_us)
            for name in (*written(event), *edges(event)):
                if time_us > state.get(name, 0):
                    state.set(name, time_us)
        if job.one():
            job.end()

    frame = app.dataframe(events)
    frame.update(work, stateful=True)
    app.run()


if __name__ == "__main__":
    main()
