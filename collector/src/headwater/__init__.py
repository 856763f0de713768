"""Headwater's SDK: say what a job reads and writes, and go on working.

    import headwater

    @headwater.job("load-orders", reads=[("postgres://shop-db:5432", "shop.public.orders")], writes=[("s3://lake", "orders")])
    def load() -> None: ...

or, where the emitter is to be seen:

    with headwater.Emitter.from_env() as emitter, emitter.run(job="orders-consumer") as run:
        run.reads("kafka://broker:9092", "orders", partition=0, first_offset=10, last_offset=99)
        run.writes("s3://lake", "orders/daily", rows=90)

Importing this package loads nothing else: each name is fetched from its module when it is first used, so that a job
pays for Kafka and Avro only when it builds an emitter.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from headwater.buffer import EmitterStats
    from headwater.emitter import Emitter
    from headwater.errors import (
        BrokerUnavailable,
        BufferFull,
        ConfigError,
        DeliveryError,
        EventError,
        HeadwaterError,
        Unauthorized,
    )
    from headwater.functions.decorator import function
    from headwater.jobs import current_run, default_emitter, job, set_default_emitter
    from headwater.origin import ParentRun
    from headwater.run import Run
    from headwater_schemas.events import (
        Completeness,
        DatasetUse,
        DirectEdge,
        EventType,
        Lifecycle,
        LineageEvent,
        Measure,
        Name,
        Processing,
        Runtime,
    )

_HOME: Final[dict[str, str]] = {
    "BrokerUnavailable": "headwater.errors",
    "BufferFull": "headwater.errors",
    "Completeness": "headwater_schemas.events",
    "ConfigError": "headwater.errors",
    "DatasetUse": "headwater_schemas.events",
    "DeliveryError": "headwater.errors",
    "DirectEdge": "headwater_schemas.events",
    "Emitter": "headwater.emitter",
    "EmitterStats": "headwater.buffer",
    "EventError": "headwater.errors",
    "EventType": "headwater_schemas.events",
    "HeadwaterError": "headwater.errors",
    "Lifecycle": "headwater_schemas.events",
    "LineageEvent": "headwater_schemas.events",
    "Measure": "headwater_schemas.events",
    "Name": "headwater_schemas.events",
    "ParentRun": "headwater.origin",
    "Processing": "headwater_schemas.events",
    "Run": "headwater.run",
    "Runtime": "headwater_schemas.events",
    "Unauthorized": "headwater.errors",
    "current_run": "headwater.jobs",
    "default_emitter": "headwater.jobs",
    "function": "headwater.functions.decorator",
    "job": "headwater.jobs",
    "set_default_emitter": "headwater.jobs",
}

__version__ = "0.1.0.dev0"

__all__ = [
    "BrokerUnavailable",
    "BufferFull",
    "Completeness",
    "ConfigError",
    "DatasetUse",
    "DeliveryError",
    "DirectEdge",
    "Emitter",
    "EmitterStats",
    "EventError",
    "EventType",
    "HeadwaterError",
    "Lifecycle",
    "LineageEvent",
    "Measure",
    "Name",
    "ParentRun",
    "Processing",
    "Run",
    "Runtime",
    "Unauthorized",
    "current_run",
    "default_emitter",
    "function",
    "job",
    "set_default_emitter",
]


def __getattr__(name: str) -> Any:  # Any: a module attribute can be anything
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'headwater' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value  # the next use costs nothing
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
