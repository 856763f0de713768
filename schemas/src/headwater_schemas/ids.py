"""Keys of the graph and identities of events: pure functions of names, times and random bytes.

Keys are hashes, so that state and messages carry 12 bytes instead of a name; their layout is described in
`SEMANTICS.md` of the processor, section 1. Event and run ids are the 16 raw bytes of a UUID (RFC 9562).
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from functools import lru_cache
from typing import Final

from headwater_schemas.events import LineageEvent, Name
from headwater_schemas.naming import canonical_dataset

KEY_BYTES: Final = 12
EDGE_KEY_BYTES: Final = 1 + 2 * KEY_BYTES
READS: Final = b"r"
WRITES: Final = b"w"
DERIVES: Final = b"d"

DERIVED_IDS: Final = uuid.UUID("6f1c1d3e-6c0a-5e0b-9a5a-0c8f6d1b2e77")
"""Namespace of the ids that are derived from content (UUIDv5). Never changes: the same event must keep its id."""

_CACHE_SIZE: Final = 65_536


def _key(kind: bytes, namespace: str, name: str) -> bytes:
    text = b"%s%s\0%s" % (kind, namespace.encode(), name.encode())
    return hashlib.blake2b(text, digest_size=KEY_BYTES).digest()


@lru_cache(maxsize=_CACHE_SIZE)
def dataset_key(name: Name) -> bytes:
    """The 12-byte key of a dataset whose name is canonical already (see `naming.canonical_dataset`)."""
    return _key(b"d", name.namespace, name.name)


@lru_cache(maxsize=_CACHE_SIZE)
def dataset_key_of(namespace: str, name: str) -> bytes:
    """The 12-byte key of a dataset however its name is spelt."""
    return dataset_key(canonical_dataset(namespace, name))


@lru_cache(maxsize=_CACHE_SIZE)
def job_key(name: Name) -> bytes:
    """The 12-byte key of a job. Names of jobs have no other spellings."""
    return _key(b"j", name.namespace, name.name)


@lru_cache(maxsize=_CACHE_SIZE)
def emitter_key(emitter: str) -> bytes:
    """The 12-byte key of an emitter."""
    return _key(b"e", "", emitter)


def edge_key(kind: bytes, source: bytes, target: bytes) -> bytes:
    """The 25-byte key of an edge, in the direction of the data.

    `READS` goes from dataset to job, `WRITES` from job to dataset, `DERIVES` from dataset to dataset.
    """
    return kind + source + target


def edge_shard_key(edge: bytes) -> bytes:
    """The dataset key that decides in whose shard an edge lives: its dataset end; its target for `DERIVES`."""
    return edge[1 : 1 + KEY_BYTES] if edge[:1] == READS else edge[1 + KEY_BYTES :]


def shard_of(key: bytes, shards: int) -> int:
    """The shard of an entity's 12-byte key; for an edge ask with `edge_shard_key`."""
    return key[0] % shards


def partition_key(event: LineageEvent) -> bytes:
    """The Kafka key of an event: its own job, else its first output, else its first input; `namespace/name`, UTF-8.

    Datasets go under their canonical names. An event of direct edges alone goes by the first target, one that names
    nothing by its own id.
    """
    if event.job.namespace or event.job.name:
        return str(event.job).encode()
    for use in (*event.outputs[:1], *event.inputs[:1]):
        return str(canonical_dataset(use.namespace, use.name)).encode()
    for edge in event.edges:
        return str(canonical_dataset(edge.target.namespace, edge.target.name)).encode()
    return event.event_id


def uuid7(now_ms: int, random: bytes) -> bytes:
    """A UUIDv7, whose order is the order of time: `now_ms` since the epoch and 10 random bytes (RFC 9562, section 5.7).

    Raises ValueError if there are not exactly 10 random bytes.
    """
    if len(random) != 10:
        raise ValueError(f"uuid7 needs 10 random bytes, not {len(random)}")
    bits = int.from_bytes(random, "big")
    head = (now_ms & 0xFFFF_FFFF_FFFF) << 16 | 0x7 << 12 | bits >> 64 & 0xFFF
    return (head << 64 | 0b10 << 62 | bits & (1 << 62) - 1).to_bytes(16, "big")


def new_event_id() -> bytes:
    """A fresh event id (UUIDv7 of now). Reads the clock and the system's random source, so it is safe after a fork."""
    return uuid7(time.time_ns() // 1_000_000, os.urandom(10))


def new_run_id() -> bytes:
    """A fresh run id, made as `new_event_id` makes event ids."""
    return new_event_id()


def derived_event_id(canonical_bytes: bytes) -> bytes:
    """The id of an event that brought none: UUIDv5 of its canonical content, so that a repetition has the same id."""
    digest = bytearray(hashlib.sha1(DERIVED_IDS.bytes + canonical_bytes, usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    return bytes(digest)
