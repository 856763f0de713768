"""A few runs of the fault laboratory, small ones; `make faults` has all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.kafka_server import KafkaServer
from tests.support.lab.kept import KEPT
from tests.support.lab.lab import run_schedule

EVENTS = 5_000
FEW = (
    "killed right after a take-over, while leaving, and new partitions",
    "a Redis set back right after partitions were added, then full",
    "asleep between reading what to say and saying it",
)


@pytest.fixture(scope="module")
def own_kafka() -> Iterator[KafkaServer]:
    """A broker that may be killed."""
    with KafkaServer() as server:
        yield server


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kept", FEW)
def test_what_goes_wrong_leaves_the_state_the_oracle_has(kept: str, own_kafka: KafkaServer, tmp_path: Path) -> None:
    outcome = run_schedule(replace(KEPT[kept], events=EVENTS), own_kafka, tmp_path)
    assert outcome.good, f"{outcome.schedule}\n" + "\n".join(outcome.faults)
