"""Who may write what: tokens of a file, kept as hashes, and JWTs; scopes and namespaces of each."""

from __future__ import annotations

import fnmatch
import hashlib
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final, Protocol

import yaml

from headwater.gateway.answers import BEARER, CLOSE, Problem
from headwater.runtime.errors import UsageError

log = logging.getLogger(__name__)

WRITE: Final = "lineage:write"
METRICS: Final = "metrics:read"
SCOPES: Final = frozenset({WRITE, METRICS})
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_KEYS: Final = frozenset({"name", "sha256", "scopes", "namespaces", "expires"})
_MOST_REMEMBERED: Final = 10_000
_LONGEST_TOKEN: Final = 8_192


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody with a token. `namespaces` are names or patterns (`shop-*`); `until_s` is in seconds since the epoch."""

    name: str
    scopes: frozenset[str]
    namespaces: tuple[str, ...]
    until_s: float = float("inf")
    _known: dict[str, bool] = field(default_factory=dict, compare=False, repr=False)

    def may_write_to(self, namespace: str) -> bool:
        """Whether events of jobs in this namespace are taken from them."""
        known = self._known.get(namespace)
        if known is None:
            known = any(fnmatch.fnmatchcase(namespace, pattern) for pattern in self.namespaces)
            if len(self._known) < _MOST_REMEMBERED:
                self._known[namespace] = known
        return known


ANYBODY: Final = Principal("anybody", SCOPES, ("*",))
"""Who asks where no tokens are configured."""


class Tokens(Protocol):
    """Another way to know a token than the file."""

    async def principal(self, token: str) -> Principal:
        """Whose it is. Raises Problem."""
        ...


class TokenFile:
    """Tokens by the SHA-256 of each, out of a YAML file that is read again when it changes.

    Raises:
        UsageError: the file cannot be read or says something that is not allowed.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._stamp: tuple[int, int, int] | None = None
        self._by_hash: dict[bytes, Principal] = {}
        self._read()

    def find(self, digest: bytes) -> Principal | None:
        """Whose token has this SHA-256."""
        return self._by_hash.get(digest)

    def refresh(self) -> bool:
        """Read the file again if it is another; a faulty one changes nothing and is logged. Whether it was read."""
        try:
            if self._stamp == self._stamp_now():
                return False
            self._read()
        except (OSError, UsageError) as error:
            log.error("the tokens in force stay: %s", error)
            return False
        log.info("%d tokens read from %s", len(self._by_hash), self._path)
        return True

    def _stamp_now(self) -> tuple[int, int, int]:
        state = self._path.stat()
        return state.st_mtime_ns, state.st_size, state.st_ino

    def _read(self) -> None:
        try:
            self._stamp = self._stamp_now()
            tree = yaml.safe_load(self._path.read_text(encoding="utf-8"))
        except OSError as error:
            self._stamp = None  # it may say something else: look again, also if the file stays as it is
            raise self._not_read(str(error.strerror)) from error
        except UnicodeDecodeError as error:
            raise self._not_read("it is not UTF-8") from error
        except yaml.YAMLError as error:
            raise UsageError(f"{self._path} is no YAML: {' '.join(str(error).split())}") from error
        given = tree.get("tokens") if isinstance(tree, dict) else None
        if not isinstance(given, list):
            raise UsageError(f"{self._path} holds no list `tokens`", remedy=_EXAMPLE)
        self._by_hash = dict(self._token(entry, f"{self._path}, token {at}") for at, entry in enumerate(given, 1))

    def _not_read(self, why: str) -> UsageError:
        return UsageError(f"cannot read the tokens in {self._path}: {why}", remedy="name a readable file")

    def _token(self, entry: Any, where: str) -> tuple[bytes, Principal]:  # Any: what YAML holds
        if not isinstance(entry, dict):
            raise UsageError(f"{where} is no mapping", remedy=_EXAMPLE)
        unknown = sorted(set(map(str, entry)) - _KEYS)
        if unknown:
            raise UsageError(
                f"{where} has an unknown key {unknown[0]!r}", remedy=f"known are {', '.join(sorted(_KEYS))}"
            )
        digest = str(entry.get("sha256", "")).lower()
        if not _SHA256.fullmatch(digest):
            raise UsageError(f"{where} has no sha256 of 64 hex digits", remedy="headwater gateway token --name NAME")
        scopes = _texts(entry.get("scopes", [WRITE]), f"{where}, scopes")
        wrong = sorted(set(scopes) - SCOPES)
        if wrong:
            raise UsageError(
                f"{where} has an unknown scope {wrong[0]!r}", remedy=f"known are {', '.join(sorted(SCOPES))}"
            )
        principal = Principal(
            str(entry.get("name") or "unnamed"),
            frozenset(scopes),
            tuple(_texts(entry.get("namespaces", ["*"]), f"{where}, namespaces")),
            _until_s(entry.get("expires"), where),
        )
        return bytes.fromhex(digest), principal


