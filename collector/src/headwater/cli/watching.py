"""What the commands share that look at something again and again, and send what they saw: `cdc`, `discover`."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType
from typing import TYPE_CHECKING, Final, TypeVar

import click

from headwater.cli.output import note
from headwater.cli.producing import Producing
from headwater.errors import EventError
from headwater.eventjson import to_json
from headwater.runtime.looks import Looks
from headwater.runtime.models import KafkaSettings, Settings
from headwater.validation import check
from headwater_schemas.codec import encode_single_object
from headwater_schemas.events import LineageEvent
from headwater_schemas.ids import partition_key
from headwater_schemas.topics import catalogue

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

_SEND_WITHIN_S: Final = 10.0
_STILL_S: Final = 60.0
"""Longer than three intervals and this without a look is not alive."""


_C = TypeVar("_C", bound=Looks)


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def time_text(at_ms: int) -> str | None:
    """A time for people and for JSON; None for none."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds") if at_ms > 0 else None


def refused_text(refused: Counter[str]) -> str:
    """What was refused, as the end of a line."""
    told = ", ".join(f"{count} {reason}" for reason, count in sorted(refused.items()))
    return f"; refused: {told}" if told else ""


def kafka_at(kafka: KafkaSettings, servers: str) -> KafkaSettings:
    """Headwater's Kafka, or the one at these servers if some are named."""
    return kafka.model_copy(update={"bootstrap_servers": servers}) if servers else kafka


def usable(events: Sequence[LineageEvent], refused: Counter[str]) -> list[LineageEvent]:
    """The events that say something within bounds; the others are counted: a name may be longer than any event's."""
    kept = []
    for event in events:
        try:
            check(event)
            kept.append(event)
        except EventError as error:
            refused[error.reason] += 1
    return kept


def deliver(settings: Settings, events: Sequence[LineageEvent], *, dry_run: bool) -> None:
    """Send the events and wait until all have arrived; `dry_run`: print them. Raises DeliveryError: one has not."""
    if dry_run:
        for event in events:
            sys.stdout.write(to_json(event).decode() + "\n")
        sys.stdout.flush()
        return
    if not events:
        return
    topic = catalogue(settings.topic_prefix)["events"].name
    with Producing(settings.kafka, topic, wait_s=_SEND_WITHIN_S) as producing:
        for event in events:
            producing.send(partition_key(event), encode_single_object(event), str(event.job))
    producing.raise_first_failure()


@contextmanager
def until_signalled() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set: what is in hand is finished. The handlers before are put back."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def counted(
    context: click.Context, settings: Settings, interval_ms: int, load: Callable[[], tuple[_C, Collector]]
) -> Iterator[_C | None]:
    """Counts that are served over HTTP; None where metrics are switched off, or their library, which `load` imports, is not
    installed. Healthy is who looked within three intervals and a minute, ready whose last look came to something."""
    if not settings.metrics.enabled:
        yield None
        return
    try:
        from headwater.runtime.http import serve

        counts, collector = load()
    except ModuleNotFoundError as error:
        note(context, f"no metrics are served: {error.name} is not installed; pip install 'headwater[gateway]'")
        yield None
        return
    most_s = 3 * interval_ms / 1000 + _STILL_S

    def healthy() -> tuple[bool, str]:
        still_s = time.monotonic() - counts.ended_at
        return still_s < most_s, f"the last look ended {still_s:.0f} s ago"

    def ready() -> tuple[bool, str]:
        return not counts.last_error, counts.last_error or "ok"

    server = serve(settings.metrics, [collector], healthy=healthy, ready=ready)
    try:
        yield counts
    finally:
        if server is not None:
            server.close()
