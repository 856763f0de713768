"""From settings to Redis: one way to connect, whatever stands behind the URL, and its errors translated."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any, Final

import redis
from pydantic import SecretStr
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ConnectionError,  # noqa: A004 - Redis's own name
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    TimeoutError,  # noqa: A004 - Redis's own name
    TryAgainError,
)
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from headwater.errors import ConfigError, HeadwaterError
from headwater.kafka_security import read_secret
from headwater.masking import mask
from headwater.runtime.errors import RedisUnavailable, RefusedError, UsageError
from headwater.runtime.models import RedisSettings
from headwater.runtime.redis_cluster import Finder, SlotConnection, SlotTlsConnection, slot_of
from headwater.runtime.redis_url import RedisPlace, parse_redis_url

log = logging.getLogger(__name__)

_PASSING: Final = (ConnectionError, TimeoutError, BusyLoadingError, ReadOnlyError, TryAgainError, OutOfMemoryError)
_PASSING_WORDS: Final = ("LOADING", "READONLY", "TRYAGAIN", "BUSY", "OOM", "MISCONF", "MASTERDOWN", "CLUSTERDOWN")
_AUTHENTICATION_WORDS: Final = ("NOAUTH", "WRONGPASS")
_NO_CLUSTER: Final = ("ERR This instance has cluster support disabled", "This instance has cluster support disabled")
_GRANT: Final = "allow the user what its role needs: collector/CONNECTING.md lists it, ACL WHOAMI says who we are"
_SENTINEL_TIMEOUT_S: Final = 2.0


def connect(
    settings: RedisSettings, domain: str = "default", *, timeout_s: float = 10.0, connect_timeout_s: float = 5.0
) -> redis.Redis:
    """A client that speaks bytes: to one server, to the master that Sentinels name, or to the node of a cluster that holds
    the domain. It connects with the first command; after a failover the next connection finds the new master.

    Nothing is repeated behind the caller's back: a fenced call that got no answer may have been done, and only its
    caller can find out.

    Raises:
        UsageError: the URL is none, a file cannot be read, or settings contradict each other.
    """
    place = parse_redis_url(settings.url)
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": connect_timeout_s,
        "socket_keepalive": True,
        "health_check_interval": 30,
        "retry": Retry(NoBackoff(), 0),
        "client_name": "headwater",
        "protocol": 2,
    }
    tls = _tls(settings, place.tls)
    login = _login(settings.username, settings.password, settings.password_file, "redis.password_file", place)
    if place.kind == "sentinel":
        return _by_sentinel(settings, place, {**options, **tls, **login})
    if place.kind == "cluster":
        return _in_cluster(place, slot_of(domain), options, tls, login)
    try:
        client = redis.Redis.from_url(settings.url, **options, **tls)
    except ValueError as error:
        raise UsageError(
            f"redis.url is no address of a Redis: {mask(str(error))}", remedy="write it as redis://host:6379/0"
        ) from error
    # What stands in the URL would win over arguments.
    given = client.connection_pool.connection_kwargs
    if login:
        if "credential_provider" in login:
            login["credential_provider"].username = settings.username or given.pop("username", None)
            given.pop("password", None)
            given.pop("username", None)
        given.update(login)
    return client


class FileCredentials(CredentialProvider):
    """A user, and a password that is read from its file with every connection: it may be replaced while we run."""

    def __init__(self, username: str | None, path: str, name: str) -> None:
        self.username = username
        self._path = path
        self._name = name

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """See redis-py. AuthenticationError, which callers wait out, if the file cannot be read now."""
        try:
            password = read_secret(self._path, self._name)
        except ConfigError as error:
            raise AuthenticationError(str(error)) from error
        return (self.username, password) if self.username else (password,)


def _login(username: str, password: SecretStr | None, path: str, name: str, place: RedisPlace | None) -> dict[str, Any]:
    """Credentials as redis-py takes them: settings first, then those of the URL."""
    user = username or (place.username if place is not None else "")
    if password is None and path:
        read_secret(path, name)  # said before anything is connected
        return {"credential_provider": FileCredentials(user or None, path, name)}
    secret = password.get_secret_value() if password is not None else (place.password if place is not None else "")
    found = {"username": user, "password": secret}
    return {key: value for key, value in found.items() if value}


def _tls(settings: RedisSettings, tls: bool) -> dict[str, Any]:
    given = {"ssl_ca_certs": "ca_file", "ssl_certfile": "cert_file", "ssl_keyfile": "key_file"}
    options = {key: getattr(settings, name) for key, name in given.items() if getattr(settings, name)}
    for key, name in given.items():
        path = options.get(key)
        if path and not tls:
            raise UsageError(f"redis.{name} has no effect with redis.url as it is", remedy="write rediss:// for TLS")
        if path and not Path(path).is_file():
            raise UsageError(f"redis.{name} names {path}, which does not exist", remedy="is it mounted?")
    return options


class _Sentinels(Sentinel):
    """redis-py's, whose error shows each client whole."""

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """Where the master is. MasterNotFoundError, in one line."""
        try:
            found: tuple[str, int] = super().discover_master(service_name)  # type: ignore[no-untyped-call]  # as below
        except MasterNotFoundError as error:
            reasons = sorted(set(_REASON.findall(str(error))))
            said = f" ({', '.join(reasons)})" if reasons else ""
            raise MasterNotFoundError(f"no Sentinel names a master of {service_name!r}{said}") from None
        return found