_EXAMPLE: Final = "write: tokens: [{name: airflow, sha256: …, namespaces: ['shop-*']}]"


def _texts(given: Any, where: str) -> list[str]:
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise UsageError(f"{where}: not a list of texts", remedy=_EXAMPLE)
    return given


def _until_s(given: Any, where: str) -> float:
    if given is None:
        return float("inf")
    if isinstance(given, str):
        try:
            given = datetime.fromisoformat(given)
        except ValueError:
            given = None
    if isinstance(given, datetime):
        return (given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp()
    if isinstance(given, date):
        return datetime(given.year, given.month, given.day, tzinfo=UTC).timestamp()
    raise UsageError(f"{where}: expires is no date", remedy="write it as 2027-01-31")


class Access:
    """Decides about the `Authorization` of a request.

    Args:
        file: static tokens, if there are any.
        jwts: who knows JWTs, if anybody does. With neither, everybody may do everything.
    """

    def __init__(self, file: TokenFile | None = None, jwts: Tokens | None = None) -> None:
        self._file = file
        self._jwts = jwts
        self.open = file is None and jwts is None
        self._proved: dict[bytes, Principal] = {}

    async def principal(self, headers: list[tuple[bytes, bytes]], scope: str) -> Principal:
        """Who asks, and that they may. Raises Problem."""
        if self.open:
            return ANYBODY
        token = _bearer(headers)
        digest = hashlib.sha256(token).digest()
        found = self._file.find(digest) if self._file is not None else None
        if found is None and self._jwts is not None and token.count(b".") == 2:
            found = self._proved.get(digest)
            if found is None or found.until_s <= time.time():
                found = await self._jwts.principal(token.decode("ascii", "replace"))
                self._remember(digest, found)
        if found is None:
            raise _refused("the token is not known")
        if found.until_s <= time.time():
            raise _refused("the token has expired")
        if scope not in found.scopes:
            raise Problem(403, "scope", f"the token of {found.name} lacks the scope {scope}", extra=(CLOSE,))
        return found

    def refresh(self) -> None:
        """Look whether the file of tokens changed."""
        if self._file is not None:
            self._file.refresh()

    def _remember(self, digest: bytes, found: Principal) -> None:
        if len(self._proved) >= _MOST_REMEMBERED:
            self._proved = {key: each for key, each in self._proved.items() if each.until_s > time.time()}
            if len(self._proved) >= _MOST_REMEMBERED:
                self._proved.clear()
        self._proved[digest] = found


def _bearer(headers: list[tuple[bytes, bytes]]) -> bytes:
    for name, value in headers:
        if name == b"authorization":
            kind, _, token = value.partition(b" ")
            token = token.strip()
            if kind.lower() == b"bearer" and 0 < len(token) <= _LONGEST_TOKEN:
                return token
            raise _refused("send Authorization: Bearer TOKEN")
    raise _refused("send Authorization: Bearer TOKEN")


def _refused(detail: str) -> Problem:
    return Problem(401, "token", detail, extra=(BEARER, CLOSE))


def hashed(token: str) -> str:
    """What stands in the file for a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def scopes_and_namespaces(claims: Mapping[str, Any]) -> tuple[frozenset[str], tuple[str, ...]]:
    """What a JWT's claims allow: `scope` (or `scp`), and `headwater_namespaces`; without the latter no namespace."""
    scopes = claims.get("scope", claims.get("scp", ""))
    named = scopes.split() if isinstance(scopes, str) else [each for each in scopes if isinstance(each, str)]
    namespaces = claims.get("headwater_namespaces", [])
    if isinstance(namespaces, str):
        namespaces = namespaces.split()
    allowed = tuple(each for each in namespaces if isinstance(each, str)) if isinstance(namespaces, list) else ()
    return frozenset(named) & SCOPES, allowed
