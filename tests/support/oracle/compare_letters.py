"""The dead letters, the late copies and the alerts against the model."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Any

import fastavro
from tests.support.oracle.diff import bounded
from tests.support.oracle.model import Letter
from tests.support.oracle.topics import Message
from tests.support.oracle.wire import SINGLE_OBJECT, fingerprint, load_schema

REASON = "headwater.dlq.reason"


class ImageDecoder:
    """Single-object records of one of our own output schemas."""

    def __init__(self, name: str) -> None:
        schema = load_schema(name)
        self._prefix = SINGLE_OBJECT + fingerprint(schema)
        self._schema = fastavro.parse_schema(_without_times(schema))

    def decode(self, value: bytes) -> dict[str, Any]:
        """The record, times as integers. Raises ValueError for another framing or bytes behind the end."""
        if value[: len(self._prefix)] != self._prefix:
            raise ValueError(f"not in single-object encoding of the contract: {value[:10].hex()}")
        buffer = io.BytesIO(value[len(self._prefix) :])
        found: Any = fastavro.schemaless_reader(buffer, self._schema, None)
        if buffer.read(1):
            raise ValueError("bytes behind the end of the record")
        return dict(found)


def _without_times(schema: Any) -> Any:
    """The same schema without logical types, so that times stay integers."""
    if isinstance(schema, dict):
        return {name: _without_times(each) for name, each in schema.items() if name != "logicalType"}
    return [_without_times(each) for each in schema] if isinstance(schema, list) else schema


def compare_dead_letters(bad: Mapping[tuple[int, int], Letter], topic: str, letters: Iterable[Message]) -> list[str]:
    """Every bad record at least once, byte for byte, with where it came from and a reason; and nothing else."""
    lines: list[str] = []
    seen = set()
    for letter in letters:
        where = _origin(letter, topic)
        expected = bad.get(where) if where else None
        if where is None or expected is None:
            lines.append(f"dead letters: {letter.partition}:{letter.offset} is of {where}, which is no bad record")
            continue
        seen.add(where)
        if letter.value != expected.value:
            lines.append(f"dead letters: the bytes of {where} changed: {letter.value!r}, were {expected.value!r}")
        if letter.key != expected.key:
            lines.append(f"dead letters: the key of {where} changed: {letter.key!r}, was {expected.key!r}")
        if not letter.headers.get(REASON):
            lines.append(f"dead letters: {where} has no reason")
    missing = [f"dead letters: {where} is missing ({bad[where].reason})" for where in bad.keys() - seen]
    return [*bounded(lines), *bounded(missing)]


def _origin(letter: Message, topic: str) -> tuple[int, int] | None:
    prefix = "__connect.errors."
    try:
        if letter.headers[f"{prefix}topic"].decode() != topic:
            return None
        return int(letter.headers[f"{prefix}partition"]), int(letter.headers[f"{prefix}offset"])
    except (KeyError, ValueError):
        return None


def compare_late(late: Mapping[tuple[int, int], Letter], copies: Iterable[Message]) -> list[str]:
    """Every late event at least once with its key, byte for byte; nothing else."""
    expected = {(letter.key, letter.value): where for where, letter in late.items()}
    seen = set()
    lines = []
    for copy in copies:
        if (copy.key, copy.value) in expected:
            seen.add((copy.key, copy.value))
        else:
            lines.append(f"late: {copy.partition}:{copy.offset} is a copy of no late event ({copy.headers})")
    missing = [f"late: {expected[each]} is missing" for each in expected.keys() - seen]
    return [*bounded(lines), *bounded(missing)]


def compare_alerts(messages: Iterable[Message], *, rolled_back: bool = False) -> list[str]:
    """Every transition exactly once by its id (copies are equal, but of what was `rolled_back`), every incident fires
    before it resolves, once."""
    decoder = ImageDecoder("alert.v1")
    by_id: dict[str, bytes] = {}
    states: dict[str, list[str]] = {}
    lines = []
    for message in messages:
        if message.value is None:
            continue
        alert = decoder.decode(message.value)
        if alert["kind"] == "Watchdog":
            continue  # always fires; only its as-of moves
        name = f"{alert['kind']} of {alert['namespace']}/{alert['name']}, incident {alert['incident_id']}"
        if message.key != alert["fingerprint"].encode():
            lines.append(f"alerts: {name} has the key {message.key!r}, not its fingerprint")
        known = by_id.setdefault(alert["alert_id"], message.value)
        if known != message.value and not rolled_back:
            lines.append(f"alerts: transition {alert['alert_id']} of {name} was published with two contents")
        if known is message.value:
            states.setdefault(name, []).append(alert["state"])
    lines += [
        f"alerts: {name} went through {path}"
        for name, path in states.items()
        if path not in (["FIRING"], ["FIRING", "RESOLVED"])
    ]
    return bounded(lines)
