"""The embedded broker and Redis, and the stack that looks after them: they work, and they leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import redis
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin._config import ConfigResource
from tests.support.services import KafkaService

from headwater.runtime.models import KafkaSettings
from headwater_processor.adapters.events_topic import EventsTopic, TopicFacts
from headwater_processor.local.demo_cli import POLICIES
from headwater_processor.local.launch import create_topics, local_topics, publish_policies
from headwater_processor.local.services import ServiceError, start_broker, start_kept, start_redis
from headwater_processor.local.stack import Addresses, Stack
from headwater_schemas.codec import decode_policy
from headwater_schemas.topics import catalogue

DEADLINE_S = 20.0
SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


def eventually(true: Callable[[], bool], what: str) -> None:
    """Wait until it is true."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline_s, f"not within {DEADLINE_S:.0f} s: {what}"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether there is such a process (one that is dead but not yet waited for does not count)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_the_embedded_broker_has_the_topics_and_keeps_records() -> None:
    broker = start_broker({"lineage.events": 3})
    try:
        producer = Producer({"bootstrap.servers": broker.bootstrap, "enable.idempotence": True})
        producer.produce("lineage.events", b"hello", partition=2)
        assert producer.flush(DEADLINE_S) == 0
        consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "g", "auto.offset.reset": "earliest"})
        assert len(consumer.list_topics("lineage.events", timeout=DEADLINE_S).topics["lineage.events"].partitions) == 3
        consumer.subscribe(["lineage.events"])
        message = consumer.poll(DEADLINE_S)
        assert message is not None
        assert (message.value(), message.partition()) == (b"hello", 2)
        consumer.close()
    finally:
        broker.process.stop()
    assert not alive(broker.process.pid)


def test_the_embedded_broker_is_not_waited_for_because_of_ids_that_it_has_not() -> None:
    broker = start_broker({"lineage.events": 3})
    try:
        began = time.monotonic()
        found = EventsTopic({"bootstrap.servers": broker.bootstrap}, "lineage.events").look()
        took_s = time.monotonic() - began
    finally:
        broker.process.stop()
    assert found == TopicFacts(3, "")
    assert took_s < DEADLINE_S / 4


def test_the_embedded_redis_never_evicts_and_ends_when_told(tmp_path: Path) -> None:
    server = start_redis(tmp_path)
    with redis.Redis.from_url(server.url) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        pid = int(client.info("server")["process_id"])
    server.process.stop()
    assert not alive(pid)


PARENT = """
import pathlib, sys
from headwater_processor.local.services import start_broker, start_kept, start_redis
broker = start_broker({"t": 1})
server = start_redis(pathlib.Path(sys.argv[1]))
kept = start_kept("sleeper", [sys.executable, "-c", "import time; time.sleep(600)"], grace_s=1)
print(broker.process.pid, server.process.pid, kept.pid, flush=True)
sys.stdin.read()
"""


def test_nothing_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 3
    parent.kill()
    parent.communicate()
    eventually(lambda: not any(map(alive, pids)), "the children of a killed parent end")


def test_what_ignores_the_request_to_stop_is_killed() -> None:
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
    )
    read, write = os.pipe()
    with os.fdopen(write, "wb") as log:
        kept = start_kept("stubborn", [sys.executable, "-c", stubborn], grace_s=0.2, log=log)
    with os.fdopen(read, "rb") as said:
        assert said.readline() == b"1\n"
    kept.stop(5.0)
    assert kept.exit_code() == 128 + signal.SIGKILL


def always(command: Sequence[str]) -> Callable[[Addresses, int], tuple[Sequence[str], Mapping[str, str]]]:
    return lambda _addresses, _number: (command, dict(os.environ))


@pytest.fixture
def stacks() -> Iterator[list[Stack]]:
    made: list[Stack] = []
    yield made
    for stack in made:
        stack.stop()


def test_a_worker_that_dies_is_said_and_started_again(stacks: list[Stack], tmp_path: Path) -> None:
    marker = tmp_path / "died"
    once = f"import pathlib, time; p = pathlib.Path({str(marker)!r}); d = p.exists(); p.touch(); d and time.sleep(600)"
    stack = Stack({}, always([sys.executable, "-c", once]), kafka="given:9092", redis_url="redis://given")
    stacks.append(stack)
    stack.start_services()
    stack.start_workers()
    said: list[str] = []

    def told() -> bool:
        said.extend(stack.look())
        return bool(said)

    eventually(told, "the death is said")
    eventually(lambda: not list(stack.look()) and marker.exists(), "it runs again")
    assert said[0].startswith("worker 0 died (exit code 0) and starts again in 0.5 s")


def test_workers_that_always_die_end_the_stack_with_their_last_words(stacks: list[Stack]) -> None:
    stack = Stack({}, always([sys.executable, "-c", "exit('no such setting')"]), kafka="k", redis_url="r")
    stacks.append(stack)
    stack.start_services()
    stack.start_workers()

    def gave_up() -> bool:
        try:
            list(stack.look())
        except ServiceError as error:
            return "no such setting" in str(error)
        return False

    eventually(gave_up, "the stack gives up")


def test_a_stack_stops_within_ten_seconds_and_removes_its_folder(stacks: list[Stack]) -> None:
    stack = Stack({"t": 1}, always(SLEEPER), workers=2)
    addresses = stack.start_services()
    stack.start_workers()
    assert addresses.kafka
    assert list(stack.look()) == []
    began_s = time.monotonic()
    stack.stop()
    assert time.monotonic() - began_s < 10
    assert not stack.folder.exists()


def test_topics_are_created_on_a_real_kafka_once_with_their_settings(kafka: KafkaService) -> None:
    prefix = f"{kafka.unique('local')}."
    create_topics(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers), prefix)
    create_topics(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers), prefix)
    found = kafka.admin.list_topics(timeout=DEADLINE_S).topics
    assert {topic.name for topic in catalogue(prefix).values()} <= set(found)
    events = ConfigResource(ConfigResource.Type.TOPIC, f"{prefix}events")
    settings = kafka.admin.describe_configs([events])[events].result(DEADLINE_S)
    assert settings["message.timestamp.type"].value == "LogAppendTime"


def test_policies_of_the_demo_are_published_and_readable() -> None:
    broker = start_broker(local_topics())
    try:
        publish_policies(KafkaSettings(bootstrap_servers=broker.bootstrap), POLICIES)
        consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "g", "auto.offset.reset": "earliest"})
        consumer.subscribe(["lineage.policies"])
        messages = consumer.consume(6, DEADLINE_S)
        consumer.close()
    finally:
        broker.process.stop()
    found = {policy.subject: policy for message in messages if (policy := decode_policy(message.value() or b""))}
    assert found["inventory-mart"].max_age_ms == 15_000
    assert found["database-is-a-source"].source
