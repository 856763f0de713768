"""Drain and publish: what was named is read, its image published, and the name forgotten when the image is acknowledged.

One round takes the new names of all shards of this worker, reads everything they need in one transaction (so an image is
one moment of the state, and its version is that moment's clock), produces the images in order, waits for the
acknowledgements, and trims. A crash anywhere repeats images with higher versions; nothing is lost, because a name stays
until its image is acknowledged. Freshness and runs of one name are published at once when it was quiet, then once per
interval, the last state always: a name that waits keeps its entry.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from headwater_processor.adapters.shard_store import Settlement, ShardFence, ShardStore
from headwater_processor.engine.histories import History, history, keys_named_by, worth_showing
from headwater_processor.engine.images import Facts, Painter, Wanted, parse_names, shard_key
from headwater_processor.engine.names import NameBook
from headwater_processor.engine.travel import Road, Travel
from headwater_processor.state.layout import first_job, last_job, split_edge_key, unpack_successor
from headwater_schemas.ids import KEY_BYTES, shard_of

log = logging.getLogger(__name__)

ENTRIES_MAX: Final = 2000
"""Outbox entries taken in one round, of all shards: bounds the call that takes them and the transaction that reads images."""
NAMES_MAX: Final = 4000
"""Names of a shard in one round."""
PORTION_NAMES: Final = 2000
"""Names of all shards that are read, painted, acknowledged and settled at once: some 50 ms of ours, and a transaction of a few
milliseconds in Redis. What takes longer without a sign of life cannot be told from a worker that slept."""
RUNS_INTERVALS: Final = 5
RUNS_LEAST_S: Final = 1.0
"""A job's runs carry its history, the dearest image: at most once in five intervals, and never more than once a second."""
AGAIN_S: Final = 1.0
"""After so long what had no name is painted again."""
PUBLISHED_MAX: Final = 100_000
"""Times of publishing kept for a shard before those that hold nothing back any more are dropped."""
_NEIGHBOURS_MAX: Final = 10_000


class Publisher(Protocol):
    """Where images and alerts go. Used by the shards' thread."""

    def begin(self, ours: Callable[[], bool]) -> None:
        """What is queued from now on is read from now on. When some time has passed since, `ours()` is asked before more is
        queued: it tells whether nobody else may have said anything newer. If it denies that, nothing is queued any more,
        and the next `flush` is false."""

    def delta(self, key: str, value: bytes) -> None:
        """Queue an image."""

    def alert(self, key: str, value: bytes) -> None:
        """Queue an alert."""

    def flush(self, deadline_s: float) -> bool:
        """Wait until all queued are acknowledged; False if some are not (they may still arrive)."""


@dataclass(slots=True)
class Shard:
    """A shard of this worker. `taken` entries of the outbox are read and not trimmed yet."""

    fence: ShardFence
    version: int
    taken: int = 0
    waiting: dict[bytes, tuple[float, int]] = field(default_factory=dict)
    """Name → when it may be published, and the first entry that holds it."""
    published: dict[bytes, float] = field(default_factory=dict)
    statuses: dict[bytes, bytes] = field(default_factory=dict)
    revived: dict[bytes, int] = field(default_factory=dict)
    """Dataset that came back → the removal before, once its edges are named for that."""
    nameless: list[bytes] = field(default_factory=list)
    """What was painted in this round, or not, without a name that the state does not know yet."""
    again: dict[bytes, float] = field(default_factory=dict)
    """Name → not to be painted before; for what was nameless."""
    road: Road = field(default_factory=Road)
    """When what was taken was read."""
    lost: bool = False
    length: int = 0

    @property
    def number(self) -> int:
        """Which shard."""
        return self.fence.shard


