"""What repeats in events: the tail of a record (job, datasets, runtime …), resolved once and kept.

A job says the same names every time. The contract puts what varies (ids, times, measures) in front, so the rest of the
record is equal byte for byte, and equal bytes decode equally: a tail that was decoded by the checked reader once is
looked up from then on. Nothing is guessed: a tail that was not seen before takes the checked road.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final

import orjson

from headwater_processor.core.about import stated
from headwater_schemas.events import Name
from headwater_schemas.ids import dataset_key, edge_key, emitter_key, job_key
from headwater_schemas.naming import canonical_dataset

STREAMING: Final = 1
RESTARTABLE: Final = 2

ERROR_MAX_BYTES: Final = 500
"""Of an error text kept with the run; the whole is in the event."""

_PARTITION = struct.Struct(">H")


FEW_KEYS: Final = 8
"""Keys that are found in a tuple as quickly as in a set. A record may name thousands, and each of them is looked up."""


def _looked_up(keys: tuple[bytes, ...]) -> tuple[bytes, ...] | frozenset[bytes]:
    return keys if len(keys) <= FEW_KEYS else frozenset(keys)


class Entity:
    """A dataset, job or emitter as it is named in Redis: `key` and the packed `label` of the names table."""

    __slots__ = ("key", "label", "shard_byte")

    def __init__(self, kind: bytes, key: bytes, name: Name) -> None:
        self.key = key
        self.label = kind + name.namespace.encode() + b"\0" + name.name.encode()
        self.shard_byte = key[0]


class Template:
    """One tail, resolved: keys, edges and flags of everything it names.

    The `warm_*` fields are the planner's: what this worker knows to be in Redis about the whole template at once
    (valid while `warm_generation` is the planner's current one).
    """

    __slots__ = (
        "about",
        "aliases",
        "asserted",
        "backfill",
        "dropped",
        "edges",
        "emits",
        "emitter",
        "error",
        "input_uses",
        "inputs",
        "inputs_blob",
        "job",
        "job_key",
        "lifecycle",
        "names",
        "outputs",
        "outputs_blob",
        "parent_job_key",
        "read",
        "renamed",
        "run_flags",
        "runtime",
        "schema_versions",
        "streaming",
        "truncated",
        "use_keys",
        "warm_first",
        "warm_generation",
        "warm_minute",
        "written",
    )  # fmt: skip

    def __init__(self, tail: Mapping[str, Any]) -> None:
        self.names: list[Entity] = []
        self._job(tail)
        self._datasets(tail)
        self._edges(tail)
        facets = tail["facets"]
        self.about: tuple[tuple[bytes, bytes], ...] = self._about(facets) if facets else ()
        self.run_flags = (STREAMING if self.streaming else 0) | (RESTARTABLE if tail["restartable"] else 0)
        self.backfill = bool(tail["backfill"])
        runtime = tail["runtime"]
        facts = {key: value for key, value in runtime.items() if value} if runtime else {}
        self.runtime: bytes = orjson.dumps(facts, option=orjson.OPT_SORT_KEYS) if facts else b""
        error = tail["error"]
        self.error: bytes = error.encode()[:ERROR_MAX_BYTES] if error else b""
        self.warm_generation = -1
        self.warm_first = 0
        self.warm_minute = -1

    def _job(self, tail: Mapping[str, Any]) -> None:
        job = Name(tail["job"]["namespace"], tail["job"]["name"])
        self.job: Entity | None = None
        self.job_key = b""
        if job.namespace or job.name:
            self.job = Entity(b"j", job_key(job), job)
            self.job_key = self.job.key
            self.names.append(self.job)
        emitter = tail["emitter"]
        self.emitter: Entity | None = None
        if emitter:
            self.emitter = Entity(b"e", emitter_key(emitter), Name("", emitter))
            self.names.append(self.emitter)
        parent = tail["parent_job"]
        self.parent_job_key = b""
        if parent is not None and (parent["namespace"] or parent["name"]):
            name = Name(parent["namespace"], parent["name"])
            self.parent_job_key = job_key(name)
            self.names.append(Entity(b"j", self.parent_job_key, name))
        self.streaming = tail["processing"] == "STREAMING"

    def _dataset(self, namespace: str, name: str) -> bytes:
        canonical = canonical_dataset(namespace, name)
        key = dataset_key(canonical)
        self.names.append(Entity(b"d", key, canonical))
        return key

    def _datasets(self, tail: Mapping[str, Any]) -> None:
        self.use_keys: list[bytes] = []  # by index of a measure: inputs, then outputs
        aliases: list[bytes] = []
        versions: list[tuple[bytes, bytes]] = []
        dropped: list[bytes] = []
        truncated: list[bytes] = []
        renamed: list[tuple[bytes, bytes]] = []
        inputs = [self._use(use, aliases, versions) for use in tail["inputs"]]
        self.input_uses = len(inputs)
        outputs: list[bytes] = []
        for use in tail["outputs"]:
            key = self._use(use, aliases, versions)
            lifecycle = use["lifecycle"]
            if lifecycle == "DROP":
                dropped.append(key)
                continue
            outputs.append(key)
            if lifecycle == "TRUNCATE":
                truncated.append(key)
            elif lifecycle == "RENAME" and use["previous_name"]:
                renamed.append((self._dataset(use["previous_namespace"], use["previous_name"]), key))
        # Tuples: an empty one takes no memory, and a worker keeps a hundred thousand templates.
        self.aliases = tuple(aliases)
        self.schema_versions = tuple(versions)
        self.dropped, self.truncated, self.renamed = tuple(dropped), tuple(truncated), tuple(renamed)
        self.inputs: tuple[bytes, ...] = tuple(dict.fromkeys(inputs))
        self.outputs: tuple[bytes, ...] = tuple(dict.fromkeys(outputs))
        self.inputs_blob = b"".join(sorted(self.inputs))
        self.outputs_blob = b"".join(sorted(self.outputs))
        self.lifecycle = bool(dropped or truncated or renamed)

    def _use(self, use: Mapping[str, Any], aliases: list[bytes], versions: list[tuple[bytes, bytes]]) -> bytes:
        key = self._dataset(use["namespace"], use["name"])
        self.use_keys.append(key)
        if use["schema_version"]:
            versions.append((key, use["schema_version"].encode()))
        for alias in use["aliases"]:
            other = self._dataset(alias["namespace"], alias["name"])
            if other != key:
                aliases.append(min(key, other) + max(key, other))
        return key

    def _edges(self, tail: Mapping[str, Any]) -> None:
        edges: list[bytes] = []
        if self.job is not None:
            edges += [edge_key(b"r", key, self.job_key) for key in self.inputs]
            edges += [edge_key(b"w", self.job_key, key) for key in self.outputs]
        read, written = list(self.inputs), list(self.outputs)
        for edge in tail["edges"]:
            source = self._dataset(edge["source_namespace"], edge["source_name"])
            target = self._dataset(edge["target_namespace"], edge["target_name"])
            edges.append(edge_key(b"d", source, target))
            read.append(source)
            written.append(target)
        self.edges: tuple[bytes, ...] = tuple(dict.fromkeys(edges))
        self.read = _looked_up(self.inputs if len(read) == len(self.inputs) else tuple(dict.fromkeys(read)))
        self.written = _looked_up(self.outputs if len(written) == len(self.outputs) else tuple(dict.fromkeys(written)))
        self.asserted: tuple[bytes, ...] = tuple(dict.fromkeys(read + written))
        emitter = self.emitter
        self.emits: tuple[bytes, ...] = tuple(emitter.key + key for key in self.outputs) if emitter is not None else ()

    def _about(self, facets: bytes) -> tuple[tuple[bytes, bytes], ...]:
        """Facts of the job and of the datasets that the event uses: key and kind of fact, text. Of a dataset that is said to be
        two things the larger is kept, as when two events of one time and id said it."""
        used = frozenset(self.use_keys)
        facts: dict[bytes, bytes] = {}
        for dataset, tag, text in stated(facets):
            key = self.job_key if dataset is None else dataset_key(canonical_dataset(dataset.namespace, dataset.name))
            if key and (dataset is None or key in used):
                facts[key + tag] = max(text, facts.get(key + tag, b""))
        return tuple(facts.items())

    def offset_key(self, dataset: int, partition: int) -> bytes:
        """Where a run keeps the offsets of one partition: direction, dataset, partition."""
        direction = b"i" if dataset < self.input_uses else b"o"
        return direction + self.use_keys[dataset] + _PARTITION.pack(partition)
