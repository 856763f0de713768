"""The ledger of the outboxes: what was named in them and when, kept outside Redis, and held against what was published.

A name leaves its outbox when its image is acknowledged. The oracle knows what the newest image of a dataset, a job or an
edge must show; it knows nothing of judgements, and of runs only the records, so nobody missed an image of a status or of a
job's runs, nor one that shows what the image before showed. The ledger demands them all: at any moment a name that was
pushed is still in its outbox, or an image of it was published with a version no older than its last push, for a version is
the clock of a read that came after the push, or later. Redis tells of every command that it did, also inside scripts, to
whoever asks with MONITOR; those that were refused (another owner, no memory) are not told.

What it does not know it does not claim. While the recorder is cut off (Redis died, or somebody killed all connections)
pushes are missing, which only makes it demand less. Data that are set back take names with them and what they named: those
pushes are withdrawn (`set_back`); the events are read again, and what they change again is named again. In the second
after a shard was taken over versions run ahead of the clock, so an image from before a push in that second may pass for it.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import redis
from tests.support.lab.clocks import Clocks
from tests.support.oracle.compare import Where
from tests.support.oracle.compare_letters import ImageDecoder
from tests.support.oracle.diff import bounded
from tests.support.oracle.drive import SHARDS
from tests.support.oracle.elements import entity_key, entity_name
from tests.support.oracle.topics import Message, read_topic
from tests.support.processes import wait_until

SIZES: Final = MappingProxyType(
    {b"d": 12, b"f": 12, b"j": 12, b"e": 25, b"a": 24, b"r": 28, b"n": 12, b"s": 13, b"b": 13, b"m": 12},
)
"""Bytes behind the letter of a name: SEMANTICS.md, section 4."""
SILENT: Final = frozenset((b"n", b"m"))
"""Names that ask for no image of their own: they have edges named, or somebody judged."""
TABLES: Final = MappingProxyType({b"d": "ds", b"f": "fr", b"j": "job", b"e": "edge", b"a": "al", b"r": "run"})
"""Where the state has what a name asks for."""
CAUGHT_UP_WITHIN_S: Final = 30.0
_RECONNECT_S: Final = 0.01
_ENTITIES: Final = MappingProxyType({"DATASET": b"d", "JOB": b"j"})
_EDGES: Final = MappingProxyType(
    {"READS": (b"r", b"d", b"j"), "WRITES": (b"w", b"j", b"d"), "DERIVES": (b"d", b"d", b"d")}
)


# ---- what MONITOR says ---------------------------------------------------------------------------------------------


class Push(NamedTuple):
    """Entries that one command put into the outbox of a shard, at Redis' clock (µs)."""

    at_us: int
    shard: int
    entries: tuple[bytes, ...]


