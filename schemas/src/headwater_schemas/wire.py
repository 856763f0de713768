"""Events to bytes of `lineage_event.v1`, by hand.

A job waits while its event is encoded. fastavro's writer takes any record and tries the branches of each union, which
costs about three times as much as writing this one record, whose shape is known (figures in the README). A test holds
this writer to fastavro's, byte by byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import lru_cache
from typing import Final, TypeVar

from headwater_schemas.events import (
    Completeness,
    DatasetUse,
    EventType,
    Lifecycle,
    LineageEvent,
    Measure,
    Name,
    Processing,
    Runtime,
)

T = TypeVar("T")

_NO: Final = b"\x00"
_YES: Final = b"\x02"
_BOOLEAN: Final = (b"\x00", b"\x01")
_SMALL: Final = tuple(bytes([z]) for z in range(0x80))


def _indexes(kind: type[Enum]) -> Mapping[str, bytes]:
    # By name: the hash of a member is computed in Python, that of a string is kept.
    return {member.name: _SMALL[2 * index] for index, member in enumerate(kind)}


_EVENT_TYPES: Final = _indexes(EventType)
_PROCESSING: Final = _indexes(Processing)
_COMPLETENESS: Final = _indexes(Completeness)
_LIFECYCLE: Final = _indexes(Lifecycle)
_PLAIN_OUTPUT: Final = _LIFECYCLE["NONE"] + b"\x00\x00"


def write_event(event: LineageEvent) -> bytes:
    """The datum, without a frame.

    Raises ValueError or TypeError for what the schema cannot hold: ids of a wrong length, numbers of more than 64 bits,
    text with lone surrogates, None where there must be a value.
    """
    uses = event.inputs + event.outputs
    return b"".join(
        (
            _fixed(event.event_id, 16),
            long_bytes(event.event_time_us),
            _EVENT_TYPES[event.event_type._name_],
            _fixed(event.run_id, 16),
            _NO if event.parent_run_id is None else _YES + _fixed(event.parent_run_id, 16),
            _NO if event.root_run_id is None else _YES + _fixed(event.root_run_id, 16),
            _NO if event.trace_id is None else _YES + _fixed(event.trace_id, 16),
            _NO if event.span_id is None else _YES + _fixed(event.span_id, 8),
            _measures(uses),
            long_bytes(event.nominal_start_us),
            long_bytes(event.nominal_end_us),
            _name(event.job),
            _PROCESSING[event.processing._name_],
            _BOOLEAN[event.restartable],
            _BOOLEAN[event.backfill],
            _COMPLETENESS[event.completeness._name_],
            _text(event.emitter),
            _text(event.producer),
            _array(event.inputs, _dataset),
            _array(event.outputs, _output),
            _NO if not event.edges else _array(event.edges, lambda edge: _name(edge.source) + _name(edge.target)),
            _NO if event.parent_job is None else _YES + _name(event.parent_job),
            _NO if event.root_job is None else _YES + _name(event.root_job),
            _NO if event.runtime is None else _YES + _runtime(event.runtime),
            _array(event.transaction_ids, _free_text),
            _array(event.file_ids, _free_text),
            _NO if event.error is None else _YES + _free_text(event.error),
            _NO if event.facets is None else _YES + _blob(event.facets),
        )
    )


def _fixed(value: bytes, size: int) -> bytes:
    if len(value) != size:
        raise ValueError(f"an id of {len(value)} bytes, where {size} are needed: {value!r}")
    return value


def long_bytes(value: int) -> bytes:
    """A number as a zig-zag varint. Raises ValueError beyond 64 bits."""
    z = value << 1 ^ value >> 63
    if 0 <= z < 0x80:
        return _SMALL[z]
    if z < 0 or z >> 64:
        raise ValueError(f"{value} needs more than 64 bits")
    out = []
    while z > 0x7F:
        out.append(z & 0x7F | 0x80)
        z >>= 7
    out.append(z)
    return bytes(out)


def _blob(value: bytes) -> bytes:
    return long_bytes(len(value)) + value


def _free_text(value: str) -> bytes:
    return _blob(value.encode())


# Names, hosts and images repeat from event to event: a look-up costs a third of encoding them again.
_text: Final = lru_cache(maxsize=16_384)(_free_text)


def _name(name: Name) -> bytes:
    return _text(name.namespace) + _text(name.name)


def _array(items: tuple[T, ...], write: Callable[[T], bytes]) -> bytes:
    if not items:
        return _NO
    return b"".join((long_bytes(len(items)), *map(write, items), _NO))


def _measures(uses: Iterable[DatasetUse]) -> bytes:
    found = [_measure(index, measure) for index, use in enumerate(uses) for measure in use.measures]
    return b"".join((long_bytes(len(found)), *found, _NO)) if found else _NO


def _measure(index: int, measure: Measure) -> bytes:
    return b"".join(
        (
            long_bytes(index),
            _int(measure.partition),
            long_bytes(measure.first_offset),
            long_bytes(measure.last_offset),
            long_bytes(measure.rows),
            long_bytes(measure.bytes),
            long_bytes(measure.lag),
            long_bytes(measure.data_through_us),
        )
    )


def _int(value: int) -> bytes:
    if not -(1 << 31) <= value < 1 << 31:
        raise ValueError(f"{value} needs more than 32 bits")
    return long_bytes(value)


def _dataset(use: DatasetUse) -> bytes:
    aliases = _array(use.aliases, _name)
    return _text(use.namespace) + _text(use.name) + _text(use.schema_version) + aliases


def _output(use: DatasetUse) -> bytes:
    if use.lifecycle is Lifecycle.NONE and use.previous is None:
        return _dataset(use) + _PLAIN_OUTPUT
    previous = b"\x00\x00" if use.previous is None else _name(use.previous)
    return _dataset(use) + _LIFECYCLE[use.lifecycle._name_] + previous


def _runtime(where: Runtime) -> bytes:
    return b"".join(
        (
            _text(where.pod),
            _text(where.pod_uid),
            _text(where.k8s_namespace),
            _text(where.node),
            _text(where.container),
            _text(where.image),
            _text(where.function),
            _text(where.function_version),
            _text(where.host),
        )
    )
