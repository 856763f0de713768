"""Whether a Debezium connector is set up to tell its lineage, by what Kafka Connect says of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from headwater.connect.guides.capture import CONFIG_FILE, DATASET_SERVERS, ENABLED, HISTORY_SERVERS, TRANSFORM
from headwater.masking import bounded, mask

Json = Any  # what JSON can hold

_FIRST: Final = (3, 2)
_SINKS: Final = (3, 3)
_DEBEZIUM: Final = "io.debezium."
_MISNAMED: Final = ("openlineage.integration.tags", "openlineage.integration.owners")
_LINE_CHARS: Final = 300


@dataclass(frozen=True, slots=True)
class Connector:
    """A connector as Kafka Connect tells it.

    `lacks` is what a Debezium connector needs to tell its lineage and has not, each with why; empty for any other connector.
    `speaks`: it is told to. `failures`: its first failed parts, with the first line of each trace.
    """

    name: str
    plugin: str
    version: str = ""
    state: str = ""
    speaks: bool = False
    lacks: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()

    @property
    def is_debezium(self) -> bool:
        """Whether its plugin is one of Debezium's."""
        return self.plugin.startswith(_DEBEZIUM)


def connectors(document: Json, plugins: Json) -> list[Connector]:
    """The connectors in `GET /connectors?expand=info&expand=status`, versions as in `GET /connector-plugins`. What is malformed
    is left out: `headwater cdc` counts it."""
    versions = _versions(plugins)
    found = []
    for name, told in document.items() if isinstance(document, Mapping) else ():
        info, status = (told.get(part) if isinstance(told, Mapping) else None for part in ("info", "status"))
        config = info.get("config") if isinstance(info, Mapping) else None
        if isinstance(config, Mapping):
            found.append(_connector(str(name), config, status if isinstance(status, Mapping) else {}, versions))
    return found


def _connector(
    name: str, config: Mapping[str, Json], status: Mapping[str, Json], versions: Mapping[str, str]
) -> Connector:
    settings = {str(key): str(value) for key, value in config.items()}
    plugin = settings.get("connector.class", "")[:200]
    version = versions.get(plugin, "")
    head = status.get("connector")
    head = head if isinstance(head, Mapping) else {}
    tasks = [task for task in status.get("tasks") or [] if isinstance(task, Mapping)]
    failed = [_failure("the connector", head)] if head.get("state") == "FAILED" else []
    failed += [_failure(f"task {task.get('id')}", task) for task in tasks if task.get("state") == "FAILED"]
    return Connector(
        name,
        plugin,
        version,
        str(head.get("state", "UNKNOWN"))[:32],
        settings.get(ENABLED, "").lower() == "true",
        tuple(lacking(settings, version)) if plugin.startswith(_DEBEZIUM) else (),
        tuple(failed),
    )


def lacking(settings: Mapping[str, str], version: str = "") -> list[str]:
    """What a Debezium connector of this version (empty: unknown) lacks to tell its lineage, in the order in which it matters."""
    number, is_sink = _number(version), is_sink_plugin(settings.get("connector.class", ""))
    if number and number < _FIRST:
        return [f"Debezium {version} has no OpenLineage, 3.2 is the first that has"]
    if number and is_sink and number < _SINKS:
        return [f"sinks of Debezium {version} do not speak, those of 3.3 are the first that do"]
    found = []
    if settings.get(ENABLED, "").lower() != "true":
        found.append(f"{ENABLED}=true")
    if not settings.get(CONFIG_FILE, ""):
        found.append(f"{CONFIG_FILE} (else ./openlineage.yml of the worker is read)")
    if not is_sink and TRANSFORM not in _transforms(settings):
        found.append(f"a transform of type {TRANSFORM}, without which topics are not told")
    if not settings.get(DATASET_SERVERS) and (is_sink or not settings.get(HISTORY_SERVERS)):
        found.append(f"{DATASET_SERVERS}, without which topics are called kafka://unknown:unknown")
    found += [
        f"openlineage.integration.job.{key.rpartition('.')[2]}: {key} is not read"
        for key in _MISNAMED
        if key in settings
    ]
    return found


def is_sink_plugin(plugin: str) -> bool:
    """Whether a plugin of Debezium writes to a database."""
    return "Sink" in plugin.rpartition(".")[2]


def _transforms(settings: Mapping[str, str]) -> set[str]:
    names = (name.strip() for name in settings.get("transforms", "").split(","))
    return {settings.get(f"transforms.{name}.type", "") for name in names if name}


def _versions(plugins: Json) -> dict[str, str]:
    told = [one for one in plugins if isinstance(one, Mapping)] if isinstance(plugins, list) else []
    return {str(one.get("class", "")): str(one.get("version", ""))[:64] for one in told}


def _number(version: str) -> tuple[int, ...]:
    parts = version.split(".")[:2]
    return tuple(int(part) for part in parts) if len(parts) == 2 and all(part.isdigit() for part in parts) else ()


def _failure(who: str, told: Mapping[str, Json]) -> str:
    trace = told.get("trace")
    first = next(iter(trace.strip().splitlines()), "") if isinstance(trace, str) else ""
    return bounded(mask(f"{who} failed: {first}" if first else f"{who} failed"), _LINE_CHARS)
