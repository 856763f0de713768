"""Offsets of many partitions at once: `ListOffsets` through an AdminClient."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import ListOffsetsResultInfo, OffsetSpec

Place = tuple[str, int]
"""Topic and partition."""

_MORE_S = 5.0


def list_offsets(
    admin: AdminClient, places: Iterable[Place], spec: OffsetSpec, *, timeout_s: float
) -> tuple[dict[Place, ListOffsetsResultInfo], dict[Place, KafkaException]]:
    """What the partitions' leaders answer, and the errors of the others; as readers of committed records see it.

    An offset of -1001 is no answer (`headwater.runtime.kafka.answered`), -1 one for a partition without records.

    Raises:
        KafkaException: nothing could be asked.
    """
    asked = [TopicPartition(topic, partition) for topic, partition in places]
    if not asked:
        return {}, {}
    futures = admin.list_offsets(
        dict.fromkeys(asked, spec), isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=timeout_s
    )
    found: dict[Place, ListOffsetsResultInfo] = {}
    failed: dict[Place, KafkaException] = {}
    for at, future in futures.items():
        try:
            found[at.topic, at.partition] = future.result(timeout_s + _MORE_S)
        except KafkaException as error:
            failed[at.topic, at.partition] = error
        except TimeoutError:
            failed[at.topic, at.partition] = KafkaException(KafkaError(KafkaError._TIMED_OUT))
    return found, failed
