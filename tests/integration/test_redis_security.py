"""Redis with TLS and ACLs, behind Sentinels and in a cluster: as clients of Headwater and of redis-py meet it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

import pytest
import redis
from pydantic import SecretStr
from redis.cluster import RedisCluster as PlainCluster
from tests.support.certificates import Authority
from tests.support.processes import wait_until
from tests.support.redis_places import RedisCluster, Sentinels, TlsRedis
from tests.support.state_writer import StateWriter
from tests.support.workers import HEADWATER

from headwater.errors import HeadwaterError
from headwater.runtime.models import RedisSettings
from headwater.runtime.redis import check_policy, connect, translate
from headwater.runtime.redis_cluster import slot_of
from headwater_processor.adapters.redis_store import RedisStore
from headwater_processor.state import StateReader
from headwater_processor.state.layout import DatasetRecord
from headwater_schemas.events import Name

PASSWORD: Final = "canary-77c0"  # noqa: S105 - of a server that lives for a test
DOMAIN: Final = "default"
ORDERS: Final = Name("s3://lake", "orders")

READER: Final = "~{hw:default}:* +@connection +@read -@dangerous +cluster|slots"
WORKER: Final = f"{READER} +@write -@dangerous +evalsha +script|load +multi +exec +time +info +cluster|slots"
"""What collector/CONNECTING.md says that each role needs."""


@contextmanager
def skipped_without(request: pytest.FixtureRequest) -> Iterator[None]:
    """A server that cannot be had here is no failure, unless services are required."""
    try:
        yield
    except RuntimeError as error:
        if request.config.getoption("--require-services"):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("redis-certificates"))


@pytest.fixture(scope="module")
def tls(authority: Authority, request: pytest.FixtureRequest) -> Iterator[TlsRedis]:
    """TLS both ways, a user for the worker and one for readers."""
    users = [
        part
        for name, rules in (("worker", WORKER), ("reader", READER))
        for part in ("--user", name, "on", f">{PASSWORD}", *rules.split())
    ]
    with skipped_without(request):
        server = TlsRedis(authority, users, mutual=True)
        server.start()
    with closing(server):
        StateWriter(server.client(), DOMAIN).dataset(ORDERS, asserted_us=1, record=DatasetRecord(1))
        yield server


@pytest.fixture
def settings(tls: TlsRedis, authority: Authority, tmp_path: Path) -> RedisSettings:
    """As the worker."""
    own = authority.issue("worker")
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    return RedisSettings(
        url=tls.url, username="worker", password_file=str(file), ca_file=str(authority.ca), cert_file=str(own.cert),
        key_file=str(own.key),
    )  # fmt: skip


def said(settings: RedisSettings) -> HeadwaterError:
    """What we say of a Redis that does not take us."""
    with connect(settings) as client, pytest.raises(redis.RedisError) as caught:
        client.hgetall("{hw:default}:meta")
    return translate(caught.value, settings.url)


def store_on(client: redis.Redis) -> RedisStore:
    """The worker's own way to the state."""
    return RedisStore(client, DOMAIN, shards=16, closed_runs_max=1_000, horizon_us=1)


def test_the_worker_opens_a_domain_over_tls_with_the_least_permissions(settings: RedisSettings) -> None:
    client = connect(settings)
    check_policy(client, settings.url)
    store = store_on(client)
    store.open(2)
    assert store.acquire(0, "topic-id", 0).next == 0
    store.close()


def test_a_reader_reads_and_may_not_write(settings: RedisSettings) -> None:
    reader = settings.model_copy(update={"username": "reader"})
    with connect(reader) as client:
        assert [found.name for found in StateReader(client, DOMAIN).datasets()] == [ORDERS]
        with pytest.raises(redis.exceptions.NoPermissionError) as caught:
            client.hset("{hw:default}:meta", "gen", "9")
    assert "forbids it" in translate(caught.value, reader.url).message


def test_a_password_that_was_replaced_in_its_file_is_used_by_the_next_connection(settings: RedisSettings) -> None:
    file = Path(settings.password_file)
    with connect(settings) as client:
        client.ping()
        file.write_text("wrong")
        client.connection_pool.disconnect()
        with pytest.raises(redis.AuthenticationError):
            client.ping()
        file.write_text(PASSWORD)
        assert client.ping()


