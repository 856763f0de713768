"""Kafka clients that say what they read and write. Two lines of a job change: where the names come from.

    from headwater.kafka import Consumer, Producer               # was: from confluent_kafka import …
    from headwater.kafka.aiokafka import AIOKafkaConsumer        # was: from aiokafka import …
    import headwater.kafka.faust; headwater.kafka.faust.watch(app)

They are the clients themselves, as subclasses, and behave as they did. What was read and written per partition, with
offsets, counts and lag, is taken from the statistics that the client keeps anyway, and goes with the run that the client
was made in, else with one of its own that lasts until it is closed. See `headwater.kafka.session`.

Importing this package loads no client.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from headwater.kafka.confluent import Consumer, Producer
    from headwater.kafka.session import Lineage

__all__ = ["Consumer", "Lineage", "Producer"]

_HOME: Final = {
    "Consumer": "headwater.kafka.confluent",
    "Lineage": "headwater.kafka.session",
    "Producer": "headwater.kafka.confluent",
}


def __getattr__(name: str) -> Any:  # Any: a module attribute can be anything
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'headwater.kafka' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value
