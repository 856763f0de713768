"""The rules of a door, applied to the names in an event. Pure but for what it remembers; thread-safe.

In this order, for datasets and for jobs (those of parents too):

1. the name is folded (`folding`), unless `keep` has it;
2. the namespace gets its other name, or the mark of the environment (`namespaces`);
3. a topic of a known Kafka cluster gets the alias that all of its names have (`clusters`).

What was said stays in the facet `headwater_names`, bounded. Where several datasets of an event become one, they are one use with
all their measures. What was done to a part as a whole (a partition is dropped, a folder renamed) was not done to the
dataset: see `_lifecycle`. To apply the rules again changes nothing, so an event may come through two doors.

Names repeat: each is worked out once and then looked up, until what is known of clusters changes.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import orjson

from headwater.doors.clusters import ClusterBook, Clusters
from headwater.doors.folding import DEFAULT_RULES, RULES, Folding
from headwater.doors.namespaces import Namespaces
from headwater.errors import ConfigError
from headwater_schemas.events import NIL_UUID, DatasetUse, DirectEdge, Lifecycle, LineageEvent, Name
from headwater_schemas.naming import canonical_dataset, kafka_cluster_topic

FACET: Final = "headwater_names"
MOST_TOLD: Final = 20
LONGEST_TOLD_CHARS: Final = 512
MOST_REMEMBERED: Final = 50_000
_OF_A_WHOLE: Final = frozenset({Lifecycle.CREATE, Lifecycle.OVERWRITE, Lifecycle.TRUNCATE, Lifecycle.RENAME})


@dataclass(frozen=True, slots=True)
class _Dataset:
    """What a dataset's name becomes; `same`: all stays as it is."""

    name: Name
    hub: Name | None
    same: bool
    is_part: bool
    """Whether the name was folded: it was one of several that are one dataset now."""


class _View:
    """What was worked out while so much was known of clusters."""

    __slots__ = ("clusters", "datasets", "version")

    def __init__(self, clusters: Clusters, version: int) -> None:
        self.clusters = clusters
        self.version = version
        self.datasets: dict[tuple[str, str], _Dataset] = {}


