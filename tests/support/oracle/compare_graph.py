"""The graph rebuilt from the deltas alone against the model, and every image that was ever published."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import orjson
from tests.support.oracle.compare_letters import ImageDecoder
from tests.support.oracle.diff import bounded
from tests.support.oracle.elements import NO_KEY, Dataset
from tests.support.oracle.model import Model
from tests.support.oracle.state import State
from tests.support.oracle.topics import Message

MINUTE_US: Final = 60_000_000
EDGE_KINDS: Final = {b"r": "READS", b"w": "WRITES", b"d": "DERIVES"}
Pair = tuple[str, str]


class Identity(NamedTuple):
    """What an image is of, apart from its key: the two must agree."""

    entity: str
    aspect: str
    name: Pair
    to: Pair = ("", "")
    edge: str = "NONE"


@dataclass(slots=True)
class Deltas:
    """All images of a deltas topic: the newest of each, and the history of each in log order."""

    newest: dict[Identity, dict[str, Any]] = field(default_factory=dict)
    history: dict[Identity, list[dict[str, Any]]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    _keys: dict[str, Identity] = field(default_factory=dict)
    _places: dict[str, int] = field(default_factory=dict)

    def read(self, messages: Iterable[Message]) -> Deltas:
        decoder = ImageDecoder("graph_delta.v1")
        for message in messages:
            if message.value is None:
                continue  # a tombstone: the key was removed before
            self._add(decoder.decode(message.value), message)
        return self

    def _add(self, image: dict[str, Any], message: Message) -> None:
        key = image["key"]
        identity = Identity(
            image["entity"],
            image["aspect"],
            (image["namespace"], image["name"]),
            (image["to_namespace"], image["to_name"]),
            image["edge"],
        )
        if message.key != key.encode():
            self.lines.append(f"deltas: {identity} has the Kafka key {message.key!r} and says {key!r}")
        if self._keys.setdefault(key, identity) != identity:
            self.lines.append(f"deltas: the key {key!r} is of {identity} and of {self._keys[key]}")
        if self._places.setdefault(key, message.partition) != message.partition:
            self.lines.append(f"deltas: {key!r} is on partitions {self._places[key]} and {message.partition}")
        self.history.setdefault(identity, []).append(image)
        if identity not in self.newest or image["version"] >= self.newest[identity]["version"]:
            self.newest[identity] = image


def compare_graph(
    model: Model, messages: Iterable[Message], *, strict_versions: bool = True, rolled_back: bool = False
) -> list[str]:
    """`strict_versions`: in log order every version of a key is higher than the one before, as one publisher at a
    time makes it. Without it, only the same version with another content is an error. `rolled_back`: what was published
    of a state that was lost explains nothing that comes after it."""
    deltas = Deltas().read(messages)
    graph = ExpectedGraph(model.state)
    return [
        *bounded(deltas.lines),
        *_versions(deltas, strict_versions),
        *graph.datasets(deltas),
        *graph.freshness(deltas),
        *graph.rest(deltas),
        *graph.about(deltas),
        *graph.unknown(deltas),
        *([] if rolled_back else History(model.state, graph.by_name).check(deltas)),
    ]


def _versions(deltas: Deltas, strict: bool) -> list[str]:
    lines = []
    for identity, images in deltas.history.items():
        contents: dict[int, dict[str, Any]] = {}
        last = -1
        for image in images:
            version = image["version"]
            if contents.setdefault(version, image) != image:
                lines.append(f"versions: {version} of {identity} was published with two contents")
            if strict and version <= last:
                lines.append(f"versions: {identity} has {version} after {last}")
            last = version
    return bounded(lines)


class ExpectedGraph:
    """What the newest images must show."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.by_name: dict[Pair, bytes] = {state.pair(key): key for key in state.datasets}

    def datasets(self, deltas: Deltas) -> list[str]:
        lines = []
        for name, key in self.by_name.items():
            d = self.state.datasets[key]
            image = deltas.newest.get(Identity("DATASET", "CORE", name))
            if image is None:
                if d.present:
                    lines.append(f"graph, dataset: {name} is missing")
                continue
            actual, expected = self._shown(image), self._expected(d)
            if not (d.present or image["present"]):
                continue  # removed on both sides; what else the last image shows is history
            if actual != expected:
                wrong = {each: (actual[each], expected[each]) for each in actual if actual[each] != expected[each]}
                lines.append(f"graph, dataset: {name} differs (published, expected): {wrong}")
        return bounded(lines)

    def _shown(self, image: dict[str, Any]) -> dict[str, Any]:
        return {"present": image["present"], "first_seen": image["first_seen"], **(image["dataset"] or {})}

    def _expected(self, d: Dataset) -> dict[str, Any]:
        touched_by = d.first_seen[1][16:]
        return {
            "present": d.present,
            "first_seen": _least(d.first_seen[0]),
            "first_read": _least(d.first_read),
            "first_written": _least(d.first_written),
            "retracted_at": d.retracted,
            "truncated_at": d.truncated,
            "first_touched_by": self.state.label(touched_by) if touched_by else "",
            "schema_version": d.schema_version[1][16:].decode(),
            "renamed_to": self.state.label(d.renamed_to[1][16:]) if d.renamed_to[0] else "",
        }

    def freshness(self, deltas: Deltas) -> list[str]:
        lines = []
        for name, key in self.by_name.items():
            d = self.state.datasets[key]
            expected = (d.last_write[0], d.data_through, d.last_failure, d.idle_through, self._writer(d))
            image = deltas.newest.get(Identity("DATASET", "FRESHNESS", name))
            actual = freshness_of(image) if image else (0, 0, 0, 0, "")
            if actual != expected:
                lines.append(f"graph, freshness: {name} was published as {actual}, expected {expected}")
        return bounded(lines)

    def _writer(self, d: Dataset) -> str:
        job = d.last_write[1][32:44]
        return self.state.label(job) if d.last_write[0] and job != NO_KEY else ""

    def rest(self, deltas: Deltas) -> list[str]:
        """Jobs, edges and aliases: there or not, and since when."""
        jobs, edges, aliases = [], [], []
        for key, job in self.state.jobs.items():
            identity = Identity("JOB", "CORE", self.state.pair(key))
            jobs += _image(deltas, identity, True, _least(job.first_seen[0]))
        for key, edge in self.state.edges.items():
            edges += _image(deltas, self.edge(key), self.edge_present(key), _least(edge.first_seen[0]))
        for key, asserted in self.state.aliases.items():
            ends = self.state.pair(key[:12]), self.state.pair(key[12:])
            found = [each for each in (ends, ends[::-1]) if Identity("ALIAS", "CORE", *each) in deltas.newest]
            aliases += _image(deltas, Identity("ALIAS", "CORE", *(found or [ends])[0]), asserted > 0, None)
        return [*bounded(jobs), *bounded(edges), *bounded(aliases)]

    def edge(self, key: bytes) -> Identity:
        ends = self.state.pair(key[1:13]), self.state.pair(key[13:])
        return Identity("EDGE", "CORE", *ends, EDGE_KINDS[key[:1]])

    def edge_present(self, key: bytes) -> bool:
        ends = {b"r": [key[1:13]], b"w": [key[13:]], b"d": [key[1:13], key[13:]]}[key[:1]]
        asserted = self.state.edges[key].asserted
        return all(self.state.datasets[end].present and asserted > self.state.datasets[end].retracted for end in ends)

    def about(self, deltas: Deltas) -> list[str]:
        """What is said of each node, as it was said last."""
        lines = []
        for node in sorted({at[:12] for at in self.state.about}):
            entity = "DATASET" if node in self.state.datasets else "JOB"
            identity = Identity(entity, "ABOUT", self.state.pair(node))
            image, expected = deltas.newest.get(identity), self.state.about_image(node)
            actual = None if image is None else orjson.loads(image["about"] or "null")
            if actual != expected:
                lines.append(f"graph, about: {identity} says {actual}, expected {expected}")
            elif entity == "DATASET" and image is not None and image["present"] != self.state.datasets[node].present:
                lines.append(f"graph, about: {identity} is published with present={image['present']}")
        return bounded(lines)

    def unknown(self, deltas: Deltas) -> list[str]:
        """Images of what no event ever named."""
        known = {self.edge(key) for key in self.state.edges}
        jobs = {self.state.pair(key) for key in self.state.jobs}
        names = {self.state.pair(key) for key, named in self.state.names.items() if named[:1] == b"d"}
        lines = []
        for identity, image in deltas.newest.items():
            ok = {
                "DATASET": identity.name in names,
                "JOB": identity.name in jobs,
                "EDGE": identity in known,
                "ALIAS": identity.name in names and identity.to in names,
            }[identity.entity]
            if not ok and image["present"]:
                lines.append(f"graph, unknown: {identity} was published and is in no event")
        return bounded(lines)


