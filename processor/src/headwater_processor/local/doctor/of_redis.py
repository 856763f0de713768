"""What is looked at in Redis: the server, what it would lose, what room it has, our clock beside its own."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import redis

from headwater.masking import mask
from headwater.runtime.models import Settings
from headwater.runtime.redis import connect
from headwater.runtime.redis_url import parse_redis_url
from headwater_processor.local.doctor.findings import Check, Finding, Noting
from headwater_processor.local.texts import length

Info = Mapping[str, Any]  # Any: numbers and text, as Redis says

_OLDEST: Final = (6, 2)
_FULL: Final = (0.8, 0.95)
"""Shares of the memory that are used: from here on a warning, and a problem."""

_SKEW_WARN_US: Final = 1_000_000
_SKEW_MAX_US: Final = 60_000_000


@dataclass(frozen=True, slots=True)
class RedisDoctor:
    """Looks at one Redis; only reads."""

    settings: Settings
    limit_s: float
    is_production: bool

    def checks(self) -> list[Check]:
        """All checks, the one that the others need first."""
        return [
            Check("redis", self._server),
            Check("memory", self._memory, "redis"),
            Check("clock", self._clock, "redis"),
        ]

    def _client(self) -> redis.Redis:
        limit_s = self.limit_s
        return connect(self.settings.redis, self.settings.domain, timeout_s=limit_s, connect_timeout_s=limit_s)

    def _info(self) -> Info:
        with self._client() as client:
            client.ping()
            found: Info = client.info()
            return found

    def _server(self) -> Iterator[Finding]:
        info = self._info()
        yield from of_server(info, self.settings.redis.url)
        if self.is_production:
            yield from production(info, self.settings)

    def _memory(self) -> Iterator[Finding]:
        yield from of_memory(self._info(), self.settings.redis.url)

    def _clock(self) -> Iterator[Finding]:
        with self._client() as client:
            before_us = time.time_ns() // 1_000
            seconds, micros = client.time()
            after_us = time.time_ns() // 1_000
        yield from of_clock(int(seconds) * 1_000_000 + int(micros), before_us, after_us)


def redis_cli(url: str) -> str:
    """`redis-cli` for this address, without its password: that is asked for, or taken from REDISCLI_AUTH."""
    place = parse_redis_url(url)
    tls = "--tls " if place.tls else ""
    if place.kind == "cluster":
        host, port = place.nodes[0]
        return f"redis-cli {tls}{'--askpass ' if place.password else ''}-c -h {shlex.quote(host)} -p {port}"
    if place.kind == "sentinel":
        return f"redis-cli {tls}{'--askpass ' if place.password else ''}-h MASTER"
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return f"redis-cli -s {shlex.quote(parts.path)}"
    secret = "--askpass " if parts.password else ""
    return f"redis-cli {tls}{secret}-h {shlex.quote(parts.hostname or 'localhost')} -p {parts.port or 6379}"


def of_server(info: Info, url: str) -> Iterator[Finding]:
    """Version, role, what is evicted."""
    say, cli, url = Noting("redis"), redis_cli(url), mask(url)
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = str(info.get("valkey_version") or info.get("redis_version") or "?")
    if name == "Redis" and _number(version) < _OLDEST:
        yield say.problem(f"{name} {version} at {url} is older than 6.2", "upgrade it")
    else:
        yield say.ok(f"{name} {version} answers at {url}")
    if info.get("role") not in (None, "master"):
        yield say.problem("it is a replica and takes no writes", "name its primary with --redis")
    policy = info.get("maxmemory_policy")
    if policy is None:
        yield say.warn("it does not say its maxmemory-policy", "make sure that it is noeviction")
    elif policy != "noeviction":
        yield say.problem(
            f"it may evict keys (maxmemory-policy {policy}), which loses state silently",
            f"{cli} CONFIG SET maxmemory-policy noeviction",
        )
    if info.get("rdb_last_bgsave_status") == "err" or info.get("aof_last_write_status") == "err":
        yield say.problem(
            "its last write to disk failed, and it may refuse writes", "look at its log and at the room on its disk"
        )
    if not info.get("aof_enabled") and not info.get("connected_slaves"):
        yield say.warn(
            "neither AOF nor a replica: after a restart what came since the last snapshot is read again from Kafka, "
            "and without one everything that Kafka still has",
            f"{cli} CONFIG SET appendonly yes",
        )


def production(info: Info, settings: Settings) -> Iterator[Finding]:
    """What an installation that must not lose anything needs as well."""
    say, cli = Noting("redis"), redis_cli(settings.redis.url)
    if not info.get("aof_enabled") and not info.get("connected_slaves"):
        yield say.problem("it has neither AOF nor a replica", f"{cli} CONFIG SET appendonly yes")
    redis_, place = settings.redis, parse_redis_url(settings.redis.url)
    has_secret = redis_.password is not None or redis_.password_file or place.password
    if not has_secret and (place.kind != "single" or urlsplit(redis_.url).password is None):
        yield say.problem(
            "it lets everybody in (no AUTH)", "set requirepass or an ACL user, and HEADWATER_REDIS__PASSWORD_FILE"
        )
    if not place.tls:
        yield say.problem("the way to it is not encrypted (no TLS)", "use rediss:// in redis.url")
    if not info.get("maxmemory"):
        yield say.warn(
            "maxmemory is not set: the system may kill it before it refuses writes",
            f"{cli} CONFIG SET maxmemory 4gb  # what the machine can spare",
        )


def of_memory(info: Info, url: str) -> Iterator[Finding]:
    """How much room is left."""
    say, cli = Noting("memory"), redis_cli(url)
    used = int(info.get("used_memory") or 0)
    limit = int(info.get("maxmemory") or 0) or int(info.get("total_system_memory") or 0)
    if not limit:
        yield say.warn(f"Redis uses {_mib(used)} and does not say how much it may")
        return
    share, words = used / limit, f"Redis uses {_mib(used)} of {_mib(limit)} ({used / limit:.0%})"
    remedy = f"{cli} CONFIG SET maxmemory 8gb  # if the machine has it; see what grows in the processor's README"
    if share >= _FULL[1]:
        yield say.problem(f"{words}: soon it refuses writes, and the workers wait", remedy)
    elif share >= _FULL[0]:
        yield say.warn(words, remedy)
    else:
        yield say.ok(words)


def of_clock(redis_us: int, before_us: int, after_us: int) -> Iterator[Finding]:
    """Our clock beside Redis' own, which was read between two looks at ours."""
    say = Noting("clock")
    skew_us = redis_us - after_us if redis_us > after_us else redis_us - before_us if redis_us < before_us else 0
    if abs(skew_us) < _SKEW_WARN_US:
        yield say.ok(f"this machine and Redis agree to {length(max(abs(skew_us), after_us - before_us))}")
        return
    words = f"Redis' clock is {length(skew_us)} {'ahead of' if skew_us > 0 else 'behind'} this machine's"
    told = say.problem if abs(skew_us) >= _SKEW_MAX_US else say.warn
    yield told(
        f"{words}: deadlines are judged by Redis' clock", "chronyc tracking  # on both: is the clock kept right?"
    )


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def _mib(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MiB"
