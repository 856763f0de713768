"""How far the jobs of a trace are behind: where their topics end now, against the last offset that any run of them read.

Asked of Kafka itself, so that it is true also of a job whose pod died and says nothing any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from headwater.runtime.kafka import client_config, translate
from headwater.runtime.models import KafkaSettings
from headwater_processor.state.values import JobState
from headwater_schemas.naming import kafka_topic

PATIENCE_S: Final = 5.0

Place = tuple[str, int]
"""A topic, `namespace/name`, and a partition."""


@dataclass(frozen=True, slots=True)
class Lag:
    """One partition that a job reads. `end` and `lag` are -1 where they are not known, and `reason` says why."""

    topic: str
    partition: int
    read_to: int
    """The last offset that any run told of."""
    end: int = -1
    reason: str = ""

    @property
    def lag(self) -> int:
        """Records that no run of the job has read yet."""
        return -1 if self.end < 0 else max(0, self.end - self.read_to - 1)

    def as_object(self) -> dict[str, Any]:
        """For JSON."""
        known = {"topic": self.topic, "partition": self.partition, "read_to": self.read_to}
        return {**known, "end": self.end, "lag": self.lag, **({"reason": self.reason} if self.reason else {})}


Lags = Mapping[str, tuple[Lag, ...]]
"""By job."""


def read_positions(job: JobState) -> dict[Place, int]:
    """The last offset of each partition that a run of the job has read."""
    runs = (*job.runs, job.last_ok) if job.last_ok else job.runs
    found: dict[Place, int] = {}
    for span in (span for run in runs for span in run.offsets if span.direction == "in"):
        place = (span.dataset, span.partition)
        found[place] = max(span.last, found.get(place, -1))
    return found


def lags_of(jobs: Iterable[JobState], kafka: KafkaSettings) -> Lags:
    """The lag of each job that reads from Kafka.

    Only the Kafka of the settings is asked: an address out of an event must not get our credentials.

    Raises:
        DeliveryError: it cannot be reached.
    """
    read = {str(job.name): positions for job in jobs if (positions := read_positions(job))}
    ours = set(_servers(kafka_topic(kafka.bootstrap_servers, "any").namespace))
    places = {place for positions in read.values() for place in positions}
    mine = {place for place in places if ours & set(_servers(_split(place[0])[0]))}
    ends = _ends(mine, kafka) if mine else {}
    return {
        job: tuple(
            Lag(topic, partition, at, ends.get((topic, partition), -1), _reason((topic, partition), mine, ends))
            for (topic, partition), at in sorted(positions.items())
        )
        for job, positions in read.items()
    }


def _reason(place: Place, mine: set[Place], ends: Mapping[Place, int]) -> str:
    if place in ends:
        return ""
    return (
        "there is no such partition any more" if place in mine else "another Kafka than that of the settings (--kafka)"
    )


def _ends(places: set[Place], kafka: KafkaSettings) -> dict[Place, int]:
    admin = AdminClient(client_config(kafka))
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # confluent-kafka has no types there
    asked = {TopicPartition(_split(topic)[1], partition): latest for topic, partition in places}
    by_name = {(_split(topic)[1], partition): (topic, partition) for topic, partition in places}
    found: dict[Place, int] = {}
    lost: KafkaException | None = None
    try:
        futures = admin.list_offsets(asked, request_timeout=PATIENCE_S)
        for partition, future in futures.items():
            try:
                found[by_name[partition.topic, partition.partition]] = future.result(PATIENCE_S + 1).offset
            except KafkaException as error:
                lost = error
    except KafkaException as error:
        lost = error
    if lost is not None and not found and lost.args[0].retriable():
        raise translate(lost, kafka.bootstrap_servers) from lost
    return found


def _split(topic: str) -> tuple[str, str]:
    namespace, _, name = topic.rpartition("/")
    return namespace, name


def _servers(namespace: str) -> list[str]:
    return namespace.removeprefix("kafka://").split(",")
