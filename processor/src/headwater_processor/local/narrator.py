"""The lines of the demo: what happens in the world, and what Headwater makes of it. Pure; prints nothing itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from rich.text import Text

from headwater.masking import mask
from headwater_processor.local.scenario import (
    MEANT,
    MISSPELT,
    REVIEWS_MART,
    SALES_MART,
    STALE_AFTER_US,
    STALE_MART,
    Scenario,
)
from headwater_processor.local.stack import Addresses
from headwater_processor.local.texts import count
from headwater_schemas.alerts import Alert, AlertState, Severity
from headwater_schemas.deltas import Aspect, Entity, FreshnessState, GraphDelta
from headwater_schemas.events import EventType, LineageEvent, Name

_NAMED: Final = 4
"""New nodes that are named in one line."""

# STALE and RECOVERED come with an alert that says more.
_TOLD_STATES: Final = {
    FreshnessState.LATE: "yellow",
    FreshnessState.NO_DATA: "red",
    FreshnessState.IDLE: "cyan",
}
_SEVERITIES: Final = {Severity.PAGE: "bold white on red", Severity.TICKET: "bold red", Severity.INFO: "bold yellow"}


def opening(world: Scenario, addresses: Addresses) -> Iterator[Text]:
    """What is running and what to try; printed once, when everything has started."""
    kinds = sorted({job.name.namespace for job in world.jobs})
    yield Text.assemble(
        ("A web shop is at work: ", "bold"),
        f"{count(len(world.datasets()), 'dataset')}, {count(len(world.jobs), 'job')} ({', '.join(kinds)}).",
    )
    yield Text(f"  Kafka  {addresses.kafka}\n  Redis  {mask(addresses.redis_url)}")
    yield Text(
        "  Its reviews come by real doors: headwater cdc, a Kafka client that says what it reads, headwater gateway,"
        " headwater discover."
    )
    yield Text("\nIn another terminal, try", "bold")
    for command in (
        "headwater status",
        "headwater status --unlinked",
        f"headwater trace '{SALES_MART}'",
        f"headwater trace '{REVIEWS_MART}' --upstream",
        "headwater trace orders --downstream --depth 2",
        "headwater tail alerts --from beginning",
    ):
        yield Text(f"  {command}", "cyan")
    yield Text("\nWithin the first minute three things go wrong", "bold")
    yield Text("  a consumer runs out of memory and comes back in another pod")
    yield Text(f"  {STALE_MART.name} is no longer written: its policy allows 15 s")
    yield Text(f"  a consumer reads topic {MISSPELT.name!r}, which nobody writes; it means {MEANT.name!r}")
    yield Text("\nCtrl-C stops everything.\n", "dim")


class Narrator:
    """Remembers what was told already, so that only news is."""

    def __init__(self, start_us: int) -> None:
        self._start_us = start_us
        self._known: set[tuple[Entity, Name]] = set()
        self._states: dict[Name, FreshnessState] = {}
        self._crashed: set[Name] = set()
        self._told_stop = False

    def world(self, events: Iterable[LineageEvent], now_us: int) -> Iterator[Text]:
        """What happened in the world, seen from outside Headwater."""
        for event in events:
            if event.event_type is EventType.FAIL and event.runtime:
                self._crashed.add(event.job)
                yield Text(f"world   pod {event.runtime.pod} of {event.job} crashed: {event.error}", "magenta")
            elif event.event_type is EventType.START and event.job in self._crashed and event.runtime:
                self._crashed.discard(event.job)
                yield Text(f"world   {event.job} goes on in pod {event.runtime.pod}", "magenta")
        if not self._told_stop and now_us > self._start_us + STALE_AFTER_US:
            self._told_stop = True
            yield Text(f"world   the job that writes {STALE_MART} has stopped, and told nobody", "magenta")

    def headwater(self, news: Iterable[Alert | GraphDelta]) -> Iterator[Text]:
        """What Headwater says, in the order it came."""
        fresh: dict[Entity, list[Name]] = {}
        lines: list[Text] = []
        for item in news:
            if isinstance(item, Alert):
                lines += self._alert(item)
            elif item.aspect is Aspect.CORE and item.entity in (Entity.DATASET, Entity.JOB):
                self._node(item, fresh)
            elif item.status is not None and item.entity is Entity.DATASET:
                lines += self._state(item, item.status.state, item.status.reason)
        for entity, names in fresh.items():
            yield _new(entity, names)
        yield from lines

    @property
    def nodes(self) -> int:
        """Datasets and jobs that Headwater has named so far."""
        return len(self._known)

    def _node(self, delta: GraphDelta, fresh: dict[Entity, list[Name]]) -> None:
        name = Name(delta.namespace, delta.name)
        if delta.present and (delta.entity, name) not in self._known:
            self._known.add((delta.entity, name))
            fresh.setdefault(delta.entity, []).append(name)

    def _state(self, delta: GraphDelta, state: FreshnessState, reason: str) -> Iterator[Text]:
        name = Name(delta.namespace, delta.name)
        if self._states.get(name) is state:
            return
        self._states[name] = state
        if state in _TOLD_STATES:
            yield Text.assemble("state   ", (state.value, _TOLD_STATES[state]), f" {name}: {reason}")

    def _alert(self, alert: Alert) -> Iterator[Text]:
        if alert.kind == "Watchdog":
            return
        if alert.state is AlertState.RESOLVED:
            yield Text.assemble("alert   ", ("RESOLVED", "green"), f" {alert.kind}: {alert.summary}")
            return
        owner = f" [{alert.owner}]" if alert.owner else ""
        style = _SEVERITIES[alert.severity]
        yield Text.assemble("alert   ", (alert.severity.value, style), f" {alert.kind}{owner}: {alert.summary}")
        if alert.remedy:
            yield Text(f"        {alert.remedy}", "dim")


def stamped(line: Text, elapsed_us: int) -> Text:
    """A line with the seconds since the start in front."""
    return Text.assemble((f"{elapsed_us // 1_000_000:4d} s  ", "dim"), line)


def _new(entity: Entity, names: list[Name]) -> Text:
    word = "dataset" if entity is Entity.DATASET else "job"
    shown = ", ".join(name.name for name in names[:_NAMED])
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return Text.assemble("graph   ", (count(len(names), f"new {word}"), "blue"), f": {shown}{more}")
