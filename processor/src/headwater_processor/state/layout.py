"""The keys and records of the state in Redis: names, formats, and pure functions that read and write them.

Everything here takes bytes and returns values or the other way round; nothing talks to Redis. The layout is described,
table by table, in `processor/SEMANTICS.md`, section 4. Times are microseconds since the epoch, UTC; 0 is "none".

A *record* is some big-endian doubles followed by a payload that belongs to the first of them. Minima are stored
negated, so that every merge is a maximum; "none" is then -2^53.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from headwater_processor.core import lattice
from headwater_processor.core.lattice import invert
from headwater_processor.state.errors import LayoutError
from headwater_schemas.events import NIL_UUID, Name
from headwater_schemas.ids import DERIVES, EDGE_KEY_BYTES, KEY_BYTES, READS, WRITES

LAYOUT_VERSION: Final = 1
MINUTE_US: Final = 60_000_000
"""What `meta.layout` must say for this code to understand the state."""

NO_KEY: Final = bytes(KEY_BYTES)

KIND_DATASET: Final = b"d"
KIND_JOB: Final = b"j"
KIND_EMITTER: Final = b"e"

EDGE_KINDS: Final = {READS: "READS", WRITES: "WRITES", DERIVES: "DERIVES"}

RUN_CALL_BYTES: Final = 8
"""In front of every value in `run`: names the call that wrote it; the engine's business."""

FRESHNESS_STATES: Final = ("UNKNOWN", "FRESH", "LATE", "STALE", "RECOVERED", "IDLE", "NO_DATA")
"""In the order of the Avro enum `FreshnessState`."""

# The doubles of `core.lattice` with the payloads that SEMANTICS.md gives them.
_DS: Final = lattice.DS
_SV: Final = struct.Struct(lattice.ONE.format + "16s")
_MV: Final = struct.Struct(lattice.ONE.format + "16s12s")
_FR: Final = struct.Struct(lattice.FR.format + "16s16s12s12s")
_JOB: Final = struct.Struct(lattice.JOB.format + "16s12s")
_EDGE: Final = struct.Struct(lattice.ONE.format + "16s16s")
_AL: Final = lattice.ALIAS


# --- keys -----------------------------------------------------------------------------------------------------------


def split_edge_key(edge: bytes) -> tuple[bytes, bytes, bytes]:
    """Kind, source key and target key.

    Raises:
        LayoutError: not 25 bytes, or a kind that does not exist.
    """
    if len(edge) != EDGE_KEY_BYTES or edge[:1] not in EDGE_KINDS:
        raise LayoutError(f"not an edge key: {edge.hex()}")
    return edge[:1], edge[1 : 1 + KEY_BYTES], edge[1 + KEY_BYTES :]


def dataset_ends(edge: bytes) -> tuple[bytes, ...]:
    """The keys of the ends of an edge that are datasets: their retraction takes the edge with it."""
    kind, source, target = split_edge_key(edge)
    if kind == READS:
        return (source,)
    return (target,) if kind == WRITES else (source, target)


@dataclass(frozen=True, slots=True)
class Keys:
    """The Redis keys of one domain. All share one hash tag, so that a cluster keeps them together."""

    domain: str

    def table(self, table: str) -> str:
        """A key that exists once: `meta`, `names`, `ds`, …"""
        return f"{{hw:{self.domain}}}:{table}"

    def part(self, table: str, number: int) -> str:
        """A key that exists once for each partition or shard: `f:<p>`, `st:<s>`, …"""
        return f"{{hw:{self.domain}}}:{table}:{number}"


# --- names ----------------------------------------------------------------------------------------------------------


def pack_name(kind: bytes, name: Name) -> bytes:
    """The value in `names`: kind byte, namespace, NUL, name."""
    return kind + name.namespace.encode() + b"\0" + name.name.encode()


def unpack_name(value: bytes) -> tuple[bytes, Name]:
    """Kind byte and name of a value in `names`.

    Raises:
        LayoutError: there is no NUL between namespace and name.
    """
    namespace, nul, name = value[1:].partition(b"\0")
    if not nul:
        raise LayoutError(f"not a name: {value!r}")
    return value[:1], Name(namespace.decode(errors="replace"), name.decode(errors="replace"))


def minute_of(time_us: int) -> int:
    """The beginning of the minute: as it is told of what is known to the minute."""
    return time_us // MINUTE_US * MINUTE_US


def negate(time_us: int) -> float:
    """A minimum as it is stored; 0 (none) becomes -2^53."""
    return -float(time_us) if time_us else lattice.NO_MIN


def _minimum(stored: float) -> int:
    return 0 if stored <= lattice.NO_MIN else int(-stored)


