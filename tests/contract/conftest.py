"""A worker of its own domain on an empty Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.driving import Worker
from tests.support.flow import DOMAIN
from tests.support.services import RedisService


@pytest.fixture
def url(redis_server: RedisService) -> str:
    redis_server.flush()
    return redis_server.url


@pytest.fixture
def worker(url: str) -> Iterator[Worker]:
    worker = Worker(url, DOMAIN, 2)
    yield worker
    worker.close()
