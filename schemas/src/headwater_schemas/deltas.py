"""Images of the graph as they go to `lineage.deltas`: plain values; the wire is in `codec`.

They mirror `avro/graph_delta.v1.avsc` field by field. Times are microseconds since the epoch, UTC; 0 is unknown.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Entity(enum.Enum):
    """What an image is of."""

    DATASET = "DATASET"
    JOB = "JOB"
    EDGE = "EDGE"
    ALIAS = "ALIAS"


class Aspect(enum.Enum):
    """Which side of the entity the image shows."""

    CORE = "CORE"
    FRESHNESS = "FRESHNESS"
    STATUS = "STATUS"
    RUNS = "RUNS"
    ABOUT = "ABOUT"


class EdgeKind(enum.Enum):
    """READS: dataset to job. WRITES: job to dataset. DERIVES: dataset to dataset, stated by a producer."""

    NONE = "NONE"
    READS = "READS"
    WRITES = "WRITES"
    DERIVES = "DERIVES"


class FreshnessState(enum.Enum):
    """What was judged of a dataset's freshness."""

    UNKNOWN = "UNKNOWN"
    FRESH = "FRESH"
    LATE = "LATE"
    STALE = "STALE"
    RECOVERED = "RECOVERED"
    IDLE = "IDLE"
    NO_DATA = "NO_DATA"


@dataclass(frozen=True, slots=True)
class DatasetCore:
    """What is known of a dataset as such."""

    first_read_us: int = 0
    first_written_us: int = 0
    retracted_at_us: int = 0
    truncated_at_us: int = 0
    first_touched_by: str = ""
    schema_version: str = ""
    renamed_to: str = ""


@dataclass(frozen=True, slots=True)
class Freshness:
    """When a dataset was last proven to be written, and how far its data reaches."""

    last_write_us: int = 0
    data_through_us: int = 0
    last_failure_us: int = 0
    idle_through_us: int = 0
    written_by: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """What was judged: freshness, looseness, and by which policy. `deadline_us` 0: never breaches.

    `unlinked` is a loose end: something is missing. `kind` is what a dataset is whose other side is rightly not known:
    `source` (nobody known writes it) or `leaf` (nobody known reads it). At most one of the two is there.
    """

    state: FreshnessState = FreshnessState.UNKNOWN
    reason: str = ""
    since_us: int = 0
    deadline_us: int = 0
    unlinked: str = ""
    candidates: tuple[str, ...] = ()
    owner: str = ""
    policy_version: int = -1
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs of a job: how many are open, the last one, the last good one, and a short history as JSON."""

    open: int = 0
    last: str = ""
    last_state: str = ""
    last_ok: str = ""
    last_ok_at_us: int = 0
    history: bytes = b""


@dataclass(frozen=True, slots=True)
class GraphDelta:
    """The full image of one aspect of one node or edge, as it stood at `version`. Of each key the highest counts."""

    key: str
    version: int
    entity: Entity
    aspect: Aspect
    present: bool
    as_of_us: int
    event_id: bytes | None = None
    run_id: bytes | None = None
    namespace: str = ""
    name: str = ""
    to_namespace: str = ""
    to_name: str = ""
    edge: EdgeKind = EdgeKind.NONE
    first_seen_us: int = 0
    last_seen_us: int = 0
    dataset: DatasetCore | None = None
    freshness: Freshness | None = None
    status: Status | None = None
    runs: Runs | None = None
    about: str | None = None
    """What producers say of a dataset or job, a JSON object (`headwater_processor.state.About`)."""
