"""The prover of as-of and a real broker that stops answering."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest
from tests.support.kafka_server import KafkaServer
from tests.support.oracle.topics import create_topic
from tests.support.processes import wait_until

from headwater_processor.core.knowledge import Knowledge
from headwater_processor.core.plan import PartitionPlanner
from headwater_processor.core.plan_values import Counters, Rules
from headwater_processor.engine.owned import Owned
from headwater_processor.engine.proofs import Prover
from headwater_processor.ports import Fence

TOPIC = "lineage.events"


class Proven:
    """The one part of a state store that a prover asks for: it notes what is to be proved."""

    def __init__(self) -> None:
        self.proofs: list[tuple[Fence, int, int]] = []

    def prove(self, proofs: list[tuple[Fence, int, int]]) -> list[bool]:
        self.proofs += proofs
        return [True] * len(proofs)


def test_while_the_broker_does_not_answer_nothing_is_proved(caplog: pytest.LogCaptureFixture) -> None:
    fence = Fence(0, "1:x", "t", "0", 0, -1, 0, Counters(), (), "", -1)
    owned = Owned(fence, PartitionPlanner(0, Rules(), Knowledge(), (0, 0)), session=1)
    store: Any = Proven()
    with KafkaServer() as kafka:
        create_topic(kafka.bootstrap_servers, TOPIC, 1)
        prover = Prover(
            {"bootstrap.servers": kafka.bootstrap_servers},
            TOPIC,
            store,
            lambda: time.time_ns() // 1000,
            lambda: {0: owned},
            0.05,
        )
        with contextlib.closing(prover):
            prover.start()
            wait_until(lambda: len(store.proofs) > 2, within_s=20, what="an empty partition is proved")
            kafka.freeze()
            wait_until(lambda: "as-of stands still" in caplog.text, within_s=30, what="the prover complains")
            frozen_at_us = owned.as_of_us
            kafka.thaw()
            wait_until(lambda: owned.as_of_us > frozen_at_us, within_s=30, what="it proves again")
    assert {end for _, end, _ in store.proofs} == {0}
