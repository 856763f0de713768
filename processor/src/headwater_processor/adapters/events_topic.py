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

from headwater.runtime.kafka import list_topics

log = logging.getLogger(__name__)

_ASK_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """What was found; no partitions: there is no such topic. `topic_id` is empty where the broker gives none."""

    partitions: int
    topic_id: str = ""


class EventsTopic:
    """Asks the broker about one topic. `servers` is where: the addresses as they were configured."""

    def __init__(self, config: dict[str, Any], topic: str) -> None:
        self._config = config
        self._admin = AdminClient(config)
        self.topic = topic
        self.servers = str(config.get("bootstrap.servers", ""))

    def look(self) -> TopicFacts:
        """What the topic is now. Raises KafkaException if nobody answers, or the topic is forbidden to us."""
        metadata = list_topics(self._admin, self._config, self.topic, timeout_s=_ASK_S)
        found = metadata.topics[self.topic]
        if found.error is not None:
            if found.error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise KafkaException(found.error)
            return TopicFacts(0)
        return TopicFacts(len(found.partitions), self._id() if metadata.controller_id in metadata.brokers else "")

    def _id(self) -> str:
        """Only a controller is asked for ids. A cluster without one has none: librdkafka's own, of `headwater up`, names one
        (0) that is none of its brokers, and the client would wait for it in vain, with every take-over."""
        (future,) = self._admin.describe_topics(TopicCollection([self.topic]), request_timeout=_ASK_S).values()
        try:
            ident = future.result(_ASK_S + 1.0).topic_id
        except (KafkaException, TimeoutError) as error:
            log.info("the id of topic %s is not known: %s", self.topic, error)
            return ""
        known = ident is not None and (ident.get_most_significant_bits() or ident.get_least_significant_bits())
        return str(ident) if known else ""
