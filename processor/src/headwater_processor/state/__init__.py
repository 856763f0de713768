"""Read what Headwater knows: a library over its state in Redis, without Kafka and without the engine."""

from __future__ import annotations

from headwater_processor.state.about import About
from headwater_processor.state.errors import (
    AmbiguousNameError,
    LayoutError,
    NoStateError,
    StateError,
    UnknownDatasetError,
)
from headwater_processor.state.reader import StateReader
from headwater_processor.state.values import (
    AlertState,
    DatasetState,
    EdgeState,
    JobState,
    PartitionState,
    Summary,
    Trace,
)

__all__ = [
    "About",
    "AlertState",
    "AmbiguousNameError",
    "DatasetState",
    "EdgeState",
    "JobState",
    "LayoutError",
    "NoStateError",
    "PartitionState",
    "StateError",
    "StateReader",
    "Summary",
    "Trace",
    "UnknownDatasetError",
]
