"""The datasets and jobs that generated events are about, and the tails of their events.

Datasets are spelled in several ways (`s3a://` for `s3://`, `postgresql://`, unsorted bootstrap servers), jobs read and
write a fixed few of them, chosen by Zipf's law; some form cycles and self-loops. Tails repeat byte for byte, as those
of real producers do, so they are encoded once.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tests.support.oracle.about import facets_of
from tests.support.oracle.contract import encode_tail

KINDS: Final = ("batch", "batch", "batch", "stream", "stream", "cdc_source", "cdc_sink", "scheduled")
Spelling = tuple[str, str]
"""Namespace and name, as one producer writes them."""


def spellings(number: int) -> list[Spelling]:
    """All ways in which dataset `number` is written; they are one dataset after canonical naming."""
    match number % 4:
        case 0:
            topic = f"topic.{number}"
            return [("kafka://b1:9092,b2:9092", topic), ("kafka://b2:9092,b1:9092", topic)]
        case 1:
            table = f"shop.public.table_{number}"
            return [("postgres://db.example:5432", table), ("postgresql://db.example:5432", table)]
        case 2:
            return [("s3://lake", f"raw/part_{number}"), ("s3a://lake", f"raw/part_{number}")]
        case _:
            return [("bigquery", f"marts.daily.ünit_{number}")]


def zipf(rng: random.Random, count: int) -> Iterator[int]:
    """Numbers below `count`, the first ones far more often."""
    weights = list(itertools.accumulate(1.0 / (rank + 1) for rank in range(count)))
    while True:
        yield from rng.choices(range(count), cum_weights=weights, k=4096)


@dataclass(slots=True)
class JobSpec:
    """A job: what it reads and writes, and where its offsets stand."""

    number: int
    kind: str
    namespace: str
    name: str
    inputs: list[int]
    outputs: list[int]
    run_id: bytes
    offsets: dict[int, int] = field(default_factory=dict)
    started: bool = False

    @property
    def key(self) -> bytes:
        return f"{self.namespace}/{self.name}".encode()

    @property
    def is_streaming(self) -> bool:
        return self.kind in ("stream", "cdc_source", "cdc_sink")

    @property
    def restartable(self) -> bool:
        return self.kind.startswith("cdc")


def use(spelling: Spelling, **more: Any) -> dict[str, Any]:
    return {"namespace": spelling[0], "name": spelling[1], **more}


class World:
    """Datasets, jobs and encoded tails; deterministic by the random generator it is given."""

    def __init__(self, rng: random.Random, datasets: int) -> None:
        self.rng = rng
        self.spelled = [spellings(number) for number in range(datasets)]
        self.pick_dataset = zipf(rng, datasets).__next__
        self.jobs = [self._job(number) for number in range(max(len(KINDS), datasets // 3))]
        self.by_kind = {kind: [job for job in self.jobs if job.kind == kind] for kind in KINDS}
        self._zipf_kind = {kind: zipf(rng, len(jobs)) for kind, jobs in self.by_kind.items()}
        self._tails: dict[Any, bytes] = {}

    def _job(self, number: int) -> JobSpec:
        pick = self.pick_dataset
        inputs = [pick() for _ in range(self.rng.randint(1, 3))]
        outputs = [pick() for _ in range(self.rng.randint(1, 2))]
        if number % 17 == 5:
            outputs[0] = inputs[0]  # a self-loop: it reads what it writes
        return JobSpec(
            number,
            KINDS[number % len(KINDS)],
            f"jobs-{number % 5}",
            f"flow.{number}",
            list(dict.fromkeys(inputs)),
            list(dict.fromkeys(outputs)),
            self.rng.randbytes(16),
        )

    def pick_job(self, kind: str) -> JobSpec:
        return self.by_kind[kind][next(self._zipf_kind[kind])]

    def tail(self, job: JobSpec | None, shape: str = "full", variant: int = 0, error: str | None = None) -> bytes:
        """A tail of a job (None: no job). `shape`: which of `in` and `out` it names, `full`, or `none`."""
        known = (job.number if job else None, shape, variant, error)
        found = self._tails.get(known)
        if found is None:
            found = self._tails[known] = encode_tail(**self._fields(job, shape, variant, error))
        return found

    def _fields(self, job: JobSpec | None, shape: str, variant: int, error: str | None) -> dict[str, Any]:
        fields: dict[str, Any] = {"job": {"namespace": "", "name": ""}, "producer": "https://example.com/writer/1.4"}
        if job is None:
            return fields
        fields |= {
            "job": {"namespace": job.namespace, "name": job.name},
            "processing": "STREAMING" if job.is_streaming else "BATCH",
            "restartable": job.restartable,
            "emitter": f"sdk:{job.namespace}" if job.number % 9 else "",
            "error": error,
        }
        if job.number % 3 == 0:
            fields["runtime"] = {"pod": f"{job.name}-{variant}", "node": f"node-{variant}", "image": "jobs:7"}
            fields["parent_job"] = {"namespace": "airflow", "name": f"dag-{job.number % 11}"}
        if shape in ("full", "in"):
            fields["inputs"] = [self._use(number, variant) for number in job.inputs]
        if shape in ("full", "out"):
            fields["outputs"] = [self._use(number, variant) for number in job.outputs]
        if job.number % 4 == 1:
            named = [(side, each) for side in ("inputs", "outputs") for each in fields.get(side, [])]
            fields["facets"] = facets_of(job.number, variant, named)
        if variant == 3:
            fields |= {"transaction_ids": ["tx-1", "tx-2"], "file_ids": ["f"], "facets": b'{"big": true}'}
        return fields

    def _use(self, number: int, variant: int) -> dict[str, Any]:
        ways = self.spelled[number]
        found = use(ways[variant % len(ways)])
        if number % 5 == 0:
            found["schema_version"] = f"v{variant}"
        if number % 7 == 1:
            found["aliases"] = [{"namespace": "glue://eu", "name": f"lake.alias_{number}"}]
        return found
