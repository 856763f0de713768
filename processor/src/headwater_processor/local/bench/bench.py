"""What one benchmark was told, and how its parts talk to the person who waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from headwater.runtime.models import Settings

MODES: Final = ("throughput", "latency", "memory", "rebuild", "takeover", "sdk")
WORKLOADS: Final = ("narrow", "wide", "cdc")


class InterruptedBenchError(Exception):
    """Ctrl-C or SIGTERM: what was made is removed, no figures are shown."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure. `rates` are events a second, for the latency; `latency_s` includes the seconds left out."""

    events: int
    workloads: tuple[str, ...]
    partitions: int
    datasets: int
    seed: int
    rates: tuple[int, ...]
    latency_s: float
    command: tuple[str, ...]
    """The command line of a worker."""
    modes: tuple[str, ...] = ("throughput", "latency")
    every_latency: bool = True
    """Whether the latency is measured with each workload, or only with the first."""
    workers: int = 1
    during: tuple[str, ...] = ()
    """What happens while the latency is measured: `rebalance`, `sweep`; each is a measurement of its own."""
    sweep: int = 100_000
    """Deadlines that fall due in a latency measurement `during` a sweep."""
    compare: tuple[str, ...] = ()
    compare_events: int = 50_000
    sizes: tuple[int, ...] = (1_000, 100_000)
    """Datasets, for the memory."""
    ids: tuple[int, ...] = (1_000_000,)
    """Seen ids, for the memory."""
    takeover_ids: int = 1_000_000
    emits: int = 50_000


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
