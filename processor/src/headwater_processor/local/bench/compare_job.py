"""The job that is compared, without any processor: what an event says about freshness and edges, and the clock."""

from __future__ import annotations

import io
import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import fastavro

from headwater_schemas.schema import LINEAGE_EVENT, reader

_FRAME_BYTES: Final = 10
_SCHEMA: Final = reader(LINEAGE_EVENT).parsed


@dataclass(slots=True)
class Job:
    """What a compared process was told, and its figures in the end."""

    bootstrap: str
    topic: str
    count: int
    group: str
    partitions: int
    folder: str
    result: str
    done: int = 0
    began_s: float = 0.0
    began_cpu_s: float = 0.0

    @classmethod
    def told(cls) -> Job:
        """From the command line."""
        return cls(**json.loads(sys.argv[1]))

    def one(self) -> bool:
        """Count an event; whether it was the last that is wanted."""
        if not self.done:
            self.began_s, self.began_cpu_s = time.monotonic(), time.process_time()
        self.done += 1
        return self.done >= self.count

    def end(self) -> None:
        """Leave the figures behind and end at once: what the processor has not written yet is given to it."""
        figures = {
            "events": self.done,
            "wall_seconds": round(time.monotonic() - self.began_s, 3),
            "cpu_seconds": round(time.process_time() - self.began_cpu_s, 3),
            "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }
        Path(self.result).write_text(json.dumps(figures), encoding="utf-8")
        os._exit(0)


def decoded(value: bytes) -> dict[str, Any]:
    """An event of the contract by fastavro."""
    return cast("dict[str, Any]", fastavro.schemaless_reader(io.BytesIO(value[_FRAME_BYTES:]), _SCHEMA, None))


def written(event: dict[str, Any]) -> list[str]:
    """Names of the datasets that the event proves to be written."""
    outputs, shift = event["outputs"], len(event["inputs"])
    if event["event_type"] == "COMPLETE":
        return [_name(use) for use in outputs]
    if event["event_type"] != "RUNNING":
        return []
    proven = {each["dataset"] - shift for each in event["measures"] if each["rows"] > 0}
    return [_name(use) for number, use in enumerate(outputs) if number in proven]


def edges(event: dict[str, Any]) -> Iterator[str]:
    """Names of the edges that the event asserts."""
    job = f"{event['job']['namespace']}:{event['job']['name']}"
    for use in event["inputs"]:
        yield f"{_name(use)}>{job}"
    for use in event["outputs"]:
        yield f"{job}>{_name(use)}"


def _name(use: dict[str, Any]) -> str:
    return f"{use['namespace']}/{use['name']}"
