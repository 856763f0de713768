"""Events of one job that reads one dataset and writes another, and calls of a worker that plans them."""

from __future__ import annotations

from typing import Any

from tests.support.driving import Said, Worker, dump

from headwater_processor.ports import Applied, Call, Refusal
from headwater_schemas.events import DatasetUse, EventType, Lifecycle, LineageEvent, Name

T = 1_740_787_200_000_000
SECOND_US, HOUR_US = 1_000_000, 3_600_000_000
SHARDS = 4
JOB = Name("jobs", "flow")
DOMAIN = "contract"


def said(
    number: int,
    kind: EventType = EventType.RUNNING,
    *,
    at_us: int = T,
    run: int = 1,
    reads: str = "orders",
    writes: str = "daily",
    lifecycle: Lifecycle = Lifecycle.NONE,
    job: Name = JOB,
    restartable: bool = False,
) -> Said:
    event = LineageEvent(
        event_id=number.to_bytes(16, "big"),
        event_time_us=at_us,
        event_type=kind,
        run_id=run.to_bytes(16, "big"),
        job=job,
        inputs=(DatasetUse("kafka://b1:9092", reads),) if reads else (),
        outputs=(DatasetUse("kafka://b1:9092", writes, lifecycle=lifecycle),) if writes else (),
        emitter="sdk",
        restartable=restartable,
    )
    return Said(event, at_us + SECOND_US)


def outcome(worker: Worker, call: Call) -> Applied | Refusal:
    worker.store.send([call])
    return worker.receive([call])[0]


def after(worker: Worker) -> dict[bytes, Any]:
    return dump(worker.client, DOMAIN)
