"""From names in an outbox to images: what has to be read of the state, and what is said of it.

`Wanted` gathers the names of one round and says what to read; `deltas` turns the answers into the images to publish. Both
are pure: the reading, one transaction for all, is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from headwater_processor.core.about import TAGS_OF
from headwater_processor.engine.names import Named
from headwater_processor.state.about import About
from headwater_processor.state.layout import (
    AliasRecord,
    DatasetRecord,
    EdgeRecord,
    FreshnessRecord,
    JobRecord,
    JudgedRecord,
    dataset_ends,
    minute_of,
    retracted_us,
    split_edge_key,
    unpack_about,
    unpack_schema_version,
    unpack_successor,
)
from headwater_schemas.codec import delta_frame
from headwater_schemas.deltas import FreshnessState, Runs, Status
from headwater_schemas.events import NIL_UUID
from headwater_schemas.ids import KEY_BYTES, edge_shard_key
from headwater_schemas.wire_delta import (
    EDGES,
    KINDS,
    NOWHERE,
    PLAIN,
    about_body,
    core_body,
    free_text,
    freshness_body,
    runs_body,
    status_body,
    write_image,
)

WIDTHS: Final[Mapping[bytes, int]] = {
    b"d": 12, b"f": 12, b"j": 12, b"e": 25, b"a": 24, b"r": 28, b"n": 12, b"s": 13, b"m": 12, b"b": 13,
}  # fmt: skip
"""Bytes behind the type of each name in an outbox: SEMANTICS.md, section 4. `s`: status of kind + key; `b`: what is said about
kind + key; `m`: emitter to judge."""

_EDGES: Final = {b"r": "READS", b"w": "WRITES", b"d": "DERIVES"}
_NOBODY: Final = bytes(KEY_BYTES)
_EMPTY: Final = free_text("")
_NO_EDGE: Final = EDGES["NONE"]
_DATASET_CORE: Final = KINDS["DATASET", "CORE"]
_DATASET_FRESHNESS: Final = KINDS["DATASET", "FRESHNESS"]
_DATASET_STATUS: Final = KINDS["DATASET", "STATUS"]
_DATASET_ABOUT: Final = KINDS["DATASET", "ABOUT"]
_JOB_CORE: Final = KINDS["JOB", "CORE"]
_JOB_STATUS: Final = KINDS["JOB", "STATUS"]
_JOB_RUNS: Final = KINDS["JOB", "RUNS"]
_JOB_ABOUT: Final = KINDS["JOB", "ABOUT"]
_EDGE_CORE: Final = KINDS["EDGE", "CORE"]
_ALIAS_CORE: Final = KINDS["ALIAS", "CORE"]


def parse_names(entry: bytes) -> list[bytes]:
    """The names of one outbox entry. Stops at what it does not know: a newer version wrote it."""
    names: list[bytes] = []
    at, end = 0, len(entry)
    while at < end:
        width = WIDTHS.get(entry[at : at + 1])
        if width is None:
            break
        names.append(entry[at : at + 1 + width])
        at += 1 + width
    return names


def shard_key(name: bytes) -> bytes:
    """The key whose shard a name belongs to."""
    if name[:1] == b"e":
        return edge_shard_key(name[1:])
    return name[2:] if name[:1] in (b"s", b"b") else name[1:13]


@dataclass(slots=True)
class Facts:
    """Raw answers, by key."""

    ds: dict[bytes, bytes] = field(default_factory=dict)
    dz: dict[bytes, int] = field(default_factory=dict)
    sv: dict[bytes, bytes] = field(default_factory=dict)
    mv: dict[bytes, bytes] = field(default_factory=dict)
    fr: dict[bytes, bytes] = field(default_factory=dict)
    job: dict[bytes, bytes] = field(default_factory=dict)
    jz: dict[bytes, int] = field(default_factory=dict)
    edge: dict[bytes, bytes] = field(default_factory=dict)
    ez: dict[bytes, int] = field(default_factory=dict)
    al: dict[bytes, bytes] = field(default_factory=dict)
    run: dict[bytes, bytes] = field(default_factory=dict)
    jr: dict[bytes, bytes] = field(default_factory=dict)
    about: dict[bytes, bytes] = field(default_factory=dict)
    st: dict[bytes, bytes] = field(default_factory=dict)


class Wanted:
    """What a round of names needs to be read."""

    def __init__(self, names: Iterable[bytes]) -> None:
        self.names = list(names)
        datasets: set[bytes] = set()
        cores: set[bytes] = set()
        fresh: set[bytes] = set()
        jobs: set[bytes] = set()
        edges: set[bytes] = set()
        aliases: set[bytes] = set()
        runs: set[bytes] = set()
        run_jobs: set[bytes] = set()
        statuses: set[bytes] = set()
        about: set[bytes] = set()
        for name in self.names:
            kind, body = name[:1], name[1:]
            if kind == b"d":
                cores.add(body)
            elif kind == b"f":
                fresh.add(body)
            elif kind == b"j":
                jobs.add(body)
            elif kind == b"e":
                edges.add(body)
                datasets.update(dataset_ends(body))
            elif kind == b"a":
                aliases.add(body)
            elif kind == b"r":
                runs.add(body)
                run_jobs.add(body[:KEY_BYTES])
            elif kind == b"s":
                statuses.add(body)
            elif kind == b"b":
                about.add(body)
                if body[:1] == b"d":
                    datasets.add(body[1:])
        datasets |= cores | fresh
        self._reads: list[tuple[str, str, list[bytes]]] = [
            ("HMGET", "ds", list(datasets)),
            ("ZMSCORE", "dz", list(datasets)),
            ("HMGET", "sv", list(cores)),
            ("HMGET", "mv", list(cores)),
            ("HMGET", "fr", list(fresh)),
            ("HMGET", "job", list(jobs)),
            ("ZMSCORE", "jz", list(jobs)),
            ("HMGET", "edge", list(edges)),
            ("ZMSCORE", "ez", list(edges)),
            ("HMGET", "al", list(aliases)),
            ("HMGET", "run", list(runs)),
            ("HMGET", "jr", list(run_jobs)),
            ("HMGET", "about", [node[1:] + tag for node in about for tag in TAGS_OF.get(node[:1], ())]),
        ]
        self.statuses = list(statuses)

    def commands(self, key: Callable[[str], str]) -> list[tuple[Any, ...]]:
        """The reads, as commands; answered in this order to `facts`."""
        return [(command, key(table), *fields) for command, table, fields in self._reads if fields]

    def facts(self, answers: list[Any]) -> Facts:
        """The answers by table and key."""
        facts = Facts()
        remaining = iter(answers)
        for command, table, fields in self._reads:
            if not fields:
                continue
            values = next(remaining)
            found = getattr(facts, table)
            for key, value in zip(fields, values, strict=True):
                if value is not None:
                    found[key] = int(float(value)) if command == "ZMSCORE" else value
        return facts


Image = tuple[str, bytes]
"""An image on its way to Kafka: the record's key, and the framed datum."""


