"""Other names for namespaces, and a mark for the environment. Pure.

**Rewriting** (`doors.namespaces`): a namespace, or a pattern with `*`, and what it is called instead. It holds for namespaces of
datasets and of jobs, compared as they are kept (`sqlserver://DB` is `mssql://db`). One that is named whole wins over patterns, of
patterns the longest. What a rule gives is final: no rule changes it further, and it gets no mark.

**The environment** (`doors.environment = "staging"`): staging and production have the same names inside of their clusters,
`db`, `broker.kafka.svc`, and one graph must not take them for one. So a namespace that means something else elsewhere is marked:

| namespace | becomes | |
|---|---|---|
| of a job: `shop` | `staging+shop` | people choose it, and choose the same in both |
| `postgres://db:5432`, `k8s://shop`, `redis://10.0.0.7` | `postgres://staging+db:5432` … | a host with a private name |
| `kafka://b1:9092,b2:9092` | `kafka://staging+b1:9092,staging+b2:9092` | each such host of a list |
| `postgres://orders.db.acme.com`, `mysql://8.8.8.8` | as they are | the same host from everywhere |
| `s3://lake`, `snowflake://acme`, `kafka-cluster://…` | as they are | no hosts, but names that are the same everywhere |
| of a dataset, without a scheme: `bigquery`, `file` | as they are | use a rule |

A host has a private name if it has one label or two (`db`, `db.shop`: service and namespace in Kubernetes), ends in `.svc`,
`.local`, `.internal`, `.lan`, `.localdomain`, `.consul`, `.docker`, or is a private address. `+` stands in no host's name, so
that a marked name is nobody else's, and one that is marked already is seen to be.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Final

from headwater.errors import ConfigError
from headwater_schemas.naming import SCHEME_ALIASES, canonical_dataset

ENVIRONMENT: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
MARK: Final = "+"

_GLOBAL: Final = frozenset(
    {"abfs", "abfss", "adl", "arn", "awsathena", "azurecosmos", "azurekusto", "bigquery", "dbfs", "gs", "kafka-cluster"}
    | {"pubsub", "s3", "salesforce", "snowflake", "spanner", "sqs", "wasb", "wasbs"}
)
"""Schemes behind which no host stands, but a name that is the same from everywhere."""
_PRIVATE_DOMAINS: Final = (".svc", ".local", ".internal", ".lan", ".localdomain", ".consul", ".docker")
_LABELS_OF_A_PRIVATE_NAME: Final = 2


class Namespaces:
    """The rules for namespaces. `rules`: from a namespace or a pattern to a namespace.

    Raises:
        ConfigError: a rule is empty, gives a pattern, or gives what another rule changes; or that is no environment.
    """

    def __init__(self, rules: Mapping[str, str] | None = None, environment: str = "") -> None:
        if environment and not ENVIRONMENT.fullmatch(environment):
            raise ConfigError(
                f"doors.environment is {environment!r}", remedy="use lower-case letters, digits and dashes: staging"
            )
        self.environment = environment
        self._prefix = f"{environment}{MARK}" if environment else ""
        given = {_compared(known): _kept(target) for known, target in (rules or {}).items()}
        self._exact = {known: target for known, target in given.items() if "*" not in known}
        patterns = sorted((known for known in given if "*" in known), key=lambda pattern: (-len(pattern), pattern))
        self._patterns = [(_pattern(known), given[known]) for known in patterns]
        self._targets = frozenset(given.values())
        self._check(given)

    def of_dataset(self, namespace: str) -> str:
        """A dataset's namespace, canonical already."""
        found = self._rewritten(namespace)
        return self._marked(namespace) if found is None else found

    def of_job(self, namespace: str) -> str:
        """A job's namespace."""
        found = self._rewritten(namespace)
        if found is not None:
            return found
        if not namespace or "://" in namespace or not self._prefix or namespace.startswith(self._prefix):
            return self._marked(namespace)
        return self._prefix + namespace

    def of_emitter(self, emitter: str) -> str:
        """Who speaks, `door:name`: one who speaks in two environments is two."""
        if not self._prefix or not emitter or self._prefix in emitter:
            return emitter
        door, colon, name = emitter.partition(":")
        return f"{door}:{self._prefix}{name}" if colon else self._prefix + emitter

    def without_mark(self, namespace: str) -> str:
        """The namespace as it was before it was marked."""
        return namespace.replace(self._prefix, "") if self._prefix else namespace

    def _rewritten(self, namespace: str) -> str | None:
        """What a rule makes of it; itself if a rule has made it; None: no rule knows it."""
        if namespace in self._targets:
            return namespace
        compared = _compared(namespace)
        target = self._exact.get(compared)
        if target is not None:
            return target
        return next((target for pattern, target in self._patterns if pattern.fullmatch(compared)), None)

    def _marked(self, namespace: str) -> str:
        scheme, separator, rest = namespace.partition("://")
        if not self._prefix or not separator or scheme in _GLOBAL:
            return namespace
        authority, slash, path = rest.partition("/")
        hosts = [self._of_host(host) for host in authority.split(",")]
        return f"{scheme}://{','.join(hosts)}{slash}{path}"

    def _of_host(self, host: str) -> str:
        return self._prefix + host if is_private(host) and not host.startswith(self._prefix) else host

    def _check(self, given: Mapping[str, str]) -> None:
        for known, target in given.items():
            if not known or not target or "*" in target:
                raise ConfigError(
                    f"doors.namespaces: {known!r} becomes {target!r}", remedy="give a namespace for each, without *"
                )
            other = self._exact.get(_compared(target)) or next(
                (to for pattern, to in self._patterns if pattern.fullmatch(_compared(target))), target
            )
            if other != target:
                raise ConfigError(
                    f"doors.namespaces: {known} becomes {target}, and another rule makes that {other}",
                    remedy=f"let both give {other}",
                )


def is_private(host: str) -> bool:
    """Whether a host, perhaps with a port, has a name or an address that means another machine elsewhere."""
    name = (
        host if host.count(":") > 1 and not host.startswith("[") else host.rpartition("]")[0] or host.partition(":")[0]
    )
    name = name.strip("[").rstrip(".").lower()
    if not name:
        return False
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name.count(".") < _LABELS_OF_A_PRIVATE_NAME or name.endswith(_PRIVATE_DOMAINS)
    return address.is_private or address.is_loopback or address.is_link_local


def parsed(text: str) -> dict[str, str]:
    """Rules as one text: `FROM=TO`, with white space between them. Raises ConfigError."""
    found = {}
    for entry in text.split():
        known, equals, target = entry.partition("=")
        if not equals:
            raise ConfigError(
                f"doors.namespaces has {entry!r}", remedy="write FROM=TO, and white space between several"
            )
        found[known] = target
    return found


def _kept(namespace: str) -> str:
    return canonical_dataset(namespace, "-").namespace


def _compared(namespace: str) -> str:
    """As namespaces are kept; of a pattern only scheme and case are made alike."""
    if "*" not in namespace:
        return _kept(namespace)
    scheme, separator, rest = namespace.strip().partition("://")
    if not separator:
        return namespace.strip()
    scheme = SCHEME_ALIASES.get(scheme.lower(), scheme.lower())
    return f"{scheme}://{rest if scheme in _GLOBAL else rest.lower()}"


def _pattern(known: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in known.split("*")), re.DOTALL)
