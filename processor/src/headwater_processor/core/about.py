"""What an event says *about* the job and the datasets it names, read out of its OpenLineage facets. Pure.

Each fact comes from one facet and is one short text; lists (owners, tags) are lines of it. All facts of a node together
are at most `NODE_BYTES`. What a facet lacks is not said; a facet that is marked `_deleted` says the empty text, so what
was known of it goes. Facets that are no JSON, or of another shape than the specification's, say nothing.

| facet | fact | example |
|---|---|---|
| `ownership` | owners | `team:data` |
| `documentation` | description | `Orders of the shop, one row an order` |
| `tags` | tags: the key, if its value says more than "true" `key=value`; of a column as of its dataset | `pii`, `tier=gold` |
| `catalog` | catalog | `iceberg glue prod at s3://lake/warehouse` |
| `dataSource` | source | `shop-db postgres://shop-db:5432` |
| `storage` | storage | `iceberg parquet` |
| `version` | version | `3821550127947089987` |
| `hierarchy` | hierarchy | `database shop / schema public / table orders` |
| `subset` | subset | `day = 2026-01-01 and country = DE` |
| `sql` | sql: the statement in one line | `insert into daily select …` |
| `sourceCodeLocation` | code | `https://github.com/acme/etl/blob/main/load.py @ v1.4` |
| `jobType` | job_type | `SPARK QUERY, periodic every 300 s, complete snapshot` |
| `processing_engine` (run) | engine | `Spark 3.5.1` |
| `externalQuery` (run) | query | `bigquery shop:EU.bquijob_123` |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson

from headwater_schemas.events import Name
from headwater_schemas.masking import mask

Json = Any
"""What orjson gives."""

NODE_BYTES: Final = 1024
"""Of all facts of a node: the sum of their bounds."""
_READ_CHARS: Final = 2_048
"""Of a text that are looked at, white space and all."""
_MASKED_CHARS: Final = 1_024
"""Of what is left of it that is searched for secrets, before it is cut to its bound: a password of a URL that begins in what
is kept ends in it, and a quote that does not is closed."""
_DEEPEST: Final = 6
"""Conditions within conditions that are written out."""
_MOST: Final = 20
"""Items of a list that are looked at."""


class Fact(NamedTuple):
    """One kind of fact: its name, of which facet, how many bytes of it are kept, how it is read, and whether it is a list."""

    name: str
    facet: str
    limit_bytes: int
    read: Callable[[Mapping[str, Json]], str | list[str]]
    lists: bool = False


class Stated(NamedTuple):
    """One fact of an event: of a dataset by name as it stands in the facets, or of the event's job (None)."""

    dataset: Name | None
    tag: bytes
    text: bytes


def stated(facets: bytes) -> list[Stated]:
    """The facts in the facets of an event (`{"run": …, "job": …, "inputs": [{"namespace", "name", "facets"}], …}`)."""
    try:
        document = orjson.loads(facets)
    except orjson.JSONDecodeError:
        return []
    found: list[Stated] = []
    for name, facts, said in _places(document):
        for key, facet in said.items():
            known = facts.get(key)
            if known is not None and isinstance(facet, dict):
                text = _text(known[1], facet)
                if text is not None:
                    found.append(Stated(name, known[0], text))
    return found


def _places(document: Json) -> Iterator[tuple[Name | None, Mapping[str, tuple[bytes, Fact]], Mapping[str, Json]]]:
    """Run, job and each dataset: of whom, which facts are to be found there, and the facets."""
    whole = _object(document)
    yield None, _OF_RUNS, _object(whole.get("run"))
    yield None, _OF_JOBS, _object(whole.get("job"))
    for role in ("inputs", "outputs", "dataset"):
        entries = whole.get(role)
        for entry in entries if isinstance(entries, list) else ():
            given = _object(entry)
            namespace, name = given.get("namespace"), given.get("name")
            if isinstance(namespace, str) and isinstance(name, str):
                yield Name(namespace, name), _OF_DATASETS, _object(given.get("facets"))


def _text(fact: Fact, facet: Mapping[str, Json]) -> bytes | None:
    """The text of a fact, masked and bounded; None where the facet does not say it."""
    if facet.get("_deleted") is True:
        return b""
    said = fact.read(facet)
    if isinstance(said, str):
        return _cut(_clean(said), fact.limit_bytes) or None
    kept, room = [], fact.limit_bytes
    for line in dict.fromkeys(_cut(_clean(item), fact.limit_bytes) for item in said):
        if line and len(line) <= room:
            kept.append(line)
            room -= len(line) + 1
    return b"\n".join(kept) or None