# --- records --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DatasetRecord:
    """A value in `ds`."""

    first_seen_us: int = 0
    retracted_us: int = 0
    truncated_us: int = 0
    first_read_us: int = 0
    first_written_us: int = 0
    first_event_id: bytes = NIL_UUID
    first_job: bytes = b""

    def pack(self) -> bytes:
        """As stored."""
        doubles = _DS.pack(
            negate(self.first_seen_us),
            float(self.retracted_us),
            float(self.truncated_us),
            negate(self.first_read_us),
            negate(self.first_written_us),
        )
        return doubles + invert(self.first_event_id) + self.first_job

    @classmethod
    def unpack(cls, value: bytes) -> DatasetRecord:
        """From what is stored; the payload may be missing."""
        seen, retracted, truncated, read, written = _unpack(_DS, value, "ds", needed=_DS.size)
        payload = value[_DS.size :]
        return cls(
            _minimum(seen),
            int(retracted),
            int(truncated),
            _minimum(read),
            _minimum(written),
            invert(payload[:16]) or NIL_UUID,
            payload[16:].strip(b"\0") and payload[16:],
        )


_RETRACTED: Final = struct.Struct(">8xd")
_READ: Final = struct.Struct(">24xd")
_WRITTEN: Final = struct.Struct(">32xd")
_FIRST: Final = struct.Struct(">d")


def last_emitter(value: bytes) -> bytes:
    """The key of who told of the last write, of a value in `fr`: nothing else of it is read. Empty if nothing was written."""
    return value[-KEY_BYTES:] if len(value) >= _FR.size else b""


def retracted_us(value: bytes) -> float:
    """When a dataset was retracted, of a value in `ds`, without reading the rest; 0 if it never was."""
    return float(_RETRACTED.unpack_from(value)[0])


def was_read(value: bytes) -> bool:
    """Whether a dataset was ever read, of a value in `ds`, without reading the rest."""
    return _minimum(_READ.unpack_from(value)[0]) > 0


def was_written(value: bytes) -> bool:
    """Whether a dataset was ever named as written, likewise."""
    return _minimum(_WRITTEN.unpack_from(value)[0]) > 0


def first_job(value: bytes) -> bytes:
    """Which job touched a dataset first, of a value in `ds`, without reading the rest; empty if none did."""
    return value[_DS.size + 16 :]


def last_write_us(value: bytes) -> int:
    """When a dataset was proven to be written last, of a value in `fr`, without reading the rest; 0 if it never was."""
    return int(_FIRST.unpack_from(value)[0])


def last_job(value: bytes) -> bytes:
    """Which job proved that, of a value in `fr`; empty or zeros if none did."""
    return value[-2 * KEY_BYTES : -KEY_BYTES] if len(value) >= _FR.size else b""


