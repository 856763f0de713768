"""The runs of a job as its image shows them: the newest by start, and the last that succeeded, as JSON.

A history is written anew whenever a run of the job changes, so it is the dearest image by far. So each run is written to
JSON once, straight from its record; what is kept of earlier runs stays the bytes it was. The form is that of
`state.runs.JobHistory`, by which it is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from headwater_processor.core.runs import HISTORY, Run, decode_run, is_closed, keys_of, peek_times, status
from headwater_processor.engine.names import NameBook
from headwater_processor.state.layout import RUN_CALL_BYTES
from headwater_processor.state.runs import KeptRun, facts_json, kept_runs
from headwater_schemas.deltas import Runs
from headwater_schemas.events import NIL_UUID
from headwater_schemas.ids import KEY_BYTES

_NOBODY: Final = bytes(KEY_BYTES)
_STREAMING: Final = 1


class Shown:
    """A run on its way into a history."""

    __slots__ = ("ended_us", "json", "run", "started_us", "state")

    def __init__(self, run: str, state: str, started_us: int, ended_us: int, json: bytes) -> None:
        self.run = run
        self.state = state
        self.started_us = started_us
        self.ended_us = ended_us
        self.json = json


class History:
    """What a job's image says of its runs, and the value of `jr`."""

    __slots__ = ("packed", "runs")

    def __init__(self, runs: Runs, packed: bytes) -> None:
        self.runs = runs
        self.packed = packed


def worth_showing(stored: dict[bytes, bytes]) -> dict[bytes, Run]:
    """Of many stored runs the newest by start and the last that succeeded: no other can be in the history."""
    if len(stored) > HISTORY:
        times = [(*peek_times(value, RUN_CALL_BYTES), key) for key, value in stored.items()]
        newest = sorted([(started_us, key) for started_us, _, key in times], reverse=True)[:HISTORY]
        best = max([(completed_us, key) for _, completed_us, key in times])
        stored = {key: stored[key] for _, key in (*newest, best)}
    return {key: decode_run(value[RUN_CALL_BYTES:]) for key, value in stored.items()}


def keys_named_by(runs: dict[bytes, Run]) -> set[bytes]:
    """The keys whose names these runs show."""
    keys: set[bytes] = set()
    for run in runs.values():
        keys.update(keys_of(run.inputs))
        keys.update(keys_of(run.outputs))
        keys.add(run.parent[3])
        offsets = run.offsets
        for at in range(0, len(offsets) - 2, 3):
            key = offsets[at]
            if isinstance(key, bytes):
                keys.add(key[1 : 1 + KEY_BYTES])
    keys.discard(_NOBODY)
    keys.discard(b"")
    return keys


def history(old: bytes | None, runs: dict[bytes, Run], names: NameBook, as_of_us: int, run_timeout_us: int) -> History:
    """The history after these runs (key → record), of which at least one is new. `old`: the value of `jr`."""
    by_run: dict[str, Shown] = {}
    last_ok: Shown | None = None
    if old is not None:
        kept, ok = kept_runs(old)
        by_run = {each[0]: _kept(each) for each in kept}
        last_ok = _kept(ok) if ok is not None else None
    for key, run in runs.items():
        shown = show(key[KEY_BYTES:], run, names, as_of_us, run_timeout_us)
        by_run[shown.run] = shown
    newest = sorted(by_run.values(), key=_by_start, reverse=True)[:HISTORY]
    good = [shown for shown in by_run.values() if shown.state == "COMPLETE"]
    if last_ok is not None and last_ok.run not in by_run:  # else it may have turned out otherwise
        good.append(last_ok)
    best = max(good, key=_by_end) if good else None
    packed = b'{"runs":[' + b",".join([shown.json for shown in newest])
    packed += b'],"last_ok":' + (best.json if best is not None else b"null") + b"}"
    return History(_summary(newest, best, packed), packed)


def show(run_id: bytes, run: Run, names: NameBook, as_of_us: int, run_timeout_us: int) -> Shown:
    """One run. What is at its default is left out, as in `state.runs.RunImage`."""
    state = status(run).upper()
    if state == "OPEN" and run_timeout_us > 0 and 0 < run.seen < as_of_us - run_timeout_us:
        state = "LOST"
    ended_us = max(run.complete[0], run.failed[0]) if is_closed(run) else 0
    started_us = run.started or run.first
    ident = _uuid(run_id)
    parts = [b'{"run":"', ident.encode(), b'"']
    if state != "OPEN":
        parts += (b',"state":"', state.encode(), b'"')
    if started_us:
        parts += (b',"started_us":', str(started_us).encode())
    if run.seen:
        parts += (b',"seen_us":', str(run.seen).encode())
    if ended_us:
        parts += (b',"ended_us":', str(ended_us).encode())
    if run.failed[3] and state in ("FAIL", "ABORT"):
        parts += (b',"error":', msgspec.json.encode(run.failed[3].decode(errors="replace")))
    if run.flags & _STREAMING:
        parts.append(b',"streaming":true')
    if run.runtime[2]:
        parts.append(facts_json(run.runtime[2]))
    if run.parent[2]:
        parts += (b',"parent_run":"', _uuid(run.parent[2]).encode(), b'"')
    if run.parent[3] and run.parent[3] != _NOBODY:
        parts += (b',"parent_job":', names.json(run.parent[3]))
    if run.inputs:
        parts += (b',"inputs":[', b",".join([names.json(key) for key in keys_of(run.inputs)]), b"]")
    if run.outputs:
        parts += (b',"outputs":[', b",".join([names.json(key) for key in keys_of(run.outputs)]), b"]")
    if run.offsets:
        parts.append(_offsets(run, names))
    parts.append(b"}")
    return Shown(ident, state, started_us, ended_us, b"".join(parts))


def _offsets(run: Run, names: NameBook) -> bytes:
    flat = run.offsets
    found: list[tuple[str, str, int, int, int]] = []
    for at in range(0, len(flat) - 2, 3):
        key, first, last = flat[at], flat[at + 1], flat[at + 2]
        if isinstance(key, bytes) and isinstance(first, int) and isinstance(last, int):
            direction = "in" if key[:1] == b"i" else "out"
            partition = int.from_bytes(key[1 + KEY_BYTES :], "big")
            found.append((direction, names.text(key[1 : 1 + KEY_BYTES]), partition, first, last))
    found.sort()
    said = [
        b'{"direction":"%b","dataset":%b,"partition":%d,"first":%d,"last":%d}'
        % (direction.encode(), msgspec.json.encode(dataset), partition, first, last)
        for direction, dataset, partition, first, last in found
    ]
    return b',"offsets":[' + b",".join(said) + b"]"


def _summary(newest: Sequence[Shown], best: Shown | None, packed: bytes) -> Runs:
    return Runs(
        open=sum([shown.state == "OPEN" for shown in newest]),
        last=newest[0].run,
        last_state=newest[0].state,
        last_ok=best.run if best is not None else "",
        last_ok_at_us=best.ended_us if best is not None else 0,
        history=packed,
    )


def _kept(kept: KeptRun) -> Shown:
    run, state, started_us, ended_us, json = kept
    return Shown(run, state, started_us, ended_us, json)


def _by_start(shown: Shown) -> tuple[int, str]:
    return shown.started_us, shown.run


def _by_end(shown: Shown) -> tuple[int, str]:
    return shown.ended_us, shown.run


def _uuid(ident: bytes) -> str:
    if len(ident) != len(NIL_UUID) or ident == NIL_UUID:
        return ""
    h = ident.hex()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"