_REASON: Final = re.compile(r" - (?:\w+:)?(\w+)(?:,|$)")


def _by_sentinel(settings: RedisSettings, place: RedisPlace, options: dict[str, Any]) -> redis.Redis:
    own = _login(
        settings.sentinel_username, settings.sentinel_password, settings.sentinel_password_file,
        "redis.sentinel_password_file", None,
    )  # fmt: skip
    asking = {
        key: value for key, value in options.items() if key not in {"username", "password", "credential_provider"}
    }
    asking |= {
        "socket_timeout": _SENTINEL_TIMEOUT_S,
        "socket_connect_timeout": _SENTINEL_TIMEOUT_S,
        "ssl": place.tls,
        **own,
    }
    sentinel: Any = _Sentinels(place.nodes, sentinel_kwargs=asking)  # type: ignore[no-untyped-call]  # redis-py types none of it
    client: redis.Redis = sentinel.master_for(place.service, db=place.database, ssl=place.tls, **options)
    return client


def _in_cluster(
    place: RedisPlace, slot: int, options: dict[str, Any], tls: dict[str, Any], login: dict[str, Any]
) -> redis.Redis:
    asking = {**options, **tls, **login, "ssl": place.tls}
    kind = SlotTlsConnection if place.tls else SlotConnection
    finder = Finder(place.nodes, slot, asking)
    pool = redis.ConnectionPool(kind, finder=finder, **options, **tls, **login)
    finder.serve(pool)
    return redis.Redis(connection_pool=pool)


def translate(error: RedisError, url: str) -> HeadwaterError:
    """Redis's error as one of ours, with its remedy."""
    where, said = f"Redis at {mask(url)}", mask(str(error)).rstrip(".")
    if isinstance(error, NoPermissionError) or said.startswith("NOPERM"):
        return RedisUnavailable(f"{where} knows us, and forbids it: {said}", remedy=_GRANT, retriable=False)
    if isinstance(error, AuthenticationError) or said.startswith(_AUTHENTICATION_WORDS):
        return RedisUnavailable(
            f"{where} refuses us: {said}", remedy="check redis.username and redis.password", retriable=False
        )
    if isinstance(error, MovedError | AskError):
        return RedisUnavailable(
            f"{where} is a node of a cluster, and another one has the domain",
            remedy="write the address as redis+cluster://host:6379,host2:6379",
            retriable=False,
        )
    if said.startswith(_NO_CLUSTER):
        return RedisUnavailable(f"{where} is no cluster", remedy="write the address as redis://", retriable=False)
    if isinstance(error, MasterNotFoundError):
        return RedisUnavailable(
            f"{where}: {said}", remedy="check the Sentinels' addresses and the service's name; a failover takes seconds"
        )
    if isinstance(error, _PASSING) or said.startswith(_PASSING_WORDS):
        return RedisUnavailable(f"{where} cannot be used now: {said}", remedy=_connection_remedy(said, url))
    return RedisUnavailable(f"{where}: {said}", retriable=False)


_HUNG_UP: Final = ("closed by server", "reset by peer", "EOF occurred", "Broken pipe")


def _connection_remedy(said: str, url: str) -> str:
    """What TLS's own words mean, for a human."""
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return "name who signed its certificate: redis.ca_file (HEADWATER_REDIS__CA_FILE), and the host that it is made out to"
    if "CERTIFICATE_REQUIRED" in said or "certificate required" in said:
        return "it wants a certificate of ours: redis.cert_file and redis.key_file"
    if "WRONG_VERSION_NUMBER" in said or "record layer failure" in said:
        return "this port speaks plain text: write redis:// instead of rediss://, or name its TLS port"
    if url.startswith("rediss") and any(word in said for word in _HUNG_UP):
        # The refusal comes after the handshake of TLS 1.3: whoever writes first is hung up on and does not read it.
        return "does it want a certificate of ours (redis.cert_file and redis.key_file)? Does this port speak TLS?"
    if not url.startswith("rediss") and ("closed by server" in said or "reset by peer" in said):
        return "does this port want TLS (rediss://)?"
    return "is it running, and is its address right (--redis)?"


def check_policy(client: redis.Redis, url: str) -> None:
    """Refuse a Redis that may evict keys: the state would lose entries without anybody noticing.

    Where the server does not tell (managed ones forbid CONFIG, and may hide it from INFO), that is logged.

    Raises:
        RefusedError: its maxmemory-policy is not noeviction.
        RedisUnavailable: it does not answer.
    """
    try:
        policy = client.info("memory").get("maxmemory_policy")
    except (ConnectionError, TimeoutError) as error:
        raise translate(error, url) from error
    except RedisError:
        policy = None
    if policy is None:
        log.warning("Redis does not say its maxmemory-policy; make sure that it is noeviction, or state may be lost")
    elif policy != "noeviction":
        raise RefusedError(
            f"Redis at {mask(url)} may evict keys (maxmemory-policy {policy}), which would lose state silently",
            remedy="redis-cli CONFIG SET maxmemory-policy noeviction, and in its configuration file",
        )
