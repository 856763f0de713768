"""Which nodes hang loose: the kinds are a table, a row says what is missing, since when, and for how long it may be.

Rules
-----
1. A node is loose from `since + grace`, and not before the domain is `domain_grace_us` old: a new domain has seen
   nothing yet.
2. A declaration in a policy (`source`, `sink`) makes a looseness right. For a job, `source` says that its inputs,
   `sink` that its outputs are nobody's business.
3. Of a class of aliases the facts are merged first, so a write under any of its names counts.
4. What a store is for says what a missing half means (`STORES` of `headwater_schemas.naming`):

   | store | read, nobody known writes it | written, never read |
   |---|---|---|
   | database, warehouse, objects | a **source**: applications and people write it, and nobody instruments them | a **leaf** |
   | search | loose | a **leaf**: people query it |
   | log (topics, streams, queues), other | loose | loose |

   A source or a leaf is no loose end. "Nobody known writes it": no job ever named it as output, and its writes, if any were
   proven, came without a job (change data capture saw them). A name that is read, never written, and nearly that of a
   dataset that is written in the same place (`aliases.meant`) is loose in any store: it is probably misspelt. Of two such
   names the one that is read tells; the other is a leaf.
5. A job with neither inputs nor outputs is one kind, not two. A job that only contains others (it is the parent of
   their runs) needs neither. Nor does a job that was only observed from outside (emitter `discover:…`): it was seen what it
   reads, and nobody told what it does with it.
6. A run that ended well after a run went silent shows that the job lives: the lost run is history, not news. So does, of a
   streaming job, a run that began after it: the pod was killed, and has a successor. A run that can
   be restarted (a connector's) is never lost: it has no end, and its silence is that of its emitter or of what it writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from headwater_processor.core.freshness import DatasetFacts
from headwater_processor.core.judge_settings import JudgeSettings
from headwater_processor.core.policies import Effective
from headwater_schemas.events import NIL_UUID, Name
from headwater_schemas.naming import Store, store_of


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What the state knows of a job. Times are microseconds, 0 unknown.

    `emitter` told of it first. `parent_of_runs`: other jobs' runs named it as their parent.
    `last_complete_us` is when one of its runs last ended well, `last_started_us` when its newest one began.
    """

    name: Name
    asserted_us: int = 0
    first_seen_us: int = 0
    first_input_us: int = 0
    first_output_us: int = 0
    streaming: bool = False
    emitter: str = ""
    parent_of_runs: bool = False
    last_complete_us: int = 0
    stated_owner: str = ""
    """As of a dataset."""
    last_started_us: int = 0

    @property
    def alive_us(self) -> int:
        """What was silent before this time is history (rule 6)."""
        return max(self.last_complete_us, self.last_started_us if self.streaming else 0)


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that nobody has ended: its id, when it started (or was first heard), when it last said anything, and whether its
    failure would not be its end."""

    run_id: bytes = NIL_UUID
    started_us: int = 0
    seen_us: int = 0
    restartable: bool = False


@dataclass(frozen=True, slots=True)
class Loose:
    """One looseness: the kind, since when, when it is called out (`deadline_us`), and who touched the node first.

    `raised` once as-of is past the deadline; `age_us` is as-of less since. `next_look_us` is 0 once raised. `right`: its
    store says that nothing is missing (rule 4), unless another name was meant.
    """

    kind: str
    since_us: int
    deadline_us: int
    age_us: int
    raised: bool
    next_look_us: int
    touched_by: str = ""
    right: bool = False


@dataclass(frozen=True, slots=True)
class DatasetKind:
    """A row of the table for datasets. `since` is 0 if the row does not apply. In `right_in` nothing is missing."""

    kind: str
    alert: str
    since: Callable[[DatasetFacts, Effective], int]
    grace: Callable[[JudgeSettings], int]
    right_in: frozenset[Store]


@dataclass(frozen=True, slots=True)
class JobKind:
    """A row of the table for jobs: what is `missing` of (inputs, outputs)."""

    kind: str
    alert: str
    missing: tuple[bool, bool]


READ_NEVER_WRITTEN: Final = "read-never-written"
WRITTEN_NEVER_READ: Final = "written-never-read"
JOB_WITHOUT_INPUTS: Final = "job-without-inputs"
JOB_WITHOUT_OUTPUTS: Final = "job-without-outputs"
JOB_UNLINKED: Final = "job-unlinked"
RUN_WITHOUT_END: Final = "run-without-end"
SOURCE: Final = "source"
LEAF: Final = "leaf"
KINDS: Final = (SOURCE, LEAF)
"""What a dataset may be whose other side is rightly not known."""
OBSERVER: Final = "discover:"
"""How the emitters begin that see jobs from outside."""
SOURCES: Final = frozenset({Store.DATABASE, Store.WAREHOUSE, Store.OBJECTS})
LEAVES: Final = frozenset({Store.DATABASE, Store.WAREHOUSE, Store.OBJECTS, Store.SEARCH})

DATASET_KINDS: Final = (
    DatasetKind(
        READ_NEVER_WRITTEN,
        "ReadNeverWritten",
        since=lambda f, p: 0 if f.first_written_us or p.source else f.first_read_us,
        grace=lambda s: s.read_grace_us,
        right_in=SOURCES,
    ),
    DatasetKind(
        WRITTEN_NEVER_READ,
        "WrittenNeverRead",
        since=lambda f, p: 0 if f.first_read_us or p.sink else f.first_written_us,
        grace=lambda s: s.written_grace_us,
        right_in=LEAVES,
    ),
)

JOB_KINDS: Final = (
    JobKind(JOB_WITHOUT_INPUTS, "JobWithoutInputs", missing=(True, False)),
    JobKind(JOB_WITHOUT_OUTPUTS, "JobWithoutOutputs", missing=(False, True)),
    JobKind(JOB_UNLINKED, "JobUnlinked", missing=(True, True)),
)


def loose_dataset(
    row: DatasetKind, facts: DatasetFacts, policy: Effective, as_of_us: int, s: JudgeSettings
) -> Loose | None:
    """What this row says of a dataset: None if it is linked, declared, or not there."""
    since_us = row.since(facts, policy) if facts.present else 0
    if not since_us:
        return None
    touched_by = str(facts.touched_by) if facts.touched_by else ""
    right = _stored_in(facts, row.right_in)
    return _loose(row.kind, since_us, since_us + row.grace(s), as_of_us, s, touched_by, right)


def kind_of(facts: DatasetFacts, policy: Effective) -> str:
    """SOURCE or LEAF, if the dataset is one by its store (rule 4) or by a policy; else nothing."""
    if not facts.present:
        return ""
    if facts.first_read_us and not facts.writer_known and (policy.source or _stored_in(facts, SOURCES)):
        return SOURCE
    if facts.first_written_us and not facts.first_read_us and (policy.sink or _stored_in(facts, LEAVES)):
        return LEAF
    return ""


def _stored_in(facts: DatasetFacts, stores: frozenset[Store]) -> bool:
    """Whether one of its names is in such a store."""
    return any(store_of(name.namespace) in stores for name in facts.members or (facts.name,))


def loose_job(row: JobKind, facts: JobFacts, policy: Effective, as_of_us: int, s: JudgeSettings) -> Loose | None:
    """What this row says of a job: None if it does not apply."""
    missing = (not facts.first_input_us and not policy.source, not facts.first_output_us and not policy.sink)
    if missing != row.missing or facts.parent_of_runs or not facts.first_seen_us or facts.emitter.startswith(OBSERVER):
        return None
    return _loose(row.kind, facts.first_seen_us, facts.first_seen_us + s.job_grace_us, as_of_us, s, facts.emitter)


def lost_runs(runs: Iterable[OpenRun], alive_us: int, as_of_us: int, s: JudgeSettings) -> tuple[list[OpenRun], int]:
    """The open runs that have been silent for too long, the earliest first, and when to look again (0: never).

    `alive_us` is when the job last showed that it lives without them.
    """
    watched = sorted(
        (run for run in runs if run.seen_us and run.seen_us >= alive_us and not run.restartable),
        key=lambda r: (r.seen_us, r.run_id),
    )
    lost = [run for run in watched if as_of_us > run.seen_us + s.run_timeout_us]
    waiting = watched[len(lost) :]
    return lost, waiting[0].seen_us + s.run_timeout_us + 1 if waiting else 0


def _loose(
    kind: str, since_us: int, ready_us: int, as_of_us: int, s: JudgeSettings, touched_by: str, right: bool = False
) -> Loose:
    deadline_us = max(ready_us, s.born_us + s.domain_grace_us)
    raised = as_of_us > deadline_us
    age_us = max(0, as_of_us - since_us)
    return Loose(kind, since_us, deadline_us, age_us, raised, 0 if raised else deadline_us + 1, touched_by, right)
