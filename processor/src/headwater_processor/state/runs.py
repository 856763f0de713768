"""Runs as people and other programs read them: images with names, made from the joined records of `core.runs`.

Pure. Times are microseconds since the epoch, UTC; 0 is "none".
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from headwater_processor.core.runs import Run, decode_run, keys_of, status
from headwater_processor.state.errors import LayoutError
from headwater_processor.state.layout import NO_KEY, RUN_CALL_BYTES
from headwater_schemas.events import NIL_UUID
from headwater_schemas.ids import KEY_BYTES

OPEN: Final = "OPEN"
LOST: Final = "LOST"

_FLAG_STREAMING: Final = 1


class OffsetImage(msgspec.Struct, kw_only=True, frozen=True):
    """The Kafka offsets that a run read (`in`) or wrote (`out`) of one partition; both ends inclusive."""

    direction: str
    dataset: str
    partition: int
    first: int
    last: int


class RunImage(msgspec.Struct, kw_only=True, omit_defaults=True, frozen=True):
    """A run with names instead of keys. One item of a job's history."""

    run: str
    state: str = OPEN
    """OPEN, COMPLETE, FAIL, ABORT or LOST (open, and silent for longer than the run time-out)."""
    started_us: int = 0
    seen_us: int = 0
    ended_us: int = 0
    error: str = ""
    streaming: bool = False
    runtime: dict[str, Any] = {}
    parent_run: str = ""
    parent_job: str = ""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    offsets: tuple[OffsetImage, ...] = ()


class JobHistory(msgspec.Struct, kw_only=True):
    """A value in `jr`: the last runs of a job, newest first, and the last that succeeded."""

    runs: list[RunImage] = []
    last_ok: RunImage | None = None


_decoder: Final = msgspec.json.Decoder(JobHistory)
_encoder: Final = msgspec.json.Encoder()


def pack_history(history: JobHistory) -> bytes:
    """A value in `jr`."""
    return _encoder.encode(history)


def unpack_history(value: bytes) -> JobHistory:
    """From a value in `jr`.

    Raises:
        LayoutError: it is no history of this layout.
    """
    try:
        return _decoder.decode(value)
    except msgspec.MsgspecError as error:
        raise LayoutError(f"a record of table 'jr' cannot be read: {error}") from error


class _Kept(msgspec.Struct):
    run: str
    state: str = OPEN
    started_us: int = 0
    ended_us: int = 0


class _KeptHistory(msgspec.Struct):
    runs: list[msgspec.Raw] = []
    last_ok: msgspec.Raw = msgspec.Raw(b"null")


KeptRun = tuple[str, str, int, int, bytes]
"""Run, state, began (µs), ended (µs), and the JSON it was."""

_kept_decoder: Final = msgspec.json.Decoder(_Kept)
_kept_history_decoder: Final = msgspec.json.Decoder(_KeptHistory)


def kept_runs(value: bytes) -> tuple[list[KeptRun], KeptRun | None]:
    """The runs of a value in `jr`, each with its own JSON, and the last that succeeded.

    Raises:
        LayoutError: it is no history of this layout.
    """
    try:
        history = _kept_history_decoder.decode(value)
        runs = [_kept(bytes(raw)) for raw in history.runs]
        last_ok = bytes(history.last_ok)
        return runs, None if last_ok == b"null" else _kept(last_ok)
    except msgspec.MsgspecError as error:
        raise LayoutError(f"a record of table 'jr' cannot be read: {error}") from error


def _kept(raw: bytes) -> KeptRun:
    run = _kept_decoder.decode(raw)
    return run.run, run.state, run.started_us, run.ended_us, raw


def unpack_run(value: bytes) -> Run:
    """From a value in `run`.

    Raises:
        LayoutError: it is no run of this layout.
    """
    try:
        return decode_run(value[RUN_CALL_BYTES:])
    except ValueError as error:
        raise LayoutError(f"a record of table 'run' cannot be read: {error}") from error


def run_text(run_id: bytes) -> str:
    """A run id as a person reads it; empty for none."""
    return "" if len(run_id) != len(NIL_UUID) or run_id == NIL_UUID else str(uuid.UUID(bytes=run_id))


def offset_key(direction: str, dataset: bytes, partition: int) -> bytes:
    """The key of an offset range in a run record; `direction` is `in` or `out`."""
    return direction[:1].encode() + dataset + partition.to_bytes(2, "big")


def keys_named_by(runs: Iterable[Run]) -> set[bytes]:
    """The keys whose names are needed to make images of these runs."""
    keys: set[bytes] = set()
    for run in runs:
        keys.update(keys_of(run.inputs), keys_of(run.outputs), (run.parent[3],))
        keys.update(key[1 : 1 + KEY_BYTES] for key, _, _ in _offsets(run))
    return keys - {NO_KEY, b""}


def run_image(
    run_id: bytes,
    run: Run,
    names: Mapping[bytes, str],
    *,
    heard_by_us: int = 0,
    as_of_us: int = 0,
    run_timeout_us: int = 0,
) -> RunImage:
    """The run as a person reads it. A key without a name is shown as hex.

    When an open run was last heard is known to the minute; `heard_by_us` is the end of that minute.
    """

    def name(key: bytes) -> str:
        return names.get(key) or key.hex()

    state = status(run).upper()
    if state == OPEN and run_timeout_us > 0 and 0 < max(heard_by_us, run.seen) < as_of_us - run_timeout_us:
        state = LOST
    ended = state not in (OPEN, LOST)
    parent_job = run.parent[3]
    return RunImage(
        run=run_text(run_id),
        state=state,
        started_us=run.started or run.first,
        seen_us=run.seen,
        ended_us=max(run.complete[0], run.failed[0]) if ended else 0,
        error=run.failed[3].decode(errors="replace") if state in ("FAIL", "ABORT") else "",
        streaming=bool(run.flags & _FLAG_STREAMING),
        runtime=_facts(run.runtime[2]),
        parent_run=run_text(run.parent[2]),
        parent_job=name(parent_job) if parent_job not in (b"", NO_KEY) else "",
        inputs=tuple(name(key) for key in keys_of(run.inputs)),
        outputs=tuple(name(key) for key in keys_of(run.outputs)),
        offsets=_offset_images(run, name),
    )


def _offsets(run: Run) -> Iterable[tuple[bytes, int, int]]:
    flat = run.offsets
    for i in range(0, len(flat) - 2, 3):
        key, first, last = flat[i : i + 3]
        if isinstance(key, bytes) and isinstance(first, int) and isinstance(last, int):
            yield key, first, last


def _offset_images(run: Run, name: Callable[[bytes], str]) -> tuple[OffsetImage, ...]:
    images = (
        OffsetImage(
            direction="in" if key[:1] == b"i" else "out",
            dataset=name(key[1 : 1 + KEY_BYTES]),
            partition=int.from_bytes(key[1 + KEY_BYTES :], "big"),
            first=first,
            last=last,
        )
        for key, first, last in _offsets(run)
    )
    return tuple(sorted(images, key=lambda image: (image.direction, image.dataset, image.partition)))


@functools.lru_cache(4096)
def facts_json(runtime: bytes) -> bytes:
    """The member `runtime` of a run in JSON, with the comma before it; empty if there is nothing to say."""
    facts = _facts(runtime)
    return b',"runtime":' + _encoder.encode(facts) if facts else b""


def _facts(runtime: bytes) -> dict[str, Any]:
    if not runtime:
        return {}
    try:
        facts = msgspec.json.decode(runtime)
    except msgspec.MsgspecError:
        return {}
    return {key: value for key, value in facts.items() if value} if isinstance(facts, dict) else {}
