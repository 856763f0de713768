"""A run is a join: what its events say, whatever their order. Status and credits follow from it.

The table of what each kind of event contributes is in SEMANTICS.md, section 3; everything here is a maximum, a minimum, a
set or a last writer, so `join` is commutative, associative and idempotent.
"""

from __future__ import annotations

from typing import Final

from headwater_processor.core.pack import pack, unpack

OFFSETS_MAX: Final = 256
"""Partitions whose offsets a run keeps; a run over more keeps the first that came and counts the rest."""

HISTORY: Final = 10
"""Runs of a job that its image shows: the newest by start. Beside them stands the last that succeeded."""

KEY: Final = 12

Offsets = list[bytes | int]
"""Offset key, first, last, and so on, in order of key."""
NO_OFFSETS: Final[Offsets] = []
"""Shared by all runs without offsets: never changed, only replaced."""


class Run:
    """The joined record of one run, in the order of the `run` hash in Redis. 0 and empty mean absent."""

    __slots__ = (
        "complete", "credit", "failed", "first", "flags", "idle", "inputs", "offsets", "outputs", "parent", "running",
        "runtime", "seen", "started",
    )  # fmt: skip

    def __init__(
        self,
        first: int = 0,
        started: int = 0,
        seen: int = 0,
        running: int = 0,
        complete: tuple[int, bytes] = (0, b""),
        credit: tuple[int, bytes, bytes] = (0, b"", b""),
        failed: tuple[int, int, bytes, bytes] = (0, 0, b"", b""),
        flags: int = 0,
        idle: int = 0,
        inputs: bytes = b"",
        outputs: bytes = b"",
        runtime: tuple[int, bytes, bytes] = (0, b"", b""),
        parent: tuple[int, bytes, bytes, bytes] = (0, b"", b"", b""),
        offsets: Offsets | None = None,
    ) -> None:
        self.first = first
        self.started = started
        self.seen = seen
        self.running = running
        self.complete = complete
        self.credit = credit
        self.failed = failed
        self.flags = flags
        self.idle = idle
        self.inputs = inputs
        self.outputs = outputs
        self.runtime = runtime
        self.parent = parent
        self.offsets: Offsets = NO_OFFSETS if offsets is None else offsets

    def fields(self) -> tuple[object, ...]:
        """In the order in which they are stored."""
        return (
            self.first, self.started, self.seen, self.running, self.complete, self.credit, self.failed, self.flags,
            self.idle, self.inputs, self.outputs, self.runtime, self.parent, self.offsets,
        )  # fmt: skip

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and self.fields() == other.fields()

    def __repr__(self) -> str:
        return f"Run{self.fields()!r}"

    def copy(self) -> Run:
        """A run that may be changed; the list of offsets is shared, so replace it instead of changing it."""
        return Run(
            self.first, self.started, self.seen, self.running, self.complete, self.credit, self.failed, self.flags,
            self.idle, self.inputs, self.outputs, self.runtime, self.parent, self.offsets,
        )  # fmt: skip


def decode_run(packed: bytes) -> Run:
    """From the MessagePack of a run (behind the 8 bytes of the call). Raises ValueError if it is none."""
    fields = unpack(packed)
    try:
        (
            first,
            started,
            seen,
            running,
            complete,
            credit,
            failed,
            flags,
            idle,
            inputs,
            outputs,
            runtime,
            parent,
            offsets,
        ) = fields
        c, event_id = complete
        credit_c, credit_id, credit_emitter = credit
        failed_c, rank, failed_id, error = failed
        runtime_c, runtime_id, facts = runtime
        parent_c, parent_id, parent_run, parent_job = parent
        return Run(
            _time(first), _time(started), _time(seen), _time(running), (_time(c), _raw(event_id)),
            (_time(credit_c), _raw(credit_id), _raw(credit_emitter)),
            (_time(failed_c), _time(rank), _raw(failed_id), _raw(error)), _time(flags), _time(idle), _raw(inputs),
            _raw(outputs), (_time(runtime_c), _raw(runtime_id), _raw(facts)),
            (_time(parent_c), _raw(parent_id), _raw(parent_run), _raw(parent_job)), list(offsets) or NO_OFFSETS,
        )  # fmt: skip
    except (TypeError, ValueError) as error_:
        raise ValueError(f"not a run: {error_}") from error_