class NameRules:
    """The rules of one door.

    Args:
        keep: patterns (`s3://lake/census_*`) of `namespace/name`, whose names are not folded.
        book: what is learned of Kafka clusters; None: nothing is joined.
    """

    def __init__(
        self,
        *,
        namespaces: Namespaces | None = None,
        folding: Folding | None = None,
        keep: Collection[str] = (),
        book: ClusterBook | None = None,
    ) -> None:
        self.namespaces = namespaces or Namespaces()
        self.folding = folding or Folding()
        self.book = book
        self._keep = re.compile("|".join(fnmatch.translate(pattern) for pattern in keep)) if keep else None
        self._nothing = ClusterBook()
        self._view = _View(Clusters(), 0)
        self._jobs: dict[Name, Name] = {}

    @property
    def version(self) -> int:
        """Changes whenever the same event may come out otherwise."""
        return 0 if self.book is None else self.book.version

    def dataset(self, name: Name) -> Name:
        """The name that a dataset is kept under."""
        return self._dataset(self._current(), name.namespace, name.name).name

    def job(self, name: Name) -> Name:
        """The name that a job is kept under."""
        found = self._jobs.get(name)
        if found is None:
            folded = name.name if self._is_kept(name) else self.folding.job(name.name)
            found = Name(self.namespaces.of_job(name.namespace), folded)
            if found == name:
                found = name
            if len(self._jobs) >= MOST_REMEMBERED:
                self._jobs = {}
            self._jobs[name] = found
        return found

    def apply(self, event: LineageEvent) -> LineageEvent:
        """The event under the names that are kept; itself, if they are those that it has."""
        view = self._current()
        job = self.job(event.job)
        found: list[_Dataset] = []
        same = job == event.job and not event.edges
        for use in (*event.inputs, *event.outputs):
            each = view.datasets.get((use.namespace, use.name)) or self._dataset(view, use.namespace, use.name)
            found.append(each)
            if not each.same or use.aliases or use.previous:
                same = False
        if same and self._says_the_same(event.parent_job, event.root_job, event.emitter):
            return event
        return self._renamed(view, event, job, found)

    def _says_the_same(self, parent: Name | None, root: Name | None, emitter: str) -> bool:
        return (
            (parent is None or self.job(parent) == parent)
            and (root is None or self.job(root) == root)
            and self.namespaces.of_emitter(emitter) == emitter
        )

    def _renamed(self, view: _View, event: LineageEvent, job: Name, found: Sequence[_Dataset]) -> LineageEvent:
        many = len(event.inputs)
        told = _Told()
        told.job(event.job, job)
        inputs = self._uses(view, event.inputs, found[:many], told)
        outputs = self._uses(view, event.outputs, found[many:], told, drops=bool(event.job.name or event.inputs))
        return replace(
            event,
            job=job,
            inputs=inputs,
            outputs=outputs,
            edges=self._edges(view, event.edges),
            parent_job=self.job(event.parent_job) if event.parent_job else event.parent_job,
            root_job=self.job(event.root_job) if event.root_job else event.root_job,
            emitter=self._emitter(event.emitter, event.job, job),
            facets=told.facets(event),
        )

    def _uses(
        self,
        view: _View,
        uses: Sequence[DatasetUse],
        found: Sequence[_Dataset],
        told: _Told,
        *,
        drops: bool = False,
    ) -> tuple[DatasetUse, ...]:
        merged: dict[Name, DatasetUse] = {}
        for use, each in zip(uses, found, strict=True):
            told.dataset(Name(use.namespace, use.name), each.name)
            changed = self._use(view, use, each)
            if changed.lifecycle is Lifecycle.DROP and each.is_part:
                if drops:
                    continue
                changed = replace(changed, lifecycle=Lifecycle.ALTER)
            known = merged.get(each.name)
            merged[each.name] = changed if known is None else merged_use(known, changed)
        return tuple(merged.values())

    def _use(self, view: _View, use: DatasetUse, found: _Dataset) -> DatasetUse:
        if found.same and not use.aliases and not use.previous and found.hub is None:
            return use
        aliases = dict.fromkeys(self._dataset(view, one.namespace, one.name).name for one in use.aliases)
        if found.hub is not None:
            aliases[found.hub] = None
        aliases.pop(found.name, None)
        previous = self._dataset(view, use.previous.namespace, use.previous.name) if use.previous else None
        lifecycle = _lifecycle(use.lifecycle, found, previous)
        return replace(
            use,
            namespace=found.name.namespace,
            name=found.name.name,
            aliases=tuple(aliases),
            lifecycle=lifecycle,
            previous=previous.name if previous is not None and lifecycle is Lifecycle.RENAME else None,
        )

    def _edges(self, view: _View, edges: Sequence[DirectEdge]) -> tuple[DirectEdge, ...]:
        kept: dict[DirectEdge, None] = {}
        for edge in edges:
            source = self._dataset(view, edge.source.namespace, edge.source.name).name
            target = self._dataset(view, edge.target.namespace, edge.target.name).name
            if source != target or edge.source == edge.target:  # from a part to a part of the same is no edge
                kept[DirectEdge(source, target)] = None
        return tuple(kept)

    def _emitter(self, emitter: str, before: Name, job: Name) -> str:
        """Who speaks, by the names that are kept: a name with a date in it would be another speaker each day."""
        for said, kept in ((str(before), str(job)), (before.namespace, job.namespace)):
            if said and said != kept and emitter.endswith((f":{said}", f"/{said}")):
                emitter = emitter[: len(emitter) - len(said)] + kept
                break
        return self.namespaces.of_emitter(emitter)

    def _current(self) -> _View:
        book = self.book or self._nothing
        view = self._view
        if view.version != book.version:
            version = book.version  # read before what it is the version of: at worst it is all worked out once more
            view = self._view = _View(book.clusters, version)
        return view

    def _dataset(self, view: _View, namespace: str, name: str) -> _Dataset:
        found = view.datasets.get((namespace, name))
        if found is None:
            found = self._worked_out(view.clusters, Name(namespace, name))
            if len(view.datasets) >= MOST_REMEMBERED:
                view.datasets = {}
            view.datasets[namespace, name] = found
        return found

    def _worked_out(self, clusters: Clusters, given: Name) -> _Dataset:
        canonical = canonical_dataset(given.namespace, given.name)
        if not (canonical.namespace and canonical.name):  # white space alone
            return _Dataset(given, None, same=True, is_part=False)
        folded = canonical.name
        if not self._is_kept(canonical):
            folded = self.folding.dataset(canonical.namespace, canonical.name)
        kept = Name(self.namespaces.of_dataset(canonical.namespace), folded)
        cluster = clusters.of(self.namespaces.without_mark(canonical.namespace))
        hub = kafka_cluster_topic(cluster, folded) if cluster else None
        name = given if kept == canonical else kept  # the processor knows the spellings of one name
        return _Dataset(name, hub, same=name is given and hub is None, is_part=folded != canonical.name)

    def _is_kept(self, name: Name) -> bool:
        return self._keep is not None and self._keep.match(str(name)) is not None