@pytest.mark.parametrize(
    ("change", "says", "remedy"),
    [
        ({"password": SecretStr("wrong")}, "refuses us", "redis.password"),
        ({"ca_file": "other"}, "CERTIFICATE_VERIFY_FAILED", "redis.ca_file"),
        ({"cert_file": "", "key_file": ""}, "cannot be used", "redis.cert_file"),
        ({"url": "redis", "ca_file": "", "cert_file": "", "key_file": ""}, "cannot be used", "rediss://"),
    ],
)
def test_what_keeps_us_away_from_redis_is_said(
    settings: RedisSettings, tmp_path: Path, change: dict[str, object], says: str, remedy: str
) -> None:
    if change.get("ca_file"):
        change = {"ca_file": str(Authority(tmp_path, "other").ca)}
    if change.get("url"):
        change = {**change, "url": settings.url.replace("rediss", "redis")}
    error = said(settings.model_copy(update=change))
    assert says.lower() in error.message.lower()
    assert remedy in error.remedy


def test_a_command_reads_over_tls_and_shows_no_password(settings: RedisSettings) -> None:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("HEADWATER_")}
    given = {
        **clean,
        "XDG_RUNTIME_DIR": "/nonexistent",
        "HEADWATER_REDIS__URL": settings.url.replace("//", f"//reader:{PASSWORD}@"),
        "HEADWATER_REDIS__CA_FILE": settings.ca_file,
        "HEADWATER_REDIS__CERT_FILE": settings.cert_file,
        "HEADWATER_REDIS__KEY_FILE": settings.key_file,
    }
    done = subprocess.run(
        [HEADWATER, "-vv", "status"], env=given, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "orders" in done.stdout
    assert PASSWORD not in done.stdout + done.stderr


def test_the_master_that_sentinels_name_is_used_and_after_a_failover_the_new_one(
    request: pytest.FixtureRequest,
) -> None:
    with ExitStack() as stack:
        with skipped_without(request):
            sentinels = stack.enter_context(Sentinels(sentinels=1))
        settings = RedisSettings(url=sentinels.url)
        client = connect(settings)
        store = store_on(client)
        store.open(2)
        with client:
            client.wait(1, 5_000)
            old = sentinels.kill_master()
            wait_until(lambda: _answers(store), within_s=30, what="the new master", pause_s=0.2)
            assert client.connection_pool.connection_kwargs  # the same client, made once
            assert sentinels.master_port() != old
        unknown = connect(RedisSettings(url=sentinels.url.replace("mymaster", "other")))
        with pytest.raises(redis.RedisError) as caught:
            unknown.ping()
        assert "service" in translate(caught.value, sentinels.url).remedy


def test_in_a_cluster_the_node_of_the_domain_is_used_also_after_its_slot_was_moved(
    request: pytest.FixtureRequest,
) -> None:
    with ExitStack() as stack:
        with skipped_without(request):
            cluster = stack.enter_context(RedisCluster())
        slot = slot_of(DOMAIN)
        elsewhere = next(node for node in cluster.nodes if node is not cluster.holder(slot))
        assert "redis+cluster://" in said(RedisSettings(url=elsewhere.url)).remedy
        client = connect(RedisSettings(url=cluster.url), DOMAIN)
        store = store_on(client)
        store.open(2)
        StateWriter(client, DOMAIN).dataset(ORDERS, asserted_us=1, record=DatasetRecord(1))
        idle = [client.connection_pool.get_connection() for _ in range(2)]  # which the node keeps, as those of a worker
        for connection in idle:
            client.connection_pool.release(connection)
        here = cluster.holder(slot)
        cluster.move(slot, next(node for node in cluster.nodes if node is not here))
        wait_until(lambda: _answers(store), within_s=10, what="the node that has the slot now")
        assert store.acquire(0, "topic-id", 0).next == 0
        assert cluster.holder(slot) is not here
        idle = [client.connection_pool.get_connection() for _ in range(2)]
        assert {connection.port for connection in idle} == {cluster.holder(slot).port}, (
            "a script would be loaded elsewhere"
        )
        for connection in idle:
            client.connection_pool.release(connection)
        assert [found.name for found in StateReader(client, DOMAIN).datasets()] == [ORDERS]

        port = cluster.nodes[0].port
        with PlainCluster(host="127.0.0.1", port=port) as plain:  # redis-py's own, as its users have it
            assert [found.name for found in StateReader(plain, DOMAIN).datasets()] == [ORDERS]
        client.close()


def _answers(store: RedisStore) -> bool:
    try:
        return store.next_offset(7) is None
    except redis.RedisError:
        return False
