"""A second Kafka, that tests may kill and freeze; one for all of them, for its start is seconds of a processor."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.outages import own_kafka, server_of
from tests.support.services import KafkaService


@pytest.fixture(scope="session")
def _fragile(kafka: KafkaService) -> Iterator[KafkaService]:
    """Asked for after `kafka`, so that who needs it is skipped where there is none."""
    yield from own_kafka()


@pytest.fixture
def own(_fragile: KafkaService) -> Iterator[KafkaService]:
    """The Kafka that may be hurt; whatever a test did to it, the next one finds it well. Topics need names of their own."""
    yield _fragile
    server = server_of(_fragile)
    if server.running:
        server.thaw()
    else:
        server.start()
