"""Fixtures that every test may use: a real Kafka and a real Redis, found once a session, named at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import pytest
import redis
from hypothesis import HealthCheck, settings
from tests.support.outages import own_kafka, server_of
from tests.support.services import KafkaService, RedisService, ServiceMissingError, find_kafka, find_redis

ROOT: Final = Path(__file__).resolve().parents[1]

# The machine may be busy with something else: how long an example takes says nothing of what is tested.
settings.register_profile("headwater", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("headwater")

_S = TypeVar("_S", KafkaService, RedisService)
_outcome = pytest.StashKey[dict[str, str]]()


def compiled() -> list[Path]:
    """Modules that were compiled in place (`make compile`): tests use them instead of their sources."""
    return [built for room in ("processor", "schemas") for built in (ROOT / room / "src").glob("*/**/*.so")]


def source_of(built: Path) -> Path:
    """What a compiled module was made of."""
    return built.with_name(f"{built.name.partition('.')[0]}.py")


def pytest_report_header() -> str:
    count = len(compiled())
    return f"hot path: compiled, {count} modules" if count else "hot path: plain Python"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-services", action="store_true", help="fail, instead of skip, when Kafka or Redis cannot be had"
    )


def pytest_configure(config: pytest.Config) -> None:
    stale = [built.name for built in compiled() if built.stat().st_mtime < source_of(built).stat().st_mtime]
    if stale:
        pytest.exit(f"older than their source: {', '.join(stale)}; run make compile, or make interpret", returncode=4)
    config.stash[_outcome] = {}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for name, outcome in sorted(config.stash[_outcome].items()):
        terminalreporter.write_line(f"service {name}: {outcome}")


def _obtain(request: pytest.FixtureRequest, name: str, find: Callable[[], _S]) -> Iterator[_S]:
    outcome = request.config.stash[_outcome]
    try:
        service = find()
    except ServiceMissingError as error:
        outcome[name] = f"SKIPPED, {error}"
        if request.config.getoption("--require-services"):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
    outcome[name] = f"used, {service.origin}"
    yield service
    if service.server is not None and request.session.testsfailed:
        service.server.keep = True
        outcome[name] += f"; log and data kept in {service.server.folder}"
    service.close()


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Iterator[KafkaService]:
    """A real Kafka, shared by the session: give topics and groups names of their own with `kafka.unique(prefix)`."""
    yield from _obtain(request, "kafka", find_kafka)


@pytest.fixture(scope="session")
def _fragile(kafka: KafkaService) -> Iterator[KafkaService]:
    """Asked for after `kafka`, so that who needs it is skipped where there is none."""
    yield from own_kafka()


@pytest.fixture
def own(_fragile: KafkaService) -> Iterator[KafkaService]:
    """A second Kafka that tests may kill and freeze, one for all of them, for a start is seconds of a processor; the next test
    finds it well, whatever this one did. Topics need names of their own."""
    yield _fragile
    server = server_of(_fragile)
    if server.running:
        server.thaw()
    else:
        server.start()


@pytest.fixture(scope="session")
def redis_server(request: pytest.FixtureRequest) -> Iterator[RedisService]:
    """A real Redis, shared by the session. Use `redis_db` to begin with an empty one."""
    yield from _obtain(request, "redis", find_redis)


@pytest.fixture(scope="session")
def redis_url(redis_server: RedisService) -> str:
    """Address of the session's Redis."""
    return redis_server.url


@pytest.fixture
def redis_db(redis_server: RedisService) -> str:
    """Address of a Redis that is empty when the test begins."""
    redis_server.flush()
    return redis_server.url


@pytest.fixture
def redis_client(redis_db: str) -> Iterator[redis.Redis]:
    """A client (bytes in, bytes out) on a Redis that is empty when the test begins."""
    with redis.Redis.from_url(redis_db) as client:
        yield client