_COMMAND: Final = re.compile(
    rb'\+(\d+)\.(\d{6}) \[\d+ [^"]*\] "[RL]PUSH" "\{hw:([^}]*)\}:o:(\d+)" (".*")$', re.IGNORECASE
)
_ARGUMENT: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_ESCAPE: Final = re.compile(rb"\\(?:x([0-9a-f]{2})|(.))", re.IGNORECASE)
_SHORT: Final = MappingProxyType({b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"})


def unescaped(quoted: bytes) -> bytes:
    """An argument as it was, of what MONITOR prints between its quotes (redis-py leaves the escapes in)."""
    return _ESCAPE.sub(lambda m: bytes.fromhex(m[1].decode()) if m[1] else _SHORT.get(m[2], m[2]), quoted)


def push_in(line: bytes, domain: str) -> Push | None:
    """The push to an outbox of the domain that a line of MONITOR tells of; None for every other line."""
    found = _COMMAND.match(line)
    if found is None or found[3] != domain.encode():
        return None
    entries = tuple(unescaped(each[1]) for each in _ARGUMENT.finditer(found[5]))
    return Push(int(found[1]) * 1_000_000 + int(found[2]), int(found[4]), entries)


def names_in(entry: bytes) -> Iterator[bytes]:
    """The names of an entry. ValueError for one that SEMANTICS.md does not know, or that is cut short."""
    at = 0
    while at < len(entry):
        end = at + 1 + SIZES.get(entry[at : at + 1], len(entry))
        if end > len(entry):
            raise ValueError(f"an outbox entry has no name at byte {at}: {entry.hex()}")
        yield entry[at:end]
        at = end


# ---- the recorder --------------------------------------------------------------------------------------------------


class Ledger:
    """What was pushed to the outboxes of a domain, from `start` to `close`."""

    def __init__(self, port: int, domain: str) -> None:
        self._port = port
        self._domain = domain
        self._lock = threading.Lock()
        self._pushes: dict[bytes, list[int]] = {}
        self._odd: list[str] = []
        self._withdrawn: list[tuple[int, int]] = []
        self._mark = b"(none yet)"
        self._mark_heard = threading.Event()
        self._heard_us = 0
        self._closing = False
        self._connection: socket.socket | None = None
        self.clocks = Clocks(domain, unescaped)
        """What was heard of as-of, fences and writers."""
        self._thread = threading.Thread(target=self._record, name="ledger", daemon=True)
        self.gaps_us: list[tuple[int, int]] = []
        """From the last that was heard to when it listened again: what was pushed meanwhile may be missing."""

    def start(self) -> None:
        """Begin to listen; returns when nothing is missed any more."""
        self._thread.start()
        self._catch_up()

    def close(self) -> None:
        """Listen no more. Harmless twice."""
        self._closing = True
        connection = self._connection
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)

    def set_back(self, from_us: int, to_us: int) -> None:
        """The data were set back to what they were at the first of these times, at the second one."""
        self._withdrawn.append((from_us, to_us))

    def last_pushes(self) -> dict[bytes, int]:
        """Each name, and when it was pushed last. TimeoutError when what Redis did before the call is not heard in time."""
        self._catch_up()
        with self._lock:
            counted = {name: [at for at in times if not self._is_withdrawn(at)] for name, times in self._pushes.items()}
        return {name: max(times) for name, times in counted.items() if times}

    def odd(self) -> list[str]:
        """Entries that nobody can read."""
        return bounded([f"ledger, odd: {each}" for each in self._odd])

    def __str__(self) -> str:
        with self._lock:
            pushes = sum(map(len, self._pushes.values()))
            deaf_s = sum(to - since for since, to in self.gaps_us) / 1e6
            return f"{len(self._pushes):,} names pushed {pushes:,} times, {len(self.gaps_us)} gaps of {deaf_s:.2f} s"

    def _is_withdrawn(self, at_us: int) -> bool:
        return any(since <= at_us <= to for since, to in self._withdrawn)

    def _catch_up(self) -> None:
        """Until everything was heard that Redis has done by now: a command of ours comes after all of that."""
        mark = f"ledger-{self._domain}-{time.monotonic_ns()}"

        def heard() -> bool:
            with contextlib.suppress(redis.RedisError), redis.Redis(port=self._port) as client:
                client.echo(mark)  # again and again: one may fall into a gap
            return self._mark_heard.wait(0.05)

        with self._lock:
            self._mark = mark.encode()
            self._mark_heard.clear()
        wait_until(heard, within_s=CAUGHT_UP_WITHIN_S, what="the ledger has heard everything")

    def _record(self) -> None:
        while not self._closing:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 5) as connection:
                self._connection = connection
                connection.settimeout(None)
                self._listen(connection)
            time.sleep(_RECONNECT_S)

    def _listen(self, connection: socket.socket) -> None:
        connection.sendall(b"*1\r\n$7\r\nMONITOR\r\n")
        with connection.makefile("rb", 1 << 16) as lines:
            if lines.readline() != b"+OK\r\n":
                return  # it loads its data, or is about to go
            now_us = time.time_ns() // 1000
            if self._heard_us:
                self.gaps_us.append((self._heard_us, now_us))
            self._heard_us = now_us
            self.clocks.deaf()
            for line in lines:
                if line.endswith(b"\r\n"):  # else it was cut off in the middle
                    self._hear(line[:-2])

    def _hear(self, line: bytes) -> None:
        self._heard_us = time.time_ns() // 1000
        push = push_in(line, self._domain)
        self.clocks.hear(line)
        with self._lock:
            if push is not None:
                self._note(push)
            elif self._mark in line:
                self._mark_heard.set()

    def _note(self, push: Push) -> None:
        for entry in push.entries:
            try:
                for name in names_in(entry):
                    self._pushes.setdefault(name, []).append(push.at_us)
            except ValueError as error:
                self._odd.append(str(error))


