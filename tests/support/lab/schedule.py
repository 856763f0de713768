"""What goes wrong in one run, drawn from a seed: values only, so that a seed always means the same schedule."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tests.support.failing_worker import POINTS

PARTITIONS: Final = 4
SESSION_S: Final = 6.0
PROTOCOLS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "cooperative": MappingProxyType({}),
        "eager": MappingProxyType({"PROCESSOR__GROUP_PROTOCOL": "eager"}),
        "KIP-848": MappingProxyType({"PROCESSOR__GROUP_PROTOCOL": "consumer"}),
    }
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong. `weight`: how often it is drawn; `expected`: what must hold all the same."""

    name: str
    what: str
    weight: float
    expected: str = "equal to the oracle"


FAULTS: Final[tuple[Fault, ...]] = (
    Fault("worker-killed", "kill -9 of a worker; another comes at once or later", 3),
    Fault("worker-told-to-leave", "SIGTERM", 2, "exit 0 within 10 s; equal to the oracle"),
    Fault("worker-frozen", "SIGSTOP for longer than the session, then SIGCONT: a zombie with polls in hand", 2),
    Fault("workers-storm", "three workers come and go, some killed", 1.5),
    Fault("killed-at-a-point", "kill -9 between two steps (`tests/support/failing_worker.py` names the points)", 6),
    Fault("frozen-at-a-point", "SIGSTOP between two steps for longer than the session, with a successor, then SIGCONT", 3),
    Fault("cut-at-a-point", "the connection to Redis breaks around a call: the call is done, its answer lost", 2),
    Fault("worker-clock-wrong", "a worker believes that it is a day earlier or later", 1),
    Fault("worker-clock-jumps", "a worker's clock jumps to and fro every two seconds, by 5 s, 10 min or a day", 1),
    Fault("producers-clocks-wrong", "producers whose events are a day ahead, or a week behind, of the broker's clock", 1,
          "what is too far ahead or too late is treated as such; equal to the oracle"),
    Fault("kafka-restarted", "the broker stops and comes back", 1),
    Fault("kafka-killed", "kill -9 of the broker", 1),
    Fault("kafka-frozen", "the broker answers nobody for 3 to 9 s", 1.5),
    Fault("writes-refused", "a topic of ours takes nothing for some seconds (INVALID_RECORD, INVALID_TIMESTAMP)", 2),
    Fault("writes-too-large", "a topic of ours takes small messages only for some seconds (MSG_SIZE_TOO_LARGE)", 1.5),
    Fault("partitions-added", "the events topic gets two more partitions, with events in them", 1),
    Fault("redis-restarted", "stops and comes back with its data (AOF, always)", 1),
    Fault("redis-killed", "kill -9 (AOF, always)", 1.5),
    Fault("redis-rolled-back", "the data are set back to an older snapshot, as by a failover that lost writes", 2,
          "images step back once, with the state; equal to the oracle"),
    Fault("redis-paused", "CLIENT PAUSE for 1 to 4 s", 1),
    Fault("redis-busy", "a script of somebody else takes 2 s", 1),
    Fault("redis-full", "maxmemory is reached for 2 s (OOM)", 1.5),
    Fault("scripts-flushed", "SCRIPT FLUSH, ten times", 1),
    Fault("connections-cut", "CLIENT KILL of all, ten times", 1.5),
    Fault("policies-changed", "targets are tightened, loosened and taken back", 3),
    Fault("policies-behind", "a worker begins with twenty thousand changes of policies to read", 1),
)  # fmt: skip

BY_NAME: Final = MappingProxyType({fault.name: fault for fault in FAULTS})


@dataclass(frozen=True, slots=True)
class Step:
    """A fault, the share of the stream that is produced before it, and its details."""

    at: float
    fault: str
    point: str = ""
    nth: int = 1
    seconds: float = 0.0
    number: int = 0
    """Chooses among workers, topics, signs."""

    def __str__(self) -> str:
        detail = f" {self.point}#{self.nth}" if self.point else ""
        return f"{self.fault}{detail} at {self.at:.0%}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """One run: the stream, the workers' settings, and what goes wrong, in order."""

    seed: int
    events: int
    preloaded: float
    """The share of the stream that is there before the first worker."""
    per_second: int
    protocol: str
    workers: int
    settings: Mapping[str, str]
    durable: bool
    """Whether Redis writes an append-only file; a Redis that is rolled back has snapshots instead."""
    steps: tuple[Step, ...]
    present: bool = False
    """Whether the events happen now, at their pace, and must be seconds fresh; else they are of the past, and all is overdue."""

    def __str__(self) -> str:
        steps = "; ".join(map(str, self.steps))
        when = "events of now" if self.present else "events of the past"
        return f"seed {self.seed}: {self.workers} workers, {self.protocol}, {when}, {dict(self.settings)}: {steps}"


def draw(seed: int, events: int = 12_000) -> Schedule:
    """The schedule of a seed."""
    rng = random.Random(seed)
    count = rng.randint(2, 4)
    names = rng.choices([fault.name for fault in FAULTS], [fault.weight for fault in FAULTS], k=count)
    durable = "redis-rolled-back" not in names
    # A Redis without an append-only file loses everything when it dies, which is another fault with another outcome.
    names = [name for name in names if durable or name not in ("redis-restarted", "redis-killed")]
    at = sorted(rng.uniform(0.05, 0.9) for _ in names)
    present = seed % 2 == 1
    return Schedule(
        seed=seed,
        events=events,
        preloaded=rng.choice((0.0, 0.2, 0.3) if present else (0.0, 0.3, 0.6)),
        # Events of now go on for longer than most faults, so that something is fresh before and after.
        per_second=rng.choice((250, 400, 600) if present else (1_000, 1_500, 3_000)),
        protocol=rng.choices(tuple(PROTOCOLS), (4, 1, 2))[0],
        workers=rng.choice((1, 1, 2)),
        settings={
            "PROCESSOR__BATCH_RECORDS": rng.choice(("100", "500", "4000")),
            "PROCESSOR__FRESHNESS_INTERVAL_MS": rng.choice(("0", "200", "1000")),
        },
        durable=durable,
        steps=tuple(_step(rng, share, name) for share, name in zip(at, names, strict=True)),
        present=present,
    )


def _step(rng: random.Random, at: float, name: str) -> Step:
    point = rng.choice(_points(name)) if name.endswith("-at-a-point") else ""
    return Step(at, name, point, rng.choice((1, 1, 2, 5, 20)), rng.uniform(0.0, 1.0), rng.randrange(1_000_000))


def _points(name: str) -> tuple[str, ...]:
    return ("call-begun", "call-sent", "call-answered") if name.startswith("cut") else tuple(POINTS)
