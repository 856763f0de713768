"""The Redis behind a worker is replaced: by Sentinels, by a cluster, or by moving the domain's slot. The state is the oracle's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import pytest
from tests.support.oracle.drive import paced
from tests.support.oracle.generator import Generator
from tests.support.oracle.records import Options
from tests.support.redis_places import RedisCluster, Sentinels
from tests.support.services import KafkaService
from tests.support.workers import differences, in_thread, new_run, start_worker

from headwater.runtime.redis_cluster import slot_of

pytestmark = pytest.mark.timeout(300)

EVENTS = 8_000
PARTITIONS = 4


class Place(Protocol):
    """What the tests need of it."""

    @property
    def url(self) -> str: ...


def _sentinel_failover(sentinels: Sentinels, _domain: str) -> None:
    sentinels.wait_for_another_master(sentinels.kill_master())


def _cluster_failover(cluster: RedisCluster, domain: str) -> None:
    slot = slot_of(domain)
    holder = cluster.holder(slot)
    holder.kill()
    cluster.wait_for_another_holder(slot, holder)


def _slot_moved(cluster: RedisCluster, domain: str) -> None:
    slot = slot_of(domain)
    here = cluster.holder(slot)
    cluster.move(slot, next(node for node in cluster.nodes[:3] if node is not here))


@contextmanager
def started(make: Callable[[], Sentinels | RedisCluster]) -> Iterator[Sentinels | RedisCluster]:
    with ExitStack() as stack:
        try:
            place = make()
            stack.enter_context(place)
        except RuntimeError as error:
            pytest.skip(str(error))
        yield place


@pytest.mark.parametrize(
    ("make", "disturb", "rolled_back"),
    [
        (Sentinels, _sentinel_failover, True),
        (lambda: RedisCluster(replicas=True), _cluster_failover, True),
        (RedisCluster, _slot_moved, False),
    ],
    ids=["Sentinel failover", "cluster failover", "slot moved"],
)
def test_a_worker_goes_on_with_the_redis_that_took_over_and_nothing_is_lost(
    kafka: KafkaService,
    tmp_path: Path,
    make: Callable[[], Sentinels | RedisCluster],
    disturb: Callable[[Sentinels | RedisCluster, str], None],
    rolled_back: bool,
) -> None:
    with started(make) as place:
        run = new_run(kafka.bootstrap_servers, place.url, kafka.unique("failover"), tmp_path)
        run.create_topics(PARTITIONS)
        worker = start_worker(run)
        try:
            events = Generator(Options(EVENTS, 43, PARTITIONS)).records()
            with in_thread(lambda: run.produce(paced(events, per_second=2_000))):
                run.wait_for_offset(worker, EVENTS // 4)
                disturb(place, run.where.domain)
            run.wait_until_quiet(worker)
            assert worker.leave() == 0
            assert differences(run, rolled_back=rolled_back) == ""
            assert not worker.said("Traceback")
        finally:
            run.stop_workers()
