"""What the reader answers: plain values. Times are microseconds since the epoch, UTC; 0 is "none" or "unknown".

When a job or an edge was last seen is known to the minute.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from headwater_processor.state.about import NOTHING_SAID, About
from headwater_processor.state.runs import RunImage
from headwater_schemas.events import Name


@dataclass(frozen=True, slots=True)
class DatasetState:
    """One dataset: what is known, how fresh it is judged to be and why, and what hangs loose."""

    name: Name
    present: bool
    first_seen_us: int = 0
    last_seen_us: int = 0
    retracted_us: int = 0
    truncated_us: int = 0
    first_read_us: int = 0
    first_written_us: int = 0
    last_write_us: int = 0
    data_through_us: int = 0
    last_failure_us: int = 0
    idle_through_us: int = 0
    state: str = "UNKNOWN"
    """UNKNOWN, FRESH, LATE, STALE, RECOVERED, IDLE or NO_DATA."""
    reason: str = ""
    since_us: int = 0
    deadline_us: int = 0
    """When it goes stale if nobody writes it before; 0 never."""
    unlinked: str = ""
    """The kind of looseness, empty when linked."""
    kind: str = ""
    """`source` (nobody known writes it) or `leaf` (nobody known reads it), where that is right; else empty."""
    candidates: tuple[str, ...] = ()
    """Names that this one may have been meant to be, best first."""
    owner: str = ""
    """By policy; where no policy names one, those that producers state."""
    policy_version: int = -1
    written_by: str = ""
    """Job of the last proven write, `namespace/name`."""
    written_by_run: str = ""
    first_touched_by: str = ""
    schema_version: str = ""
    renamed_to: str = ""
    about: About = NOTHING_SAID


@dataclass(frozen=True, slots=True)
class JobState:
    """One job with its runs: those that are open, the last of all, the last that succeeded."""

    name: Name
    first_seen_us: int = 0
    last_seen_us: int = 0
    streaming: bool = False
    emitter: str = ""
    unlinked: str = ""
    runs: tuple[RunImage, ...] = ()
    """Open runs and the history, newest first."""
    last_ok: RunImage | None = None
    owner: str = ""
    """As of a dataset."""
    about: About = NOTHING_SAID

    @property
    def last(self) -> RunImage | None:
        """The newest run, open or not."""
        return self.runs[0] if self.runs else None

    @property
    def open(self) -> tuple[RunImage, ...]:
        """The runs that have not ended."""
        return tuple(run for run in self.runs if run.state == "OPEN")


@dataclass(frozen=True, slots=True)
class EdgeState:
    """One edge, in the direction of the data."""

    kind: str
    """READS (dataset to job), WRITES (job to dataset) or DERIVES (dataset to dataset, stated by a producer)."""
    source: Name
    target: Name
    present: bool
    first_seen_us: int = 0
    last_seen_us: int = 0
    first_run: str = ""


@dataclass(frozen=True, slots=True)
class AlertState:
    """One alert machine that is firing or on its way there."""

    fingerprint: str
    kind: str
    state: str
    """PENDING, FIRING or CLEARING."""
    subject_kind: str
    """dataset, job, emitter, partition or domain."""
    subject: Name
    since_us: int = 0
    """As-of at which it entered this state."""
    deadline_us: int = 0
    """What was breached; 0 before it fires."""
    incident_id: str = ""
    """Shared by the firing and the resolved alert on `lineage.alerts`; empty before it fires."""


@dataclass(frozen=True, slots=True)
class PartitionState:
    """The fence of one partition of the events topic, its clocks and its counters."""

    partition: int
    epoch: str = ""
    next_offset: int = 0
    topic: str = ""
    max_event_time_us: int = 0
    watermark_us: int = 0
    as_of_us: int = 0
    """Everything that was in the topic at this time has been seen; 0 not yet known."""
    applied: int = 0
    duplicates: int = 0
    late: int = 0
    future: int = 0
    undeduped: int = 0
    bad: int = 0
    stopped: str = ""
    """Why it was stopped; empty when it runs."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The domain in a few numbers."""

    domain: str
    born_us: int
    partitions: int
    shards: int
    as_of_us: int
    """Minimum over all partitions; 0 as long as one of them is unknown."""
    datasets: int
    jobs: int
    edges: int
    applied: int
    alerts_firing: int


@dataclass(frozen=True, slots=True)
class Trace:
    """What a dataset comes from (UPSTREAM) or feeds (DOWNSTREAM), joined over aliases, each node once."""

    root: Name
    direction: str
    depth: int
    as_of_us: int
    datasets: tuple[DatasetState, ...]
    """The root first, then by distance."""
    jobs: tuple[JobState, ...]
    edges: tuple[EdgeState, ...]
    same_as: tuple[tuple[Name, ...], ...] = ()
    """Names that are one dataset."""
    distance: dict[Name, int] = field(default_factory=dict)
    """Of each dataset, in jobs (or stated edges) from the root."""
    truncated: bool = False
    """A node had more neighbours than are followed."""
