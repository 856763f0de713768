"""A short selection of the laboratory's schedules; `make faults RUNS=100` runs as many as one likes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.failing_worker import POINTS
from tests.support.kafka_server import KafkaServer
from tests.support.lab.acts import ACTS
from tests.support.lab.kept import KEPT
from tests.support.lab.lab import run_schedule
from tests.support.lab.schedule import FAULTS, draw


@pytest.fixture(scope="module")
def own_kafka() -> Iterator[KafkaServer]:
    """A Kafka that may be hurt."""
    with KafkaServer() as server:
        yield server


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kept", KEPT)
def test_whatever_goes_wrong_the_state_is_the_oracles(kept: str, own_kafka: KafkaServer, tmp_path: Path) -> None:
    outcome = run_schedule(KEPT[kept], own_kafka, tmp_path)
    assert outcome.good, f"{outcome.schedule}\n" + "\n".join(outcome.faults)


def test_a_seed_always_means_the_same_schedule() -> None:
    assert [draw(seed) for seed in range(50)] == [draw(seed) for seed in range(50)]


def test_every_fault_can_be_done_and_is_drawn() -> None:
    steps = [step for seed in range(400) for step in draw(seed).steps]
    assert {step.fault for step in steps} == ACTS.keys() == {fault.name for fault in FAULTS}
    assert {step.point for step in steps} == POINTS.keys() | {""}