def _least(negated: int) -> int:
    """A minimum as published: 0 for none."""
    return 0 if negated <= -(2**53) else -negated


def _image(deltas: Deltas, identity: Identity, present: bool, first_seen: int | None) -> list[str]:
    what = f"graph, {identity.entity.lower()}"
    image = deltas.newest.get(identity)
    if image is None:
        return [f"{what}: {identity} is missing"] if present else []
    if image["present"] != present:
        return [f"{what}: {identity} is published with present={image['present']}, expected {present}"]
    if present and first_seen is not None and image["first_seen"] != first_seen:
        return [f"{what}: {identity} is published with first_seen {image['first_seen']}, expected {first_seen}"]
    return []


def freshness_of(image: dict[str, Any]) -> tuple[int, int, int, int, str]:
    """last_write, data_through, last_failure, idle_through, written_by."""
    found = image["freshness"] or {}
    return (
        found.get("last_write", 0),
        found.get("data_through", 0),
        found.get("last_failure", 0),
        found.get("idle_through", 0),
        found.get("written_by", ""),
    )


class History:
    """Every image ever published is one that some part of the input explains: each value is one that an event gave,
    maxima only rise, and firsts only fall."""

    def __init__(self, state: State, by_name: dict[Pair, bytes]) -> None:
        self.state = state
        self.by_name = by_name

    def check(self, deltas: Deltas) -> list[str]:
        fresh, cores, seen = [], [], []
        for identity, images in deltas.history.items():
            if identity.aspect in ("CORE", "FRESHNESS"):
                seen += self._last_seen(identity, images)
            key = self.by_name.get(identity.name)
            if identity.entity != "DATASET" or key is None:
                continue
            ordered = sorted(images, key=lambda image: image["version"])
            if identity.aspect == "FRESHNESS":
                fresh += self._freshness(identity, self.state.datasets[key], ordered)
            elif identity.aspect == "CORE":
                cores += self._core(identity, self.state.datasets[key], ordered)
        return [*bounded(fresh), *bounded(cores), *bounded(seen)]

    def _last_seen(self, identity: Identity, images: list[dict[str, Any]]) -> list[str]:
        odd = [image["last_seen"] for image in images if image["last_seen"] % MINUTE_US]
        return [f"history, last seen: {identity} has {odd[0]}, which is no full minute"] if odd else []

    def _freshness(self, identity: Identity, d: Dataset, images: list[dict[str, Any]]) -> list[str]:
        lines = []
        known = (d.credits, d.throughs, d.failures, d.idles)
        last = (0, 0, 0, 0)
        for image in images:
            values = freshness_of(image)[:4]
            for name, value, may in zip(
                ("last_write", "data_through", "last_failure", "idle"), values, known, strict=True
            ):
                if value and value not in may:
                    lines.append(f"history, freshness: {identity} had {name} {value}, which no event explains")
            if any(now < before for now, before in zip(values, last, strict=True)):
                lines.append(f"history, freshness: {identity} went from {last} to {values}")
            last = values
        return lines

    def _core(self, identity: Identity, d: Dataset, images: list[dict[str, Any]]) -> list[str]:
        lines = []
        last: dict[str, Any] | None = None
        renames = {self.state.label(key) for key in d.renames}
        for image in images:
            core = image["dataset"] or {}
            may: list[tuple[str, Collection[Any]]] = [
                ("retracted_at", d.retractions),
                ("truncated_at", d.truncations),
                ("schema_version", d.versions),
                ("renamed_to", renames),
            ]
            lines += [
                f"history, core: {identity} had {name} {core[name]!r}, which no event explains"
                for name, known in may
                if core.get(name) and core[name] not in known
            ]
            lines += self._firsts(identity, d, image, last)
            if not image["present"] and not core.get("retracted_at") and d.present:
                lines.append(f"history, core: {identity} was removed at version {image['version']} without a drop")
            last = image
        return lines

    def _firsts(self, identity: Identity, d: Dataset, image: dict[str, Any], last: dict[str, Any] | None) -> list[str]:
        least = _least(d.first_seen[0])
        now = image["first_seen"]
        if now and now < least:
            return [f"history, core: {identity} had first_seen {now}, before the first event at {least}"]
        if last is not None and last["first_seen"] and now and now > last["first_seen"]:
            return [f"history, core: {identity} moved first_seen from {last['first_seen']} to {now}"]
        return []
