"""JWTs, judged by the keys of one JWKS whose URL is a setting: what a token says about where its key is, is not listened to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import jwt

from headwater.gateway.access import Principal, scopes_and_namespaces
from headwater.gateway.answers import BEARER, CLOSE, Problem
from headwater.runtime.errors import UsageError

log = logging.getLogger(__name__)

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures by a private key that the gateway does not have. Neither `none` nor HMAC."""

FRESH_S: Final = 300.0
_UNKNOWN_KEY_S: Final = 10.0
_FETCH_S: Final = 3.0
_MOST_BYTES: Final = 1024 * 1024
_LEEWAY_S: Final = 30
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})

Fetch = Callable[[str], bytes]


class Jwks:
    """Keys by their ids, fetched when needed and kept while they cannot be had again.

    Args:
        url: of the key set: https, or http on this machine.
        audience, issuer: what a token must say; an empty issuer is not asked for.
        fetch: from a URL to what is there; blocks, and runs on another thread.

    Raises:
        UsageError: the URL is no such URL, or no audience is given.
    """

    def __init__(self, url: str, *, audience: str, issuer: str = "", fetch: Fetch | None = None) -> None:
        parts = urlsplit(url)
        if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOCAL)):
            raise UsageError(
                f"gateway.jwks_url {url!r} is no https URL", remedy="name the key set of your identity provider"
            )
        if not audience:
            raise UsageError(
                "gateway.jwks_url is set and gateway.jwt_audience is not",
                remedy="say which audience tokens for this gateway carry; else tokens for other services would do",
            )
        self._url = url
        self._audience = audience
        self._issuer = issuer or None
        self._fetch = fetch or fetched
        self._keys: dict[str, jwt.PyJWK] = {}
        self._tried_at = -FRESH_S
        self._fetched_at = -FRESH_S
        self._lock = asyncio.Lock()

    async def principal(self, token: str) -> Principal:
        """Whose token it is. Raises Problem: 401 where it is no good, 503 where the keys cannot be had."""
        try:
            kid = jwt.get_unverified_header(token).get("kid", "")
        except jwt.InvalidTokenError as error:
            raise _no_good("it is no JWT") from error
        key = await self._key(str(kid))
        if key is None:
            raise _no_good("its key is not in the key set")
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[name for name in ALGORITHMS if name == key.algorithm_name],
                audience=self._audience,
                issuer=self._issuer,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "aud"]},
            )
        except jwt.InvalidTokenError as error:
            raise _no_good(str(error)) from error
        scopes, namespaces = scopes_and_namespaces(claims)
        until_s = min(float(claims["exp"]) + _LEEWAY_S, time.time() + FRESH_S)
        return Principal(str(claims.get("sub", "a JWT")), scopes, namespaces, until_s)

    async def _key(self, kid: str) -> jwt.PyJWK | None:
        now = time.monotonic()
        wanted = kid not in self._keys or now - self._fetched_at > FRESH_S
        if wanted and now - self._tried_at > _UNKNOWN_KEY_S:
            async with self._lock:
                if self._tried_at < now:  # else somebody fetched them while we waited
                    await self._renew()
        if not self._keys:
            raise Problem(503, "jwks", "the keys that tokens are signed with cannot be had", extra=(CLOSE,))
        return self._keys.get(kid)

    async def _renew(self) -> None:
        try:
            raw = await asyncio.to_thread(self._fetch, self._url)
            found = jwt.PyJWKSet.from_json(raw.decode())
        except (OSError, ValueError, jwt.PyJWTError) as error:
            log.warning("the key set at %s cannot be had: %s", self._url, error)
        else:
            self._keys = {str(key.key_id or ""): key for key in found.keys if key.algorithm_name in ALGORITHMS}
            self._fetched_at = time.monotonic()
        self._tried_at = time.monotonic()


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def fetched(url: str) -> bytes:
    """What is at the URL, up to 1 MiB, without following redirects. Raises OSError."""
    opener = urllib.request.build_opener(_NoRedirects)
    with contextlib.closing(opener.open(url, timeout=_FETCH_S)) as response:
        raw: bytes = response.read(_MOST_BYTES + 1)
    if len(raw) > _MOST_BYTES:
        raise OSError("it is larger than 1 MiB")
    return raw


def _no_good(detail: str) -> Problem:
    return Problem(401, "token", f"the token is no good: {detail}", extra=(BEARER, CLOSE))
