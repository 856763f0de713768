"""Whose a UUID or a hash in a name is: one run's, or that of a thing which it tells from others. Pure.

A run's is one

* beside a word that speaks of runs (`RUN_WORDS`), or in a folder of that name: `tmp_<uuid>`, `uploads/<uuid>/a.csv`;
* in the last part of the name beside other words: `shop.public.orders_<hash>`, `raw/orders-<uuid>.json`;
* before the ending of a file in a folder with a name: `landing/orders/<uuid>.json`;

but none beside a word that says what kind of thing it names, or in a folder of that name (`IDENTITY_WORDS`: `tenant_<uuid>`,
`tables/<uuid>`), in a part before the last (`<uuid>/Tables/orders`), or where it is all that there is.
"""

from __future__ import annotations

import re
from typing import Final

RUN_WORDS: Final = frozenset(
    {
        "athena",
        "attempt",
        "backup",
        "batch",
        "checkpoint",
        "dump",
        "execution",
        "export",
        "inprogress",
        "output",
        "query",
    }
    | {
        "result",
        "run",
        "scratch",
        "session",
        "snapshot",
        "spark",
        "stage",
        "staging",
        "temp",
        "temporary",
        "tmp",
        "unload",
    }
    | {"unsaved", "upload"}
)
IDENTITY_WORDS: Final = frozenset(
    {"account", "app", "asset", "bucket", "card", "catalog", "catalogue", "client", "cluster", "collection", "company"}
    | {"connection", "connector", "customer", "dag", "dashboard", "database", "dataset", "db", "destination", "device"}
    | {
        "endpoint",
        "entity",
        "flow",
        "group",
        "index",
        "instance",
        "lakehouse",
        "model",
        "namespace",
        "node",
        "notebook",
    }
    | {
        "org",
        "organisation",
        "organization",
        "partner",
        "pipeline",
        "project",
        "question",
        "queue",
        "report",
        "resource",
    }
    | {
        "schema",
        "service",
        "shop",
        "sink",
        "site",
        "source",
        "space",
        "store",
        "stream",
        "subscription",
        "table",
        "team",
    }
    | {"tenant", "topic", "unitystorage", "user", "vendor", "view", "volume", "warehouse", "workflow", "workspace"}
)

UUID: Final = re.compile(
    r"(?<![0-9A-Za-z])[0-9a-f]{8}(?P<bar>[-_])[0-9a-f]{4}(?P=bar)[0-9a-f]{4}(?P=bar)[0-9a-f]{4}(?P=bar)[0-9a-f]{12}"
    r"(?![0-9A-Za-z])",
    re.IGNORECASE,
)
HASH: Final = re.compile(
    r"(?<![0-9A-Za-z])(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{20,128}(?![0-9A-Za-z])", re.IGNORECASE
)
_ENDING: Final = re.compile(
    r"(?:\.(?:avro|bak|bz2|crc|csv|dat|data|feather|gz|gzip|html|json|jsonl|log|lz4|metadata|msgpack|ndjson|orc|parquet|pb"
    r"|pdf|psv|snappy|sql|tar|tmp|tsv|txt|xls|xlsx|xml|yaml|yml|zip|zst|zstd))*",
    re.IGNORECASE,
)
_NO_WORDS: Final = (re.compile(r"\{[a-z]+\}"), UUID, HASH)
_WORD: Final = re.compile(r"[A-Za-z]{2,}")
_BESIDE_CHARS: Final = 80
_SEPARATOR: Final = re.compile(r"[./]")


def is_a_runs(found: re.Match[str]) -> bool:
    """Whether the UUID or hash that was found in a name is one run's."""
    name, left, right = found.string, *_part(found)
    beside = _words(name[left : found.start()] + " " + name[found.end() : right])
    is_last = _ENDING.fullmatch(name, right) is not None
    if beside:
        return not beside & IDENTITY_WORDS and (is_last or bool(beside & RUN_WORDS))
    if left == 0 or name[left - 1] != "/":
        return False
    folder = _words(name[name.rfind("/", 0, left - 1) + 1 : left - 1])
    is_a_file = is_last and right < len(name)
    return not folder & IDENTITY_WORDS and (bool(folder & RUN_WORDS) or (is_a_file and bool(folder)))


def stands_beside_a_run(found: re.Match[str]) -> bool:
    """Whether what was found in a name has a word for runs beside it."""
    left, right = _part(found)
    beside = _words(found.string[left : found.start()] + " " + found.string[found.end() : right])
    return bool(beside & RUN_WORDS) and not beside & IDENTITY_WORDS


def _part(found: re.Match[str]) -> tuple[int, int]:
    """From where to where the part of the name reaches that it was found in; dots and slashes part. The far is not beside it."""
    name, start, end = found.string, found.start(), found.end()
    nearest = max(0, start - _BESIDE_CHARS)
    left = max(name.rfind("/", nearest, start) + 1, name.rfind(".", nearest, start) + 1, nearest)
    following = _SEPARATOR.search(name, end, end + _BESIDE_CHARS)
    return left, following.start() if following else min(len(name), end + _BESIDE_CHARS)


def _words(text: str) -> frozenset[str]:
    """Words of two letters and more, in lower case, without their plural; not those of other UUIDs and placeholders."""
    for pattern in _NO_WORDS:
        text = pattern.sub(" ", text)
    return frozenset(_singular(word.lower()) for word in _WORD.findall(text))


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word
