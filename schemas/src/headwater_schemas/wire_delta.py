"""Images to bytes of `graph_delta.v1`, by hand: thousands are published a second (see `wire`, whose pieces these are).

A test holds this writer to fastavro's, byte by byte.
"""

from __future__ import annotations

from typing import Final

from headwater_schemas.deltas import (
    Aspect,
    DatasetCore,
    EdgeKind,
    Entity,
    Freshness,
    FreshnessState,
    GraphDelta,
    Runs,
    Status,
)
from headwater_schemas.wire import (
    _BOOLEAN,
    _NO,
    _YES,
    _array,
    _blob,
    _fixed,
    _free_text,
    _indexes,
    _int,
    _long,
    _text,
)

_ENTITIES: Final = _indexes(Entity)
_ASPECTS: Final = _indexes(Aspect)
_EDGES: Final = _indexes(EdgeKind)
_STATES: Final = _indexes(FreshnessState)


def write_delta(delta: GraphDelta) -> bytes:
    """The datum, without a frame. Raises ValueError or TypeError for what the schema cannot hold."""
    return b"".join(
        (
            _free_text(delta.key),
            _long(delta.version),
            _ENTITIES[delta.entity._name_],
            _ASPECTS[delta.aspect._name_],
            _BOOLEAN[delta.present],
            _long(delta.as_of_us),
            _NO if delta.event_id is None else _YES + _fixed(delta.event_id, 16),
            _NO if delta.run_id is None else _YES + _fixed(delta.run_id, 16),
            _text(delta.namespace),
            _text(delta.name),
            _text(delta.to_namespace),
            _text(delta.to_name),
            _EDGES[delta.edge._name_],
            _long(delta.first_seen_us),
            _long(delta.last_seen_us),
            _NO if delta.dataset is None else _YES + _core(delta.dataset),
            _NO if delta.freshness is None else _YES + _freshness(delta.freshness),
            _NO if delta.status is None else _YES + _status(delta.status),
            _NO if delta.runs is None else _YES + _runs(delta.runs),
        )
    )


def _core(core: DatasetCore) -> bytes:
    times = (core.first_read_us, core.first_written_us, core.retracted_at_us, core.truncated_at_us)
    texts = (core.first_touched_by, core.schema_version, core.renamed_to)
    return b"".join((*map(_long, times), *map(_text, texts)))


def _freshness(fresh: Freshness) -> bytes:
    times = (fresh.last_write_us, fresh.data_through_us, fresh.last_failure_us, fresh.idle_through_us)
    return b"".join((*map(_long, times), _text(fresh.written_by)))


def _status(status: Status) -> bytes:
    return b"".join(
        (
            _STATES[status.state._name_],
            _free_text(status.reason),
            _long(status.since_us),
            _long(status.deadline_us),
            _text(status.unlinked),
            _array(status.candidates, _free_text),
            _text(status.owner),
            _long(status.policy_version),
        )
    )


def _runs(runs: Runs) -> bytes:
    return b"".join(
        (
            _int(runs.open),
            _free_text(runs.last),
            _text(runs.last_state),
            _free_text(runs.last_ok),
            _long(runs.last_ok_at_us),
            _blob(runs.history),
        )
    )
