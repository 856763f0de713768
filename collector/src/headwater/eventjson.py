"""An event as one line of JSON and back: the form of `HEADWATER_TRANSPORT=file`.

The members are the fields of `LineageEvent` under their own names; what has its default is left out. Event and run
ids are UUID strings, trace and span ids hex, times integers in microseconds, enumerations their names, `facets` the
JSON document as a string (so that its bytes survive). Unknown members are errors: a typing mistake must not pass as
"nothing read".
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
import uuid
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, get_args, get_origin

import orjson

from headwater.errors import EventError
from headwater_schemas.events import LineageEvent

_UUID_FIELDS: Final = frozenset({"event_id", "run_id", "parent_run_id", "root_run_id"})
_HEX_FIELDS: Final = {"trace_id": 16, "span_id": 8}


def to_json(event: LineageEvent) -> bytes:
    """The event as one line of JSON, without the line feed.

    Raises:
        EventError: a string is not valid Unicode, or `facets` is not UTF-8.
    """
    try:
        return orjson.dumps(_plain(event))
    except (TypeError, ValueError, UnicodeDecodeError) as error:
        raise EventError(f"the event cannot be written as JSON: {error}", remedy="give valid text") from error


def from_json(line: bytes | str) -> LineageEvent:
    """The event that `to_json` wrote.

    Raises:
        EventError: the line is no JSON, names an unknown member, or a value has the wrong type; the message says which.
    """
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise EventError(f"not JSON: {error}", remedy="give one JSON object a line") from error
    event = _built(LineageEvent, document, "event")
    assert isinstance(event, LineageEvent)  # noqa: S101 - for the type checker; _built builds what it is asked for
    return event


def _plain(value: Any) -> dict[str, Any]:  # Any: any dataclass of the contract, and whatever JSON holds
    members: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        given = getattr(value, field.name)
        if field.default is not dataclasses.MISSING and given == field.default:
            continue
        members[field.name] = _plain_value(field.name, given)
    return members


def _plain_value(name: str, value: Any) -> Any:  # Any: as above
    if isinstance(value, bytes):
        if name in _UUID_FIELDS:
            return str(uuid.UUID(bytes=value))
        return value.hex() if name in _HEX_FIELDS else value.decode()
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, tuple):
        return [_plain_value(name, item) for item in value]
    return _plain(value) if dataclasses.is_dataclass(value) else value


@cache
def _hints(cls: type) -> dict[str, Any]:  # Any: what typing gives
    return typing.get_type_hints(cls)


def _built(cls: type, document: Any, path: str) -> Any:  # Any: what JSON holds
    if not isinstance(document, Mapping):
        raise EventError(f"{path} is not a JSON object")
    hints = _hints(cls)
    unknown = sorted(set(document) - set(hints))
    if unknown:
        raise EventError(f"{path} has an unknown member {unknown[0]!r}", remedy=f"known are {', '.join(sorted(hints))}")
    values = {name: _value(hints[name], name, given, f"{path}.{name}") for name, given in document.items()}
    try:
        return cls(**values)
    except TypeError as error:
        missing = str(error).rpartition(": ")[2]
        raise EventError(f"{path} lacks {missing}", remedy="an event needs these members") from error


def _value(hint: Any, name: str, given: Any, path: str) -> Any:  # Any: what JSON holds
    if get_origin(hint) is types.UnionType:
        return None if given is None else _value(get_args(hint)[0], name, given, path)
    if get_origin(hint) is tuple:
        if not isinstance(given, list):
            raise EventError(f"{path} is not an array")
        return tuple(_value(get_args(hint)[0], name, item, f"{path}[{at}]") for at, item in enumerate(given))
    if dataclasses.is_dataclass(hint):
        return _built(typing.cast("type", hint), given, path)
    if hint is bytes:
        return _bytes(name, given, path)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        try:
            return hint(given)
        except ValueError as error:
            known = ", ".join(member.value for member in hint)
            raise EventError(f"{path} is {given!r}", remedy=f"known are {known}") from error
    if type(given) is not hint:
        raise EventError(f"{path} is not of type {hint.__name__}")
    return given


def _bytes(name: str, given: Any, path: str) -> bytes:  # Any: what JSON holds
    if not isinstance(given, str):
        raise EventError(f"{path} is not a string")
    try:
        if name in _UUID_FIELDS:
            return uuid.UUID(given).bytes
        if name not in _HEX_FIELDS:
            return given.encode()
        value = bytes.fromhex(given)
    except ValueError as error:
        raise EventError(
            f"{path} is {given[:80]!r}, which is no {'UUID' if name in _UUID_FIELDS else 'hex'}"
        ) from error
    if len(value) != _HEX_FIELDS[name]:
        raise EventError(f"{path} has {len(value)} bytes", remedy=f"it needs {_HEX_FIELDS[name]}")
    return value
