"""Batches of the planner by hand, and their calls unpacked: shared by tests of what is written and what is left out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from headwater_processor.core.batch import Batch
from headwater_processor.core.decode import TYPE_CODES, Extras, MeasureRow
from headwater_processor.core.knowledge import Knowledge
from headwater_processor.core.lattice import FR
from headwater_processor.core.pack import unpack
from headwater_processor.core.plan_values import Rules
from headwater_processor.core.runs import Run, decode_run
from headwater_processor.core.template import Template
from headwater_processor.engine.images import parse_names
from headwater_schemas.codec import to_record
from headwater_schemas.events import DatasetUse, EventType, Lifecycle, LineageEvent, Name
from headwater_schemas.ids import dataset_key, edge_key, emitter_key, job_key

T: Final = 1_740_787_200_000_000
MINUTE_US: Final = 60_000_000
DAY_US: Final = 86_400_000_000
SHARDS: Final = 4
TOKEN: Final = b"thiscall"
NIL: Final = bytes(16)
RUN: Final = bytes(15) + b"\x01"
ORDERS, DAILY = Name("kafka://b1:9092", "orders"), Name("kafka://b1:9092", "daily")
IN, OUT = dataset_key(ORDERS), dataset_key(DAILY)
FLOW = job_key(Name("jobs", "flow"))
SDK = emitter_key("sdk")
READS, WRITES = edge_key(b"r", IN, FLOW), edge_key(b"w", FLOW, OUT)
PARTS: Final = (
    "names", "ds", "dz", "sv", "mv", "fr", "job", "jz", "edge", "ez", "ax", "mz", "ex", "al", "wp", "cad", "runs",
    "ro_add", "ro_rem", "closed", "outbox", "gone", "about",
)  # fmt: skip


def template(**fields: Any) -> Template:
    event = LineageEvent(
        NIL,
        1,
        EventType.OTHER,
        job=Name("jobs", "flow"),
        inputs=(DatasetUse(ORDERS.namespace, ORDERS.name),),
        outputs=(DatasetUse(DAILY.namespace, DAILY.name),),
        emitter="sdk",
    )
    return Template(to_record(replace(event, **fields)))


def output(lifecycle: Lifecycle, previous: Name | None = None) -> tuple[DatasetUse, ...]:
    return (DatasetUse(DAILY.namespace, DAILY.name, lifecycle=lifecycle, previous=previous),)


def measure(
    dataset: int,
    *,
    partition: int = 0,
    first: int = -1,
    last: int = -1,
    rows: int = -1,
    lag: int = -1,
    through: int = 0,
) -> MeasureRow:
    return (dataset, partition, first, last, rows, -1, lag, through)


class Gathered:
    """One batch with a memory: `add` events, `call` it, and look at the parts."""

    def __init__(self, knowledge: Knowledge | None = None, partition: int = 2) -> None:
        self.knowledge = knowledge or Knowledge()
        self.batch = Batch(partition, Rules(shards=SHARDS), self.knowledge, TOKEN)

    def add(
        self,
        kind: str,
        of: Template,
        c: int = T,
        *,
        number: int = 1,
        run_id: bytes = NIL,
        measures: tuple[MeasureRow, ...] = (),
        nominal_end: int = 0,
        parent: bytes = b"",
        undeduped: bool = False,
    ) -> Gathered:
        extras = Extras(measures, nominal_end, parent) if measures or nominal_end or parent else None
        event_id = number.to_bytes(16, "big")
        self.batch.add(c, TYPE_CODES[kind], event_id, run_id, of, extras, c + 1, undeduped)
        return self

    def call(self) -> dict[str, Any]:
        (blob,) = self.batch.blobs()
        parts = dict(zip(PARTS, unpack(blob), strict=True))
        for name in ("names", "ds", "sv", "mv", "fr", "job", "edge", "al", "gone", "about"):
            flat = parts[name]
            assert len(set(flat[::2])) == len(flat[::2]), f"{name} names something twice"
            parts[name] = dict(zip(flat[::2], flat[1::2], strict=True))
        for name in ("dz", "jz", "ez", "mz"):
            flat = parts[name]
            parts[name] = dict(zip(flat[1::2], map(int, flat[::2]), strict=True))
        boxes = dict(zip(parts["outbox"][::2], parts["outbox"][1::2], strict=True))
        parts["outbox"] = {shard: set(parse_names(entry)) for shard, entry in boxes.items()}
        parts["runs"] = {
            key: (token, decode_run(value[8:]), bool(closed))
            for key, token, value, closed, _shard in zip(*(iter(parts["runs"]),) * 5, strict=True)
        }
        return parts

    def run(self) -> Run:
        """The one run of the call."""
        ((_, run, _),) = self.call()["runs"].values()
        assert isinstance(run, Run)
        return run


def fresh(parts: dict[str, Any], key: bytes = OUT) -> tuple[float, ...]:
    return FR.unpack_from(parts["fr"][key]) if key in parts["fr"] else (0, 0, 0, 0)