def _clean(text: str) -> str:
    """One line without secrets."""
    line = " ".join(text[:_READ_CHARS].split())
    if len(text) > _READ_CHARS or len(line) > _MASKED_CHARS:
        line = line[:_MASKED_CHARS] + "'\""
    return _masked(line)


_masked: Final = lru_cache(maxsize=2_048)(mask)
"""Facets often differ by an id of the run alone, and masking costs more than all the rest."""


def _cut(text: str, limit_bytes: int) -> bytes:
    """At most so many bytes, never within a character; that something was cut is shown."""
    encoded = text.encode()
    if len(encoded) <= limit_bytes:
        return encoded
    return encoded[: limit_bytes - 3].decode(errors="ignore").rstrip().encode() + "…".encode()


# --- values as producers write them ---------------------------------------------------------------------------------


def _object(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}


def _objects(value: Json) -> list[Mapping[str, Json]]:
    return [item for item in value[:_MOST] if isinstance(item, dict)] if isinstance(value, list) else []


def _word(value: Json) -> str:
    """A text, or a number as one; "" for everything else."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _words(facet: Mapping[str, Json], *names: str) -> str:
    return " ".join(dict.fromkeys(filter(None, (_word(facet.get(name)) for name in names))))


# --- the facts ------------------------------------------------------------------------------------------------------


def _owners(facet: Mapping[str, Json]) -> list[str]:
    return [_word(owner.get("name")) for owner in _objects(facet.get("owners"))]


def _description(facet: Mapping[str, Json]) -> str:
    return _word(facet.get("description"))


def _tags(facet: Mapping[str, Json]) -> list[str]:
    found = []
    for tag in _objects(facet.get("tags")):
        key, value = _word(tag.get("key")), tag.get("value")
        more = "" if value is True else _word(value)
        found.append(f"{key}={more}" if key and more and more.lower() != "true" else key)
    return found


def _catalog(facet: Mapping[str, Json]) -> str:
    said = _words(facet, "framework", "technology", "type", "name")
    place = next(filter(None, (_word(facet.get(key)) for key in ("warehouseUri", "metadataUri", "uri"))), "")
    return f"{said} at {place}" if said and place else said or place


def _source(facet: Mapping[str, Json]) -> str:
    return _words(facet, "name", "uri")


def _storage(facet: Mapping[str, Json]) -> str:
    return _words(facet, "storageLayer", "fileFormat")


def _version(facet: Mapping[str, Json]) -> str:
    return _word(facet.get("datasetVersion"))


def _hierarchy(facet: Mapping[str, Json]) -> str:
    levels = [(_word(each.get("type")).lower(), _word(each.get("name"))) for each in _objects(facet.get("hierarchy"))]
    return " / ".join(f"{kind} {name}".strip() for kind, name in levels if name)


def _subset(facet: Mapping[str, Json]) -> str:
    for key in ("inputCondition", "outputCondition", "condition"):
        if isinstance(facet.get(key), dict):
            return _condition(facet[key], _DEEPEST)
    return ""


_COMPARISONS: Final = {
    "EQUAL": "=", "GREATER_THAN": ">", "GREATER_EQUAL_THAN": ">=", "LESS_THAN": "<", "LESS_EQUAL_THAN": "<=",
}  # fmt: skip


def _condition(condition: Mapping[str, Json], deepest: int) -> str:
    """A condition in words; "…" for what is nested too deep or of an unknown kind."""
    kind = condition.get("type")
    if kind == "location" and isinstance(condition.get("locations"), list):
        return ", ".join(filter(None, map(_word, condition["locations"][:_MOST])))
    if kind == "partition":
        return "; ".join(filter(None, map(_partition, _objects(condition.get("partitions")))))
    if kind == "compare":
        sign = _COMPARISONS.get(_word(condition.get("comparison")), _word(condition.get("comparison")))
        return f"{_operand(condition.get('left'))} {sign} {_operand(condition.get('right'))}"
    if kind == "binary" and deepest > 0:
        sides = [_condition(_object(condition.get(side)), deepest - 1) for side in ("left", "right")]
        sign = _word(condition.get("operator")).lower()
        return f" {sign} ".join(f"({each})" if f" {_OTHER.get(sign, sign)} " in each else each for each in sides)
    return "…"


_OTHER: Final = {"and": "or", "or": "and"}


def _operand(value: Json) -> str:
    return _words(_object(value), "field", "value")


def _partition(partition: Mapping[str, Json]) -> str:
    dimensions = list(_object(partition.get("dimensions")).items())[:_MOST]
    said = ", ".join(f"{key}={_word(value)}" for key, value in dimensions)
    return said or _word(partition.get("identifier"))


def _sql(facet: Mapping[str, Json]) -> str:
    return _word(facet.get("query"))


def _code(facet: Mapping[str, Json]) -> str:
    where = _word(facet.get("url"))
    if not where:
        where = " ".join(filter(None, (_word(facet.get("repoUrl")), _word(facet.get("path")))))
    at = next(filter(None, (_word(facet.get(key)) for key in ("version", "tag", "branch"))), "")
    return f"{where} @ {at}" if where and at and at not in where else where


def _job_type(facet: Mapping[str, Json]) -> str:
    pattern = _object(facet.get("emissionPattern"))
    trigger = _word(pattern.get("eventTrigger")).lower().replace("_", " ")
    window = _word(pattern.get("windowDuration"))
    # The specification calls it eventCompleteness; drafts and clients of before the release say eventContentMode.
    content = (_word(pattern.get("eventCompleteness")) or _word(pattern.get("eventContentMode"))).lower()
    parts = [
        _words(facet, "integration", "jobType"),
        f"{trigger} every {window} s" if trigger and window else trigger,
        content.replace("_", " "),
    ]
    return ", ".join(filter(None, parts))


def _engine(facet: Mapping[str, Json]) -> str:
    return _words(facet, "name", "version")


def _query(facet: Mapping[str, Json]) -> str:
    return _words(facet, "source", "externalQueryId")


# Tags of datasets are capitals and those of jobs are not: the call tells by them of what a fact is.
DATASET_FACTS: Final[Mapping[bytes, Fact]] = {
    b"O": Fact("owners", "ownership", 128, _owners, lists=True),
    b"D": Fact("description", "documentation", 240, _description),
    b"T": Fact("tags", "tags", 128, _tags, lists=True),
    b"K": Fact("catalog", "catalog", 96, _catalog),
    b"S": Fact("source", "dataSource", 96, _source),
    b"F": Fact("storage", "storage", 40, _storage),
    b"V": Fact("version", "version", 64, _version),
    b"H": Fact("hierarchy", "hierarchy", 104, _hierarchy),
    b"U": Fact("subset", "subset", 128, _subset),
}
"""What can be said of a dataset, by the byte that stands for it in the state."""
_OWN_FACTS: Final[Mapping[bytes, Fact]] = {
    b"o": Fact("owners", "ownership", 128, _owners, lists=True),
    b"d": Fact("description", "documentation", 240, _description),
    b"t": Fact("tags", "tags", 128, _tags, lists=True),
    b"q": Fact("sql", "sql", 176, _sql),
    b"c": Fact("code", "sourceCodeLocation", 160, _code),
    b"p": Fact("job_type", "jobType", 64, _job_type),
}
_RUN_FACTS: Final[Mapping[bytes, Fact]] = {
    b"e": Fact("engine", "processing_engine", 48, _engine),
    b"x": Fact("query", "externalQuery", 80, _query),
}
JOB_FACTS: Final[Mapping[bytes, Fact]] = {**_OWN_FACTS, **_RUN_FACTS}
"""What can be said of a job: by itself, and by the last of its runs that said so."""
FACTS: Final[Mapping[bytes, Fact]] = {**DATASET_FACTS, **JOB_FACTS}
_OF_DATASETS, _OF_JOBS, _OF_RUNS = (
    {fact.facet: (tag, fact) for tag, fact in facts.items()} for facts in (DATASET_FACTS, _OWN_FACTS, _RUN_FACTS)
)
"""By the name of the facet."""
TAGS_OF: Final[Mapping[bytes, tuple[bytes, ...]]] = {b"d": tuple(DATASET_FACTS), b"j": tuple(JOB_FACTS)}
"""The bytes of all facts of a kind of node."""
DATASET_OWNERS: Final = b"O"
JOB_OWNERS: Final = b"o"
