"""From settings to Redis: one way to connect, and its errors translated."""

from __future__ import annotations

import logging
from typing import Final

import redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ConnectionError,  # noqa: A004 - Redis's own name
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    TimeoutError,  # noqa: A004 - Redis's own name
    TryAgainError,
)
from redis.retry import Retry

from headwater.errors import HeadwaterError
from headwater.masking import mask
from headwater.runtime.errors import RedisUnavailable, RefusedError, UsageError
from headwater.runtime.models import RedisSettings

log = logging.getLogger(__name__)

_PASSING: Final = (ConnectionError, TimeoutError, BusyLoadingError, ReadOnlyError, TryAgainError, OutOfMemoryError)
_PASSING_WORDS: Final = ("LOADING", "READONLY", "TRYAGAIN", "BUSY", "OOM", "MISCONF", "MASTERDOWN", "CLUSTERDOWN")
_AUTHENTICATION_WORDS: Final = ("NOAUTH", "WRONGPASS", "NOPERM")


def connect(settings: RedisSettings, *, timeout_s: float = 10.0, connect_timeout_s: float = 5.0) -> redis.Redis:
    """A client that speaks bytes. It connects with the first command.

    Nothing is repeated behind the caller's back: a fenced call that got no answer may have been done, and only its
    caller can find out.

    Raises:
        UsageError: the URL is none.
    """
    password = settings.password.get_secret_value() if settings.password is not None else None
    options: dict[str, object] = {} if password is None else {"password": password}
    try:
        return redis.Redis.from_url(
            settings.url,
            socket_timeout=timeout_s,
            socket_connect_timeout=connect_timeout_s,
            socket_keepalive=True,
            health_check_interval=30,
            retry=Retry(NoBackoff(), 0),
            client_name="headwater",
            protocol=2,
            **options,
        )
    except ValueError as error:
        raise UsageError(
            f"redis.url is no address of a Redis: {mask(str(error))}", remedy="write it as redis://host:6379/0"
        ) from error


def translate(error: RedisError, url: str) -> HeadwaterError:
    """Redis's error as one of ours, with its remedy."""
    where, said = f"Redis at {mask(url)}", mask(str(error)).rstrip(".")
    if isinstance(error, AuthenticationError) or said.startswith(_AUTHENTICATION_WORDS):
        return RedisUnavailable(
            f"{where} refuses us: {said}", remedy="check redis.password and the ACL of the user", retriable=False
        )
    if isinstance(error, _PASSING) or said.startswith(_PASSING_WORDS):
        return RedisUnavailable(
            f"{where} cannot be used now: {said}", remedy="is it running, and is its address right (--redis)?"
        )
    return RedisUnavailable(f"{where}: {said}", retriable=False)


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
