"""The events as Python values: what a job says, what Headwater answers.

All times are microseconds since the epoch, UTC (`_us`); 0 or -1 stand for "unknown" exactly as in the Avro
schemas beside this file, which are the contract. These classes are for people; the wire is in `codec`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final

NIL_UUID: Final = bytes(16)
"""No run: the nil UUID of RFC 9562, section 5.9."""


class EventType(enum.Enum):
    """Where in its life the run is. The value is the Avro symbol; the order is the Avro index."""

    START = "START"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    FAIL = "FAIL"
    ABORT = "ABORT"
    OTHER = "OTHER"


class Processing(enum.Enum):
    """How the job works: in runs that end, or for ever."""

    UNKNOWN = "UNKNOWN"
    BATCH = "BATCH"
    STREAMING = "STREAMING"


class Completeness(enum.Enum):
    """How much of what happened the producer says."""

    FULL = "FULL"
    SAMPLED = "SAMPLED"
    PARTIAL = "PARTIAL"


class Lifecycle(enum.Enum):
    """What was done to a dataset as a whole (OpenLineage `lifecycleStateChange`)."""

    NONE = "NONE"
    CREATE = "CREATE"
    ALTER = "ALTER"
    OVERWRITE = "OVERWRITE"
    TRUNCATE = "TRUNCATE"
    RENAME = "RENAME"
    DROP = "DROP"


@dataclass(frozen=True, slots=True)
class Name:
    """Namespace and name of a dataset or job, as OpenLineage writes them."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Measure:
    """What was read or written of a dataset, or of one Kafka partition of it. -1 (times: 0) is unknown."""

    partition: int = -1
    first_offset: int = -1
    last_offset: int = -1
    rows: int = -1
    bytes: int = -1
    lag: int = -1
    data_through_us: int = 0


@dataclass(frozen=True, slots=True)
class DatasetUse:
    """One dataset as an event names it: an input or an output, with what was measured of it.

    `lifecycle` and `previous` are carried for outputs only.
    """

    namespace: str
    name: str
    schema_version: str = ""
    aliases: tuple[Name, ...] = ()
    lifecycle: Lifecycle = Lifecycle.NONE
    previous: Name | None = None
    measures: tuple[Measure, ...] = ()


@dataclass(frozen=True, slots=True)
class DirectEdge:
    """Dataset to dataset, stated by the producer (OpenLineage `lineage` and `columnLineage` facets)."""

    source: Name
    target: Name


@dataclass(frozen=True, slots=True)
class Runtime:
    """Where the run lives: a pod, a function or a host. Empty means unknown."""

    pod: str = ""
    pod_uid: str = ""
    k8s_namespace: str = ""
    node: str = ""
    container: str = ""
    image: str = ""
    function: str = ""
    function_version: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True)
class LineageEvent:
    """One event, complete. `event_id` and the run ids are 16 raw bytes (a UUID's `.bytes`)."""

    event_id: bytes
    event_time_us: int
    event_type: EventType
    run_id: bytes = NIL_UUID
    job: Name = field(default_factory=lambda: Name("", ""))
    inputs: tuple[DatasetUse, ...] = ()
    outputs: tuple[DatasetUse, ...] = ()
    edges: tuple[DirectEdge, ...] = ()
    processing: Processing = Processing.UNKNOWN
    restartable: bool = False
    backfill: bool = False
    completeness: Completeness = Completeness.FULL
    emitter: str = ""
    producer: str = ""
    parent_run_id: bytes | None = None
    parent_job: Name | None = None
    root_run_id: bytes | None = None
    root_job: Name | None = None
    trace_id: bytes | None = None
    span_id: bytes | None = None
    nominal_start_us: int = 0
    nominal_end_us: int = 0
    runtime: Runtime | None = None
    transaction_ids: tuple[str, ...] = ()
    file_ids: tuple[str, ...] = ()
    error: str | None = None
    facets: bytes | None = None
