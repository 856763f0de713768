"""Redis and the topics against the model: a list of differences, empty when everything is as it must be."""

from __future__ import annotations

from dataclasses import dataclass

import redis
from tests.support.oracle.compare_graph import compare_graph
from tests.support.oracle.compare_letters import compare_alerts, compare_dead_letters, compare_late
from tests.support.oracle.compare_state import View, compare_state
from tests.support.oracle.model import Model
from tests.support.oracle.topics import read_topic

from headwater.runtime.models import RedisSettings
from headwater.runtime.redis import connect


@dataclass(frozen=True, slots=True)
class Where:
    """Where the processor reads and writes."""

    bootstrap: str
    redis_url: str
    domain: str
    prefix: str = "lineage."
    """Of all topics; the events are in `<prefix>events`."""

    @property
    def events(self) -> str:
        return f"{self.prefix}events"


def state_client(where: Where) -> redis.Redis:
    """A client on the state of the run, whatever stands behind its URL."""
    return connect(RedisSettings(url=where.redis_url), where.domain)


def feed(model: Model, where: Where) -> None:
    """Feeds the model with the events topic as it lies in Kafka."""
    for message in read_topic(where.bootstrap, where.events):
        model.feed(message.partition, message.offset, message.timestamp_ms, message.value, message.key)


def compare(model: Model, where: Where, *, strict_versions: bool = True, rolled_back: bool = False) -> list[str]:
    """Differences between what is and what must be, at quiescence. The model was fed with all events before.

    `rolled_back`: the state was set back meanwhile. Images of what was lost were published; those of the older state
    come after them, and then what it was again. A transition that was lost is made again under its id, which is what a
    pager knows it by, with the as-of of then.
    """
    client = state_client(where)
    try:
        lines = compare_state(View(client, where.domain, model))
    finally:
        client.close()
    topic = {name: f"{where.prefix}{name}" for name in ("deltas", "alerts", "late", "deadletter")}
    lines += compare_graph(
        model, read_topic(where.bootstrap, topic["deltas"]), strict_versions=strict_versions, rolled_back=rolled_back
    )
    lines += compare_dead_letters(model.bad, where.events, read_topic(where.bootstrap, topic["deadletter"]))
    lines += compare_late(model.late, read_topic(where.bootstrap, topic["late"]))
    lines += compare_alerts(read_topic(where.bootstrap, topic["alerts"]), rolled_back=rolled_back)
    return lines
