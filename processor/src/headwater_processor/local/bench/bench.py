"""What one benchmark was told, and how its parts talk to the person who waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from headwater.runtime.models import Settings


class InterruptedBenchError(Exception):
    """Ctrl-C or SIGTERM: what was made is removed, no figures are shown."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure. `rate` is events a second, for the latency; `latency_s` includes the seconds left out."""

    events: int
    workloads: tuple[str, ...]
    partitions: int
    datasets: int
    seed: int
    rate: int
    latency_s: float
    command: tuple[str, ...]
    """The command line of a worker."""


@dataclass(frozen=True, slots=True)
class Bench:
    """The plan, the settings, and the way out: `check` is called in every loop, `say` writes a line of progress."""

    plan: Plan
    settings: Settings
    say: Callable[[str], None]
    stop: threading.Event

    def check(self) -> None:
        """Raises InterruptedBenchError once somebody wants the benchmark to end."""
        if self.stop.is_set():
            raise InterruptedBenchError

    def pause(self, seconds: float) -> None:
        """Wait; raises InterruptedBenchError as `check`."""
        if self.stop.wait(seconds):
            raise InterruptedBenchError
