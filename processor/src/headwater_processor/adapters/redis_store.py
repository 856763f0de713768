"""The state in Redis behind its fences: one EVALSHA a batch, sent ahead of its answer.

All keys of a domain share one hash tag, so a call is atomic on any Redis, Valkey or Redis Cluster. Calls go over one
connection in the order they were sent; the answer of the one before may still be under way, so that the worker plans while
Redis works. What passes by itself (loading, failover, busy, out of memory) is waited out here; a reply that was lost is
settled by looking at the fence.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from typing import Any, Final

import redis
from redis.exceptions import (
    ClusterDownError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from headwater.errors import HeadwaterError
from headwater_processor.core.plan import Counters
from headwater_processor.engine.stats import RedisCalls
from headwater_processor.ports import Applied, Call, EmptyStateError, Fence, Refusal, StoppingError, TopicChangedError

log = logging.getLogger(__name__)

LAYOUT: Final = 1
PIECE: Final = 64
"""Elements of a seen log read at first: each holds the ids of a batch, up to 128 KB. Where they hold less, more are read."""
PIECE_BYTES: Final = 8 * 1024 * 1024

_PASSING: Final = (
    "LOADING",
    "READONLY",
    "TRYAGAIN",
    "BUSY",
    "OOM",
    "MISCONF",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "NOREPLICAS",
)
"""Answers that say "not now": the call changed nothing and may be sent again."""
_PASSING_TYPES: Final = (ClusterDownError, OutOfMemoryError, ReadOnlyError, TryAgainError)
"""Those that redis-py makes a class of their own; it takes their code out of the text."""
_RETRY_FIRST_S: Final = 0.05
_RETRY_LAST_S: Final = 1.0


class LayoutError(HeadwaterError):
    """The keys in Redis were written by another version of the layout."""


def script(name: str) -> str:
    """The text of a Lua script of the engine."""
    return files("headwater_processor.engine").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


class Keys:
    """The keys of a domain."""

    def __init__(self, domain: str) -> None:
        self.prefix = f"{{hw:{domain}}}:"

    def __call__(self, *parts: str | int) -> str:
        return self.prefix + ":".join(str(part) for part in parts)


class RedisStore:
    """StateStore on Redis. One connection and one thread an instance; see `ports.StateStore` for the promises.

    `pulse` is called while something is waited out, so that a health check can tell waiting from hanging.
    """

    def __init__(
        self,
        client: redis.Redis,
        domain: str,
        *,
        shards: int,
        closed_runs_max: int,
        horizon_us: int,
        pulse: Callable[[], None] = lambda: None,
        calls: RedisCalls | None = None,
    ) -> None:
        self.calls = calls or RedisCalls()
        self.keys = Keys(domain)
        self._client = client
        self._shards = shards
        self._closed_runs_max = closed_runs_max
        self._horizon_us = horizon_us
        self._pulse = pulse
        self._connection: Any = None  # a connection of the pool: redis-py leaves its methods untyped
        self._sent: deque[list[Call]] = deque()
        self._sent_at: deque[float] = deque()
        self._sha: dict[str, str] = {}
        self.secret: tuple[int, int] = (0, 0)
        self._secret_hex = ""
        self.closing = False
        self.born_us = 0
        key = self.keys
        self._fixed = [
            key(name)
            for name in ("meta", "names", "ds", "dz", "sv", "mv", "fr", "wp", "cad", "job", "jz", "edge", "ez", "ax", "mz",
                         "ex", "al", "run", "gone")
        ]  # fmt: skip
        self._sharded = [key("o", s) for s in range(shards)] + [key("ro", s) for s in range(shards)]
        self._keys_of: dict[int, list[bytes]] = {}

    # ---- the domain ------------------------------------------------------------------------------------------------

    def open(self, partitions: int) -> None:
        """Begin or join the domain; again, if Redis was emptied since: with the same secret, by which ids are hashed here.

        Raises LayoutError if the keys are of another version.
        """
        meta = self.keys("meta")
        born_us = self.now_us()
        with self._client.pipeline(transaction=True) as pipe:
            pipe.hsetnx(meta, "layout", str(LAYOUT))
            pipe.hsetnx(meta, "secret", self._secret_hex or secrets.token_hex(16))
            pipe.hsetnx(meta, "born_us", str(born_us))
            pipe.hsetnx(meta, "shards", str(self._shards))
            pipe.hsetnx(meta, "gen", "0")
            pipe.hset(meta, "partitions", str(partitions))
            pipe.hgetall(meta)
            stored: dict[bytes, bytes] = pipe.execute()[-1]
        if int(stored[b"layout"]) != LAYOUT:
            raise LayoutError(
                f"the state in Redis has layout {stored[b'layout'].decode()}, this version writes {LAYOUT}",
                remedy="run the version that wrote it, or choose another domain (--domain) and rebuild",
            )
        if int(stored[b"shards"]) != self._shards:
            raise LayoutError(
                f"the domain has {stored[b'shards'].decode()} shards, this worker was told {self._shards}",
                remedy="set processor.shards to the domain's number; it is fixed when a domain begins",
            )
        self.born_us = int(stored[b"born_us"])
        self._secret_hex = stored[b"secret"].decode()
        secret = bytes.fromhex(self._secret_hex)
        self.secret = (int.from_bytes(secret[:8], "little"), int.from_bytes(secret[8:], "little"))

    def now_us(self) -> int:
        """Redis TIME in microseconds: the clock of as-of and of versions."""
        seconds, micros = self._client.time()
        return int(seconds) * 1_000_000 + int(micros)

    # ---- ownership -------------------------------------------------------------------------------------------------

    def acquire(self, partition: int, topic: str, begin_at: int | None) -> Fence:
        """See StateStore."""
        answer = self._eval(
            "acquire",
            [self.keys("f", partition), self.keys("meta")],
            [secrets.token_hex(8), topic, "" if begin_at is None else str(begin_at)],
        )
        if answer[0] == b"EMPTY":
            raise EmptyStateError(partition)
        if answer[0] == b"TOPIC":
            raise TopicChangedError(answer[1].decode())
        flat = [part.decode() for part in answer[1]]
        stored = dict(zip(flat[::2], flat[1::2], strict=True))
        gen: Any = self._client.hget(self.keys("meta"), "gen")
        buckets: Any = self._client.smembers(self.keys("sb", partition))
        return Fence(
            partition=partition,
            epoch=stored["epoch"],
            topic=stored.get("topic", ""),
            gen=(gen or b"0").decode(),
            next=int(stored["next"]),
            mx_us=int(stored.get("mx", -1)),
            floor=int(stored.get("floor", -1)),
            counters=Counters(
                *(int(stored.get(name, 0)) for name in ("applied", "dup", "late", "future", "undeduped", "bad"))
            ),
            buckets=tuple(sorted(bucket.decode() for bucket in buckets)),
            stopped=stored.get("stopped", ""),
            pass_bad_until=int(stored.get("pass_bad_until", -1)),
        )

    def load_seen(self, partition: int, bucket: str) -> Iterator[bytes]:
        """See StateStore."""
        key, at, count = self.keys("s", partition, bucket), 0, PIECE
        while True:
            with self.calls.timed("load_seen"):
                found: Any = self._client.lrange(key, at, at + count - 1)
            piece = b"".join(found)
            if piece:
                yield piece
            if len(found) < count:
                return
            at += count
            if len(piece) < PIECE_BYTES // 2:  # a quiet partition has a few ids an element
                count *= 2

    def stop(self, fence: Fence, reason: str) -> bool:
        """Record that a partition stopped; False if somebody else owns it."""
        return bool(self._eval("stop", [self.keys("f", fence.partition)], [fence.epoch, "-1", reason]))

    def mark_stopped(self, partition: int, reason: str) -> None:
        """The same where there is no fence to hold: everybody can see why the partition is not read."""
        self._eval("stop", [self.keys("f", partition)], ["", "-1", reason])

    def resume(self, partition: int, pass_bad_until: int) -> None:
        """Let a stopped partition go on; bad records before the offset do not stop it again."""
        self._eval("stop", [self.keys("f", partition)], ["", str(pass_bad_until), ""])

    def next_offset(self, partition: int) -> int | None:
        """The offset that the state of a partition goes on with; None if it has no state."""
        stored: Any = self._client.hget(self.keys("f", partition), "next")
        return None if stored is None else int(stored)

    def skip_to(self, partition: int, offset: int) -> None:
        """Move a fence forward past records that are gone; never back."""
        stored = self.next_offset(partition)
        if stored is None or stored < offset:
            self._client.hset(self.keys("f", partition), "next", str(offset))

    def is_stopped(self, partition: int) -> str:
        """Why a partition is stopped, empty if it is not."""
        stored: Any = self._client.hget(self.keys("f", partition), "stopped")
        return (stored or b"").decode()

    def prove(self, proofs: Sequence[tuple[Fence, int, int]]) -> list[bool]:
        """See StateStore."""
        if not proofs:
            return []
        keys = [self.keys("asof"), self.keys("meta")]
        args: list[str] = []
        for fence, reached, as_of_us in proofs:
            keys.append(self.keys("f", fence.partition))
            args += [str(fence.partition), fence.epoch, str(reached), str(as_of_us)]
        return [held == 1 for held in self._eval("prove", keys, args)]

    # ---- calls -----------------------------------------------------------------------------------------------------

    def send(self, calls: Sequence[Call]) -> None:
        """See StateStore."""
        self._sent.append(list(calls))
        self._sent_at.append(time.perf_counter())
        if len(self._sent) > 1 and self._connection is None:
            return  # sent again, in order, when the first one is received
        try:
            self._write(calls)
        except (RedisError, OSError):
            self._drop_connection()

    def receive(self) -> list[Applied | Refusal]:
        """See StateStore."""
        calls = self._sent[0]
        outcomes: list[Applied | Refusal] = []
        wait_s = _RETRY_FIRST_S
        while len(outcomes) < len(calls):
            self._pulse()
            try:
                if self._connection is None:
                    self._write(calls[len(outcomes) :])
                    for later in list(self._sent)[1:]:
                        self._write(later)
                outcomes.append(self._read(calls[len(outcomes)]))
            except NoScriptError as error:
                self._sha.clear()
                wait_s = self._wait(error, wait_s)  # said, for it must not come twice
            except ResponseError as error:
                if not (isinstance(error, _PASSING_TYPES) or str(error).startswith(_PASSING)):
                    self._answered()
                    self._drop_connection()
                    raise HeadwaterError(
                        f"Redis refused a call: {error}",
                        remedy="this is a fault of Headwater or of the server's set-up",
                    ) from error
                wait_s = self._wait(error, wait_s)
            except (RedisError, OSError) as error:
                wait_s = self._wait(error, wait_s)
        self.calls.took["apply"].observe(time.perf_counter() - self._answered())
        return outcomes

    def _answered(self) -> float:
        """The oldest that was sent has its answer; returns when it was sent."""
        self._sent.popleft()
        return self._sent_at.popleft()

    def _wait(self, error: Exception, wait_s: float) -> float:
        """After an error nothing more is read from this connection: what is outstanding is sent again, in order."""
        self._drop_connection()
        self.calls.failed["apply"] += 1
        if self.closing:
            raise StoppingError(f"Redis went away while stopping: {error}") from error
        log.warning("redis: %s; trying again in %.2f s", error, wait_s)
        time.sleep(wait_s)
        return min(wait_s * 2, _RETRY_LAST_S)

    def _write(self, calls: Sequence[Call]) -> None:
        if not calls:
            return
        if self._connection is None:
            self._connection = self._client.connection_pool.get_connection()
        sha = self._sha.get("apply") or self._load("apply")
        packed = self._connection.pack_commands([command for call in calls for command in self._commands(sha, call)])
        self._connection.send_packed_command(packed)

    def _read(self, call: Call) -> Applied | Refusal:
        assert self._connection is not None  # noqa: S101 - `receive` writes before it reads
        joined: list[bytes] = []
        longest = 0
        refusal: Applied | Refusal | None = None
        for _ in call.plan.blobs:
            answer: Any = self._connection.read_response(disable_decoding=True)
            if answer[0] == b"OK":
                longest = max(longest, int(answer[1]))
                joined += answer[2]
            elif answer[0] == b"NEXT" and answer[1] and int(answer[1]) >= call.plan.next:
                refusal = Applied(0)  # done, and its answer lost: under this epoch only this owner moves `next`
            else:
                refusal = Refusal(answer[0].decode())
        return refusal or Applied(longest, tuple(zip(joined[::2], joined[1::2], strict=True)))

    def _commands(self, sha: str, call: Call) -> Iterator[tuple[Any, ...]]:
        """The pieces of a call: the last one alone moves the fence, and with it what belongs to it."""
        plan, fence, p = call.plan, call.fence, call.plan.partition
        keys = self._keys_of.get(p)
        if keys is None:
            keys = self._keys_of[p] = self._apply_keys(p)
        held = (fence.epoch, fence.topic, fence.gen, plan.expected)
        own = (p, self._shards, plan.token, self._closed_runs_max, self._horizon_us)
        again = "1" if plan.expected < fence.again_until else ""
        for blob in plan.blobs[:-1]:
            args = (*held, "", plan.mx_us, plan.floor, *plan.counters, "", *own, blob, again, "", "")
            yield ("EVALSHA", sha, len(keys), *keys, *args)
        lists = [self.keys("s", p, bucket).encode() for bucket in (*plan.buckets, *plan.dropped_buckets)]
        last = (
            *held, plan.next, plan.mx_us, plan.floor, *plan.counters, call.as_of_us or "", *own, plan.blobs[-1], again,
            "\n".join(plan.buckets), "\n".join(plan.dropped_buckets), *plan.packed_ids,
        )  # fmt: skip
        yield ("EVALSHA", sha, len(keys) + len(lists), *keys, *lists, *last)

    def _apply_keys(self, p: int) -> list[bytes]:
        key = self.keys
        keys = [key("f", p), *self._fixed, key("rc", p), key("sb", p), key("asof"), key("about"), *self._sharded]
        return [each.encode() for each in keys]

    def _load(self, name: str) -> str:
        sha = self._client.script_load(script(name))
        self._sha[name] = sha
        return sha

    def _eval(self, name: str, keys: list[str], args: list[Any]) -> Any:
        with self.calls.timed(name):
            sha = self._sha.get(name) or self._load(name)
            try:
                return self._client.evalsha(sha, len(keys), *keys, *args)
            except NoScriptError:
                return self._client.evalsha(self._load(name), len(keys), *keys, *args)

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.disconnect()
            self._client.connection_pool.release(self._connection)
            self._connection = None

    def close(self) -> None:
        """Give the connection back."""
        self._drop_connection()
        self._client.close()
