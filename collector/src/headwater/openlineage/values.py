"""Small readers of JSON values as producers really write them. Pure."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from headwater.masking import MASK, is_secret_name, mask, mask_assignments
from headwater_schemas.events import Name
from headwater_schemas.naming import canonical_dataset

Json = Any
"""What orjson gives: None, bool, int, float, str, list, dict."""

RUN_IDS: Final = uuid.UUID("0c7f4b5e-4d0a-5c3e-8f57-3a52f0c4a1d9")
"""Namespace under which run ids that are no UUID become one (UUIDv5). Never changes."""

DEEPEST: Final = 100
"""Levels of nesting beyond which a document is refused."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ZONE_NAME: Final = re.compile(r"\[[^\]]*\]$")  # Java's ZonedDateTime: 2026-01-01T00:00:00+01:00[Europe/Berlin]
_CONTAINER_AT_ACCOUNT: Final = re.compile(r"\b(?:abfs|wasb)s?://", re.IGNORECASE)  # the part before the @ is no user
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_REMEMBERED_CHARS: Final = 512
_EMPTY: Final[Mapping[str, Any]] = {}
_LEAVES: Final = frozenset({str, int, float, bool})
_LARGEST_COUNT: Final = 2**53  # beyond it a producer is mistaken: one claimed to have read 8 exabytes


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why a document, or a line of a file, is no event: where in it (`run.runId`, "" for all of it), and what."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.path else self.reason


class Unusable(Exception):  # noqa: N818 - never leaves this package: it becomes a Rejected
    """A part without which there is no event."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.rejected = Rejected(path, reason)


def mapping(value: Json) -> Mapping[str, Json]:
    """The object, or an empty one for null and anything else."""
    # What orjson makes is a dict or nothing of the kind; the look at the abstract class costs ten times as much.
    return value if type(value) is dict or isinstance(value, Mapping) else _EMPTY


def items(value: Json) -> Iterator[Mapping[str, Json]]:
    """The objects in an array; whatever else is in there, or instead of it, is passed over."""
    if type(value) is list or isinstance(value, list | tuple):
        yield from (item for item in value if type(item) is dict or isinstance(item, Mapping))


def facets(value: Json) -> dict[str, Mapping[str, Json]]:
    """Facets by key: without nulls, without what is no object, without those marked `_deleted`."""
    if not value:
        return {}
    return {
        key: facet
        for key, facet in mapping(value).items()
        if (type(facet) is dict or isinstance(facet, Mapping)) and facet.get("_deleted") is not True
    }


def deleted(value: Json) -> list[str]:
    """The keys of the facets that are marked `_deleted`."""
    if not value:
        return []
    return [
        key for key, facet in mapping(value).items() if isinstance(facet, Mapping) and facet.get("_deleted") is True
    ]


def text(value: Json) -> str:
    """The string without NULs and surrounding white space; numbers as text; "" for everything else."""
    if type(value) is str or isinstance(value, str):
        return value.replace("\0", "").strip()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def name_of(value: Json) -> Name | None:
    """Namespace and name of a job, secrets in them masked, or None where one is missing."""
    if not value:
        return None
    given = mapping(value)
    namespace, name = given.get("namespace"), given.get("name")
    if type(namespace) is str and type(name) is str and len(namespace) + len(name) <= _REMEMBERED_CHARS:
        return _remembered_name(namespace, name)
    return _name(text(namespace), text(name))


def dataset_of(value: Json) -> Name | None:
    """Canonical namespace and name of a dataset (without credentials), or None where one is missing."""
    if not value:
        return None
    given = mapping(value)
    namespace, name = given.get("namespace"), given.get("name")
    if type(namespace) is str and type(name) is str and len(namespace) + len(name) <= _REMEMBERED_CHARS:
        return _remembered_dataset(namespace, name)
    return _dataset(text(namespace), text(name))


def _name(namespace: str, name: str) -> Name | None:
    if "?" in namespace or ";" in namespace:
        namespace = mask_assignments(namespace)
    if "://" in name and _CONTAINER_AT_ACCOUNT.search(name) is None:
        name = mask(name)
    return Name(namespace, name) if namespace and name else None


def _dataset(namespace: str, name: str) -> Name | None:
    given = _name(namespace, name)
    if given is None:
        return None
    canonical = canonical_dataset(given.namespace, given.name)
    return canonical if canonical.namespace and canonical.name else None


@lru_cache(maxsize=8_192)
def _remembered_name(namespace: str, name: str) -> Name | None:
    """An event names its job and datasets several times, and the next event names them again."""
    return _name(text(namespace), text(name))


@lru_cache(maxsize=8_192)
def _remembered_dataset(namespace: str, name: str) -> Name | None:
    return _dataset(text(namespace), text(name))


def time_us(value: Json) -> int:
    """Microseconds since the epoch of an ISO 8601 time; 0 where it is none.

    A time without zone is UTC; nanoseconds are cut; Java's zone names in brackets are passed over.
    """
    if not isinstance(value, str):
        return 0
    try:
        written = value.strip()
        if written.endswith("]"):
            written = _ZONE_NAME.sub("", written)
        when = datetime.fromisoformat(written.upper())
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        return (when - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        return 0


def count(value: Json) -> int:
    """A number of rows or bytes; -1 where it is none or cannot be true."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return -1
    return value if 0 <= value < _LARGEST_COUNT else -1


def run_id(value: Json) -> bytes | None:
    """The 16 bytes of a run id; what is no UUID becomes always the same one; None where there is none."""
    given = text(value)
    if not given:
        return None
    if len(given) == 36 and _UUID.fullmatch(given):
        return bytes.fromhex(given.replace("-", ""))
    try:
        return uuid.UUID(given).bytes
    except ValueError:
        return uuid.uuid5(RUN_IDS, given.encode("utf-8", "replace").decode()).bytes


def pruned(value: Json, depth: int = 0) -> Json:
    """The value without null members: producers differ in whether they write them.

    Raises:
        Unusable: it is nested deeper than `DEEPEST`.
    """
    if depth > DEEPEST:
        raise Unusable("", f"nested deeper than {DEEPEST} levels")
    if type(value) is dict or isinstance(value, Mapping):
        return {
            str(key): member if type(member) in _LEAVES else pruned(member, depth + 1)
            for key, member in value.items()
            if member is not None
        }
    if isinstance(value, list | tuple):
        return [item if type(item) in _LEAVES else pruned(item, depth + 1) for item in value]
    return value


def masked(value: Json) -> Json:
    """The value with secrets in its strings replaced; so is every string under a name like `password`."""
    if isinstance(value, Mapping):
        return {
            key: MASK if isinstance(member, str) and is_secret_name(key) else masked(member)
            for key, member in value.items()
        }
    if isinstance(value, list):
        return [masked(item) for item in value]
    return mask(value) if isinstance(value, str) else value
