"""The doors through which lineage comes in, and whom an event is from. Pure.

| emitter | speaks through | door |
|---|---|---|
| `openlineage:<library>/<namespace of the job>` | the gateway or the bridge; an event does not say which | `openlineage` |
| `cdc:<topic prefix, or connector>` | `headwater cdc` | `cdc` |
| `discover:<cluster>` | `headwater discover` | `discover` |
| `k8s-watch` | `headwater k8s-watch` | `k8s-watch` |
| `sdk:function/<function>` | the SDK in a function | `function` |
| `sdk:<namespace>/<job>`, `sdk:<pod's namespace or host>` | the SDK, its Kafka clients, `headwater emit run` | `sdk` |
| `cli` | `headwater emit` | `cli` |
| anything else | somebody who writes events himself | `other` |
"""

from __future__ import annotations

from typing import Final

OPENLINEAGE: Final = "openlineage"
CDC: Final = "cdc"
DISCOVER: Final = "discover"
K8S_WATCH: Final = "k8s-watch"
FUNCTION: Final = "function"
SDK: Final = "sdk"
CLI: Final = "cli"
OTHER: Final = "other"

DOORS: Final = (OPENLINEAGE, CDC, DISCOVER, K8S_WATCH, FUNCTION, SDK, CLI, OTHER)

_BEGINNINGS: Final = (
    ("openlineage:", OPENLINEAGE),
    ("cdc:", CDC),
    ("discover:", DISCOVER),
    ("k8s-watch", K8S_WATCH),
    ("sdk:function/", FUNCTION),
    ("sdk:", SDK),
)
"""The first that fits counts."""


def door_of(emitter: str) -> str:
    """The door that an emitter speaks through: one of `DOORS`."""
    if emitter == "cli":
        return CLI
    return next((door for beginning, door in _BEGINNINGS if emitter.startswith(beginning)), OTHER)
