"""The events topic as the broker knows it: how many partitions it has, and whether it is still the same one.

A topic that was deleted and created again has the old name and other offsets: a state that goes on with it would skip its
first records as read. Brokers give each topic an id since Kafka 2.8 (KIP-516); one that does not, or does not let us ask,
is known by its offsets alone.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

log = logging.getLogger(__name__)

_ASK_S: Final = 10.0
_CANNOT_SAY: Final = frozenset(
    {KafkaError._UNSUPPORTED_FEATURE, KafkaError.UNSUPPORTED_VERSION, KafkaError.TOPIC_AUTHORIZATION_FAILED}
)


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """What was found; no partitions: there is no such topic. `topic_id` is empty where the broker gives none."""

    partitions: int
    topic_id: str = ""


class EventsTopic:
    """Asks the broker about one topic."""

    def __init__(self, config: dict[str, Any], topic: str) -> None:
        self._admin = AdminClient(config)
        self._topic = topic

    def look(self) -> TopicFacts:
        """What the topic is now. Raises KafkaException if nobody answers."""
        try:
            (future,) = self._admin.describe_topics(
                TopicCollection([self._topic]), request_timeout=_ASK_S
            ).values()  # fmt: skip
            found = future.result(_ASK_S + 1.0)
        except KafkaException as error:
            code = error.args[0].code()
            if code == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return TopicFacts(0)
            if code in _CANNOT_SAY:
                return self._count()
            raise
        ident = found.topic_id
        known = ident is not None and (ident.get_most_significant_bits() or ident.get_least_significant_bits())
        return TopicFacts(len(found.partitions), str(ident) if known else "")

    def _count(self) -> TopicFacts:
        metadata = self._admin.list_topics(self._topic, _ASK_S).topics[self._topic]
        return TopicFacts(len(metadata.partitions) if metadata.error is None else 0)
