"""Small random histories: few names and few minutes, so that everything meets everything."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from tests.support.driving import MINUTE_US, Said

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

T = 1_740_787_200_000_000
SECOND_US = 1_000_000

DATASETS = tuple(Name("kafka://b1:9092", name) for name in ("orders", "users", "daily"))
NO_JOB = Name("", "")
JOBS = (Name("jobs", "one"), Name("jobs", "two"))
RUNS = tuple(bytes(15) + bytes([n]) for n in (1, 2, 3))
EMITTERS = ("", "sdk", "cdc")

# Steps of 20 s meet within a minute; the last events of the day are hours later.
TIMES = st.one_of(st.integers(0, 30), st.integers(0, 30), st.integers(300, 360)).map(lambda n: T + n * 20 * SECOND_US)
MEASURES = st.lists(
    st.builds(
        Measure,
        partition=st.sampled_from([-1, 0, 1]),
        first_offset=st.sampled_from([-1, 0, 5]),
        last_offset=st.sampled_from([-1, 4, 9]),
        rows=st.sampled_from([-1, 0, 7]),
        lag=st.sampled_from([-1, 0, 3]),
        data_through_us=st.sampled_from([0, T - MINUTE_US, T + 99 * MINUTE_US]),
    ),
    max_size=2,
).map(tuple)


def _use(name: Name, version: str, aliases: tuple[Name, ...], lifecycle: Lifecycle, previous: Name) -> DatasetUse:
    renamed = previous if lifecycle is Lifecycle.RENAME else None
    return DatasetUse(name.namespace, name.name, version, aliases, lifecycle, renamed)


_VERSIONS = st.sampled_from(["", "", "v1", "v2"])
_ALIASES = st.sampled_from([(), (), (DATASETS[0],), (DATASETS[1], DATASETS[2])])
_LIVES = st.sampled_from(
    [Lifecycle.NONE] * 6 + [Lifecycle.DROP, Lifecycle.RENAME, Lifecycle.TRUNCATE, Lifecycle.CREATE]
)
INPUTS = st.lists(
    st.builds(_use, st.sampled_from(DATASETS), _VERSIONS, _ALIASES, st.just(Lifecycle.NONE), st.just(NO_JOB)),
    max_size=2,
).map(tuple)
OUTPUTS = st.lists(
    st.builds(_use, st.sampled_from(DATASETS), _VERSIONS, _ALIASES, _LIVES, st.sampled_from(DATASETS)), max_size=2
).map(tuple)
EDGES = st.lists(st.builds(DirectEdge, st.sampled_from(DATASETS), st.sampled_from(DATASETS)), max_size=1).map(tuple)
RUNTIMES = st.sampled_from([None, None, Runtime(pod="p1"), Runtime(pod="p2", node="n")])


def facets(choose: Callable[[list[Any]], Any]) -> bytes | None:
    """Facets of an event, mostly none: of its job, and of datasets that it may use or not. `choose` takes one of a list."""
    owned = [{"owners": [{"name": "team:a"}]}, {"owners": [{"name": "team:b"}, {"name": "user:c"}]}, {"_deleted": True}]
    versioned = [{"datasetVersion": "1"}, {"datasetVersion": "2"}, {"_deleted": True}]
    if choose([True, True, False]):
        return None
    found = {
        "job": {"ownership": choose(owned), "sql": {"query": choose(["select 1", "select 2"])}},
        choose(["inputs", "outputs"]): [
            {"namespace": name.namespace, "name": name.name, "facets": {"version": choose(versioned), **more}}
            for name in choose([DATASETS[:1], DATASETS[:2], DATASETS[1:]])
            for more in [choose([{}, {"ownership": choose(owned)}, {"unheard": {}}])]
        ],
    }
    return json.dumps(found).encode()


# What repeats from event to event: one history has few of these, so most events say a tail that was said before.
TAILS = st.fixed_dictionaries(
    {
        "job": st.sampled_from([*JOBS, *JOBS, NO_JOB]),
        "inputs": INPUTS,
        "outputs": OUTPUTS,
        "edges": EDGES,
        "processing": st.sampled_from([Processing.UNKNOWN, Processing.STREAMING]),
        "restartable": st.booleans(),
        "backfill": st.sampled_from([False, False, False, True]),
        "emitter": st.sampled_from(EMITTERS),
        "parent_job": st.sampled_from([None, None, JOBS[0], NO_JOB]),
        "runtime": RUNTIMES,
        "error": st.sampled_from([None, None, "lost connection"]),
        "facets": st.randoms(use_true_random=False).map(lambda rng: facets(rng.choice)),
    }
)
# How far an event is ahead of the broker's clock: most arrive a second later, some come from the future.
_AHEAD = st.sampled_from([-SECOND_US] * 6 + [4 * MINUTE_US, 6 * MINUTE_US, 300 * MINUTE_US])
HEADS = st.fixed_dictionaries(
    {
        "tail": st.integers(0, 5),
        "ahead_us": _AHEAD,
        "measures": MEASURES,
        "measured_last": st.booleans(),
        "event_type": st.sampled_from(EventType),
        "event_time_us": TIMES,
        "run_id": st.sampled_from([*RUNS, NIL_UUID]),
        "parent_run_id": st.sampled_from([None, None, RUNS[0]]),
        "nominal_end_us": st.sampled_from([0, 0, T - MINUTE_US, T - 3 * 86_400 * SECOND_US]),
    }
)


def _measured(tail: dict[str, Any], measures: tuple[Measure, ...], last: bool) -> dict[str, Any]:
    """The tail with measures of its last output or first input, if it has one."""
    side, at = ("outputs", -1) if last else ("inputs", 0)
    uses = list(tail[side])
    if uses:
        uses[at] = dataclasses.replace(uses[at], measures=measures)
    return {**tail, side: tuple(uses)}


def _said(number: int, head: dict[str, Any], tails: list[dict[str, Any]]) -> Said:
    head = dict(head)
    tail = tails[head.pop("tail") % len(tails)]
    ahead_us, measures, last = head.pop("ahead_us"), head.pop("measures"), head.pop("measured_last")
    # The id is far from the order of the times: it decides only between equal ones.
    event_id = (number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128)).to_bytes(16, "big")
    event = LineageEvent(event_id=event_id, **head, **_measured(tail, measures, last))
    return Said(event, event.event_time_us - ahead_us)


def _history(tails: list[dict[str, Any]], heads: list[dict[str, Any]]) -> list[Said]:
    return [_said(number, head, tails) for number, head in enumerate(heads, 1)]


def histories(max_size: int = 60) -> st.SearchStrategy[list[Said]]:
    """Events of distinct ids over three datasets, two jobs and three runs, in at most six different tails."""
    return st.builds(_history, st.lists(TAILS, min_size=1, max_size=6), st.lists(HEADS, min_size=1, max_size=max_size))
