"""What can be looked at while an event is waited for: topics, dead letters, the gateway, the bridge, Kafka Connect.

A look compares with what there was when the waiting began: only what came meanwhile tells of the producer that is being
connected. What cannot be looked at is left out; it never fails the waiting.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from headwater.cdc.http import HttpError, Service, get_json, service_at
from headwater.cli.letters import letter_of, receipt_of
from headwater.cli.reading import Bounds, reading
from headwater.connect.causes import CONNECT, ConnectFacts, Facts, Letters, by_bridge, by_gateway
from headwater.connect.debezium import connectors
from headwater.connect.gateway import GatewayAnswer, ask_gateway
from headwater.connect.places import Installation
from headwater.errors import HeadwaterError
from headwater.runtime.errors import RefusedError
from headwater.runtime.kafka import client_config
from headwater.runtime.models import KafkaSettings

log = logging.getLogger(__name__)

_ASK_S: Final = 3.0
_CONNECT_S: Final = 5.0
_MOST_LETTERS: Final = 10_000
"""Of more dead letters than these the newest are looked at."""


@dataclass(frozen=True, slots=True)
class Before:
    """How it was when the waiting began. None: could not be looked at."""

    letters: Bounds | None
    documents: Bounds | None
    gateway: GatewayAnswer | None


class Looker:
    """Looks at what belongs to a subject.

    Args:
        connects: Kafka Connect's URLs, with credentials where they have some.
    """

    def __init__(
        self, subject: str, kafka: KafkaSettings, place: Installation, *, ways: Sequence[str], connects: Sequence[str]
    ) -> None:
        self._kafka = kafka
        self._place = place
        self._by_gateway = by_gateway(subject, ways)
        self._by_bridge = by_bridge(subject, ways)
        self._by_connect = subject in CONNECT
        self._connects = [service_at(url, "--connect") for url in connects]
        self.before = Before(
            self._bounds(place.topics["deadletter"]),
            self._bounds(place.documents) if self._by_bridge else None,
            ask_gateway(place.gateway, _ASK_S) if self._by_gateway else None,
        )

    def facts(self, heard: Facts) -> Facts:
        """What there is to see now, added to what was heard."""
        gateway = ask_gateway(self._place.gateway, _ASK_S) if self._by_gateway else None
        documents = self._documents()
        return replace(
            heard,
            missing=tuple(self._missing()),
            letters=tuple(self._letters()),
            gateway=gateway,
            refused=_new_refusals(self.before.gateway, gateway),
            documents=documents,
            members=self._members() if documents else None,
            connects=tuple(map(_of_connect, self._connects)) if self._by_connect and self._connects else None,
        )

    def _missing(self) -> Iterator[str]:
        topics = [self._place.topics["events"], *([self._place.documents] if self._by_bridge else [])]
        for topic in topics:
            try:
                with reading(self._kafka, topic) as reader:
                    reader.bounds()
            except RefusedError:
                yield topic
            except HeadwaterError as error:
                log.info("%s was not looked at: %s", topic, error.message)

    def _bounds(self, topic: str) -> Bounds | None:
        try:
            with reading(self._kafka, topic) as reader:
                return reader.bounds()
        except HeadwaterError as error:
            log.info("%s was not looked at: %s", topic, error.message)
            return None

    def _documents(self) -> int:
        if not self._by_bridge:
            return 0
        return sum(
            end - begin for begin, end in _between(self.before.documents, self._bounds(self._place.documents)).values()
        )

    def _letters(self) -> list[Letters]:
        topic = self._place.topics["deadletter"]
        came = _between(self.before.letters, self._bounds(topic))
        if not came:
            return []
        counts: Counter[str] = Counter()
        details: dict[str, str] = {}
        newest = {partition: (max(begin, end - _MOST_LETTERS), end) for partition, (begin, end) in came.items()}
        try:
            with reading(self._kafka, topic) as reader:
                for message in reader.records(newest):
                    if receipt_of(message) is None:
                        letter = letter_of(message)
                        counts[letter.reason] += 1
                        details.setdefault(letter.reason, letter.detail)
        except HeadwaterError as error:
            log.info("%s was not read: %s", topic, error.message)
        return [Letters(reason, count, details[reason]) for reason, count in counts.most_common()]

    def _members(self) -> int | None:
        """How many bridges share the topic; None where Kafka does not say."""
        with contextlib.suppress(HeadwaterError):
            return group_members(AdminClient(client_config(self._kafka)), self._place.bridge_group)
        return None


def group_members(admin: AdminClient, group: str, timeout_s: float = _ASK_S) -> int | None:
    """How many members a consumer group has; None where the broker does not say (the embedded one never does)."""
    try:
        if str(admin.list_topics(timeout=timeout_s).cluster_id).startswith("mockCluster"):
            return None
        told = admin.describe_consumer_groups([group], request_timeout=timeout_s)[group].result(timeout_s)
    except KafkaException as error:
        return 0 if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND else None
    except TimeoutError:
        return None
    return len(told.members)


def _of_connect(service: Service) -> ConnectFacts:
    try:
        told = get_json(service, "/connectors?expand=info&expand=status", timeout_s=_CONNECT_S)
    except HttpError as error:
        return ConnectFacts(service.shown, error.message)
    plugins = None
    with contextlib.suppress(HttpError):
        plugins = get_json(service, "/connector-plugins", timeout_s=_CONNECT_S)
    return ConnectFacts(service.shown, connectors=tuple(connectors(told, plugins)))


def connect_facts(url: str) -> ConnectFacts:
    """What Kafka Connect at a URL says. Raises UsageError: it is no URL."""
    return _of_connect(service_at(url, "cdc.connect"))


def _new_refusals(before: GatewayAnswer | None, now: GatewayAnswer | None) -> dict[tuple[int, str], int]:
    if now is None or now.refused is None:
        return {}
    known = before.refused if before is not None and before.refused is not None else Counter()
    # A gateway that began anew meanwhile counts from nothing.
    return {
        key: count - known[key] if count >= known[key] else count
        for key, count in now.refused.items()
        if count != known[key]
    }


def _between(before: Bounds | None, now: Bounds | None) -> dict[int, tuple[int, int]]:
    """By partition what came meanwhile; nothing where one of the two is not known."""
    if before is None or now is None:
        return {}
    came = {partition: (max(begin, before.get(partition, (0, 0))[1]), end) for partition, (begin, end) in now.items()}
    return {partition: (begin, end) for partition, (begin, end) in came.items() if end > begin}
