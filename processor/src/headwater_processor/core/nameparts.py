"""How dataset names and namespaces are read when they are compared: tokens by kind, hosts by label (see `aliases`)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_CACHE_SIZE: Final = 131_072

ENVIRONMENTS: Final = {
    **dict.fromkeys(("prod", "production", "prd"), "prod"),
    **dict.fromkeys(("stg", "stage", "staging", "preprod"), "stg"),
    **dict.fromkeys(("dev", "devel", "development"), "dev"),
    **dict.fromkeys(("test", "testing", "tst", "qa"), "test"),
    **dict.fromkeys(("uat", "sandbox", "sbx"), "uat"),
}
_SAY_NOTHING: Final = {
    *("public", "dbo", "main", "default"),  # schemas that nobody chose
    *("table", "tbl", "topic", "dataset", "data"),
    *("parquet", "csv", "tsv", "json", "jsonl", "ndjson", "avro", "orc", "gz", "snappy", "txt", "delta"),
}
# S104: compared, never bound to.
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "0.0.0.0", "::1", "unknown", "host.docker.internal"})  # noqa: S104
_PLATFORMS: Final = {
    "postgresql": "postgres",
    "s3a": "s3",
    "s3n": "s3",
    "sqlserver": "mssql",
    "gcs": "gs",
    "abfss": "abfs",
    "wasbs": "wasb",
    "awsglue": "glue",
    "mongodb+srv": "mongodb",
}
_WITHOUT_SCHEME: Final = frozenset({"bigquery", "file", "glue", "hive", "kafka", "snowflake"})

_PART: Final = re.compile(r"[./:\\]+")
_RUN: Final = re.compile(r"[^\W_]+")
_CAMEL: Final = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[^\WA-Z\d_]+|[A-Z]+")
_WORD_NUMBER: Final = re.compile(r"([^\W\d_]{3,}?)[vV]?(\d+)")
_NUMBER_WORD: Final = re.compile(r"(\d+)([^\W\d_]{3,})")
_VERSION: Final = re.compile(r"[vV]?0*(\d+)")


@dataclass(frozen=True, slots=True)
class Parts:
    """A name as it is compared. Words are lower case and singular; numbers are sorted, for their order tells little."""

    leaf: tuple[str, ...]
    qualifiers: tuple[str, ...]
    environments: frozenset[str]
    numbers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Host:
    """A host as it is compared: all labels, and their tokens without environments and, in `bare`, without numbers."""

    labels: tuple[str, ...]
    local: bool
    words: tuple[str, ...]
    bare: tuple[str, ...]
    environments: frozenset[str]


@dataclass(frozen=True, slots=True)
class Place:
    """A namespace as it is compared: platform, hosts (or bucket, or the whole of it), ports, path."""

    platform: str
    hosts: tuple[Host, ...]
    ports: frozenset[str]
    path: str


@lru_cache(maxsize=_CACHE_SIZE)
def read_name(name: str) -> Parts:
    """A dataset's name as it is compared."""
    words_of: list[list[str]] = []
    environments: set[str] = set()
    numbers: list[str] = []
    for part in _PART.split(name):
        words, found = _tokens(part)
        numbers += found
        environments.update(ENVIRONMENTS[w] for w in words if w in ENVIRONMENTS)
        words_of.append([singular(w) for w in words if w not in ENVIRONMENTS and w not in _SAY_NOTHING])
    leaf: list[str] = []
    while words_of and (not leaf or _GENERIC.issuperset(leaf)):
        leaf = words_of.pop() + leaf
    if not leaf:
        # Nothing but environments, defaults and numbers: then they are the name.
        leaf = _RUN.findall(name.lower()) or [name.lower()]
    qualifiers = tuple(word for words in words_of for word in words)
    return Parts(tuple(leaf), qualifiers, frozenset(environments), tuple(sorted(numbers)))


@lru_cache(maxsize=_CACHE_SIZE)
def read_namespace(namespace: str) -> Place:
    """A namespace as it is compared."""
    scheme, sep, rest = namespace.partition("://")
    if not sep:
        known = namespace.lower() in _WITHOUT_SCHEME
        return Place(namespace.lower() if known else "", () if known else (_host(namespace),), frozenset(), "")
    platform = _PLATFORMS.get(scheme.lower(), scheme.lower())
    authority, _, path = rest.partition("/")
    hosts, ports = [], set()
    for server in filter(None, authority.rpartition("@")[2].split(",")):
        host, colon, port = server.rpartition(":")
        if colon and port.isdigit():
            ports.add(port)
            server = host
        hosts.append(_host(server))
    return Place(platform, tuple(hosts), frozenset(ports), path.lower().strip("/"))


def singular(word: str) -> str:
    """The word without an English plural ending; crude, but the same for both sides."""
    if len(word) > 4 and word.endswith("y") and word[-2] not in "aeiou":
        # Not the other way round: `invocies`, a slip in `invoices`, must not turn into `invocy`.
        return word[:-1] + "ie"
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _tokens(part: str) -> tuple[list[str], list[str]]:
    """Words and numbers of one part, in order, lower case."""
    words: list[str] = []
    numbers: list[str] = []
    for run in _RUN.findall(part):
        if not any(c.isdigit() for c in run):
            words += [w.lower() for w in _CAMEL.findall(run)] or [run.lower()]
        elif match := _WORD_NUMBER.fullmatch(run):
            words += [w.lower() for w in _CAMEL.findall(match[1])] or [match[1].lower()]
            numbers.append(match[2].lstrip("0") or "0")
        elif match := _NUMBER_WORD.fullmatch(run):
            words += [w.lower() for w in _CAMEL.findall(match[2])] or [match[2].lower()]
            numbers.append(match[1].lstrip("0") or "0")
        else:
            version = _VERSION.fullmatch(run)
            numbers.append(version[1] if version else run.lower())
    return words, numbers


def _host(text: str) -> Host:
    lower = text.lower().strip("[]")
    tokens = [token for label in lower.split(".") for token in _RUN.findall(label)]
    words = tuple(token for token in tokens if token not in ENVIRONMENTS)
    bare = tuple(stripped for token in words if (stripped := token.rstrip("0123456789")))
    environments = frozenset(ENVIRONMENTS[token] for token in tokens if token in ENVIRONMENTS)
    return Host(tuple(lower.split(".")), lower in _LOCAL, words, bare, environments)


# Words that name a thing only together with the part before them.
_GENERIC: Final = frozenset(
    singular(word)
    for word in (
        *("event", "raw", "clean", "value", "key", "change", "update", "cdc", "dlq", "log", "file", "part", "snapshot"),
        *("out", "in", "input", "output", "tmp", "daily", "hourly", "weekly", "current", "latest", "history"),
    )
)
