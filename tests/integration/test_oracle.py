"""The whole processor against the oracle: generated events through real Kafka and real Redis, then every table,
topic and counter is compared with a second reading of the semantics in plain Python."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.oracle.compare import Where, compare, feed
from tests.support.oracle.drive import Run, new_model, paced
from tests.support.oracle.generator import Generator
from tests.support.oracle.records import Options
from tests.support.oracle.registry import Registry
from tests.support.services import KafkaService

pytestmark = pytest.mark.timeout(600)

EVENTS = 60_000
REGISTRY_SETTING = "HEADWATER_REGISTRY__URL"


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as registry:
        yield registry


@pytest.fixture
def run(kafka: KafkaService, redis_url: str, registry: Registry, tmp_path: Path) -> Iterator[Run]:
    """A domain of its own; its workers end with the test, whatever happens."""
    domain = kafka.unique("oracle")
    where = Where(kafka.bootstrap_servers, redis_url, domain, f"{domain}.")
    run = Run(where, tmp_path, {REGISTRY_SETTING: registry.url})
    yield run
    run.stop_workers()


def differences(run: Run, *, strict_versions: bool = True) -> str:
    """What is not as the oracle says, as text; empty when all is well."""
    model = new_model(with_registry=True)
    feed(model, run.where)
    return "\n".join(compare(model, run.where, strict_versions=strict_versions))


@pytest.mark.parametrize(("partitions", "seed"), [(4, 7), (6, 11)])
def test_everything_the_processor_keeps_and_says_equals_the_oracle(run: Run, partitions: int, seed: int) -> None:
    run.create_topics(partitions)
    run.produce(Generator(Options(EVENTS, seed, partitions, confluent=0.2)).records())
    worker = run.start_worker()
    run.wait_until_quiet(worker)
    worker.stop()
    assert differences(run) == ""


def test_more_than_the_horizon_of_event_time_leaves_the_same_state(run: Run) -> None:
    """Buckets of ids leave, old events are merged without dedupe, closed runs are forgotten."""
    run.create_topics(4)
    run.produce(Generator(Options(EVENTS, 13, 4, step_us=2_500_000)).records())  # 42 hours
    worker = run.start_worker()
    run.wait_until_quiet(worker)
    worker.stop()
    assert differences(run) == ""


def test_a_worker_killed_twice_in_the_middle_leaves_the_same_state(run: Run) -> None:
    seed = 17
    rng = random.Random(seed)
    run.create_topics(4)
    run.produce(Generator(Options(EVENTS, seed, 4, confluent=0.1)).records())
    for share in (rng.uniform(0.1, 0.4), rng.uniform(0.5, 0.8)):
        worker = run.start_worker()
        run.wait_for_share(worker, share)
        worker.kill()
    worker = run.start_worker()
    run.wait_until_quiet(worker)
    worker.stop()
    assert differences(run) == ""


def test_a_worker_that_joins_and_one_that_leaves_change_nothing(run: Run) -> None:
    run.create_topics(4)
    records = paced(Generator(Options(EVENTS, 23, 4)).records(), per_second=3_000)
    first = run.start_worker()
    producing = threading.Thread(target=run.produce, args=(records,), daemon=True)
    producing.start()
    run.wait_for_offset(first, EVENTS // 8)
    second = run.start_worker()
    run.wait_for_offset(second, EVENTS // 2)
    first.stop()
    producing.join(120)
    assert not producing.is_alive()
    run.wait_until_quiet(second)
    second.stop()
    assert differences(run) == ""
