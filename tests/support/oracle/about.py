"""Facets of generated events, and what they say of nodes: SEMANTICS.md, section 3, "About".

Only facets whose text needs no cutting and no masking are generated here; those two have unit tests of their own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

Facet = dict[str, Any]
Key = Callable[[str, str], bytes]
"""Namespace and name of a dataset to its key."""

_GONE: Final[Facet] = {"_deleted": True}
_SIDES: Final = ("inputs", "outputs")


def facets_of(number: int, variant: int, uses: Iterable[tuple[str, dict[str, Any]]]) -> bytes:
    """The facets of an event of job `number` that names these datasets, each with its side."""
    job: dict[str, Facet] = {
        "documentation": {"description": f"Flow {number}, as of {variant}"},
        "ownership": _GONE
        if variant == 2
        else {"owners": [{"name": f"team:{number % 3}"}, {"name": f"user:{variant}"}]},
        "sourceCodeLocation": {"type": "git", "url": f"https://git.example/flows/{number}.sql"},
    }
    if variant == 1:
        job |= {"sql": {"query": "select  *\n from t"}, "tags": {"tags": [{"key": "pii", "value": "true"}]}}
    found: dict[str, Any] = {"job": job, "run": {"processing_engine": {"name": "Spark", "version": f"3.{variant}"}}}
    for side, use in uses:
        said = {
            "version": {"datasetVersion": f"{number}-{variant}"},
            "tags": _GONE if variant == 2 else {"tags": [{"key": "tier", "value": "gold"}, {"key": "eu", "value": ""}]},
        }
        found.setdefault(side, []).append({"namespace": use["namespace"], "name": use["name"], "facets": said})
    return json.dumps(found, ensure_ascii=False).encode()


def said(facets: bytes | None, job: bytes | None, used: set[bytes], key: Key) -> Iterator[tuple[bytes, bytes]]:
    """(node key + byte of the fact, text) of an event that uses these datasets. Facets may be damaged: then they say less."""
    try:
        document = _object(json.loads(facets or b"{}"))
    except ValueError:
        return
    if job is not None:
        own, run = _object(document.get("job")), _object(document.get("run"))
        for tag, name, read in (*_of_all(lower=True), *_OF_JOBS):
            yield from _one(job, tag, own.get(name), read)
        yield from _one(job, b"e", run.get("processing_engine"), _engine)
    for side in _SIDES:
        for entry in _objects(document.get(side)):
            namespace, given = entry.get("namespace"), entry.get("name")
            if not isinstance(namespace, str) or not isinstance(given, str) or key(namespace, given) not in used:
                continue
            for tag, name, read in (*_of_all(lower=False), *_OF_DATASETS):
                yield from _one(key(namespace, given), tag, _object(entry.get("facets")).get(name), read)


def _one(node: bytes, tag: bytes, facet: object, read: Callable[[Facet], list[str]]) -> Iterator[tuple[bytes, bytes]]:
    if not isinstance(facet, dict):
        return
    deleted = facet.get("_deleted") is True
    text = "" if deleted else "\n".join(dict.fromkeys(" ".join(line.split()) for line in read(facet) if line.split()))
    if text or deleted:
        yield node + tag, text.encode()


def _object(value: object) -> Facet:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[Facet]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""


def _owners(facet: Facet) -> list[str]:
    return [_word(owner.get("name")) for owner in _objects(facet.get("owners"))]


def _tags(facet: Facet) -> list[str]:
    shown = []
    for tag in _objects(facet.get("tags")):
        key, value = _word(tag.get("key")), _word(tag.get("value"))
        shown.append(key if not key or value.lower() in ("", "true") else f"{key}={value}")
    return shown


def _engine(facet: Facet) -> list[str]:
    return [f"{_word(facet.get('name'))} {_word(facet.get('version'))}"]


def _field(name: str) -> Callable[[Facet], list[str]]:
    return lambda facet: [_word(facet.get(name))]


Row = tuple[bytes, str, Callable[[Facet], list[str]]]


def _of_all(*, lower: bool) -> tuple[Row, ...]:
    """Those of both kinds: small letters are of jobs."""
    rows: tuple[Row, ...] = (
        (b"O", "ownership", _owners),
        (b"D", "documentation", _field("description")),
        (b"T", "tags", _tags),
    )
    return tuple((tag.lower(), name, read) for tag, name, read in rows) if lower else rows


_OF_JOBS: Final[tuple[Row, ...]] = (
    (b"q", "sql", _field("query")),
    (b"c", "sourceCodeLocation", _field("url")),
)
_OF_DATASETS: Final[tuple[Row, ...]] = ((b"V", "version", _field("datasetVersion")),)

NAMES: Final = {
    b"o": "owners", b"d": "description", b"t": "tags", b"q": "sql", b"c": "code", b"e": "engine",
    b"O": "owners", b"D": "description", b"T": "tags", b"V": "version",
}  # fmt: skip
_LISTS: Final = {"owners", "tags"}


def image(texts: dict[bytes, bytes]) -> dict[str, Any]:
    """What an image shows of these facts, by the byte of each."""
    shown = {NAMES[tag]: text.decode() for tag, text in texts.items() if text}
    return {name: text.split("\n") if name in _LISTS else text for name, text in shown.items()}