class Painter:
    """Makes images of facts. `name_of` knows the names of keys; `as_of_us` and `version` are of this round."""

    def __init__(self, facts: Facts, name_of: Callable[[bytes], Named | None], as_of_us: int) -> None:
        self._facts = facts
        self._name_of = name_of
        self._as_of_us = as_of_us

    def image(self, name: bytes, version: int) -> Image | None:
        """The image that a name asks for; None where the state has none (it is gone, or its name is not known)."""
        kind, body = name[:1], name[1:]
        if kind == b"d":
            return self._core(body, version)
        if kind == b"f":
            return self._freshness(body, version)
        if kind == b"j":
            return self._job(body, version)
        if kind == b"e":
            return self._edge(body, version)
        if kind == b"a":
            return self._alias(body, version)
        if kind == b"s":
            return self._status(body, version)
        if kind == b"b":
            return self._about(body, version)
        return None

    def runs(self, job: bytes, runs: Runs, version: int, run_id: bytes | None) -> Image | None:
        """The image of a job's runs; None if the job's name is not known."""
        named = self._name_of(job)
        if named is None:
            return None
        body = runs_body(runs)
        return self._framed("JOB|RUNS|", named, version, _JOB_RUNS, True, None, run_id, 0, 0, body)

    def present(self, dataset: bytes) -> bool:
        """Whether a dataset is asserted later than it was retracted."""
        asserted = self._facts.dz.get(dataset, 0)
        return asserted > 0 and asserted > self._retracted(dataset)

    def _retracted(self, dataset: bytes) -> float:
        record = self._facts.ds.get(dataset)
        return retracted_us(record) if record is not None else 0.0

    def _text(self, key: bytes) -> bytes:
        named = self._name_of(key) if key and key != _NOBODY else None
        return named.wire_text if named is not None else _EMPTY

    def _framed(
        self,
        prefix: str,
        named: Named,
        version: int,
        kind: bytes,
        present: bool,
        event_id: bytes | None,
        run_id: bytes | None,
        first_seen_us: int,
        last_seen_us: int,
        body: bytes,
    ) -> Image:
        key = prefix + named.barred
        datum = write_image(
            free_text(key), version, kind, present, self._as_of_us, event_id, run_id, named.wire, NOWHERE, _NO_EDGE,
            first_seen_us, last_seen_us, body,
        )  # fmt: skip
        return key, delta_frame() + datum

    def _core(self, key: bytes, version: int) -> Image | None:
        packed = self._facts.ds.get(key)
        named = self._name_of(key) if packed is not None else None
        if named is None or packed is None:
            return None
        record = DatasetRecord.unpack(packed)
        sv, mv = self._facts.sv.get(key), self._facts.mv.get(key)
        body = core_body(
            (record.first_read_us, record.first_written_us, record.retracted_us, record.truncated_us),
            self._text(record.first_job),
            unpack_schema_version(sv) if sv is not None else "",
            self._text(unpack_successor(mv)) if mv is not None else _EMPTY,
        )
        return self._framed(
            "DATASET|CORE|", named, version, _DATASET_CORE, self.present(key), _known(record.first_event_id), None,
            record.first_seen_us, minute_of(self._facts.dz.get(key, 0)), body,
        )  # fmt: skip

    def _freshness(self, key: bytes, version: int) -> Image | None:
        packed = self._facts.fr.get(key)
        named = self._name_of(key) if packed is not None else None
        if named is None or packed is None:
            return None
        record = FreshnessRecord.unpack(packed)
        body = freshness_body(
            (record.last_write_us, record.data_through_us, record.last_failure_us, record.idle_through_us),
            self._text(record.job),
        )
        return self._framed(
            "DATASET|FRESHNESS|", named, version, _DATASET_FRESHNESS, self.present(key), _known(record.event_id),
            _known(record.run_id), 0, 0, body,
        )  # fmt: skip

    def _job(self, key: bytes, version: int) -> Image | None:
        packed = self._facts.job.get(key)
        named = self._name_of(key) if packed is not None else None
        if named is None or packed is None:
            return None
        record = JobRecord.unpack(packed)
        return self._framed(
            "JOB|CORE|", named, version, _JOB_CORE, True, _known(record.first_event_id), None, record.first_seen_us,
            minute_of(self._facts.jz.get(key, 0)), PLAIN,
        )  # fmt: skip

    def _edge(self, key: bytes, version: int) -> Image | None:
        kind, source, target = split_edge_key(key)
        packed = self._facts.edge.get(key)
        if packed is None:
            return None
        from_, to = self._name_of(source), self._name_of(target)
        if from_ is None or to is None:
            return None
        record = EdgeRecord.unpack(packed)
        asserted = self._facts.ez.get(key, 0)
        said = _EDGES[kind]
        text = f"EDGE|{said}|{from_.barred}|{to.barred}"
        datum = write_image(
            free_text(text), version, _EDGE_CORE, self._joins(key, asserted),
            self._as_of_us, _known(record.event_id), _known(record.run_id), from_.wire, to.wire, EDGES[said],
            record.first_seen_us, minute_of(asserted), PLAIN,
        )  # fmt: skip
        return text, delta_frame() + datum

    def _joins(self, edge: bytes, asserted: int) -> bool:
        """Whether an edge was asserted later than its dataset ends were removed, and they are there."""
        return all(asserted > self._retracted(end) and self.present(end) for end in dataset_ends(edge))

    def revived(self, dataset: bytes) -> int:
        """When a dataset that is there was removed before; 0: never, or it is not there."""
        return int(self._retracted(dataset)) if self.present(dataset) else 0

    def _alias(self, pair: bytes, version: int) -> Image | None:
        packed = self._facts.al.get(pair)
        if packed is None:
            return None
        one, other = self._name_of(pair[:KEY_BYTES]), self._name_of(pair[KEY_BYTES:])
        if one is None or other is None:
            return None
        record = AliasRecord.unpack(packed)
        text = f"ALIAS|{one.barred}|{other.barred}"
        datum = write_image(
            free_text(text), version, _ALIAS_CORE, record.present, self._as_of_us, None, None, one.wire, other.wire,
            _NO_EDGE, 0, minute_of(record.asserted_us), PLAIN,
        )  # fmt: skip
        return text, delta_frame() + datum

    def _about(self, node: bytes, version: int) -> Image | None:
        kind, key = node[:1], node[1:]
        found = self._facts.about
        facts = {tag: unpack_about(found[key + tag]) for tag in TAGS_OF.get(kind, ()) if key + tag in found}
        named = self._name_of(key) if facts else None
        if named is None:
            return None
        last = max([(time_us, event_id) for time_us, event_id, _ in facts.values()])
        body = about_body(About.of({tag: text for tag, (_, _, text) in facts.items()}).as_json())
        if kind == b"j":
            return self._framed("JOB|ABOUT|", named, version, _JOB_ABOUT, True, last[1], None, 0, 0, body)
        present = self.present(key)
        return self._framed("DATASET|ABOUT|", named, version, _DATASET_ABOUT, present, last[1], None, 0, 0, body)

    def _status(self, member: bytes, version: int) -> Image | None:
        packed = self._facts.st.get(member)
        named = self._name_of(member[1:]) if packed is not None else None
        if named is None or packed is None:
            return None
        body = status_body(status_of(JudgedRecord.unpack(packed)))
        if member[:1] == b"j":
            return self._framed("JOB|STATUS|", named, version, _JOB_STATUS, True, None, None, 0, 0, body)
        return self._framed("DATASET|STATUS|", named, version, _DATASET_STATUS, True, None, None, 0, 0, body)


def status_of(record: JudgedRecord) -> Status:
    """A stored judgement as the image of it."""
    return Status(
        state=FreshnessState(record.state),
        reason=record.reason,
        since_us=record.since_us,
        deadline_us=record.deadline_us,
        unlinked=record.unlinked,
        candidates=tuple(record.candidates),
        owner=record.owner,
        policy_version=record.policy_version,
        kind=record.kind,
    )


def judged(status: Status, max_age_us: int = 0) -> JudgedRecord:
    """The stored form of a judgement, and the age that was allowed."""
    return JudgedRecord(
        state=status.state.value,
        reason=status.reason,
        since_us=status.since_us,
        deadline_us=status.deadline_us,
        unlinked=status.unlinked,
        policy_version=status.policy_version,
        owner=status.owner,
        candidates=tuple(status.candidates),
        max_age_us=max_age_us,
        kind=status.kind,
    )


def _known(ident: bytes) -> bytes | None:
    return ident if ident != NIL_UUID else None