class Drain:
    """The rounds. Used by one thread; `wake(shard, names, facts)` says who is to be judged for these names."""

    def __init__(
        self,
        store: ShardStore,
        names: NameBook,
        publisher: Publisher,
        *,
        shards: int,
        interval_s: float,
        run_timeout_us: int,
        wake: Callable[[Shard, Sequence[bytes], Facts], list[bytes]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._names = names
        self._publisher = publisher
        self._shards = shards
        self._interval_s = interval_s
        self._runs_interval_s = max(RUNS_LEAST_S, RUNS_INTERVALS * interval_s)
        self._run_timeout_us = run_timeout_us
        self._wake = wake
        self._clock = clock
        self.as_of_us = 0
        self.images = 0
        self.rounds = 0
        self.longest = 0
        self._first = 0
        self.travel = Travel()

    def round(self, shards: list[Shard], go_on: Callable[[], bool] = lambda: True) -> bool:
        """One round over these shards; returns whether there may be more to do at once. `go_on()` is asked between portions:
        after False the rest is left for another round."""
        now, began = self._clock(), time.monotonic()
        shards, entries = self._take(shards)
        self.travel.read([(s.number, s.road, len(found)) for s, found in zip(shards, entries, strict=True)], began)
        work: list[tuple[Shard, list[bytes]]] = []
        more = sum(map(len, entries)) == ENTRIES_MAX
        for shard, found in zip(shards, entries, strict=True):
            ready = self._ready(shard, found, now)
            more = more or len(ready) == NAMES_MAX
            if ready or found:
                work.append((shard, ready))
        if not work:
            return False
        self.rounds += 1
        for portion in _portions(work):
            if not go_on() or not self._publish(portion, now):
                return True
        return more

    def _take(self, shards: list[Shard]) -> tuple[list[Shard], list[list[bytes]]]:
        """The shards that are ours as we left them, and their new entries. Another one comes first each time: what is taken at
        once is bounded over all of them."""
        self._first = (self._first + 1) % len(shards)
        shards = [*shards[self._first :], *shards[: self._first]]
        taken = self._store.take([(s.fence, s.taken) for s in shards], ENTRIES_MAX)
        ours: list[Shard] = []
        entries: list[list[bytes]] = []
        for shard, found in zip(shards, taken, strict=True):
            if found is None:
                shard.lost = True
            else:
                ours.append(shard)
                entries.append(found)
        return ours, entries

    def _ready(self, shard: Shard, entries: list[bytes], now: float) -> list[bytes]:
        """The names that may be published now; the others wait with the entry that brought them."""
        waiting, published, again = shard.waiting, shard.published, shard.again
        fresh_s, runs_s = self._interval_s, self._runs_interval_s
        for at, entry in enumerate(entries, shard.taken):
            for name in parse_names(entry):
                if name in waiting:
                    continue
                kind = name[:1]
                due = now
                if kind in (b"f", b"b"):
                    due = published.get(name, -1e9) + fresh_s
                elif kind == b"r":
                    due = published.get(_limit_key(name), -1e9) + runs_s
                if again:
                    due = max(due, again.pop(name, due))
                waiting[name] = (due, at)
        shard.taken += len(entries)
        ready = [name for name, (due, _) in waiting.items() if due <= now]
        return ready if len(ready) <= NAMES_MAX else _by_job(ready)[:NAMES_MAX]

    def _publish(self, work: list[tuple[Shard, list[bytes]]], now: float) -> bool:
        """Read, paint, publish, settle; False when something was not acknowledged: it is begun again."""
        expanded = [(shard, self._expand(shard, names)) for shard, names in work]
        wanted = Wanted(name for _, names in expanded for name in names)
        key = self._store.keys
        reads = wanted.commands(key)
        statuses = [("HGET", key("st", shard_of(member[1:], self._shards)), member) for member in wanted.statuses]
        owned = [shard for shard, _ in work if not shard.lost]
        self._publisher.begin(
            lambda: not any(s.lost for s in owned) and self._store.ours([shard.fence for shard in owned])
        )
        epochs, now_us, answers = self._store.snapshot([shard.number for shard, _ in work], [*reads, *statuses])
        facts = wanted.facts(answers[: len(reads)])
        for member, value in zip(wanted.statuses, answers[len(reads) :], strict=True):
            if value is not None:
                facts.st[member] = value
        self._names.learn(_keys_in(wanted.names, facts))
        histories: dict[int, list[bytes]] = {}
        painter = Painter(facts, self._names.named, self.as_of_us)
        for (shard, names), epoch in zip(expanded, epochs, strict=True):
            shard.lost = shard.lost or epoch != shard.fence.epoch
            if shard.lost:
                continue
            histories[shard.number] = self._paint(shard, names, painter, facts, now_us)
            self._name_edges_of_revived(shard, names, painter)
        if not self._publisher.flush(30.0):
            for shard, _ in work:  # unacknowledged: the same names are read and published again, with higher versions
                shard.taken, shard.waiting = 0, {}
                self.travel.anew(shard.road)
            return False
        self._settle([(s, names, histories[s.number]) for s, names in work if not s.lost], facts, now)
        return True

    def _expand(self, shard: Shard, names: list[bytes]) -> list[bytes]:
        """A neighbourhood stands for every edge of a dataset that lives in this shard."""
        around = [name for name in names if name[:1] == b"n"]
        if not around:
            return names
        ax = self._store.keys("ax")
        answers = self._store.many(
            [
                ("ZRANGEBYLEX", ax, b"[" + n[1:], b"(" + n[1:] + b"\xff" * 26, "LIMIT", 0, _NEIGHBOURS_MAX)
                for n in around
            ]
        )
        out = dict.fromkeys(name for name in names if name[:1] != b"n")
        for members in answers:
            for member in members:
                name = b"e" + member[KEY_BYTES:]
                if shard_of(shard_key(name), self._shards) == shard.number:
                    out[name] = None
        return list(out)

    def _name_edges_of_revived(self, shard: Shard, names: list[bytes], painter: Painter) -> None:
        """With a dataset that was removed and is back come back its edges that were asserted in the minute of the removal,
        which no event may touch again. They may live in any shard. Named too often they do no harm."""
        back: dict[bytes, int] = {}
        for name in names:
            if (
                name[:1] == b"d"
                and (removed_us := painter.revived(name[1:]))
                and shard.revived.get(name[1:]) != removed_us
            ):
                back[name[1:]] = removed_us
        if not back:
            return
        entry = b"".join([b"n" + key for key in back])
        self._store.many([("RPUSH", self._store.keys("o", number), entry) for number in range(self._shards)])
        if len(shard.revived) > PUBLISHED_MAX:
            shard.revived.clear()
        shard.revived.update(back)

    def _paint(self, shard: Shard, names: list[bytes], painter: Painter, facts: Facts, now_us: int) -> list[bytes]:
        first = version = max(shard.version + 1, now_us)
        runs: dict[bytes, list[bytes]] = {}
        send, book = self._publisher.delta, self._names
        misses = book.misses
        shard.nameless.clear()
        for name in names:
            if name[:1] == b"r":
                runs.setdefault(name[1 : 1 + KEY_BYTES], []).append(name[1:])
                continue
            image = painter.image(name, version)
            if book.misses != misses:
                misses = book.misses
                shard.nameless.append(name)
            if image is not None:
                send(*image)
                version += 1
        histories: list[bytes] = []
        for job, keys in runs.items():
            made = self._history(job, keys, facts)
            if made is not None:
                histories += (job, made.packed)
                image = painter.runs(job, made.runs, version, keys[-1][KEY_BYTES:])
                if image is not None:
                    send(*image)
                    version += 1
            if book.misses != misses:
                misses = book.misses
                shard.nameless += [b"r" + key for key in keys]
        self.images += version - first
        shard.version = version
        return histories

    def _name_again(self, shards: list[Shard], now: float) -> None:
        """A name may still be missing that another partition's call was to write, when that was refused: it is written when its
        records are read again, and nobody names then what was painted without it."""
        if not shards:
            return
        key = self._store.keys
        self._store.many([("RPUSH", key("o", shard.number), b"".join(shard.nameless)) for shard in shards])
        for shard in shards:
            shard.again = dict.fromkeys(shard.nameless, now + AGAIN_S)

    def _history(self, job: bytes, keys: list[bytes], facts: Facts) -> History | None:
        runs = worth_showing({key: facts.run[key] for key in keys if key in facts.run})
        if not runs:
            return None
        self._names.learn(keys_named_by(runs))
        return history(facts.jr.get(job), runs, self._names, self.as_of_us, self._run_timeout_us)

    def _settle(self, settled: list[tuple[Shard, list[bytes], list[bytes]]], facts: Facts, now: float) -> None:
        """Shard, the names that were published, the histories that were made: forget them, and wake who is to be judged."""
        settlements, keeps = [], []
        self._name_again([shard for shard, _, _ in settled if shard.nameless], now)
        for shard, names, histories in settled:
            waiting, published = shard.waiting, shard.published
            for name in names:
                waiting.pop(name, None)
                kind = name[:1]
                if kind in (b"f", b"b"):
                    published[name] = now
                elif kind == b"r":
                    published[_limit_key(name)] = now
            if len(shard.published) > PUBLISHED_MAX:
                shard.published = {k: at for k, at in shard.published.items() if at > now - self._runs_interval_s}
            keep = min((at for _, at in shard.waiting.values()), default=shard.taken)
            wake = self._wake(shard, names, facts)
            keeps.append(keep)
            settlements.append(Settlement(shard.fence, keep, shard.version, wake, histories))
        for (shard, _, _), keep, done in zip(settled, keeps, self._store.settle(settlements), strict=True):
            if done:
                shard.taken -= keep
                self.travel.trimmed(shard.road, keep)
                shard.waiting = {name: (due, at - keep) for name, (due, at) in shard.waiting.items()}
            else:
                shard.lost = True


def _portions(work: list[tuple[Shard, list[bytes]]]) -> Iterator[list[tuple[Shard, list[bytes]]]]:
    """The names of a round, in portions; a shard with many is in several of them."""
    portion: list[tuple[Shard, list[bytes]]] = []
    room = PORTION_NAMES
    for shard, names in work:
        at = 0
        while len(names) - at > room:
            portion.append((shard, names[at : at + room]))
            yield portion
            at, portion, room = at + room, [], PORTION_NAMES
        portion.append((shard, names[at:]))
        room -= len(names) - at
    if portion:
        yield portion


def _by_job(names: list[bytes]) -> list[bytes]:
    """Runs last, those of a job together: in several rounds each job's history would be made in each of them."""
    out: list[bytes] = []
    runs: dict[bytes, list[bytes]] = {}
    for name in names:
        if name[:1] == b"r":
            runs.setdefault(_limit_key(name), []).append(name)
        else:
            out.append(name)
    for of_job in runs.values():
        out += of_job
    return out


def _limit_key(name: bytes) -> bytes:
    """What the interval holds for: a dataset's freshness, a job's runs."""
    return name[: 1 + KEY_BYTES]


def _keys_in(names: Sequence[bytes], facts: Facts) -> list[bytes]:
    """The keys whose names the images show."""
    keys: list[bytes] = []
    for name in names:
        kind, body = name[:1], name[1:]
        if kind == b"e":
            keys += split_edge_key(body)[1:]
        elif kind == b"a":
            keys += (body[:KEY_BYTES], body[KEY_BYTES:])
        elif kind in (b"s", b"b"):
            keys.append(body[1:])
        else:
            keys.append(body[:KEY_BYTES])
    keys += [first_job(value) for value in facts.ds.values()]
    keys += [last_job(value) for value in facts.fr.values()]
    keys += [unpack_successor(value) for value in facts.mv.values()]
    return [key for key in keys if key and key != bytes(KEY_BYTES)]
