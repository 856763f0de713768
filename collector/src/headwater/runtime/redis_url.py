"""The address of a Redis as a value: one server, the master that Sentinels name, or the node of a cluster.

| URL | means |
|---|---|
| `redis://[user:password@]host:6379/0` | one server; `unix://` too |
| `redis+sentinel://[user:password@]host[:26379],host…/SERVICE[/0]` | the master that these Sentinels name for SERVICE |
| `redis+cluster://[user:password@]host[:6379],host…` | the node of the cluster that holds the domain |

`rediss` instead of `redis` is TLS. User and password are those of Redis, not of the Sentinels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import unquote

from headwater.runtime.errors import UsageError

Kind = Literal["single", "sentinel", "cluster"]

_KINDS: Final[dict[str, Kind]] = {"": "single", "sentinel": "sentinel", "cluster": "cluster"}
_PORTS: Final[dict[Kind, int]] = {"single": 6379, "sentinel": 26379, "cluster": 6379}
_FORMS: Final = (
    "redis://host:6379/0, redis+sentinel://host:26379,host2:26379/SERVICE/0 or redis+cluster://host:6379,host2:6379"
)


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """What a URL says. `nodes` is empty for a single server: redis-py reads that URL itself."""

    kind: Kind
    tls: bool
    nodes: tuple[tuple[str, int], ...] = ()
    username: str = ""
    password: str = field(default="", repr=False)
    service: str = ""
    database: int = 0


def parse_redis_url(url: str) -> RedisPlace:
    """Read the URL.

    Raises:
        UsageError: it is none of the forms; the message does not repeat it, for it may hold a password.
    """
    scheme, found, rest = url.partition("://")
    base, _, kind_name = scheme.lower().partition("+")
    if not found or base not in {"redis", "rediss", "unix"} or kind_name not in _KINDS:
        raise _wrong("it begins with none of redis://, rediss://, unix://, redis+sentinel://, redis+cluster://")
    kind = _KINDS[kind_name]
    if kind == "single":
        return RedisPlace(kind, base == "rediss")
    if base == "unix":
        raise _wrong("a Sentinel or a cluster is not on a unix socket")
    authority, _, path = rest.partition("/")
    credentials, _, hosts = authority.rpartition("@")
    username, _, password = credentials.partition(":")
    nodes = tuple(_node(text, _PORTS[kind]) for text in hosts.split(",") if text)
    if not nodes:
        raise _wrong("it names no host")
    if "?" in path or "#" in path or "?" in hosts:
        raise _wrong("options after `?` belong into settings: redis.ca_file, redis.password_file …")
    parts = [unquote(part) for part in path.split("/") if part]
    service = parts.pop(0) if kind == "sentinel" and parts else ""
    if kind == "sentinel" and not service:
        raise _wrong("it names no service, by which the Sentinels know the master (often mymaster)")
    database = _database(parts, kind)
    return RedisPlace(kind, base == "rediss", nodes, unquote(username), unquote(password), service, database)


def _node(text: str, port: int) -> tuple[str, int]:
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        given = rest.removeprefix(":")
    else:
        host, _, given = text.partition(":")
    if not host or (given and not (given.isascii() and given.isdigit() and int(given) < 65536)):
        raise _wrong("a host in it is not written as host:port")
    return host, int(given) if given else port


def _database(parts: list[str], kind: Kind) -> int:
    if len(parts) > 1 or (parts and not (parts[0].isascii() and parts[0].isdigit())):
        raise _wrong("after the hosts come a service (of Sentinels) and a number of a database, and no more")
    database = int(parts[0]) if parts else 0
    if kind == "cluster" and database:
        raise _wrong("a cluster has only database 0")
    return database


def _wrong(why: str) -> UsageError:
    return UsageError(f"redis.url is no address of a Redis: {why}", remedy=f"write it as {_FORMS}")
