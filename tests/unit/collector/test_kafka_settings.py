"""Kafka's configuration out of ours: which group protocol is meant, and what it does not allow."""

from __future__ import annotations

import pytest

from headwater.runtime.errors import UsageError
from headwater.runtime.kafka import Config, consumer_config
from headwater.runtime.models import KafkaSettings


def consumer(protocol: str = "cooperative", **extra: str) -> Config:
    settings = KafkaSettings(extra={key.replace("__", "."): value for key, value in extra.items()})
    return consumer_config(settings, group="g", protocol=protocol)


def test_kafkas_own_group_protocol_wins_and_leaves_to_the_broker_what_the_broker_decides() -> None:
    for config in (consumer("consumer"), consumer(group__protocol="consumer")):
        assert config["group.protocol"] == "consumer"
        assert not {"partition.assignment.strategy", "session.timeout.ms", "heartbeat.interval.ms"} & config.keys()
    assert consumer("consumer", group__protocol="classic")["partition.assignment.strategy"] == "cooperative-sticky"


def test_kafkas_own_strategy_wins() -> None:
    assert consumer(partition__assignment__strategy="range")["partition.assignment.strategy"] == "range"


@pytest.mark.parametrize("key", ["partition__assignment__strategy", "session__timeout__ms", "heartbeat__interval__ms"])
def test_what_the_broker_decides_is_refused_beside_its_protocol(key: str) -> None:
    with pytest.raises(UsageError, match=key.replace("__", r"\.")):
        consumer("consumer", **{key: "1"})


def test_a_group_protocol_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="nonsense"):
        consumer(group__protocol="nonsense")
