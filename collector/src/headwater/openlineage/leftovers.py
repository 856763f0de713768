"""The facets of a document that our own fields do not say wholly, as one bounded JSON document. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import orjson

from headwater.openlineage.values import Json, dataset_of, deleted, facets, items, mapping, masked

MOST_BYTES: Final = 256 * 1024
"""More is not kept: Spark's logical plans alone have made events of 23 MB."""

_SAID: Final = frozenset({"nominalTime", "symlinks", "lifecycleStateChange"})
_STATISTICS: Final = frozenset({"inputStatistics", "outputStatistics"})
_PARENTS: Final = frozenset({"parent", "parentRun"})
_TAKEN_BACK: Final = frozenset(
    {
        "ownership", "documentation", "tags", "catalog", "dataSource", "storage", "version", "hierarchy", "subset", "sql",
        "sourceCodeLocation", "jobType",
    }
)  # fmt: skip
"""What the processor keeps of a job or dataset until it is told otherwise: that one of these was deleted has to be said."""
_MEASURED: Final = frozenset({"rowCount", "size", "bytes", "_producer", "_schemaURL"})


def leftover_facets(document: Mapping[str, Json]) -> bytes | None:
    """`{"run": {…}, "job": {…}, "inputs": [{"namespace", "name", "facets"}], "outputs": […], "dataset": {…}}`.

    Keys sorted, secrets masked, parts without facets left out; None where nothing is left. Where it is more than
    `MOST_BYTES`, the largest facets go, and `dropped` lists their keys.
    """
    places = list(_places(document))
    kept = {path: masked(facet) for path, facet in places}
    sizes = {path: len(orjson.dumps(facet)) + len(path[-1]) + 64 for path, facet in kept.items()}
    room = MOST_BYTES - sum(sizes.values())
    dropped = []
    for path in sorted(sizes, key=lambda path: (-sizes[path], path)):
        if room >= 0:
            break
        room += sizes[path]
        del kept[path]
        dropped.append(path[-1])
    if not kept and not dropped:
        return None
    found = _arranged(kept)
    if dropped:
        found["dropped"] = sorted(set(dropped))[:100]
    return orjson.dumps(found, option=orjson.OPT_SORT_KEYS)


Path = tuple[str, str, str, str]
"""Where a facet stands: role, namespace and name of the dataset (empty for run and job), key."""


def _places(document: Mapping[str, Json]) -> list[tuple[Path, Mapping[str, Json]]]:
    found: list[tuple[Path, Mapping[str, Json]]] = []
    for role in ("run", "job"):
        for key, facet in _facets(mapping(document.get(role)).get("facets")).items():
            found.append(((role, "", "", key), facet))
    datasets = [("dataset", document.get("dataset"))]
    datasets += [(role, dataset) for role in ("inputs", "outputs") for dataset in items(document.get(role))]
    for role, dataset in datasets:
        name = dataset_of(dataset)
        if name is None:
            continue
        for member in ("facets", "inputFacets", "outputFacets"):
            for key, facet in _facets(mapping(dataset).get(member)).items():
                found.append(((role, name.namespace, name.name, key), facet))
    return [(path, facet) for path, facet in found if not _is_said(path[-1], facet)]


def _facets(value: Json) -> dict[str, Mapping[str, Json]]:
    """Facets by key, with the mark alone of those that were deleted and are kept elsewhere."""
    gone = {key: {"_deleted": True} for key in deleted(value) if key in _TAKEN_BACK}
    return {**facets(value), **gone} if gone else facets(value)


def _is_said(key: str, facet: Mapping[str, Json]) -> bool:
    """Whether our own fields say the facet wholly: statistics may count files too, a parent may bring its facets along."""
    if key in _STATISTICS:
        return facet.keys() <= _MEASURED
    if key in _PARENTS:
        root = mapping(facet.get("root"))
        return not any("facets" in mapping(each.get(part)) for each in (facet, root) for part in ("run", "job"))
    return key in _SAID


def _arranged(kept: Mapping[Path, Json]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    datasets: dict[tuple[str, str, str], dict[str, Json]] = {}
    for (role, namespace, name, key), facet in kept.items():
        if role in ("run", "job"):
            found.setdefault(role, {})[key] = facet
            continue
        if (role, namespace, name) not in datasets:
            datasets[role, namespace, name] = {}
            found.setdefault(role, []).append(
                {"namespace": namespace, "name": name, "facets": datasets[role, namespace, name]}
            )
        datasets[role, namespace, name][key] = facet
    return found
