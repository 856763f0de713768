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
    _text,
    long_bytes,
)

_ENTITIES: Final = _indexes(Entity)
_ASPECTS: Final = _indexes(Aspect)
_EDGES: Final = _indexes(EdgeKind)
_STATES: Final = _indexes(FreshnessState)

KINDS: Final = {(e.name, a.name): _ENTITIES[e.name] + _ASPECTS[a.name] for e in Entity for a in Aspect}
"""Entity and aspect, as they stand in a datum."""
EDGES: Final = _EDGES
NOWHERE: Final = _NO + _NO
"""The names of an image that goes nowhere: two empty texts."""
PLAIN: Final = _NO * 5
"""An image that has no core, freshness, status, runs or about."""


def write_delta(delta: GraphDelta) -> bytes:
    """The datum, without a frame. Raises ValueError or TypeError for what the schema cannot hold."""
    return write_image(
        _free_text(delta.key),
        delta.version,
        _ENTITIES[delta.entity._name_] + _ASPECTS[delta.aspect._name_],
        delta.present,
        delta.as_of_us,
        delta.event_id,
        delta.run_id,
        _text(delta.namespace) + _text(delta.name),
        _text(delta.to_namespace) + _text(delta.to_name),
        _EDGES[delta.edge._name_],
        delta.first_seen_us,
        delta.last_seen_us,
        (_NO if delta.dataset is None else _YES + _core(delta.dataset))
        + (_NO if delta.freshness is None else _YES + _freshness(delta.freshness))
        + (_NO if delta.status is None else _YES + _status(delta.status))
        + (_NO if delta.runs is None else _YES + _runs(delta.runs))
        + (_NO if delta.about is None else _YES + _free_text(delta.about)),
    )


def write_image(
    key: bytes,
    version: int,
    kind: bytes,
    present: bool,
    as_of_us: int,
    event_id: bytes | None,
    run_id: bytes | None,
    name: bytes,
    to_name: bytes,
    edge: bytes,
    first_seen_us: int,
    last_seen_us: int,
    body: bytes,
) -> bytes:
    """A datum from parts, for those who have them at hand as bytes: `key` is an encoded text, names are two each, `kind` is
    of KINDS, `edge` of EDGES, `body` the five aspects (PLAIN, or `core_body` and its like)."""
    return b"".join(
        (
            key,
            long_bytes(version),
            kind,
            _BOOLEAN[1] if present else _NO,
            long_bytes(as_of_us),
            _NO if event_id is None else _YES + _fixed(event_id, 16),
            _NO if run_id is None else _YES + _fixed(run_id, 16),
            name,
            to_name,
            edge,
            long_bytes(first_seen_us),
            long_bytes(last_seen_us),
            body,
        )
    )


def free_text(text: str) -> bytes:
    """A text, encoded."""
    return _free_text(text)


def core_body(times: tuple[int, int, int, int], touched_by: bytes, schema_version: str, renamed_to: bytes) -> bytes:
    """The aspects of an image of a dataset's core; times as in `DatasetCore`, names as encoded texts."""
    return b"".join((_YES, *map(long_bytes, times), touched_by, _text(schema_version), renamed_to, _NO * 4))


def freshness_body(times: tuple[int, int, int, int], written_by: bytes) -> bytes:
    """The aspects of an image of a dataset's freshness; times as in `Freshness`, the name as an encoded text."""
    return b"".join((_NO, _YES, *map(long_bytes, times), written_by, _NO * 3))


def status_body(status: Status) -> bytes:
    """The aspects of an image of a status."""
    return _NO * 2 + _YES + _status(status) + _NO * 2


def runs_body(runs: Runs) -> bytes:
    """The aspects of an image of a job's runs."""
    return _NO * 3 + _YES + _runs(runs) + _NO


def about_body(about: str) -> bytes:
    """The aspects of an image of what is said about a node."""
    return _NO * 4 + _YES + _free_text(about)


def _core(core: DatasetCore) -> bytes:
    times = (core.first_read_us, core.first_written_us, core.retracted_at_us, core.truncated_at_us)
    texts = (core.first_touched_by, core.schema_version, core.renamed_to)
    return b"".join((*map(long_bytes, times), *map(_text, texts)))


def _freshness(fresh: Freshness) -> bytes:
    times = (fresh.last_write_us, fresh.data_through_us, fresh.last_failure_us, fresh.idle_through_us)
    return b"".join((*map(long_bytes, times), _text(fresh.written_by)))


def _status(status: Status) -> bytes:
    return b"".join(
        (
            _STATES[status.state._name_],
            _free_text(status.reason),
            long_bytes(status.since_us),
            long_bytes(status.deadline_us),
            _text(status.unlinked),
            _array(status.candidates, _free_text),
            _text(status.owner),
            long_bytes(status.policy_version),
            _text(status.kind),
        )
    )


def _runs(runs: Runs) -> bytes:
    return b"".join(
        (
            _int(runs.open),
            _free_text(runs.last),
            _text(runs.last_state),
            _free_text(runs.last_ok),
            long_bytes(runs.last_ok_at_us),
            _blob(runs.history),
        )
    )
