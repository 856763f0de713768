"""A flood of equal events as one event, and a heartbeat now and then. Pure: the clock is the caller's.

Debezium's sinks send one RUNNING event for each record that they write, and its sources one FAIL for each poll while they
restart. Equal here means: equal but for the time.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from headwater.cdc.normalising import Document, is_debezium

INTERVAL_MS: Final = 60_000
MOST_KEPT: Final = 2_000
MOST_KEPT_BYTES: Final = 64 * 1024
"""A larger document is passed on as it is: to keep it for its heartbeat would cost more than it saves."""
_KINDS: Final = frozenset({"RUNNING", "FAIL"})


@dataclass(slots=True)
class _Kept:
    document: Document
    said_ms: int
    newest: str
    held_back: int = 0


class Coalescer:
    """What of Debezium's documents goes on.

    The first of equal ones goes on at once; those within `interval_ms` after it are held back, and then the newest time of
    them goes on, as one heartbeat. At most `most` different documents are remembered; the one not seen for longest
    goes first, with its heartbeat if it owes one. `held_back` counts what was not sent on.
    """

    def __init__(self, interval_ms: int = INTERVAL_MS, most: int = MOST_KEPT) -> None:
        self._interval_ms = interval_ms
        self._most = most
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self.held_back = 0

    def offer(self, document: Document, now_ms: int) -> list[Document]:
        """The documents to be sent on now. `now_ms` is any clock that goes forward."""
        when = document.get("eventTime")
        if document.get("eventType") not in _KINDS or not isinstance(when, str) or not is_debezium(document):
            return [document]
        key = _key(document)
        if not key:
            return [document]
        kept = self._kept.get(key)
        if kept is None:
            self._kept[key] = _Kept(document, now_ms, when)
            return [*self._evicted(), document]
        self._kept.move_to_end(key)
        kept.newest = max(kept.newest, when)
        if now_ms - kept.said_ms < self._interval_ms:
            kept.held_back += 1
            self.held_back += 1
            return []
        kept.said_ms, kept.held_back = now_ms, 0
        return [_heartbeat(kept)]

    def due(self, now_ms: int) -> list[Document]:
        """Heartbeats of what was held back for the interval. To be asked for about as often."""
        found = []
        for kept in self._kept.values():
            if kept.held_back and now_ms - kept.said_ms >= self._interval_ms:
                kept.said_ms, kept.held_back = now_ms, 0
                found.append(_heartbeat(kept))
        return found

    def drain(self) -> list[Document]:
        """Every heartbeat that is owed, for an orderly end; forgets everything."""
        owed = [_heartbeat(kept) for kept in self._kept.values() if kept.held_back]
        self._kept.clear()
        return owed

    def _evicted(self) -> list[Document]:
        if len(self._kept) <= self._most:
            return []
        _, oldest = self._kept.popitem(last=False)
        return [_heartbeat(oldest)] if oldest.held_back else []


def _heartbeat(kept: _Kept) -> Document:
    return {**kept.document, "eventTime": kept.newest}


def _key(document: Mapping[str, Any]) -> bytes:
    """A hash of all but the time; empty for what is no JSON, or too large to keep."""
    try:
        content = orjson.dumps({**document, "eventTime": ""}, option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONEncodeError, TypeError):
        return b""
    return hashlib.blake2b(content, digest_size=16).digest() if len(content) <= MOST_KEPT_BYTES else b""
