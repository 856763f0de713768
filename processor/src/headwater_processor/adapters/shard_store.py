"""The shards' side of the state: outboxes, images, judgements. One client, used by the shards' thread."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import redis
from redis.exceptions import NoScriptError

from headwater_processor.adapters.redis_store import Keys, script
from headwater_processor.core.pack import pack
from headwater_processor.engine.stats import RedisCalls

Command = tuple[Any, ...]


@dataclass(slots=True)
class Writes:
    """One judgement's writes in a shard, in the order of judge.lua."""

    statuses: list[bytes] = field(default_factory=list)
    machines: list[bytes] = field(default_factory=list)
    machines_gone: list[bytes] = field(default_factory=list)
    looks: list[bytes] = field(default_factory=list)
    members_gone: list[bytes] = field(default_factory=list)
    alerts: list[bytes] = field(default_factory=list)
    names: list[int | bytes] = field(default_factory=list)
    runs_lost: list[bytes] = field(default_factory=list)

    def packed(self) -> bytes:
        """As judge.lua reads it."""
        return pack(
            [self.statuses, self.machines, self.machines_gone, self.looks, self.members_gone, self.alerts, self.names,
             self.runs_lost]
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a round leaves behind in a shard: entries to forget, the version, members to wake, histories of jobs."""

    fence: ShardFence
    trim: int
    version: int
    wake: Sequence[bytes]
    histories: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class ShardFence:
    """A shard as its new owner finds it."""

    shard: int
    epoch: str
    version: int
    policy_version: int


class ShardStore:
    """Batched commands on the keys of a domain.

    An owner's writes are numbered in its fence (`step`), and each of them says which one came before. A Redis that was set
    back to an older snapshot (a failover that lost writes) has our epoch still, and a connection that nobody used meanwhile is
    renewed without a word; but the positions in outboxes and the statuses that the owner remembers are of a time that never
    was. It learns that at its next step, as if it had another owner.
    """

    def __init__(self, client: redis.Redis, domain: str, shards: int, calls: RedisCalls | None = None) -> None:
        self.calls = calls or RedisCalls()
        self.keys = Keys(domain)
        self._client = client
        self._shards = shards
        self._sha: dict[str, str] = {}
        self._steps = [0] * shards
        self._settled = [(self.keys("sf", s), self.keys("o", s), self.keys("dl", s)) for s in range(shards)]

    def acquire(self, shard: int) -> ShardFence:
        """Take a shard over."""
        epoch, version, policy = self._eval("shard_acquire", [self.keys("sf", shard)], [secrets.token_hex(8)])
        self._steps[shard] = 0
        return ShardFence(shard, epoch.decode(), int(version), int(policy))

    def take(self, places: Sequence[tuple[ShardFence, int]], most: int) -> list[list[bytes] | None]:
        """See take.lua: for each (fence, first) the entries of its outbox from the first on, at most `most` in all.

        None: the shard is not ours as we left it.
        """
        keys: list[str] = []
        args: list[Any] = [most]
        for fence, first in places:
            keys += self._settled[fence.shard][:2]
            args += (fence.epoch, self._steps[fence.shard], first)
        taken: list[list[bytes] | None] = []
        for (fence, _), found in zip(places, self._eval("take", keys, args), strict=True):
            self._steps[fence.shard] += bool(found)
            taken.append(None if found == 0 else found)
        return taken

    def snapshot(self, shards: Sequence[int], reads: Sequence[Command]) -> tuple[list[str], int, list[Any]]:
        """Epochs of the shards, the state's clock (µs) and the answers to the reads: all of one moment."""
        pipe: Any  # redis-py leaves execute_command untyped
        with self.calls.timed("snapshot"), self._client.pipeline(transaction=True) as pipe:
            pipe.time()
            for shard in shards:
                pipe.hget(self.keys("sf", shard), "epoch")
            for read in reads:
                pipe.execute_command(*read)
            answers = pipe.execute()
        seconds, micros = answers[0]
        epochs = [(epoch or b"").decode() for epoch in answers[1 : 1 + len(shards)]]
        return epochs, int(seconds) * 1_000_000 + int(micros), answers[1 + len(shards) :]

    def ours(self, fences: Sequence[ShardFence]) -> bool:
        """Whether no other owner has taken one of them."""
        epochs = self.many([("HGET", self.keys("sf", fence.shard), "epoch") for fence in fences])
        return all((epoch or b"").decode() == fence.epoch for epoch, fence in zip(epochs, fences, strict=True))

    def many(self, commands: Sequence[Command]) -> list[Any]:
        """Commands in one round trip, not atomic."""
        if not commands:
            return []
        pipe: Any  # as above
        with self.calls.timed("read"), self._client.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            return list(pipe.execute())

    def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """See settle.lua; all shards of a round in one call. False: the shard is not ours as we left it."""
        if not settlements:
            return []
        keys: list[str] = [self.keys("jr")]
        args: list[Any] = []
        for each in settlements:
            keys += self._settled[each.fence.shard]
            epoch, step = each.fence.epoch, self._steps[each.fence.shard]
            args += (epoch, step, each.trim, each.version, pack(list(each.wake)), pack(list(each.histories)))
        done = [bool(answer) for answer in self._eval("settle", keys, args)]
        for each, stepped in zip(settlements, done, strict=True):
            self._steps[each.fence.shard] += stepped
        return done

    def judge(self, fence: ShardFence, policy_version: int, writes: Writes) -> int:
        """See judge.lua: 1 done, 0 not ours as we left it, -1 judged by a newer policy."""
        s = fence.shard
        keys = [self.keys(name, s) for name in ("sf", "st", "am", "dl", "ao", "ro")]
        keys += [self.keys("o", each) for each in range(self._shards)]
        done = int(self._eval("judge", keys, [fence.epoch, self._steps[s], policy_version, writes.packed()]))
        self._steps[s] += done == 1
        return done

    def census(self, datasets: Sequence[bytes], after: bytes, edges_max: int) -> list[Any]:
        """See census.lua: datasets done, the last edge looked at of the next one, then seven numbers for each looked at."""
        keys = [self.keys(table) for table in ("ds", "dz", "fr", "ax", "ez", "edge")]
        return list(self._eval("census", keys, [edges_max, after, *datasets]))

    def trim_alerts(self, fence: ShardFence, count: int) -> bool:
        """See trim_alerts.lua."""
        keys = [self.keys("sf", fence.shard), self.keys("ao", fence.shard)]
        return bool(self._eval("trim_alerts", keys, [fence.epoch, count]))

    def now_us(self) -> int:
        """The state's clock."""
        seconds, micros = self._client.time()
        return int(seconds) * 1_000_000 + int(micros)

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _eval(self, name: str, keys: list[str], args: list[Any]) -> Any:
        with self.calls.timed(name):
            sha = self._sha.get(name)
            if sha is not None:
                try:
                    return self._client.evalsha(sha, len(keys), *keys, *args)
                except NoScriptError:
                    pass
            return self._client.evalsha(self._load(name), len(keys), *keys, *args)

    def _load(self, name: str) -> str:
        self._sha[name] = sha = str(self._client.script_load(script(name)))
        return sha