def _time(value: object) -> int:
    """An integer, however Lua wrote it."""
    if type(value) is int:
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise ValueError(f"{value!r} is no integer")


def _raw(value: object) -> bytes:
    if type(value) is bytes:
        return value
    raise ValueError(f"{value!r} is no byte string")


_INTEGERS: Final = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD3: 8}
"""Bytes behind each of MessagePack's marks of a number that is not negative."""


def peek_times(packed: bytes, at: int = 0) -> tuple[int, int]:
    """When the run that begins at `at` started (or was first heard), and when it completed (0: never); the rest is not read.

    Raises ValueError if it is none.
    """
    first, at = _integer(packed, at + 1)  # behind the mark of an array of 14
    started, at = _integer(packed, at)
    _, at = _integer(packed, at)
    _, at = _integer(packed, at)
    completed, _ = _integer(packed, at + 1)  # behind the mark of an array of 2
    return started or first, completed


def _integer(packed: bytes, at: int) -> tuple[int, int]:
    """A number, and where the next value begins."""
    if at >= len(packed):
        raise ValueError("no run: it ends too early")
    mark = packed[at]
    if mark < 0x80:
        return mark, at + 1
    if mark not in _INTEGERS:
        raise ValueError(f"no run: a mark {mark:#x} where a time should be")
    end = at + 1 + _INTEGERS[mark]
    return int.from_bytes(packed[at + 1 : end], "big"), end


def encode_run(run: Run) -> bytes:
    """As it is stored, without the 8 bytes of the call."""
    return pack(run.fields())


def union(a: bytes, b: bytes) -> bytes:
    """Two sets of keys, each sorted and concatenated."""
    if not b or a == b:
        return a
    if not a:
        return b
    keys = {a[i : i + KEY] for i in range(0, len(a), KEY)}
    keys.update(b[i : i + KEY] for i in range(0, len(b), KEY))
    return b"".join(sorted(keys))


def keys_of(packed: bytes) -> list[bytes]:
    """The keys of a packed set."""
    return [packed[i : i + KEY] for i in range(0, len(packed), KEY)]


def join_offsets(a: list[bytes | int], b: list[bytes | int]) -> list[bytes | int]:
    """Per offset key the smallest first and the largest last, in order of key; `OFFSETS_MAX` keys at most."""
    if not b:
        return a
    if not a and len(b) <= 3 * OFFSETS_MAX:
        return b
    ranges: dict[bytes | int, tuple[int, int]] = {}
    for flat in (a, b):
        for i in range(0, len(flat), 3):
            key, first, last = flat[i], int(flat[i + 1]), int(flat[i + 2])
            known = ranges.get(key)
            if known is not None:
                ranges[key] = (min(first, known[0]), max(last, known[1]))
            elif len(ranges) < OFFSETS_MAX:
                ranges[key] = (first, last)
    return [part for key in sorted(ranges, key=bytes) for part in (key, *ranges[key])]


def join(a: Run, b: Run) -> Run:
    """The least run that is at least both."""
    return Run(
        first=min(a.first, b.first) if a.first and b.first else a.first or b.first,
        started=min(a.started, b.started) if a.started and b.started else a.started or b.started,
        seen=max(a.seen, b.seen),
        running=max(a.running, b.running),
        complete=max(a.complete, b.complete),
        credit=max(a.credit, b.credit),
        failed=max(a.failed, b.failed),
        flags=a.flags | b.flags,
        idle=max(a.idle, b.idle),
        inputs=union(a.inputs, b.inputs),
        outputs=union(a.outputs, b.outputs),
        runtime=max(a.runtime, b.runtime),
        parent=max(a.parent, b.parent),
        offsets=join_offsets(a.offsets, b.offsets),
    )


def status(run: Run) -> str:
    """`open`, `complete`, `fail` or `abort`; whether an open run is lost, only as-of can tell."""
    completed, failed = run.complete[0], run.failed[0]
    if completed and completed >= failed:
        return "complete"
    if not failed or (run.flags & 2 and run.running > failed):
        return "open"
    return "fail" if run.failed[1] == 2 else "abort"


def is_closed(run: Run) -> bool:
    """Whether the run has ended (SEMANTICS.md, section 3). A restartable run that speaks after its failure has not."""
    return status(run) != "open"
