"""What it costs to build the state again: it is dropped, and the topic is read from its beginning.

As after a lost Redis: the group has committed offsets, Redis has nothing, and the worker is started with
`processor.on_empty_state=earliest`.
"""

from __future__ import annotations

from typing import Any, Final

from confluent_kafka import Consumer, TopicPartition

from headwater.runtime.kafka import client_config
from headwater_processor.local.bench.bench import Bench
from headwater_processor.local.bench.figures import Figures, throughput_figures
from headwater_processor.local.bench.fill import Filled
from headwater_processor.local.bench.place import Place, forget
from headwater_processor.local.bench.throughput import check_sum, counts, watch
from headwater_processor.local.bench.worker import worker

_TIMEOUT_S: Final = 30.0
_REBUILD: Final = {"HEADWATER_PROCESSOR__ON_EMPTY_STATE": "earliest"}


def measure_rebuild(bench: Bench, here: Place, name: str, filled: Filled) -> Figures:
    """Drop the state of a place and build it again from its full topic. Raises RefusedError."""
    forget(here)
    _commit_ends(here)
    with worker(bench, here, _REBUILD) as running:
        bench.say(f"{name}: the state is dropped and built again, process {running.pid}")
        watched = watch(bench, here, [running], filled.events)
        outcome = counts(here)
        report = running.stop()
    check_sum(outcome, filled.events)
    return {"workload": name, **throughput_figures(filled, watched, [report]), "counts": outcome}


def _commit_ends(here: Place) -> None:
    """The group has read everything once, as far as Kafka knows."""
    config: dict[str, Any] = {**client_config(here.settings.kafka), "group.id": here.name, "enable.auto.commit": False}
    consumer = Consumer(config)
    try:
        ends = [TopicPartition(here.topic("events"), number) for number in range(here.partitions)]
        for each in ends:
            each.offset = consumer.get_watermark_offsets(each, _TIMEOUT_S, cached=False)[1]
        consumer.commit(offsets=ends, asynchronous=False)
    finally:
        consumer.close()
