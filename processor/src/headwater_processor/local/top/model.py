"""What the living view knows: a snapshot of the state, and everything that was said since. Values in, values out.

Rule: nothing here reads a clock, a socket or a terminal. `feed` brings values, `app` asks for rows and draws them; both may
be replaced by lists and a fixed time, as the tests and the picture do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from headwater_processor.core.freshness import allowed_age_said
from headwater_processor.state.about import About
from headwater_processor.state.values import AlertState as Machine
from headwater_processor.state.values import DatasetState
from headwater_schemas.alerts import Alert, AlertState
from headwater_schemas.deltas import Aspect, Entity, GraphDelta
from headwater_schemas.events import Name

POINTS: Final = 240
"""Points of each chart that are remembered; one comes with each look at the figures."""
LOG_LINES: Final = 1000
"""Alerts and notes that are remembered."""

NEVER_US: Final = 1 << 62
_OVERDUE: Final = {"STALE": 0, "NO_DATA": 1, "LATE": 2}
_JUDGED, _LOOSE, _UNKNOWN, _GONE = 3, 4, 5, 6


@dataclass(slots=True)
class Row:
    """A dataset as it stands now. Times are µs since the epoch, UTC; 0 none."""

    name: str
    present: bool = True
    state: str = "UNKNOWN"
    reason: str = ""
    judged_deadline_us: int = 0
    allowed_us: int = 0
    last_write_us: int = 0
    idle_through_us: int = 0
    unlinked: str = ""
    kind: str = ""
    candidates: tuple[str, ...] = ()
    owner: str = ""
    first_seen_us: int = 0
    stated_owner: str = ""
    core_version: int = 0
    about_version: int = 0
    status_version: int = 0
    write_version: int = 0
    deadline_us: int = 0
    """When it breaches if nobody writes it before; 0 never. Past, and standing still, for what is overdue."""
    rank: tuple[int, int, str] = (_UNKNOWN, NEVER_US, "")
    text: str = ""
    """What filters look at, in small letters."""

    def settle(self) -> None:
        """Work out what follows from the rest; to be called when the judgement or the presence has changed."""
        self.text = f"{self.name} {self.owner} {self.state} {self.unlinked} {self.kind}".lower()
        self.written()

    def written(self) -> None:
        """Work out what follows from a write."""
        deadline_us = self.judged_deadline_us
        if self.state not in _OVERDUE and self.allowed_us:
            deadline_us = max(deadline_us, max(self.last_write_us, self.idle_through_us) + self.allowed_us)
        self.deadline_us = deadline_us
        if not self.present:
            group = _GONE
        elif self.state in _OVERDUE:
            group = _OVERDUE[self.state]
        elif deadline_us:
            group = _JUDGED
        else:
            group = _LOOSE if self.unlinked else _UNKNOWN
        self.rank = (group, deadline_us or NEVER_US, self.name)


@dataclass(frozen=True, slots=True)
class Figures:
    """One look at the numbers of the domain. `at_us` is ours; lag is in records, None if it could not be asked."""

    at_us: int
    datasets: int = 0
    jobs: int = 0
    edges: int = 0
    events: int = 0
    as_of_us: int = 0
    lag: int | None = None
    stopped: tuple[tuple[int, str], ...] = ()
    """Partitions that stand still, and why."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state at one time."""

    datasets: Sequence[DatasetState] = ()
    loose_jobs: Mapping[str, str] = field(default_factory=dict)
    """Job and its kind of looseness."""
    alerts: Sequence[Machine] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """A dataset's last proven write; `key` is `namespace|name`, as in the key of its image."""

    key: str
    version: int
    last_write_us: int
    idle_through_us: int


@dataclass(frozen=True, slots=True)
class Reach:
    """Whether a service answers. `since_us` 0: it does; else since when it does not, and why."""

    service: str
    since_us: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """Something that happened outside Headwater, as the demo tells it."""

    at_us: int
    text: str