# ---- the verdict ---------------------------------------------------------------------------------------------------


def asked_for(name: bytes) -> bytes:
    """What an image answers: the name, but of runs their job, which has one image of them all."""
    return name[:13] if name[:1] == b"r" else name


def answers(image: Mapping[str, Any]) -> list[bytes]:
    """The names that an image answers, as `asked_for` gives them."""
    name, to = (image["namespace"], image["name"]), (image["to_namespace"], image["to_name"])
    if image["entity"] == "EDGE":
        letter, source, target = _EDGES[image["edge"]]
        return [b"e" + letter + _key(source, name) + _key(target, to)]
    if image["entity"] == "ALIAS":
        return [b"a" + _key(b"d", name) + _key(b"d", to)]
    kind = _ENTITIES[image["entity"]]
    before = {"CORE": kind, "FRESHNESS": b"f", "RUNS": b"r", "STATUS": b"s" + kind, "ABOUT": b"b" + kind}[
        image["aspect"]
    ]
    return [before + _key(kind, name)]


def _key(kind: bytes, name: tuple[str, str]) -> bytes:
    return entity_key(entity_name(kind, *name))


def newest_versions(messages: Iterable[Message]) -> dict[bytes, int]:
    """What was asked for, and the newest version of its images."""
    decoder = ImageDecoder("graph_delta.v1")
    newest: dict[bytes, int] = {}
    for message in messages:
        if message.value is not None:
            image = decoder.decode(message.value)
            for asked in answers(image):
                newest[asked] = max(newest.get(asked, 0), image["version"])
    return newest


def unanswered(
    pushes: Mapping[bytes, int], newest: Mapping[bytes, int], excused: Callable[[list[bytes]], set[bytes]]
) -> list[str]:
    """The names whose last push no image answers. `excused`: those of the given ones that still wait in an outbox, or of
    which the state has nothing to show."""
    behind = [
        name for name, at_us in pushes.items() if name[:1] not in SILENT and newest.get(asked_for(name), -1) < at_us
    ]
    without = excused(behind) if behind else set()
    return bounded([_told(name, pushes[name], newest.get(asked_for(name))) for name in behind if name not in without])


def _told(name: bytes, at_us: int, version: int | None) -> str:
    what = f"ledger: {name[:1].decode()} {name[1:].hex()} was named at {at_us}"
    return (
        f"{what} and no image of it was ever published"
        if version is None
        else f"{what}, its newest image is of {version}"
    )


@dataclass(frozen=True, slots=True)
class Excuses:
    """Why a name may have no image: it waits in an outbox of this state, or the state has nothing to show for it."""

    client: redis.Redis
    domain: str

    def of(self, names: list[bytes]) -> set[bytes]:
        """Those of the names that have an excuse."""
        waiting = self._waiting()
        pipe = self.client.pipeline(transaction=False)
        for name in names:
            table, member = self._place(name)
            pipe.hexists(self._key(table), member)
        there = pipe.execute()
        fields: list[Any] = self.client.hkeys(self._key("about"))  # of a node each fact has its own
        described = {field[:12] for field in fields}
        return {
            name
            for name, shown in zip(names, there, strict=True)
            if name in waiting or not (name[2:] in described if name[:1] == b"b" else shown)
        }

    def _waiting(self) -> set[bytes]:
        boxes: list[Any] = [self.client.lrange(self._key(f"o:{shard}"), 0, -1) for shard in range(SHARDS)]
        return {name for entries in boxes for entry in entries for name in names_in(entry)}

    def _place(self, name: bytes) -> tuple[str, bytes]:
        if name[:1] == b"s":
            return f"st:{name[2] % SHARDS}", name[1:]
        return TABLES.get(name[:1], "about"), name[1:]

    def _key(self, table: str) -> str:
        return f"{{hw:{self.domain}}}:{table}"


def missed(ledger: Ledger, where: Where) -> list[str]:
    """What the ledger holds against the deltas topic, when no worker runs."""
    pushes = ledger.last_pushes()
    newest = newest_versions(read_topic(where.bootstrap, f"{where.prefix}deltas"))
    with redis.Redis.from_url(where.redis_url) as client:
        return [*ledger.odd(), *unanswered(pushes, newest, Excuses(client, where.domain).of)]
