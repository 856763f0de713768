"""A fixed pool of records for models of the worker: few names, few minutes, good and bad, so that everything meets everything."""

from __future__ import annotations

import dataclasses
import random
from typing import Any, Final

from tests.support.small_worlds import DATASETS, EMITTERS, JOBS, NO_JOB, RUNS, SECOND_US, T, facets

from headwater_schemas.codec import encode_single_object
from headwater_schemas.events import (
    NIL_UUID,
    DatasetUse,
    DirectEdge,
    EventType,
    Lifecycle,
    LineageEvent,
    Measure,
    Name,
    Processing,
    Runtime,
)

POOL: Final = 256
"""Records to choose from: an index says which."""
MINUTE_US: Final = 60 * SECOND_US
HOUR_US: Final = 60 * MINUTE_US
BEGIN_US: Final = T
END_US: Final = T + 12 * MINUTE_US
"""Most events are between these."""

_AHEAD: Final = [-SECOND_US] * 12 + [4 * MINUTE_US, 6 * MINUTE_US, 5 * HOUR_US]

Raw = tuple[int, bytes]
"""Broker's time (ms), value."""


def pool(seed: int = 1, size: int = POOL) -> list[Raw]:
    """The records of a seed. One in twenty is no event, one in fifteen repeats an id that is in the pool already."""
    rng = random.Random(seed)
    tails = [_tail(rng) for _ in range(12)]
    events = [_event(rng, number, rng.choice(tails)) for number in range(1, size + 1)]
    records: list[Raw] = []
    # By a chance of its own: kept schedules choose records by number.
    choose = random.Random(seed).choice
    for event, ahead_us in events:
        value = encode_single_object(dataclasses.replace(event, facets=facets(choose)))
        chance = rng.random()
        if chance < 0.05:
            value = rng.choice([b"", b"no event", value[:-3], value + b"x", value[:2] + bytes(8) + value[10:]])
        elif chance < 0.12 and records:
            value = rng.choice(records)[1]
        records.append(((event.event_time_us - ahead_us) // 1000, value))
    return records


def _tail(rng: random.Random) -> dict[str, Any]:
    job = rng.choice([*JOBS, *JOBS, NO_JOB])
    return {
        "job": job,
        "inputs": tuple(_use(rng, Lifecycle.NONE) for _ in range(rng.choice([0, 1, 1, 2]))),
        "outputs": tuple(_use(rng, _life(rng)) for _ in range(rng.choice([0, 1, 1, 1, 2]))),
        "edges": tuple(DirectEdge(rng.choice(DATASETS), rng.choice(DATASETS)) for _ in range(rng.choice([0, 0, 0, 1]))),
        "processing": rng.choice([Processing.UNKNOWN, Processing.STREAMING]),
        "restartable": rng.random() < 0.3,
        "backfill": rng.random() < 0.1,
        "emitter": rng.choice(EMITTERS),
        "parent_job": rng.choice([None, None, JOBS[0]]),
        "runtime": rng.choice([None, None, Runtime(pod="p1"), Runtime(pod="p2", node="n")]),
        "error": rng.choice([None, None, "lost connection"]),
    }


def _life(rng: random.Random) -> Lifecycle:
    if rng.random() < 0.85:
        return Lifecycle.NONE
    return rng.choice([Lifecycle.DROP, Lifecycle.RENAME, Lifecycle.TRUNCATE, Lifecycle.CREATE])


def _use(rng: random.Random, life: Lifecycle) -> DatasetUse:
    name = rng.choice(DATASETS)
    aliases: tuple[Name, ...] = () if name == DATASETS[0] else rng.choice([(), (), (DATASETS[0],)])
    previous = rng.choice(DATASETS) if life is Lifecycle.RENAME else None
    return DatasetUse(name.namespace, name.name, rng.choice(["", "", "v1", "v2"]), aliases, life, previous)


def _time_us(rng: random.Random) -> int:
    chance = rng.random()
    if chance < 0.9:
        return BEGIN_US + rng.randrange(END_US - BEGIN_US) // (10 * SECOND_US) * 10 * SECOND_US
    if chance < 0.97:
        return BEGIN_US + rng.randrange(60, 120) * MINUTE_US
    return BEGIN_US - 30 * HOUR_US


def _event(rng: random.Random, number: int, tail: dict[str, Any]) -> tuple[LineageEvent, int]:
    side = rng.choice(["inputs", "outputs"])
    uses = list(tail[side])
    if uses:
        measures = tuple(_measure(rng) for _ in range(rng.choice([0, 1, 1, 2])))
        uses[-1] = dataclasses.replace(uses[-1], measures=measures)
    time_us = _time_us(rng)
    event = LineageEvent(
        # The id is far from the order of the times: it decides only between equal ones.
        event_id=(number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128)).to_bytes(16, "big"),
        event_time_us=time_us,
        event_type=rng.choice(list(EventType)),
        run_id=rng.choice([*RUNS, *RUNS, NIL_UUID]),
        parent_run_id=rng.choice([None, None, RUNS[0]]),
        nominal_end_us=rng.choice([0, 0, 0, T - MINUTE_US, T - 72 * HOUR_US]),
        **{**tail, side: tuple(uses)},
    )
    if time_us < BEGIN_US and event.run_id != NIL_UUID:
        # A run that ended so long ago has left with the horizon: who speaks of it again begins another one.
        event = dataclasses.replace(event, run_id=number.to_bytes(16, "little"))
    # How far it is ahead of the broker's clock.
    ahead_us = -SECOND_US if time_us < BEGIN_US else rng.choice(_AHEAD)
    return event, ahead_us


def _measure(rng: random.Random) -> Measure:
    return Measure(
        partition=rng.choice([-1, 0, 1]),
        first_offset=rng.choice([-1, 0, 5]),
        last_offset=rng.choice([-1, 4, 9]),
        rows=rng.choice([-1, 0, 7]),
        lag=rng.choice([-1, 0, 3]),
        data_through_us=rng.choice([0, T - MINUTE_US, T + 99 * MINUTE_US]),
    )