News = Snapshot | Figures | GraphDelta | Written | Alert | Reach | Note
"""What the model takes."""


@dataclass(frozen=True, slots=True)
class Firing:
    """An incident that is open. `alert` is what was said of it, None if only its machine is known."""

    kind: str
    subject: str
    since_us: int
    alert: Alert | None = None


@dataclass(frozen=True, slots=True)
class Loose:
    """A node that hangs loose, and the names that may have been meant."""

    name: str
    kind: str
    candidates: tuple[str, ...] = ()
    job: bool = False


class Model:
    """The view's memory. Used by one thread."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.loose_jobs: dict[str, str] = {}
        self.firing: dict[str, Firing] = {}
        self.log: deque[Alert | Note] = deque(maxlen=LOG_LINES)
        self.figures: Figures | None = None
        self.rate: float | None = None
        """Events a second, over the last two looks; None when that cannot be told."""
        self.nodes: deque[float] = deque(maxlen=POINTS)
        self.edges: deque[float] = deque(maxlen=POINTS)
        self.rates: deque[float] = deque(maxlen=POINTS)
        self.lags: deque[float] = deque(maxlen=POINTS)
        self.away: dict[str, Reach] = {}
        self.loaded = False
        """Whether a snapshot has come."""
        self._said: deque[str] = deque(maxlen=4 * LOG_LINES)
        self._said_ids: set[str] = set()

    def take(self, news: Iterable[News]) -> None:
        """Take what came, in its order."""
        for item in news:
            match item:
                case Written():
                    self._written(item)
                case GraphDelta():
                    self._delta(item)
                case Alert():
                    self._alert(item)
                case Figures():
                    self._figures(item)
                case Snapshot():
                    self._snapshot(item)
                case Reach():
                    self._reach(item)
                case Note():
                    self.log.append(item)

    # --- what is asked ----------------------------------------------------------------------------------------------

    def loose(self) -> list[Loose]:
        """What hangs loose: with a suggestion first, then by name."""
        found = [Loose(r.name, r.unlinked, r.candidates) for r in self.rows.values() if r.unlinked and r.present]
        found += [Loose(name, kind, job=True) for name, kind in self.loose_jobs.items()]
        return sorted(found, key=lambda one: (not one.candidates, one.job, one.name))

    def alerts_firing(self) -> list[Firing]:
        """The open incidents but for the watchdog, newest first."""
        found = [one for one in self.firing.values() if one.kind != "Watchdog"]
        return sorted(found, key=lambda one: (-one.since_us, one.kind, one.subject))

    def by_state(self) -> dict[str, int]:
        """How many datasets are in each state."""
        counts: dict[str, int] = {}
        for row in self.rows.values():
            if row.present:
                counts[row.state] = counts.get(row.state, 0) + 1
        return counts

    # --- what comes -------------------------------------------------------------------------------------------------

    def _snapshot(self, snapshot: Snapshot) -> None:
        self.rows = {key_of(dataset.name): _row(dataset) for dataset in snapshot.datasets}
        self.loose_jobs = dict(snapshot.loose_jobs)
        self.firing = dict(_firing(snapshot.alerts, self.firing))
        self.loaded = True

    def _written(self, written: Written) -> None:
        row = self.rows.get(written.key)
        if row is None or written.version < row.write_version:
            return
        row.write_version = written.version
        row.last_write_us, row.idle_through_us = written.last_write_us, written.idle_through_us
        row.written()

    def _delta(self, delta: GraphDelta) -> None:
        if delta.entity is Entity.JOB and delta.status is not None:
            name = str(Name(delta.namespace, delta.name))
            if delta.present and delta.status.unlinked:
                self.loose_jobs[name] = delta.status.unlinked
            else:
                self.loose_jobs.pop(name, None)
        elif delta.entity is Entity.DATASET:
            self._dataset(delta)

    def _dataset(self, delta: GraphDelta) -> None:
        name = Name(delta.namespace, delta.name)
        row = self.rows.setdefault(key_of(name), Row(str(name)))
        if delta.aspect is Aspect.CORE and delta.version >= row.core_version:
            row.core_version, row.present, row.first_seen_us = delta.version, delta.present, delta.first_seen_us
        elif delta.freshness is not None and delta.version >= row.write_version:
            row.write_version, fresh = delta.version, delta.freshness
            row.last_write_us, row.idle_through_us = fresh.last_write_us, fresh.idle_through_us
        elif delta.status is not None and delta.version >= row.status_version:
            row.status_version, status = delta.version, delta.status
            row.state, row.reason, row.judged_deadline_us = status.state.value, status.reason, status.deadline_us
            row.allowed_us = allowed_age_said(status.reason)
            row.unlinked, row.candidates, row.owner = (
                status.unlinked,
                status.candidates,
                status.owner or row.stated_owner,
            )
            row.kind = status.kind
        elif delta.about is not None and delta.version >= row.about_version:
            row.about_version, stated = delta.version, About.from_json(delta.about).owner
            row.owner = stated if row.owner == row.stated_owner else row.owner
            row.stated_owner = stated
        row.settle()

    def _alert(self, alert: Alert) -> None:
        if alert.kind == "Watchdog":
            return
        if self._is_news(alert.alert_id):
            self.log.append(alert)
        # What opens or ends an incident counts again each time: a snapshot may have come in between.
        if alert.state is AlertState.RESOLVED:
            self.firing.pop(alert.incident_id, None)
        else:
            subject = str(Name(alert.namespace, alert.name)).strip("/")
            self.firing[alert.incident_id] = Firing(alert.kind, subject, alert.since_us or alert.as_of_us, alert)

    def _is_news(self, alert_id: str) -> bool:
        """Whether this transition was not said before; every copy of it has the same id."""
        if alert_id in self._said_ids:
            return False
        if len(self._said) == self._said.maxlen:
            self._said_ids.discard(self._said[0])
        self._said.append(alert_id)
        self._said_ids.add(alert_id)
        return True

    def _figures(self, figures: Figures) -> None:
        before, self.figures = self.figures, figures
        self.nodes.append(figures.datasets + figures.jobs)
        self.edges.append(figures.edges)
        if figures.lag is not None:
            self.lags.append(figures.lag)
        self.rate = _rate(before, figures)
        if self.rate is not None:
            self.rates.append(self.rate)

    def _reach(self, reach: Reach) -> None:
        if reach.since_us:
            self.away[reach.service] = reach
            self.rate = None
        else:
            self.away.pop(reach.service, None)


def key_of(name: Name) -> str:
    """The key of a dataset's row, as the keys of its images end."""
    return f"{name.namespace}|{name.name}"


def _rate(before: Figures | None, now: Figures) -> float | None:
    """None for the first look, and when the counters went back: then it is another state."""
    if before is None or now.at_us <= before.at_us or now.events < before.events:
        return None
    return (now.events - before.events) * 1e6 / (now.at_us - before.at_us)


def _row(dataset: DatasetState) -> Row:
    row = Row(
        str(dataset.name),
        dataset.present,
        dataset.state,
        dataset.reason,
        dataset.deadline_us,
        allowed_age_said(dataset.reason),
        dataset.last_write_us,
        dataset.idle_through_us,
        dataset.unlinked,
        dataset.kind,
        dataset.candidates,
        dataset.owner,
        dataset.first_seen_us,
        dataset.about.owner,
    )
    row.settle()
    return row


def _firing(machines: Iterable[Machine], known: Mapping[str, Firing]) -> Iterator[tuple[str, Firing]]:
    for machine in machines:
        if machine.incident_id:
            subject = str(machine.subject).strip("/")
            alert = known[machine.incident_id].alert if machine.incident_id in known else None
            yield machine.incident_id, Firing(machine.kind, subject, machine.deadline_us or machine.since_us, alert)
