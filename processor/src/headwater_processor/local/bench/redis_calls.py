"""How long Redis needs for one call of the worker: by its own clock, from its SLOWLOG.

While the block runs the log takes every command of at least `COUNTED_US`, and its settings are put back afterwards.
Shorter ones are left out: they are the many small reads, whose entries would cost more memory than the state. So the
percentiles are those of the calls that were long enough to count, never too good.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, cast

import redis

from headwater_processor.adapters.redis_store import script
from headwater_processor.local.bench.percentiles import percentile
from headwater_processor.local.bench.place import Place

log = logging.getLogger(__name__)

COUNTED_US: Final = 100
_ENTRIES: Final = 20_000
_SLOWER, _LENGTH = "slowlog-log-slower-than", "slowlog-max-len"
_APPLY: Final = hashlib.sha1(script("apply").encode(), usedforsecurity=False).hexdigest()


@dataclass(slots=True)
class CallTimes:
    """Filled when the block ends; empty where the server lets nobody change its settings."""

    figures: dict[str, Any] = field(default_factory=dict)


@contextmanager
def timed_calls(here: Place) -> Iterator[CallTimes]:
    """Time the calls of the block."""
    times, client = CallTimes(), here.redis
    try:
        before = {name: _setting(client, name) for name in (_SLOWER, _LENGTH)}
        newest = max((int(entry["id"]) for entry in _entries(client, 1)), default=-1)
        client.config_set(_LENGTH, max(_ENTRIES, int(before[_LENGTH])))
        client.config_set(_SLOWER, COUNTED_US)
    except (redis.ResponseError, KeyError) as error:
        log.warning("the time of Redis' calls is not measured, CONFIG is not allowed: %s", error)
        yield times
        return
    try:
        yield times
        entries = [entry for entry in _entries(client, _ENTRIES) if int(entry["id"]) > newest]
        times.figures = call_figures(entries, _APPLY)
    finally:
        for name, value in before.items():
            client.config_set(name, value)


def call_figures(entries: Sequence[Mapping[str, Any]], apply_sha: str) -> dict[str, Any]:
    """Percentiles, in milliseconds, of the fenced calls that apply events; and the longest command of all.

    Args:
        entries: of SLOWLOG GET as redis-py gives them: `duration` in microseconds, `command` as bytes.
        apply_sha: names the script in `command`.
    """
    applied = sorted(int(entry["duration"]) for entry in entries if apply_sha.encode() in entry["command"][:100])
    longest = max(entries, key=lambda entry: int(entry["duration"]), default=None)

    def ms(us: float | None) -> float | None:
        return None if us is None else round(us / 1000, 3)

    return {
        "calls": len(applied),
        "p50_ms": ms(percentile(applied, 0.5)),
        "p99_ms": ms(percentile(applied, 0.99)),
        "max_ms": ms(percentile(applied, 1.0)),
        "counted_from_us": COUNTED_US,
        "longest_command_ms": None if longest is None else ms(int(longest["duration"])),
        "longest_command": "" if longest is None else _named(longest["command"], apply_sha),
    }


def _named(command: bytes, apply_sha: str) -> str:
    """The command without what it was given; our script by its name."""
    words = command.split(maxsplit=2)[:2]
    first = words[0].decode("ascii", "replace").upper()
    if first != "EVALSHA" or len(words) < 2:
        return first
    return f"EVALSHA {'apply' if words[1].decode('ascii', 'replace') == apply_sha else '(another script)'}"


def _entries(client: redis.Redis, count: int) -> list[dict[str, Any]]:
    return client.slowlog_get(count)


def _setting(client: redis.Redis, name: str) -> str:
    return str(cast("dict[str, Any]", client.config_get(name))[name])