@dataclass(frozen=True, slots=True)
class FreshnessRecord:
    """A value in `fr`. The payload says who proved the last write."""

    last_write_us: int = 0
    data_through_us: int = 0
    last_failure_us: int = 0
    idle_through_us: int = 0
    event_id: bytes = NIL_UUID
    run_id: bytes = NIL_UUID
    job: bytes = NO_KEY
    emitter: bytes = NO_KEY

    def pack(self) -> bytes:
        """As stored."""
        times = (self.last_write_us, self.data_through_us, self.last_failure_us, self.idle_through_us)
        return _FR.pack(*map(float, times), self.event_id, self.run_id, self.job, self.emitter)

    @classmethod
    def unpack(cls, value: bytes) -> FreshnessRecord:
        """From what is stored; without a proven write there may be no payload."""
        write, through, failure, idle, event, run, job, emitter = _unpack(_FR, value, "fr", needed=32)
        return cls(int(write), int(through), int(failure), int(idle), event, run, job, emitter)


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A value in `job`."""

    first_seen_us: int = 0
    first_input_us: int = 0
    first_output_us: int = 0
    streaming: bool = False
    first_event_id: bytes = NIL_UUID
    emitter: bytes = NO_KEY

    def pack(self) -> bytes:
        """As stored."""
        minima = (negate(self.first_seen_us), negate(self.first_input_us), negate(self.first_output_us))
        return _JOB.pack(*minima, float(self.streaming), invert(self.first_event_id), self.emitter)

    @classmethod
    def unpack(cls, value: bytes) -> JobRecord:
        """From what is stored."""
        seen, first_input, first_output, streaming, event, emitter = _unpack(_JOB, value, "job", needed=32)
        return cls(_minimum(seen), _minimum(first_input), _minimum(first_output), streaming > 0, invert(event), emitter)


@dataclass(frozen=True, slots=True)
class EdgeRecord:
    """A value in `edge`: when it was first seen, by which event of which run."""

    first_seen_us: int = 0
    event_id: bytes = NIL_UUID
    run_id: bytes = NIL_UUID

    def pack(self) -> bytes:
        """As stored."""
        return _EDGE.pack(negate(self.first_seen_us), invert(self.event_id), self.run_id)

    @classmethod
    def unpack(cls, value: bytes) -> EdgeRecord:
        """From what is stored."""
        seen, event, run = _unpack(_EDGE, value, "edge", needed=8)
        return cls(_minimum(seen), invert(event), run)


@dataclass(frozen=True, slots=True)
class AliasRecord:
    """A value in `al`: two ids are the same dataset while `asserted_us > retracted_us`."""

    asserted_us: int = 0
    retracted_us: int = 0

    @property
    def present(self) -> bool:
        """Whether the alias holds."""
        return self.asserted_us > self.retracted_us

    def pack(self) -> bytes:
        """As stored."""
        return _AL.pack(float(self.asserted_us), float(self.retracted_us))

    @classmethod
    def unpack(cls, value: bytes) -> AliasRecord:
        """From what is stored."""
        asserted, retracted = _unpack(_AL, value, "al", needed=_AL.size)
        return cls(int(asserted), int(retracted))


def pack_schema_version(time_us: int, event_id: bytes, version: str) -> bytes:
    """A value in `sv`."""
    return _SV.pack(float(time_us), event_id) + version.encode()


def unpack_schema_version(value: bytes) -> str:
    """The schema version of a value in `sv`."""
    return value[_SV.size :].decode(errors="replace")


def pack_about(time_us: int, event_id: bytes, text: bytes) -> bytes:
    """A value in `about`: one fact of a node, and the event that said it last."""
    return _SV.pack(float(time_us), event_id) + text


def unpack_about(value: bytes) -> tuple[int, bytes, bytes]:
    """When a fact was said last, by which event, and its text; empty: it was taken back.

    Raises:
        LayoutError: it is too short to be one.
    """
    time_us, event_id = _unpack(_SV, value, "about", needed=_SV.size)
    return int(time_us), bytes(event_id), value[_SV.size :]


def pack_successor(time_us: int, event_id: bytes, new_key: bytes) -> bytes:
    """A value in `mv`: what a dataset was renamed to."""
    return _MV.pack(float(time_us), event_id, new_key)


def unpack_successor(value: bytes) -> bytes:
    """The key of the new name, from a value in `mv`."""
    _, _, key = _unpack(_MV, value, "mv", needed=_MV.size)
    return bytes(key)


def pack_partitions(partitions: Sequence[int]) -> bytes:
    """A value in `wp`: the bitmap of the partitions that prove writes of a dataset."""
    bitmap = bytearray(max(partitions) // 8 + 1 if partitions else 0)
    for partition in partitions:
        bitmap[partition // 8] |= 1 << partition % 8
    return bytes(bitmap)


def unpack_partitions(value: bytes) -> tuple[int, ...]:
    """The partitions of a value in `wp`, ascending."""
    return tuple(i * 8 + bit for i, byte in enumerate(value) for bit in range(8) if byte >> bit & 1)


def _unpack(form: struct.Struct, value: bytes, table: str, *, needed: int) -> tuple[Any, ...]:
    if len(value) < needed:
        raise LayoutError(
            f"a record of table {table!r} has {len(value)} bytes where at least {needed} belong: "
            "the state was written by something else than this version of Headwater"
        )
    return form.unpack(value[: form.size].ljust(form.size, b"\0"))


# --- what was judged ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JudgedRecord:
    """A value in `st`: what the owner of the shard last judged of a dataset or job. `max_age_us` is the age that a dataset was
    allowed: its deadline moves on with every write, and it is not judged again before the deadline that is stored."""

    state: str = "UNKNOWN"
    reason: str = ""
    since_us: int = 0
    deadline_us: int = 0
    unlinked: str = ""
    policy_version: int = -1
    owner: str = ""
    candidates: tuple[str, ...] = ()
    max_age_us: int = 0
    kind: str = ""

    def pack(self) -> bytes:
        """As stored; the state goes as its place in the Avro enum."""
        place = FRESHNESS_STATES.index(self.state)
        fields = [place, self.reason, self.since_us, self.deadline_us, self.unlinked, self.policy_version]
        return msgspec.msgpack.encode([*fields, self.owner, self.candidates, self.max_age_us, self.kind])

    @classmethod
    def unpack(cls, value: bytes) -> JudgedRecord:
        """From what is stored. Fields that are missing at the end are unknown.

        Raises:
            LayoutError: it is nothing of the kind.
        """
        try:
            parts = msgspec.msgpack.decode(value)
            state, *rest = parts
            if isinstance(state, int):
                state = FRESHNESS_STATES[state]
            if len(rest) > 6:
                rest[6] = tuple(rest[6])
            return cls(str(state).upper(), *rest[:9])
        except (msgspec.MsgspecError, TypeError, ValueError, IndexError) as error:
            raise LayoutError(f"a record of table 'st' cannot be read: {error}") from error