def rules_of(
    *,
    environment: str = "",
    namespaces: Mapping[str, str] | None = None,
    fold: Collection[str] = DEFAULT_RULES,
    fold_off: Collection[str] = (),
    keep: Collection[str] = (),
    book: ClusterBook | None = None,
) -> NameRules:
    """The rules that settings describe (`doors.*`).

    Args:
        fold: rules of `folding.RULES`; `fold_off`: those of them that are not used.

    Raises:
        ConfigError: there is no such rule, or those for namespaces contradict each other.
    """
    for rule in (*fold, *fold_off):
        if rule not in RULES:
            near = difflib.get_close_matches(rule, RULES, n=1)
            raise ConfigError(
                f"doors.fold has no rule {rule!r}",
                remedy=f"did you mean {near[0]}?" if near else f"known are {', '.join(RULES)}",
            )
    return NameRules(
        namespaces=Namespaces(namespaces, environment),
        folding=Folding(frozenset(fold) - frozenset(fold_off)),
        keep=keep,
        book=book,
    )


def merged_use(one: DatasetUse, other: DatasetUse) -> DatasetUse:
    """Two uses of one dataset in one event as one."""
    changed = other.lifecycle is not Lifecycle.NONE
    return replace(
        one,
        schema_version=one.schema_version or other.schema_version,
        aliases=tuple(dict.fromkeys((*one.aliases, *other.aliases))),
        lifecycle=other.lifecycle if changed else one.lifecycle,
        previous=other.previous if changed else one.previous,
        measures=one.measures + other.measures,
    )


def _lifecycle(said: Lifecycle, found: _Dataset, previous: _Dataset | None) -> Lifecycle:
    """What was done to the dataset, where it was said of a part of it.

    A part that is made, overwritten, emptied or renamed: the dataset was written, no more. A part that is dropped is no write
    and no drop: the use goes, or where an event says nothing else, it is a change.
    """
    if said is Lifecycle.NONE or not (found.is_part or (previous is not None and previous.is_part)):
        return said
    return Lifecycle.NONE if said in _OF_A_WHOLE else said


class _Told:
    """What was said, for the facet."""

    def __init__(self) -> None:
        self._job: Name | None = None
        self._datasets: dict[Name, dict[Name, None]] = {}
        self._renamed: dict[Name, Name] = {}

    def job(self, said: Name, kept: Name) -> None:
        if said != kept:
            self._job = said

    def dataset(self, said: Name, kept: Name) -> None:
        if said != kept:
            self._datasets.setdefault(kept, {})[said] = None
            self._renamed[said] = kept

    def facets(self, event: LineageEvent) -> bytes | None:
        """The event's facets, those of renamed datasets under their new names, with one more that has the old ones."""
        if self._job is None and not self._renamed:
            return event.facets
        try:
            document = orjson.loads(event.facets) if event.facets else {}
        except orjson.JSONDecodeError:
            return event.facets  # not ours: an emitter may put any bytes there
        if not isinstance(document, dict):
            return event.facets
        for role in ("inputs", "outputs", "dataset"):
            for entry in document[role] if isinstance(document.get(role), list) else ():
                self._rename(entry)
        role = "run" if event.run_id != NIL_UUID else "job"
        if not event.job.name:
            self._add_to_dataset(document)
        elif isinstance(facets := document.setdefault(role, {}), dict):
            facets.setdefault(FACET, self._said())  # a door before this one knew what was said first
        return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)

    def _rename(self, entry: object) -> None:
        if isinstance(entry, dict):
            kept = self._renamed.get(Name(str(entry.get("namespace")), str(entry.get("name"))))
            if kept is not None:
                entry["namespace"], entry["name"] = kept.namespace, kept.name

    def _add_to_dataset(self, document: dict[str, object]) -> None:
        kept = next(iter(self._datasets))
        entries = document.setdefault("dataset", [])
        if not isinstance(entries, list):
            return
        for entry in entries:
            if isinstance(entry, dict) and (entry.get("namespace"), entry.get("name")) == (kept.namespace, kept.name):
                entry.setdefault("facets", {})[FACET] = self._said()
                return
        entries.append({"namespace": kept.namespace, "name": kept.name, "facets": {FACET: self._said()}})

    def _said(self) -> dict[str, object]:
        facet: dict[str, object] = {}
        if self._job is not None:
            facet["job"] = _bounded(self._job)
        names = [(kept, said) for kept, all_said in self._datasets.items() for said in all_said]
        told = [{**_bounded(kept), "said": _bounded(said)} for kept, said in names[:MOST_TOLD]]
        if told:
            facet["datasets"] = told
        if len(names) > MOST_TOLD:
            facet["more"] = len(names) - MOST_TOLD
        return facet


def _bounded(name: Name) -> dict[str, str]:
    return {"namespace": name.namespace[:LONGEST_TOLD_CHARS], "name": name.name[:LONGEST_TOLD_CHARS]}
